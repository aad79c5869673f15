"""Prompts that learn: a better prompt for a language model, proposed from people's corrections and measured."""
