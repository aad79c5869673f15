"""Consensus: the rule that combines the judgements of several machines on one label, and its fit to data."""
