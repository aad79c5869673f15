"""Language models for a home under load (`chaos.py`): one that answers well, and one that misbehaves half of the time.

Both say the same of a text, so that the ledger can be compared with what was said.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from pathlib import Path

from tests.support.llm_server import (
    Behaviour,
    Exchange,
    LlmServer,
    no_choices,
    not_json,
    reset,
    saying,
    status,
    truncated,
    verdict,
    well,
)

#: names of the raters, which are the names of their models
STEADY, ODD = "steady", "odd"
_LABELS = ("hate", "safe for work", "informative", "violence")
#: no label of the taxonomy: it is counted, and the rest of the reply holds
_NO_LABEL = "porridge"
_SLOW_SECONDS = 2.0


def said_of(text: str) -> str:
    """The label that both models give a text."""
    return _LABELS[hashlib.blake2b(text.encode(), digest_size=1).digest()[0] % len(_LABELS)]


def make_models(seed: int) -> LlmServer:
    """The server of both models; it serves from `with` to its end."""
    server = LlmServer(models=(STEADY, ODD))
    server.answer = lambda text: verdict(said_of(text))
    rng = random.Random(f"{seed} models")

    async def behave(exchange: Exchange) -> None:
        misbehaves = exchange.body.get("model") == ODD and rng.random() < 0.5
        await (rng.choice(_ODDITIES) if misbehaves else well)(exchange)

    server.otherwise = behave
    return server


def describe_raters(home: Path, server: LlmServer) -> None:
    """Write the home's `raters.yaml`. What fails is given up soon: a run holds a worker that others need."""
    limits = "{start: 4, concurrency: 8, timeout_seconds: 5, first_wait: 0.05, patience: 1}"
    raters = [f"  {name}: {{url: '{server.url}', model: {name}, limits: {limits}}}" for name in (STEADY, ODD)]
    (home / "raters.yaml").write_text("\n".join(["raters:", *raters, ""]), encoding="utf-8")


async def _slow(exchange: Exchange) -> None:
    await asyncio.sleep(_SLOW_SECONDS)
    await well(exchange)


async def _one_label_too_many(exchange: Exchange) -> None:
    await exchange.says(verdict(said_of(exchange.text), _NO_LABEL))


_ODDITIES: tuple[Behaviour, ...] = (
    status(429, "too many", **{"retry-after": "1"}),
    status(500, "broken"),
    reset,
    truncated,
    not_json,
    no_choices,
    saying("I would rather not."),
    saying(None, refusal="no"),
    saying('{"labels": ["hate"', finish="length"),
    _one_label_too_many,
    _slow,
)
