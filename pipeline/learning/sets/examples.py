"""Training examples: one row for each distinct text, with the labels from all sources."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.measure.arrays import UNKNOWN, LabelMatrix
from pipeline.texts.labelled import LabelledText, Split
from pipeline.texts.labelled_files import clean
from pipeline.texts.normalise import text_id

#: a text of several splits belongs to the most protected one
_PROTECTED: dict[Split | None, int] = {None: 0, "train": 1, "dev": 2, "test": 3}


@dataclass(frozen=True, slots=True)
class Examples:
    """Distinct texts with their labels."""

    ids: Sequence[uuid.UUID]
    #: repaired and masked
    texts: Sequence[str]
    #: [texts, labels]: 1 asserted, 0 denied, -1 unknown or disputed
    truth: LabelMatrix
    labels: tuple[str, ...]
    #: splits from the data; None: the data name none
    splits: Sequence[Split | None]
    languages: Sequence[str]
    #: pairs of text and label that one row asserts and another denies
    disputed: int = 0
    #: rows that repeat a text
    repeated: int = 0
    #: names of the sources of each text, with commas between them
    sources: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Sequence[int]) -> Examples:
        """Some of the examples, by position."""
        return Examples(
            [self.ids[i] for i in rows],
            [self.texts[i] for i in rows],
            self.truth[list(rows)],
            self.labels,
            [self.splits[i] for i in rows],
            [self.languages[i] for i in rows],
            sources=[self.sources[i] for i in rows] if self.sources else (),
        )


def gather(
    rows: Iterable[LabelledText], labels: Sequence[str], excludes: Mapping[str, frozenset[str]] | None = None
) -> Examples:
    """Merge rows of the same text: asserted and denied add up, and a label that is both is unknown.

    Rows without a yes or a no for any of `labels` are left out.

    Args:
        rows: labelled rows.
        labels: the labels to learn.
        excludes: for each label, the labels that the same text cannot have: asserting it denies them, as in the ledger.
            None: rows say everything themselves.
    """
    excludes = excludes or {}
    columns = {label: i for i, label in enumerate(labels)}
    positions: dict[uuid.UUID, int] = {}
    ids: list[uuid.UUID] = []
    texts: list[str] = []
    yes: list[set[int]] = []
    no: list[set[int]] = []
    splits: list[Split | None] = []
    languages: list[str] = []
    sources: list[list[str]] = []
    repeated = 0
    for row in rows:
        asserted = {columns[label] for label in row.labels if label in columns}
        implied = frozenset[str]().union(*(excludes.get(label, frozenset()) for label in row.labels)) - row.labels
        denied = {columns[label] for label in row.not_labels | implied if label in columns}
        if not asserted and not denied:
            continue
        text = clean(row.text)
        identity = text_id(text)
        at = positions.get(identity)
        if at is None:
            positions[identity] = len(texts)
            ids.append(identity)
            texts.append(text)
            yes.append(asserted)
            no.append(denied)
            splits.append(row.split)
            languages.append(row.language or "unknown")
            sources.append(row.source.split(",") if row.source else [])
            continue
        repeated += 1
        yes[at] |= asserted
        no[at] |= denied
        sources[at] += row.source.split(",") if row.source else []
        if _PROTECTED[row.split] > _PROTECTED[splits[at]]:
            splits[at] = row.split
    truth = np.full((len(texts), len(labels)), UNKNOWN, dtype=np.int8)
    disputed = 0
    for i, (asserted, denied) in enumerate(zip(yes, no, strict=True)):
        both = asserted & denied
        disputed += len(both)
        truth[i, list(asserted - both)] = 1
        truth[i, list(denied - both)] = 0
    named = [",".join(sorted(set(names))) for names in sources]
    return Examples(ids, texts, truth, tuple(labels), splits, languages, disputed, repeated, named)
