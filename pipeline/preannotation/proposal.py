"""From probabilities to ticks, and the reasons in words. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.preannotation.evidence import Assertion, Evidence, Source
from pipeline.texts.masking import mask

#: a wrong tick and a missing one both cost a person one click, so a label is ticked when it is likelier than not:
#: that makes the fewest corrections on average, given probabilities that mean what they say
TICK_FROM = 0.5
#: characters of an explanation that are shown
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Proposal:
    """What to tick on one text."""

    #: in the taxonomy's order
    labels: tuple[str, ...]
    #: probability of every label
    scores: Mapping[str, float] = field(default_factory=dict)
    #: for each ticked label, where it comes from
    why: Mapping[str, str] = field(default_factory=dict)
    #: the probability that no box needs to be changed, if labels were independent: 0 to 1
    confidence: float = 1.0


def ticks(scores: Mapping[str, float], excludes: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """The labels to tick: the likely ones; of two that exclude each other, the likelier."""
    kept: list[str] = []
    for label in sorted((key for key, p in scores.items() if p >= TICK_FROM), key=lambda key: -scores[key]):
        barred = excludes.get(label, frozenset())
        if not any(label in excludes.get(other, frozenset()) or other in barred for other in kept):
            kept.append(label)
    return tuple(label for label in scores if label in kept)


def confidence(scores: Mapping[str, float], labels: tuple[str, ...]) -> float:
    """The product over the labels of the probability that its box is right as it stands."""
    return math.prod(p if label in labels else 1.0 - p for label, p in scores.items())


def reasons(
    label: str, evidence: Evidence, champion: float | None, explanations: Mapping[int, str], *, by_people: bool
) -> str:
    """Where a tick comes from, in words. No person is named, and what raters wrote is masked once more."""
    if by_people:
        return "people agreed on it"
    said = [_in_words(one, explanations) for one in _best_first(evidence.assertions.get(label, ()))]
    if champion is not None:
        said.append(f"classifier {champion:.2f}")
    return "; ".join(dict.fromkeys(said)) or "likely by the share of texts that have it"


def panel(why: Mapping[str, str]) -> str:
    """The reasons of a proposal as one text for people, a line a label."""
    if not why:
        return "Nothing is ticked: no label is likelier than not."
    return "\n".join(f"{label}: {reason}" for label, reason in why.items())


def _best_first(assertions: tuple[Assertion, ...]) -> list[Assertion]:
    order = list(Source)
    return sorted(assertions, key=lambda one: (one.doubted, order.index(one.source), one.judgement))


def _in_words(one: Assertion, explanations: Mapping[int, str]) -> str:
    if one.source is Source.EXTERNAL:
        return "a labelled data set"
    if one.source is Source.PSEUDO:
        return "pseudo-label" if one.score is None else f"pseudo-label {one.score:.2f}"
    who = f"LLM {one.name}" if one.source is Source.LLM else "LLM stand-in"
    explanation = _short(explanations.get(one.judgement, ""))
    said = f"{who}: {explanation}" if explanation else who if one.score is None else f"{who} {one.score:.2f}"
    return f"{said} (a filter doubts it)" if one.doubted else said


def _short(explanation: str) -> str:
    words = mask(" ".join(explanation.split()))
    return words if len(words) <= _LONGEST else words[: _LONGEST - 1].rstrip() + "…"
