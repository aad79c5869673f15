"""Encoders: texts in, unit vectors out. `protocol` says what one is, `make` makes the one that a name stands for."""
