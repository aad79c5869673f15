"""Odd values, and damage to bytes, values and replies, drawn from a generator."""

from __future__ import annotations

import json
import random
from typing import Any

GOOD = '{"labels": ["safe for work"], "confidence": 0.9, "explanation": "biasa"}'
DRAFT = '{"labels": ["hate"], "confidence": 0.7, "explanation": "mungkin"}'
#: values that stand where others were expected
ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    101,
    2**31,
    2**63,
    2**64,
    10**400,
    1.5,
    1e308,
    -1e-308,
    float("nan"),
    float("inf"),
    "",
    " ",
    "\0",
    "a\0b",
    "\ud800",
    "satu\udfffdua",
    "\u2028",
    "1" * 400,
    "x" * 5_000,
    "hate",
    "safe for work",
    "500",
    "error",
    "429",
    [],
    [[]],
    [None],
    ["hate", 7],
    {},
    {"a": {}},
    {"labels": ["hate"]},
    {"error": {"message": "x", "code": 10**400}},
    {"message": "rate limit", "code": "429"},
)
_PIECES = (
    "{",
    "}",
    "[",
    "]",
    '"',
    "'",
    ":",
    ",",
    "\\",
    "\\u0000",
    "\\ud800",
    "```json\n",
    "```",
    "<think>",
    "</think>",
    "<|channel|>final<|message|>",
    "[THINK]",
    "NaN",
    "1e999",
    "9" * 400,
    "null",
    "\0",
    "\ud800",
    "\x1b",
    "I cannot help",
    '{"labels": ',
    "//",
    "/*",
)


def odd_value(rng: random.Random) -> Any:
    """One of the odd values, or a deep one."""
    if rng.random() < 0.03:
        deep: Any = "x"
        for _ in range(rng.choice([20, 300, 2_000])):
            deep = [deep] if rng.random() < 0.5 else {"labels": deep}
        return deep
    return rng.choice(ODD)


def damaged_value(rng: random.Random, value: Any) -> Any:
    """A value of JSON of which some parts were replaced, removed, renamed or repeated."""
    for _ in range(rng.choice([1, 1, 2, 4])):
        value = _one_damage(rng, value)
    return value


def _one_damage(rng: random.Random, value: Any) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.85:
        name = rng.choice(list(value))
        kind = rng.random()
        if kind < 0.1:
            del value[name]
        elif kind < 0.2:
            value[rng.choice(["x", "", "\0", "labels", name + " "])] = value.pop(name)
        else:
            value[name] = _one_damage(rng, value[name])
        return value
    if isinstance(value, list) and value and rng.random() < 0.85:
        place = rng.randrange(len(value))
        kind = rng.random()
        if kind < 0.1:
            del value[place]
        elif kind < 0.25:
            value.insert(place, value[place])
        else:
            value[place] = _one_damage(rng, value[place])
        return value
    if isinstance(value, str) and rng.random() < 0.3:
        return damaged_text(rng, value)
    return odd_value(rng)


def damaged_text(rng: random.Random, text: str) -> str:
    """A text of which pieces were cut out, repeated, or put in."""
    for _ in range(rng.choice([1, 2, 3, 8])):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice([0, 1, 3, 20]))
        kind = rng.random()
        middle = (
            "" if kind < 0.3 else text[start:end] * 2 if kind < 0.5 else rng.choice(_PIECES) * rng.choice([1, 1, 3])
        )
        text = text[:start] + middle + text[end:]
    return text[: rng.randrange(len(text) + 1)] if rng.random() < 0.2 else text


def damaged_bytes(rng: random.Random, content: bytes) -> bytes:
    """Bytes of which some were changed, cut out, or put in."""
    damaged = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        place = rng.randrange(len(damaged) + 1)
        kind = rng.random()
        if kind < 0.5 and place < len(damaged):
            damaged[place] = rng.randrange(256)
        elif kind < 0.75:
            del damaged[place : place + rng.choice([1, 4, 64])]
        else:
            damaged[place:place] = rng.randbytes(rng.choice([1, 4, 32]))
    return bytes(damaged[: rng.randrange(len(damaged) + 1)] if rng.random() < 0.1 else damaged)


def odd_reply(rng: random.Random) -> str:
    """A model's reply, more or less damaged."""
    kind = rng.random()
    if kind < 0.3:
        fields = damaged_value(rng, json.loads(GOOD))
        try:
            text = json.dumps(fields, ensure_ascii=rng.random() < 0.5)
        except (ValueError, RecursionError):
            text = '{"labels": ' + "[" * 5_000
    elif kind < 0.6:
        parts = [rng.choice([GOOD, DRAFT, "Hmm. ", "<think>", "</think>", "```json\n", "```", "\n", "Maaf, "])]
        parts += [rng.choice([GOOD, DRAFT, "</thinking>", "tetapi ", "[/THINK]", "}"]) for _ in range(rng.randrange(5))]
        text = "".join(parts)
    else:
        text = "".join(rng.choice([*_PIECES, "labels", "hate", " "]) for _ in range(rng.randrange(40)))
    return damaged_text(rng, text) if rng.random() < 0.5 else text
