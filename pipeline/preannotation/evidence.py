"""Evidence on one text before a person looks at it, sorted by kind of source. Pure."""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pipeline.judgement import Judgement, RaterKind
from pipeline.ledger.resolve import FILTERED_KINDS, current_judgements, resolve


class Source(enum.StrEnum):
    """Kinds of sources with a weight each."""

    LLM = "llm"
    BOOTSTRAP = "bootstrap"
    PSEUDO = "pseudo"
    EXTERNAL = "external"


_SOURCE_OF = {
    RaterKind.LLM: Source.LLM,
    RaterKind.BOOTSTRAP: Source.BOOTSTRAP,
    RaterKind.PSEUDO: Source.PSEUDO,
    RaterKind.RULE: Source.PSEUDO,
    RaterKind.EXTERNAL: Source.EXTERNAL,
}


@dataclass(frozen=True, slots=True)
class Assertion:
    """One rater's assertion of a label."""

    source: Source
    judgement: int
    #: the rater's name, for sources that are programs
    name: str
    score: float | None
    #: true where a filter rejected the assertion
    doubted: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """The judgements of raters on one text."""

    #: label to source to the mean vote of its raters: 1 asserted, -1 denied; a rejected assertion is no vote
    votes: Mapping[str, Mapping[Source, float]] = field(default_factory=dict)
    assertions: Mapping[str, tuple[Assertion, ...]] = field(default_factory=dict)
    #: labels on which people agree: true or false
    people: Mapping[str, bool] = field(default_factory=dict)

    def demoted(self, label: str) -> bool:
        """True where a filter rejected a rater's assertion of the label."""
        return any(assertion.doubted for assertion in self.assertions.get(label, ()))


def gather_evidence(judgements: Iterable[Judgement], excludes: Mapping[str, frozenset[str]]) -> Evidence:
    """The evidence in the current judgements of one text.

    Asserting a label denies what it excludes, as in `resolve`. Predictions that the champion itself left in the ledger
    are no evidence beside its present ones.

    Args:
        judgements: all judgements of the text.
        excludes: for a label, the labels that can't be true beside it.
    """
    votes: dict[str, dict[Source, list[int]]] = defaultdict(lambda: defaultdict(list))
    assertions: dict[str, list[Assertion]] = defaultdict(list)
    standing = current_judgements(judgements)
    for judgement in standing:
        source = _SOURCE_OF.get(judgement.rater.kind)
        if source is None:
            continue
        doubted = judgement.demoted if judgement.rater.kind in FILTERED_KINDS else frozenset()
        believed = judgement.asserted - doubted
        implied = frozenset[str]().union(*(excludes.get(label, frozenset()) for label in believed))
        for label in sorted(judgement.asserted):
            score = judgement.scores.get(label)
            assertions[label].append(
                Assertion(source, judgement.id, judgement.rater.name, score, doubted=label in doubted)
            )
        for label in believed:
            votes[label][source].append(1)
        for label in (judgement.denied | implied) - believed:
            votes[label][source].append(-1)
    by_people = resolve(
        (judgement for judgement in standing if judgement.rater.kind is RaterKind.HUMAN), excludes=excludes
    )
    return Evidence(
        votes={
            label: {source: sum(numbers) / len(numbers) for source, numbers in by_source.items()}
            for label, by_source in votes.items()
        },
        assertions={label: tuple(of_label) for label, of_label in assertions.items()},
        people={label: decision.value for label, decision in by_people.items() if decision.value is not None},
    )
