"""Accounts of the dashboard: who may do what, how they sign in, and the log of what they did."""
