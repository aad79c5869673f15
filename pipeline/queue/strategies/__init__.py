"""Strategies: each gives candidates a value, by which the queue draws them."""
