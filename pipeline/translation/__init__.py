"""Texts in another language, with who translated them."""
