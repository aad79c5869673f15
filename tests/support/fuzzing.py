"""Damage to everything that Saring reads, drawn from a seed, and the readers that must end in an error of their own.

A reader gets a file or a reply that was sound once, with some of it changed: bytes, or values of its JSON or YAML. It
may read it, or raise one of the errors that it names. Anything else is a fault of ours.
"""

from __future__ import annotations

import copy
import json
import random
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import SaringError
from pipeline.storable import storable
from tests.support.fuzzing_files import (
    archive_reader,
    labelled_rows_reader,
    mapping_reader,
    model_reader,
    parquet_reader,
    raters_reader,
    taxonomy_reader,
)
from tests.support.fuzzing_values import GOOD, damaged_bytes, damaged_value, odd_reply

#: takes one random input; returns nothing, or raises a typed error
Reader = Callable[[random.Random], None]


@dataclass
class Fuzzed:
    """What became of the inputs of one reader."""

    reader: str
    inputs: int = 0
    #: inputs that ended in an error of ours
    refused: int = 0
    #: kinds of other errors with the place where each was raised, and the number of the first input for each
    untyped: Counter[str] = field(default_factory=Counter)
    first: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    #: the longest time that one input took
    slowest: float = 0.0


def replies() -> Reader:
    """The reader of a model's verdict: it raises nothing at all, and gives nothing that cannot be stored."""
    from pipeline.raters.llm.reply import LabelNames, ReplyVerdict, parse_reply
    from pipeline.taxonomy import load_taxonomy

    taxonomy = load_taxonomy()
    names = LabelNames.of(taxonomy)

    def read(rng: random.Random) -> None:
        parsed = parse_reply(odd_reply(rng), names, finish=rng.choice([None, "stop", "length"]))
        assert all(storable(name) == name for name in parsed.invented), "a name that cannot be stored"
        if isinstance(parsed, ReplyVerdict):
            assert parsed.labels <= set(taxonomy.keys), "a label that does not exist"
            assert parsed.confidence is None or 0 <= parsed.confidence <= 1, "a confidence out of its range"
            assert parsed.explanation is None or storable(parsed.explanation) == parsed.explanation

    return read


def completions() -> Reader:
    """The reader of a server's answer, in any dialect."""
    from pipeline.llm.client import _failure
    from pipeline.llm.completion import read_completion
    from pipeline.llm.replies import Reply
    from pipeline.openai_server import read_json

    sound: dict[str, Any] = {
        "id": "x",
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {
                    "role": "assistant",
                    "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": GOOD}],
                    "refusal": None,
                    "reasoning_content": "so",
                    "tool_calls": [{"function": {"name": "f", "arguments": GOOD}}],
                },
            }
        ],
        "usage": {"prompt_tokens": 500, "completion_tokens": 20, "total_tokens": 520},
    }

    def read(rng: random.Random) -> None:
        content = _as_json(damaged_value(rng, copy.deepcopy(sound)), rng)
        try:
            document = read_json(content)
        except ValueError:
            # The server is asked again.
            return
        if (failure := _failure(document, ("secret",))) is not None:
            assert storable(failure.message) == failure.message
            assert 400 <= failure.status < 600
            return
        answer = read_completion(document, "schema", 1.0, 100)
        reply = answer if isinstance(answer, Reply) or answer is None else answer.paid
        if reply is not None:
            texts = (reply.text, reply.finish, reply.refusal)
            assert all(text is None or storable(text) == text for text in texts), "a text that cannot be stored"
            assert 0 <= reply.prompt_tokens < 2**31
            assert 0 <= reply.completion_tokens < 2**31

    return read


def translations() -> Reader:
    """The reader of a translation."""
    from pipeline.llm.replies import Reply
    from pipeline.llm.translation.llm import parse_translation

    def read(rng: random.Random) -> None:
        text = odd_reply(rng).replace("labels", "translation")
        body = parse_translation(Reply(text, rng.choice([None, "stop", "length"]), None, 1, 1, "json", 0.1))
        if isinstance(body, str):
            assert body.strip()
            assert storable(body) == body

    return read


def embeddings() -> Reader:
    """The reader of vectors from a server."""
    import numpy as np

    from pipeline.openai_server import error_in, read_json
    from pipeline.vectors.encoders.openai_reply import (
        UnclearOrderError,
        UnreadableError,
        WrongCountError,
        read_rows,
    )

    vector = [0.1, -0.2, 0.3]
    sound = {"object": "list", "data": [{"index": i, "embedding": list(vector)} for i in range(3)]}

    def read(rng: random.Random) -> None:
        try:
            document = read_json(_as_json(damaged_value(rng, copy.deepcopy(sound)), rng))
        except ValueError:
            return
        if error_in(document) is not None:
            return
        try:
            rows = read_rows(document, 3, rng.choice([0, 3]))
        except (UnreadableError, WrongCountError, UnclearOrderError):
            return
        assert len(rows) == 3
        assert all(isinstance(row, str) or np.isfinite(row).all() for row in rows)

    return read


def readers(folder: Path) -> dict[str, Reader]:
    """All readers by name; files are written into a folder."""
    return {
        "reply": replies(),
        "completion": completions(),
        "translation": translations(),
        "embeddings": embeddings(),
        "raters.yaml": raters_reader(folder),
        "taxonomy": taxonomy_reader(),
        "mapping": mapping_reader(folder),
        "parquet": parquet_reader(folder),
        "labelled rows": labelled_rows_reader(folder),
        "model": model_reader(folder),
        "archive": archive_reader(folder),
    }


def fuzz(name: str, reader: Reader, *, seed: int, inputs: int = 1_000_000_000, seconds: float = 1e9) -> Fuzzed:
    """Give a reader one input after the other, up to a number or a time."""
    result = Fuzzed(name)
    began = time.perf_counter()
    while result.inputs < inputs and time.perf_counter() - began < seconds:
        # Each input has its own seed, so that one that fails can be made again alone.
        rng = random.Random(f"{name}:{seed}:{result.inputs}")
        start = time.perf_counter()
        try:
            with warnings.catch_warnings():
                # What a library warns of is no error, and no reader's.
                warnings.simplefilter("ignore")
                reader(rng)
        except SaringError as error:
            result.refused += 1
            if "\n" in str(error):
                result.untyped[f"{type(error).__name__}: a message of several lines"] += 1
        except Exception as error:  # noqa: BLE001 - to find these is what it is for
            frames = traceback.extract_tb(error.__traceback__)
            place = next((f for f in reversed(frames) if "/tests/" not in f.filename), frames[-1])
            where = f"{Path(place.filename).name}:{place.lineno}"
            kind = f"{type(error).__name__} at {where}"
            result.untyped[kind] += 1
            result.first.setdefault(kind, result.inputs)
        result.inputs += 1
        result.slowest = max(result.slowest, time.perf_counter() - start)
    result.seconds = time.perf_counter() - began
    return result


def _as_json(value: Any, rng: random.Random) -> bytes:
    """A value as JSON, now and then with damaged bytes."""
    try:
        content = json.dumps(value, ensure_ascii=rng.random() < 0.7).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        content = b'{"choices": ' + b"[" * 100_000
    return damaged_bytes(rng, content) if rng.random() < 0.3 else content
