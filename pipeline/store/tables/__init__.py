"""The typed models of all SQL tables."""
