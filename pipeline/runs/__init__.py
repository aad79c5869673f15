"""Runs: the form of a stage, two executors that run stages, and the records of runs."""
