"""The demo's input: the project's own lines, with planted problems among them.

The problems are written to a file, so that the demo can count how many of them the stages catch.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson

from pipeline.atomic import make_folder, write_file
from pipeline.taxonomy import Taxonomy

#: share of the lines that the stand-in LLM labels wrongly
NOISE = 0.20
#: share of the lines that people have judged: two thirds are the frozen test set, the rest is for calibration
HUMAN = 0.30
_EXACT, _NEAR = 60, 40


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the corpus."""

    id: str
    text: str
    labels: tuple[str, ...]
    language: str


@dataclass(slots=True)
class Planted:
    """The paths of the demo's files, and the problems that were planted in them."""

    raw: Path
    llm: Path
    human: Path
    #: ids of rows by kind: exact, near, foreign
    rows: dict[str, list[str]] = field(default_factory=dict)
    #: number of broken rows, which have no usable id
    broken: int = 0
    #: (id, label) pairs that the stand-in LLM asserts: wrong ones and right ones
    wrong: list[tuple[str, str]] = field(default_factory=list)
    right: list[tuple[str, str]] = field(default_factory=list)


def read_corpus() -> list[Line]:
    """Every line of the demo corpus, in a fixed order."""
    lines = []
    folder = files("saring.demo").joinpath("corpus")
    for file in sorted(folder.iterdir(), key=lambda path: path.name):
        for number, raw in enumerate(file.read_bytes().splitlines(), start=1):
            row = orjson.loads(raw)
            stem = file.name.removesuffix(".jsonl")
            lines.append(Line(f"{stem}-{number}", row["text"], tuple(row["labels"]), row["lang"]))
    return lines


def plant(folder: Path, taxonomy: Taxonomy, *, seed: int) -> Planted:
    """Write the demo's files into `folder`: `raw.jsonl`, `llm.jsonl`, `human.jsonl`, `planted.json`."""
    make_folder(folder)
    rng = random.Random(seed)  # noqa: S311 - a demo, not a secret
    lines = read_corpus()
    own = [line for line in lines if line.labels]
    planted = Planted(folder / "raw.jsonl", folder / "llm.jsonl", folder / "human.jsonl")
    planted.rows["foreign"] = [line.id for line in lines if not line.labels]

    rows = [orjson.dumps({"id": line.id, "text": line.text}) for line in lines]
    planted.rows["exact"], exact = _repeated(rng.sample(own, _EXACT), "again", lambda text: text)
    planted.rows["near"], near = _repeated(
        rng.sample([line for line in own if len(line.text) > 40], _NEAR), "nearly", lambda text: _retyped(text, rng)
    )
    broken = _broken_rows()
    planted.broken = len(broken)
    rng.shuffle(rows)
    tail = [*exact, *near, *broken]
    rng.shuffle(tail)
    # Duplicates come after their originals, as in a stream.
    write_file(planted.raw, b"\n".join([*rows, *tail]) + b"\n")

    write_file(planted.llm, b"\n".join(_llm_row(line, taxonomy, planted, rng) for line in own) + b"\n")
    people = rng.sample(own, round(len(own) * HUMAN))
    test = round(len(people) * 2 / 3)
    write_file(
        planted.human,
        b"\n".join(
            _row(line, set(line.labels), taxonomy, split="test" if place < test else "dev")
            for place, line in enumerate(people)
        )
        + b"\n",
    )
    known = {line.id for line in people}
    # Judgements of people have priority, so the filters decide only on lines that people did not judge.
    planted.wrong = [pair for pair in planted.wrong if pair[0] not in known]
    planted.right = [pair for pair in planted.right if pair[0] not in known]
    listed = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(planted).items()}
    write_file(folder / "planted.json", orjson.dumps(listed, option=orjson.OPT_INDENT_2))
    return planted


def _repeated(lines: Sequence[Line], suffix: str, change: Any) -> tuple[list[str], list[bytes]]:
    ids = [f"{line.id}-{suffix}" for line in lines]
    rows = [orjson.dumps({"id": id_, "text": change(line.text)}) for id_, line in zip(ids, lines, strict=True)]
    return ids, rows


def _retyped(text: str, rng: random.Random) -> str:
    """The text as another person might post it: in capitals, with marks, or with a repeated last letter."""
    kind = rng.randrange(4)
    if kind == 0:
        return text.upper()
    if kind == 1:
        return f"{text}!!! 😂"
    if kind == 2:
        return f"{text.rstrip('.!?')}{text.rstrip('.!?')[-1] * 4}"
    return f"RT @someone: {text}"


def _broken_rows() -> list[bytes]:
    whole = orjson.dumps({"id": "cut", "text": "baris ini terpotong"})
    return [
        whole[:-6],
        b"{not json at all}",
        b'["a", "list"]',
        b'{"id": "no-text"}',
        b'{"id": "null-text", "text": null}',
        b'{"id": "number", "text": 42}',
        b'{"id": "blank", "text": "   "}',
        b'{"id": "marks", "text": "!!! ... ???"}',
        b'{"id": "bytes", "text": "rosak \xff\xfe di sini"}',
        b'{"id": "surrogate", "text": "separuh \\ud800 emoji"}',
        b'{"id": "link", "text": "https://example.com/a/b?c=1"}',
        b'{"id": "long", "text": "' + b"panjang sangat " * 2_000 + b'"}',
    ]


def _llm_row(line: Line, taxonomy: Taxonomy, planted: Planted, rng: random.Random) -> bytes:
    """The stand-in LLM's answer: mostly the true labels, else one wrong label, with mistakes typical of LLMs."""
    asserted = set(line.labels)
    if rng.random() < NOISE:
        violations = [label.key for label in taxonomy if not label.benign]
        if "safe for work" in asserted:
            asserted = {rng.choice(violations)}
        else:
            asserted = {"safe for work"} if rng.random() < 0.5 else {rng.choice(sorted(set(violations) - asserted))}
    for label in sorted(asserted):
        (planted.right if label in line.labels else planted.wrong).append((line.id, label))
    return _row(line, asserted, taxonomy)


def _row(line: Line, asserted: set[str], taxonomy: Taxonomy, split: str | None = None) -> bytes:
    denied = [key for key in taxonomy.keys if key not in asserted]
    row: dict[str, object] = {"id": line.id, "text": line.text, "labels": sorted(asserted), "not_labels": denied}
    return orjson.dumps(row if split is None else row | {"split": split})
