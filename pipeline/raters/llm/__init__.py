"""Language models as raters: the prompt, the reply, and what comes of it."""
