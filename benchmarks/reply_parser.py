"""Replies of language models read a second, beside readers of plain JSON.

The mix is typical of models that are asked for JSON in words: most replies are well formed, a share is fenced, wrapped
in prose, or damaged. `json.loads` and `orjson` only read (and fail on the damaged ones); `json_repair` mends but knows
no labels. Prints JSON lines.

    python benchmarks/reply_parser.py [--replies 20000]
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import json_repair
import orjson
from _measure import emit

from pipeline.raters.llm.reply import LabelNames, Unusable, parse_reply
from pipeline.taxonomy import load_taxonomy

_TAXONOMY = load_taxonomy()
#: kind of reply to its share
_MIX = {
    "well formed": 0.80,
    "fenced": 0.06,
    "in prose": 0.04,
    "single quotes": 0.02,
    "trailing comma": 0.02,
    "no last brace": 0.02,
    "twice": 0.01,
    "refusal": 0.02,
    "empty": 0.01,
}


def make(kind: str, rng: random.Random) -> str:
    """A reply of that kind."""
    labels = rng.sample(_TAXONOMY.keys, rng.choice((1, 1, 1, 2)))
    why = "the writer speaks of a group of people as if they were worth less than others"
    good = json.dumps({"labels": labels, "confidence": round(rng.random(), 2), "explanation": why})
    return {
        "well formed": good,
        "fenced": f"```json\n{good}\n```",
        "in prose": f"Here is my answer:\n\n{good}\n\nLet me know if you need more.",
        "single quotes": good.replace('"', "'"),
        "trailing comma": good[:-1] + ",}",
        "no last brace": good[:-1],
        "twice": f"{good}\n{good}",
        "refusal": "I'm sorry, but I can't help with that.",
        "empty": "",
    }[kind]


def rate(read: Callable[[str], object], replies: list[str]) -> float:
    """Replies a second of a processor, whatever else the machine does: the best of three."""
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        for reply in replies:
            read(reply)
        best = min(best, time.process_time() - start)
    return len(replies) / best


def _plain(load: Callable[[str], object]) -> Callable[[str], object]:
    def read(reply: str) -> None:
        with suppress(ValueError):
            load(reply)

    return read


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--replies", type=int, default=20_000)
    args = parser.parse_args()
    rng = random.Random(1)
    kinds = rng.choices(list(_MIX), list(_MIX.values()), k=args.replies)
    replies = [make(kind, rng) for kind in kinds]
    names = LabelNames.of(_TAXONOMY)
    lost = Counter(verdict.reason for reply in replies if isinstance(verdict := parse_reply(reply, names), Unusable))
    ours = rate(lambda reply: parse_reply(reply, names), replies)
    emit("reply_parser", {"reader": "saring", "per_second": ours, "replies": len(replies), "no_verdict": dict(lost)})
    for name, read in (
        ("json.loads", _plain(json.loads)),
        ("orjson.loads", _plain(orjson.loads)),
        ("json_repair.loads", json_repair.loads),
    ):
        emit("reply_parser", {"reader": name, "per_second": rate(read, replies)})
    for kind in _MIX:
        some = [make(kind, rng) for _ in range(500)]
        emit("reply_parser", {"kind": kind, "per_second": rate(lambda reply: parse_reply(reply, names), some)})


if __name__ == "__main__":
    main()
