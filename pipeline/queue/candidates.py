"""The texts that a queue is drawn from, and all that strategies may know of them: plain arrays."""

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
    """What a filter decided on one asserted label of one candidate."""

    row: int
    #: position in `Candidates.labels`
    label: int
    stage: str
    kept: bool
    score: float
    cut: float


@dataclass(frozen=True, slots=True)
class ReviewMark:
    """A candidate that a stage set aside for people."""

    row: int
    label: int
    #: for example `centroid_dropped`
    reason: str


@dataclass(frozen=True, slots=True)
class Candidates:
    """Texts that may be queued, n of them, in order of id; labels in the taxonomy's order, m of them."""

    ids: Sequence[uuid.UUID]
    labels: tuple[str, ...]
    #: with what probability each eligible text is among the candidates, [n]
    share: Floats
    #: 1 believed, 0 denied, -1 not known, [n, m]
    decisions: NDArray[np.int8]
    #: tier of each text as a whole, [n]
    tiers: Sequence[str]
    #: what machine raters currently assert, whether a filter demoted it or not, [n, m]
    asserted: Booleans
    #: of that, what a filter demoted, [n, m]
    demoted: Booleans
    #: probability by the LLM, or by the bootstrap rater where no LLM gave one; NaN for none, [n, m]
    scores: Floats
    #: the champion's probabilities, NaN for a label that it doesn't know, [n, m]; None: there is no champion
    probabilities: Floats | None = None
    #: from which probability on the champion gives each label; NaN for one that it doesn't know, [m]
    thresholds: Floats | None = None
    #: unit vectors [n, d], zero for a text without one; None: no text has one
    vectors: Vectors | None = None
    languages: Sequence[str | None] = ()
    filters: Sequence[FilterMark] = ()
    reviews: Sequence[ReviewMark] = ()
    #: 0 to 1: how far each label is from the number of gold texts that it should have, [m]; None: none is short
    shortage: Floats | None = None
    #: for a label by position, the centre of the texts that people say have it: a unit vector
    centres: Mapping[int, Vectors] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def expected(self) -> Booleans:
        """Labels that may well be true of each text, [n, m]: believed, given by the champion, or asserted by a machine.

        A label that a filter demoted counts too: volunteers are better warned once too often.
        """
        found = (self.decisions == 1) | self.asserted
        if self.probabilities is not None and self.thresholds is not None:
            found = found | (np.nan_to_num(self.probabilities, nan=-1.0) >= np.nan_to_num(self.thresholds, nan=2.0))
        return np.asarray(found)
