"""Probes: sentences that a model is tried on, one ability at a time; none of them is ever learnt from."""
