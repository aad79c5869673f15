"""Texts: read, repair, mask, detect the language, find near-duplicates, write to the store."""
