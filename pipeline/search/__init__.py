"""Finding texts: by words, by likeness to a text, and by what is known of them."""
