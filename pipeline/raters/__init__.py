"""Raters: whatever reads a masked text and gives a verdict on its labels."""
