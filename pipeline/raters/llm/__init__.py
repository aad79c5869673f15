"""Language models as raters: the prompt, the reply, and the verdict."""
