"""A Label Studio project made from the taxonomy, and how it is kept up to date."""
