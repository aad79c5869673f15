"""Texts: read, repair, mask, tell the language, find near-duplicates, write to the store."""
