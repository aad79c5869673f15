"""Drift: whether recent texts are still like earlier ones, and like those that the champion learnt from."""
