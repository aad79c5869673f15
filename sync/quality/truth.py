"""The known labels of a text without a given volunteer's answer: pure, from the ledger's judgements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.judgement import Judgement, RaterKind, RaterRef, Tier
from pipeline.ledger.resolve import current_judgements, resolve

#: name of the raters that answer in Label Studio
VOLUNTEERS = "label-studio"
#: other volunteers who must agree before they are believed against one
LEAST_AGREED = 2


@dataclass(frozen=True, slots=True)
class Known:
    """The labels of a text that a rater can be measured by."""

    labels: Mapping[str, bool]
    #: those of which nothing but a data set speaks
    of_data_sets: frozenset[str]

    @property
    def rests_on_data_sets(self) -> bool:
        """True where something is known, and all of it by data sets alone."""
        return bool(self.labels) and self.of_data_sets == self.labels.keys()


def is_volunteer(rater: RaterRef) -> bool:
    """True where the rater answers in Label Studio."""
    return rater.kind is RaterKind.HUMAN and rater.name == VOLUNTEERS


def made_in(judgement: Judgement, project: int) -> bool:
    """True where the judgement is an annotation of the project (of our own id)."""
    return judgement.external_ref.startswith(f"ls:{project}:")


def known_without(
    judgements: Iterable[Judgement],
    rater: RaterRef,
    *,
    planted_in: int | None,
    excludes: Mapping[str, frozenset[str]],
) -> Known:
    """The labels of a text that are known well enough to measure `rater` by.

    Of a planted task, that is what people or data sets said outside the project in which it is planted: one careless
    answer there must not spoil the task for the others. Of any other text, it is what at least two other volunteers
    agree on, or somebody whose judgements were imported; failing those, what a data set says.

    Args:
        judgements: everything said of the text.
        rater: who is to be measured; their own word is left out.
        planted_in: the project in which the text is a planted task, if it is one.
        excludes: for a label, the labels that can't be true beside it.
    """
    others = [j for j in current_judgements(judgements) if j.rater != rater]
    if planted_in is not None:
        others = [j for j in others if not made_in(j, planted_in)]
    people = [j for j in others if j.rater.kind is RaterKind.HUMAN]
    data_sets = [j for j in others if j.rater.kind is RaterKind.EXTERNAL]
    known = {label: d.value for label, d in resolve(data_sets, excludes=excludes).items() if d.value is not None}
    proven_by_people = set()
    outsiders = {j.id for j in people if not is_volunteer(j.rater)}
    for label, decision in resolve(people, excludes=excludes).items():
        proven = len(decision.judgements) >= LEAST_AGREED or bool(outsiders & set(decision.judgements))
        if decision.tier is Tier.GOLD and decision.value is not None and (proven or planted_in is not None):
            known[label] = decision.value
            proven_by_people.add(label)
        elif decision.tier is Tier.CONTESTED:
            # people who disagree leave it open, whatever a data set says
            known.pop(label, None)
    return Known(known, frozenset(known.keys() - proven_by_people))
