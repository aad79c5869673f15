"""Encoders, which turn texts into unit vectors. `protocol` is their interface; `make` makes an encoder by its name."""
