"""Two models on the same probe pairs, kind by kind: what the challenger lost is held to chance.

A kind is a function, such as negation, over all labels, or a function of one label. Pairs that both models get right,
or both wrong, say nothing about which is better. Of the others, a challenger that is as good as the champion wins as
often as it loses. A kind is worse if it lost so much more than it won that chance would do that to any of all the kinds
tested in less than 5 of 100 comparisons (exact sign test, adjusted by Tarone), and if the difference is above the
margin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipeline.learning.probes.sentences import ProbePair, ProbeSentences, Tried, try_pairs
from pipeline.measure.metrics import rounded
from pipeline.measure.sign_test import adjusted
from pipeline.models.artefact import TrainedModel

#: least number of pairs of a kind that is held to chance: with fewer, hardly any loss is more than that
LEAST_PAIRS = 8
#: chance of a false alarm in one comparison, over all kinds
ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class KindComparison:
    """Two models on the pairs of one kind."""

    function: str
    #: None: all labels
    label: str | None
    pairs: int
    #: pairs that each model gets right
    champion: int
    challenger: int
    #: pairs that only the champion gets right, and that only the challenger does
    lost: int
    won: int
    #: p-value of the losses, adjusted for all kinds that are tested; None: the kind has too few pairs
    p: float | None = None

    @property
    def name(self) -> str:
        """The kind in words."""
        return self.function if self.label is None else f"{self.function} of {self.label}"

    @property
    def drop(self) -> float:
        """Share of its pairs that were lost on balance."""
        return (self.lost - self.won) / self.pairs

    @property
    def tested(self) -> bool:
        """True where it has enough pairs to be held to chance."""
        return self.p is not None

    def worse(self, margin: float) -> bool:
        """True where more was lost than chance explains, and than the margin allows."""
        return self.p is not None and self.p <= ALPHA and self.drop > margin


@dataclass(frozen=True, slots=True)
class ChangedPair:
    """A pair that one model gets right and the other does not."""

    label: str
    function: str
    variety: str
    has: str
    lacks: str
    #: probabilities of the label for both sentences, in this order
    champion: tuple[float, float]
    challenger: tuple[float, float]
    #: the challenger is right and the champion was wrong
    right: bool


@dataclass(frozen=True, slots=True)
class ProbeComparison:
    """Two models on all pairs of labels that both know."""

    #: of the pairs; see `ProbeSentences`
    version: str
    pairs: int
    champion: int
    challenger: int
    #: functions first, in the order of the pairs; then functions of one label with enough pairs
    kinds: tuple[KindComparison, ...]
    #: sorted: first those that turned wrong
    changed: tuple[ChangedPair, ...]

    def to_dict(self, margin: float) -> dict[str, Any]:
        """Plain values, as `gate.json` holds them; numbers rounded to four places."""
        plain: dict[str, Any] = rounded(asdict(self))
        for kind, values in zip(self.kinds, plain["kinds"], strict=True):
            values |= {"name": kind.name, "worse": kind.worse(margin)}
        return plain


def compare_on_probes(
    champion: TrainedModel, challenger: TrainedModel, probes: ProbeSentences
) -> ProbeComparison | None:
    """Compare two models on the pairs of labels that both know; None: there is no such pair."""
    pairs = probes.of_labels([label for label in champion.labels if label in challenger.labels])
    if not pairs:
        return None
    return compare_answers(try_pairs(champion, pairs), try_pairs(challenger, pairs), probes.version)


def compare_answers(champion: Tried, challenger: Tried, version: str = "") -> ProbeComparison:
    """Compare the answers of two models to the same pairs."""
    before, now = champion.right, challenger.right
    return ProbeComparison(
        version,
        len(champion.pairs),
        int(before.sum()),
        int(now.sum()),
        _kinds(champion.pairs, before.tolist(), now.tolist()),
        tuple(_changed(champion, challenger)),
    )


def _kinds(pairs: Sequence[ProbePair], before: Sequence[bool], now: Sequence[bool]) -> tuple[KindComparison, ...]:
    members: dict[tuple[str, str | None], list[int]] = {}
    for whole in (True, False):
        for i, pair in enumerate(pairs):
            members.setdefault((pair.function, None if whole else pair.label), []).append(i)
    counted = [
        KindComparison(
            function,
            label,
            len(rows),
            sum(before[i] for i in rows),
            sum(now[i] for i in rows),
            sum(before[i] and not now[i] for i in rows),
            sum(now[i] and not before[i] for i in rows),
        )
        for (function, label), rows in members.items()
        if label is None or len(rows) >= LEAST_PAIRS
    ]
    tested = [i for i, kind in enumerate(counted) if kind.pairs >= LEAST_PAIRS]
    values = adjusted([(counted[i].lost, counted[i].won) for i in tested], ALPHA)
    by_kind = dict(zip(tested, values, strict=True))
    return tuple(replace(kind, p=by_kind.get(i)) for i, kind in enumerate(counted))


def _changed(champion: Tried, challenger: Tried) -> list[ChangedPair]:
    changed = []
    for i, pair in enumerate(champion.pairs):
        before, now = bool(champion.right[i]), bool(challenger.right[i])
        if before != now:
            (old_has, old_lacks), (new_has, new_lacks) = champion.probabilities[i], challenger.probabilities[i]
            changed.append(
                ChangedPair(
                    pair.label,
                    pair.function,
                    pair.variety,
                    pair.has,
                    pair.lacks,
                    (float(old_has), float(old_lacks)),
                    (float(new_has), float(new_lacks)),
                    now,
                )
            )
    return sorted(changed, key=lambda pair: pair.right)
