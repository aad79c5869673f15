"""Quoting texts in a question to a language model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

#: `<|im_end|>`, `</s>`, `[INST]`, `<start_of_turn>` and their like are marks only letter by letter
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "[": "\\u005b", "]": "\\u005d", "`": "\\u0060"})


def as_data(fields: Mapping[str, Any]) -> str:
    """A JSON object in which no character of a text can be taken for a mark of a chat template, or for an end."""
    inside = ", ".join(f'"{name}": {quoted(str(value))}' for name, value in fields.items())
    return "{" + inside + "}"


def quoted(text: str) -> str:
    # lone surrogates cannot be sent
    clean = text.encode("utf-8", "replace").decode()
    return (
        json.dumps(clean, ensure_ascii=False)
        .translate(_ESCAPES)
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )
