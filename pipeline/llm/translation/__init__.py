"""Translations of texts: each text is translated once by a translator, and stored."""
