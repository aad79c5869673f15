"""The balance of an export's training split: which answers of which rows stay, with one number a row and label in
memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.judgement import RaterKind, Tier
from pipeline.learning.sets.balance import Balance, LeftOut, Places, last_places, places
from pipeline.ledger.resolve import best_tier
from pipeline.measure.arrays import Booleans
from pipeline.sharing.dataset_files import SCHEMA

#: raters whose answers stay before those of machines
_TRUSTED = frozenset({str(RaterKind.HUMAN), str(RaterKind.EXTERNAL)})
_LISTS = (("labels", True), ("not_labels", False))


class Balancing:
    """Looks at all rows first, and then keeps what the balance leaves of each.

    Args:
        balance: how many answers stay.
        labels: keys of the labels.
    """

    def __init__(self, balance: Balance, labels: Sequence[str]) -> None:
        self._balance = balance
        self._seen: dict[tuple[str, bool], list[Places]] = {
            (key, value): [] for key in labels for value in (True, False)
        }
        self._last: dict[tuple[str, bool], int] | None = None
        self._lost: dict[tuple[str, bool], int] = dict.fromkeys(self._seen, 0)
        self._texts = 0

    def look(self, batch: pa.RecordBatch) -> None:
        """Note the answers of some rows."""
        if self._last is not None:
            raise RuntimeError("rows are looked at before the first is kept")
        for at, (own, rows) in self._answers(batch).items():
            self._seen[at].append(own[rows])

    def keep(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows with the answers that stay, without rows of which nothing is left."""
        last = self._limits()
        lost: list[set[tuple[str, bool]]] = [set() for _ in range(batch.num_rows)]
        for at, (own, rows) in self._answers(batch).items():
            gone = np.flatnonzero(rows & (own > np.uint64(last[at]) if last[at] >= 0 else np.ones(len(own), np.bool_)))
            self._lost[at] += len(gone)
            for row in gone:
                lost[row].add(at)
        rows = batch.to_pylist()
        for row, out in zip(rows, lost, strict=True):
            if out:
                for name, value in _LISTS:
                    row[name] = [key for key in row[name] if (key, value) not in out]
                row["decisions"] = [d for d in row["decisions"] if (d["label"], d["value"]) not in out]
                row["tier"] = str(best_tier(Tier(d["tier"]) for d in row["decisions"]))
        left = [row for row, out in zip(rows, lost, strict=True) if not out or row["decisions"]]
        self._texts += len(rows) - len(left)
        return pa.RecordBatch.from_pylist(left, schema=SCHEMA)

    def told(self) -> dict[str, Any]:
        """The rule, and what was left out."""
        keys = dict.fromkeys(key for key, _ in self._lost)
        counts = {key: (self._lost[key, True], self._lost[key, False]) for key in keys}
        return LeftOut(self._texts, {key: both for key, both in counts.items() if any(both)}).to_dict(self._balance)

    def _limits(self) -> dict[tuple[str, bool], int]:
        if self._last is None:
            self._last = {}
            for key in dict.fromkeys(key for key, _ in self._seen):
                yes, no = (np.concatenate([*self._seen[key, value], np.zeros(0, np.uint64)]) for value in (True, False))
                self._last[key, True], self._last[key, False] = last_places(yes, no, self._balance)
            self._seen = {at: [] for at in self._seen}
        return self._last

    def _answers(self, batch: pa.RecordBatch) -> dict[tuple[str, bool], tuple[Places, Booleans]]:
        """For each label and answer, the place of each row, and which rows have that answer."""
        columns = {name: batch.column(name).to_pylist() for name in ("id", "labels", "not_labels", "decisions")}
        plain = places([row.encode() for row in columns["id"]], self._balance.seed)
        trusted = [
            {d["label"] for d in decisions if any(rater["kind"] in _TRUSTED for rater in d["raters"])}
            for decisions in columns["decisions"]
        ]
        kept_rows = {}
        for name, value in _LISTS:
            sets = [set(keys) for keys in columns[name]]
            for key in dict.fromkeys(key for key, _ in self._seen):
                rows = np.array([key in own for own in sets], dtype=np.bool_)
                own = np.where([key in known for known in trusted], plain, plain | np.uint64(1 << 63))
                kept_rows[key, value] = own.astype(np.uint64), rows
        return kept_rows
