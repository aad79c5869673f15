"""How well the people label, and how they are doing. Reads the store; writes nothing."""
