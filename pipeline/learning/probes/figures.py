"""Figures of one model on probe pairs: by function, label and variety, and the pairs that it gets wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.learning.probes.sentences import ProbePair, ProbeSentences, Tried, try_pairs
from pipeline.measure.intervals import Estimate, wilson
from pipeline.measure.metrics import rounded
from pipeline.models.artefact import TrainedModel


@dataclass(frozen=True, slots=True)
class KindFigures:
    """A model on some of the pairs."""

    name: str
    pairs: int
    #: pairs whose sentence with the label has the higher probability
    right: int
    #: sentences with the label to which the model gives it, by its threshold
    found: int
    #: sentences without the label to which it does not give it
    left_alone: int
    #: share of right pairs
    share_right: Estimate | None


@dataclass(frozen=True, slots=True)
class WrongPair:
    """A pair that the model gets wrong."""

    label: str
    function: str
    variety: str
    has: str
    lacks: str
    #: probabilities of the label for both sentences, in this order
    probabilities: tuple[float, float]


@dataclass(frozen=True, slots=True)
class ProbeFigures:
    """A model on all pairs of labels that it knows."""

    functions: tuple[KindFigures, ...]
    labels: tuple[KindFigures, ...]
    varieties: tuple[KindFigures, ...]
    #: in the order of the pairs
    wrong: tuple[WrongPair, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, numbers rounded to four places."""
        plain: dict[str, Any] = rounded(asdict(self))
        return plain


def probe_figures(model: TrainedModel, probes: ProbeSentences) -> ProbeFigures:
    """Try a model on the pairs of all labels that it knows."""
    tried = try_pairs(model, probes.of_labels(model.labels))
    return ProbeFigures(
        _by(tried, [pair.function for pair in tried.pairs]),
        _by(tried, [pair.label for pair in tried.pairs]),
        _by(tried, [pair.variety for pair in tried.pairs]),
        tuple(_wrong(tried)),
    )


def _by(tried: Tried, names: Sequence[str]) -> tuple[KindFigures, ...]:
    right = tried.right
    figures = []
    for name in dict.fromkeys(names):
        rows = [i for i, other in enumerate(names) if other == name]
        hits = int(right[rows].sum())
        given, left_alone = int(tried.given[rows, 0].sum()), int((~tried.given[rows, 1]).sum())
        figures.append(KindFigures(name, len(rows), hits, given, left_alone, wilson(hits, len(rows))))
    return tuple(figures)


def _wrong(tried: Tried) -> Iterable[WrongPair]:
    pair: ProbePair
    for pair, right, (has, lacks) in zip(tried.pairs, tried.right, tried.probabilities, strict=True):
        if not right:
            yield WrongPair(pair.label, pair.function, pair.variety, pair.has, pair.lacks, (float(has), float(lacks)))
