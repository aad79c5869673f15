"""Quotes of texts in prompts for language models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

#: escapes for the characters of chat templates' marks, such as `<|im_end|>`, `</s>`, `[INST]`, `<start_of_turn>`
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "[": "\\u005b", "]": "\\u005d", "`": "\\u0060"})


def as_data(fields: Mapping[str, Any]) -> str:
    """A JSON object whose texts cannot contain a mark of a chat template, or end the object; lists hold texts."""
    inside = ", ".join(f'"{name}": {_value(value)}' for name, value in fields.items())
    return "{" + inside + "}"


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(quoted(str(item)) for item in value) + "]"
    return quoted(str(value))


def quoted(text: str) -> str:
    # Lone surrogates cannot be sent.
    clean = text.encode("utf-8", "replace").decode()
    return (
        json.dumps(clean, ensure_ascii=False)
        .translate(_ESCAPES)
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )
