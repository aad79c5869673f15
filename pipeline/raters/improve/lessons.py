"""Lessons from a prompt's errors: which texts show most of what it gets wrong. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.raters.improve.gold import GoldText

#: characters of an example; longer ones make every request dearer
LONGEST = 400


@dataclass(frozen=True, slots=True)
class LabelErrors:
    """Errors on one label: texts of people's decisions, in the order of the lessons."""

    wrongly_given: tuple[GoldText, ...]
    missed: tuple[GoldText, ...]
    #: texts with the label that it was given to
    right: int

    @property
    def count(self) -> int:
        """Number of errors."""
        return len(self.wrongly_given) + len(self.missed)

    @property
    def shortfall(self) -> float:
        """One less the F1 of the label."""
        return self.count / (2 * self.right + self.count) if self.count else 0.0


def errors_by_label(
    lessons: Sequence[GoldText], given: Mapping[uuid.UUID, frozenset[str]], labels: Sequence[str]
) -> dict[str, LabelErrors]:
    """The errors on each label that has any, most first.

    Args:
        lessons: texts with people's decisions.
        given: labels that the prompt gave, by text; texts without a verdict are passed over.
        labels: labels of the prompt.
    """
    answered = [text for text in lessons if text.id in given]
    errors = {}
    for label in labels:
        wrong = tuple(text for text in answered if label in given[text.id] and label in text.denied)
        missed = tuple(text for text in answered if label not in given[text.id] and label in text.asserted)
        right = sum(label in given[text.id] and label in text.asserted for text in answered)
        if wrong or missed:
            errors[label] = LabelErrors(wrong, missed, right)
    return dict(sorted(errors.items(), key=lambda item: (-item[1].count, item[0])))


def choose_examples(errors: Mapping[str, LabelErrors], labels: Sequence[str], count: int) -> list[GoldText]:
    """At most `count` texts that together show the errors, one after another.

    The next is the text with the largest sum over its errors of the label's shortfall, divided by one more than the
    number of examples that show this error already (a greedy cover; Nemhauser et al. 1978). A text must be decided for
    every label of the prompt, since what an example does not list counts as not true of it.
    """
    shows: dict[uuid.UUID, list[tuple[str, bool]]] = {}
    texts: dict[uuid.UUID, GoldText] = {}
    for label, own in errors.items():
        for wrongly, members in ((True, own.wrongly_given), (False, own.missed)):
            for text in members:
                if len(text.masked) <= LONGEST and text.asserted | text.denied >= frozenset(labels):
                    texts[text.id] = text
                    shows.setdefault(text.id, []).append((label, wrongly))
    shown: dict[tuple[str, bool], int] = {}
    chosen: list[GoldText] = []

    def worth(identity: uuid.UUID) -> tuple[float, int, uuid.UUID]:
        total = sum(
            errors[label].shortfall / (1 + shown.get((label, wrongly), 0)) for label, wrongly in shows[identity]
        )
        return (-total, len(texts[identity].masked), identity)

    while shows and len(chosen) < count:
        best = min(shows, key=worth)
        for error in shows.pop(best):
            shown[error] = shown.get(error, 0) + 1
        chosen.append(texts[best])
    return chosen
