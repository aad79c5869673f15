"""Runs: one form for a stage, two executors for it, and the record of what was executed."""
