"""Raters that are large language models behind an OpenAI-compatible server."""
