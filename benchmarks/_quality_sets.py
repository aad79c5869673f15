"""The shared labelled sets, divided for judging models: what is learnt from, what calibrates, what is judged on.

Nothing that is judged on is ever trained on, nor a near-duplicate of it. Judged on are the sets' own `dev` rows, and
what no row of training may tell: three functions of the templates, in all languages; four crises; half of OpenAI's set.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _measure import shared_data

from pipeline.learning.sets.examples import Examples, gather
from pipeline.measure.arrays import Booleans
from pipeline.taxonomy import load_taxonomy
from pipeline.texts.labelled import LabelledText, Split
from pipeline.texts.labelled_files import clean
from pipeline.texts.near_duplicates import near_duplicate_groups
from pipeline.texts.normalise import text_id

#: written after patterns, not by people who meant it
TEMPLATES = ("hatecheck_en", "seahate_silver_ms", "seahate_silver_ss", "seahate_silver_id")
#: labelled by where a text was chosen, not by what it says
WEAK = ("sdcnl_en", "twsuicide_en", "erotic_sentences_id")
#: functions of the templates that no training row has: one easy, one implicit, one that only looks hateful
HELD_FUNCTIONS = ("threat_dir_h", "phrase_opinion_h", "negate_neg_nh")
#: crises that no training row is about
HELD_CRISES = ("2013_Russia_meteor", "2013_Bohol_earthquake", "2013_Glasgow_helicopter_crash", "2012_Typhoon_Pablo")
OPENAI, OPENAI_LABELS = "openai_mod_en", ("porn", "hate", "violence", "harassment", "self-harm")
#: the labels of the pooled figure; `informative` has a figure of its own
TEN = (
    *("hate", "violence", "self-harm", "harassment", "racist", "religion insult", "sexist", "porn"),
    *("psychiatric or mental illness", "safe for work"),
)
#: one of so many training groups calibrates
_CALIBRATES = 10
_PARTS_OF_SHARE = 1000
_OUT = Path(__file__).resolve().parents[1] / "out"


@dataclass(frozen=True)
class QualitySets:
    """Training, calibration and judged rows. Examples have `sources`; a text in several sets has several names."""

    train: Examples
    #: calibrates and sets thresholds; drawn from the training rows by groups of near-duplicates
    dev: Examples
    judged: Examples
    #: one of dev, functions, crises, openai, for each judged row
    parts: tuple[str, ...]

    def where(self, part: str | None = None, sources: Sequence[str] | None = None) -> Booleans:
        """Judged rows of a part, and of sources."""
        chosen = np.ones(len(self.judged), dtype=np.bool_)
        if part is not None:
            chosen &= np.array([own == part for own in self.parts])
        if sources is not None:
            chosen &= np.array([source.split(",")[0] in sources for source in self.judged.sources])
        return chosen

    def sources(self, kind: str) -> list[str]:
        """Names of the judged sources of a kind: natural, templates, weak, or all."""
        names = sorted({source.split(",")[0] for source in self.judged.sources})
        kinds = {"templates": TEMPLATES, "weak": WEAK}
        if kind == "all":
            return names
        if kind == "natural":
            return [name for name in names if name not in TEMPLATES + WEAK]
        return [name for name in names if name in kinds[kind]]


def quality_sets(share: float = 1.0) -> QualitySets:
    """Read and divide the sets. What is read is kept in `out/` beside the code, so that a second time takes seconds.

    Args:
        share: of the training groups, chosen by a hash, to try things with less.
    """
    rows = _read().to_pydict()
    examples = Examples(
        [uuid.UUID(identity) for identity in rows["id"]],
        rows["text"],
        np.array(rows["truth"], dtype=np.int8),
        load_taxonomy().keys,
        [None] * len(rows["id"]),
        rows["language"],
        sources=rows["source"],
    )
    kept = share * _PARTS_OF_SHARE
    split = [
        "out" if use == "train" and number // _CALIBRATES % _PARTS_OF_SHARE >= kept else use
        for use, number in zip(rows["use"], rows["number"], strict=True)
    ]
    judged = [i for i, use in enumerate(split) if use == "judged"]
    return QualitySets(
        examples.take([i for i, use in enumerate(split) if use == "train"]),
        examples.take([i for i, use in enumerate(split) if use == "dev"]),
        examples.take(judged),
        tuple(rows["part"][i] for i in judged),
    )


def _read() -> pa.Table:
    """One row for each distinct text: its labels, its use (train, dev, judged, near), its part, its group's number."""
    paths = sorted(path for path in shared_data().glob("*.jsonl.gz") if not path.name.startswith("raw_stream"))
    if not paths:
        raise SystemExit(f"{shared_data()}: no sets there; set SARING_SHARED to the shared data")
    seen = [(path.name, path.stat().st_size) for path in paths] + [Path(__file__).read_text(encoding="utf-8")]
    kept = _OUT / f"quality-{_number(json.dumps(seen)):012x}.parquet"
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        partial = kept.with_suffix(f".{os.getpid()}")
        pq.write_table(_divide(paths), partial)
        partial.replace(kept)
    return pq.read_table(kept)


def _divide(paths: Sequence[Path]) -> pa.Table:
    rows, parts = [], {}
    for raw in _raw_rows(paths):
        part = _part(raw)
        split: Split = "train" if part is None else "test"
        rows.append(
            LabelledText(
                raw["text"],
                labels=frozenset(raw["labels"]),
                not_labels=frozenset(raw["not_labels"]),
                source=raw["source"],
                split=split,
                language=raw["lang"],
            )
        )
        if part is not None:
            parts[text_id(clean(raw["text"]))] = part
    examples = gather(rows, load_taxonomy().keys)
    groups = near_duplicate_groups(examples.texts)
    taken = {group for group, split in zip(groups, examples.splits, strict=True) if split == "test"}
    # the number of a group is that of its first text
    numbers = [_number(str(examples.ids[group])) for group in groups]
    uses = [
        "judged" if split == "test" else "near" if group in taken else "train" if number % _CALIBRATES else "dev"
        for group, number, split in zip(groups, numbers, examples.splits, strict=True)
    ]
    return pa.table(
        {
            "id": [str(identity) for identity in examples.ids],
            "text": examples.texts,
            "truth": examples.truth.tolist(),
            "language": examples.languages,
            "source": examples.sources,
            "use": uses,
            "part": [parts.get(identity, "") for identity in examples.ids],
            "number": numbers,
        }
    )


def _raw_rows(paths: Sequence[Path]) -> Iterator[dict[str, Any]]:
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def _part(row: dict[str, Any]) -> str | None:
    """The part of a row that is judged on; None: it may be learnt from."""
    source, told = row["source"], row.get("source_labels") or [""]
    if source in TEMPLATES and told[0] in HELD_FUNCTIONS:
        return "functions"
    if source == "crisislex_en" and told[0] in HELD_CRISES:
        return "crises"
    if source == OPENAI and (row["split"] != "train" or _number(row["id"]) % 2):
        return "openai"
    return None if row["split"] == "train" else "dev"


def _number(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=6).digest())
