"""Ticks from probabilities, and the reasons in words. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pipeline.preannotation.evidence import Assertion, Evidence, Source
from pipeline.texts.limits import cut
from pipeline.texts.masking import mask

#: probability from which a label is ticked. A wrong tick and a missing tick both cost a person one click, so this makes
#: the fewest corrections on average if the probabilities are calibrated.
TICK_FROM = 0.5
#: characters of an explanation that are shown
_LONGEST = 200
#: how an explanation begins that is an example of the taxonomy: it says nothing of the text, and may be an ugly one
_EXEMPLAR = "nearest exemplar"


@dataclass(frozen=True, slots=True)
class Proposal:
    """The labels to tick on one text."""

    #: in the taxonomy's order
    labels: tuple[str, ...]
    #: probability of every label
    scores: Mapping[str, float] = field(default_factory=dict)
    #: for each ticked label, its sources in full, in English, for maintainers
    why: Mapping[str, str] = field(default_factory=dict)
    #: the probability that no box needs to be changed, if labels were independent: 0 to 1
    confidence: float = 1.0
    #: for each ticked label, its name and reasons as volunteers read them (`told.tell`), on one line
    told: Mapping[str, str] = field(default_factory=dict)


def ticks(scores: Mapping[str, float], excludes: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """The labels to tick: the likely ones; of two that exclude each other, the likelier."""
    kept: list[str] = []
    for label in sorted((key for key, p in scores.items() if p >= TICK_FROM), key=lambda key: -scores[key]):
        barred = excludes.get(label, frozenset())
        if not any(label in excludes.get(other, frozenset()) or other in barred for other in kept):
            kept.append(label)
    return tuple(label for label in scores if label in kept)


def confidence(scores: Mapping[str, float], labels: tuple[str, ...]) -> float:
    """The probability that every box is right: the product over the labels."""
    return math.prod(p if label in labels else 1.0 - p for label, p in scores.items())


def reasons(
    label: str, evidence: Evidence, champion: float | None, explanations: Mapping[int, str], *, by_people: bool
) -> str:
    """The sources of a tick in full, for maintainers. No person is named, and texts by raters are masked once more.

    Args:
        label: the label that is ticked.
        evidence: the judgements of its text.
        champion: the champion's probability; None: it does not know the label.
        explanations: the raters' words, by judgement.
        by_people: whether people agreed on the label.
    """
    if by_people:
        return "people agreed on it"
    sources = [_in_words(assertion, explanations) for assertion in _best_first(evidence.assertions.get(label, ()))]
    if champion is not None:
        sources.append(f"our model is {champion:.0%} sure")
    return _joined(sources) if sources else "many texts have this label"


def _joined(sources: Iterable[str]) -> str:
    """Sources on one line, each once; without those of which another one says more."""
    once = list(dict.fromkeys(sources))
    return "; ".join(
        source for source in once if not any(other.startswith(f"{source}: ") for other in once if other != source)
    )


def _best_first(assertions: tuple[Assertion, ...]) -> list[Assertion]:
    order = list(Source)
    return sorted(
        assertions, key=lambda assertion: (assertion.doubted, order.index(assertion.source), assertion.judgement)
    )


def _in_words(assertion: Assertion, explanations: Mapping[int, str]) -> str:
    if assertion.source is Source.EXTERNAL:
        return "a labelled data set"
    score = "" if assertion.score is None else f" {assertion.score:.2f}"
    if assertion.source is Source.PSEUDO:
        return f"pseudo-label{score}"
    words = "a program that compares texts with examples"
    if assertion.source is Source.LLM:
        words = f"LLM {assertion.name}"
        if explanation := _short(explanations.get(assertion.judgement, "")):
            words, score = f"{words}: {explanation}", ""
    return f"{words}{score} (rejected by a filter)" if assertion.doubted else f"{words}{score}"


def _short(explanation: str) -> str:
    if explanation.lstrip().startswith(_EXEMPLAR):
        return ""
    masked = mask(" ".join(cut(explanation).split()))
    return masked if len(masked) <= _LONGEST else masked[: _LONGEST - 1].rstrip() + "…"
