"""How the judgements of several machines on one label are combined: the rule, and its fit to data."""
