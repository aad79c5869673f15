"""Language models behind any server with OpenAI's chat completions: many requests at once, each reply paid once."""
