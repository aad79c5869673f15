"""Counts of the rows of a data set, made while it is written."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa


@dataclass(slots=True)
class DatasetCounts:
    """Numbers for the card and the report."""

    #: rows by split
    rows: Counter[str] = field(default_factory=Counter)
    #: rows by split and language
    languages: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: rows by split and the best tier of their labels
    tiers: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: decisions by label, split, and `yes`, `no` or `contested`
    labels: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    #: decisions by label and tier
    label_tiers: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: rows by source
    sources: Counter[str] = field(default_factory=Counter)
    #: decisions by kind of rater
    raters: Counter[str] = field(default_factory=Counter)
    #: people by pseudonym; machines and data sets by name
    names: dict[str, set[str]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All rows."""
        return self.rows.total()

    def add(self, split: str, batch: pa.RecordBatch) -> None:
        """Count rows of a split."""
        self.rows[split] += batch.num_rows
        columns = batch.select(["lang", "tier", "decisions", "sources"]).to_pylist()
        for row in columns:
            self.languages[split, row["lang"] or "unknown"] += 1
            self.tiers[split, row["tier"]] += 1
            self.sources.update(row["sources"])
            for decision in row["decisions"]:
                self._decision(split, decision)

    def _decision(self, split: str, decision: dict[str, Any]) -> None:
        answer = {True: "yes", False: "no"}.get(decision["value"], "contested")
        self.labels[decision["label"], split, answer] += 1
        self.label_tiers[decision["label"], decision["tier"]] += 1
        for kind in {rater["kind"] for rater in decision["raters"]}:
            self.raters[kind] += 1
        for rater in decision["raters"]:
            self.names.setdefault(rater["kind"], set()).add(rater["name"])

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "rows": self.total,
            "splits": dict(self.rows),
            "languages": _nested(self.languages),
            "tiers": _nested(self.tiers),
            "labels": {
                label: {answer: sum(self.labels[label, split, answer] for split in self.rows) for answer in _ANSWERS}
                for label in sorted({key[0] for key in self.labels})
            },
            "sources": dict(sorted(self.sources.items())),
            "raters": dict(sorted(self.raters.items())),
        }


_ANSWERS = ("yes", "no", "contested")


def _nested(counted: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (outer, inner), count in sorted(counted.items()):
        nested.setdefault(outer, {})[inner] = count
    return nested
