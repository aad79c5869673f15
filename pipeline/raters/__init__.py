"""Raters, which read masked texts and give verdicts on their labels."""
