"""The texts that a queue is drawn from, with all data for the strategies: plain arrays."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.measure.arrays import Booleans, Floats
from pipeline.vectors.encoders.protocol import Vectors


@dataclass(frozen=True, slots=True)
class FilterMark:
    """Decision of a filter on one asserted label of one candidate."""

    row: int
    #: position in `Candidates.labels`
    label: int
    stage: str
    kept: bool
    score: float
    cut: float


@dataclass(frozen=True, slots=True)
class ReviewMark:
    """A candidate that a stage drew for people."""

    row: int
    label: int
    #: for example `centroid_dropped`
    reason: str


@dataclass(frozen=True, slots=True)
class Candidates:
    """Texts that may be queued, n of them, in order of id; labels in the taxonomy's order, m of them."""

    ids: Sequence[uuid.UUID]
    labels: tuple[str, ...]
    #: probability of each eligible text to be a candidate, [n]
    share: Floats
    #: 1 yes, 0 no, -1 unknown, [n, m]
    decisions: NDArray[np.int8]
    #: tier of each text as a whole, [n]
    tiers: Sequence[str]
    #: labels that machine raters currently assert, rejected by a filter or not, [n, m]
    asserted: Booleans
    #: of these, labels that a filter rejected, [n, m]
    demoted: Booleans
    #: probability by the LLM, or by the bootstrap rater where no LLM gave one; NaN for none, [n, m]
    scores: Floats
    #: probabilities by the champion, NaN for a label that it does not know, [n, m]; None: there is no champion
    probabilities: Floats | None = None
    #: thresholds of the champion; NaN for a label that it does not know, [m]
    thresholds: Floats | None = None
    #: unit vectors [n, d], zero for a text without one; None: no text has one
    vectors: Vectors | None = None
    languages: Sequence[str | None] = ()
    filters: Sequence[FilterMark] = ()
    reviews: Sequence[ReviewMark] = ()
    #: 0 to 1: how far each label is from the number of gold texts that it should have, [m]; None: none is short
    shortage: Floats | None = None
    #: by position of the label, the centre of the texts that have it by people's judgement: a unit vector
    centres: Mapping[int, Vectors] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def expected(self) -> Booleans:
        """Labels that each text may have, [n, m]: decided yes, given by the champion, or asserted by a machine.

        Labels that a filter rejected count too: one warning too many is better for volunteers than one too few.
        """
        expected = (self.decisions == 1) | self.asserted
        if self.probabilities is not None and self.thresholds is not None:
            expected = expected | (
                np.nan_to_num(self.probabilities, nan=-1.0) >= np.nan_to_num(self.thresholds, nan=2.0)
            )
        return np.asarray(expected)
