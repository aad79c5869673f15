"""Language models behind any address that speaks OpenAI's chat completions: asked many at a time, paid for once."""
