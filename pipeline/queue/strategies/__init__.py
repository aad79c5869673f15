"""Strategies: each gives candidates a chance, with which the queue draws them."""
