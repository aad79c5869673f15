"""Texts in another language, each translated once, with who did it."""
