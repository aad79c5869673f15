"""How the words of several machines on one label are put together: a plain value, which resolve() is given.

Two methods. Under `majority`, every voice counts alike. Under `dawid-skene`, a voice counts by how well it tells texts
with the label from texts without it (Dawid & Skene 1979, "Maximum likelihood estimation of observer error-rates using
the EM algorithm", Applied Statistics 28): with a label's prevalence and a voice's sensitivity and specificity, the
log-odds of the label are the sum of what each voice adds. A label without estimates falls to the majority.

A voice is a rater, or several that are not independent of each other (`families`): these have one voice together.
"""

from __future__ import annotations

import enum
import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from pipeline.judgement import RaterRef
from pipeline.measure.dawid_skene import evidence

#: a voice whose sensitivity and specificity add up to 1, give or take this, says nothing of a label
LEAST_INFORMATION = 0.05
#: how likely one of the two answers must be before it is believed: two to one, as among people
SURE = 2 / 3
_EVEN = 0.5
_ROUND = 4


class Method(enum.StrEnum):
    """How voices are combined."""

    MAJORITY = "majority"
    DAWID_SKENE = "dawid-skene"


class Vote(NamedTuple):
    """One rater's word on one label of one text."""

    rater: RaterRef
    asserted: bool
    #: id of the judgement
    judgement: int


@dataclass(frozen=True, slots=True)
class Skill:
    """How well a voice tells texts with a label from texts without it, both from 0 to 1, never either."""

    #: share of the texts with the label on which it is asserted
    sensitivity: float
    #: share of the texts without it on which it is denied
    specificity: float

    @property
    def informative(self) -> bool:
        """Whether the voice says more than a coin would (Youden's index, either sign)."""
        return abs(self.sensitivity + self.specificity - 1) >= LEAST_INFORMATION

    def weight(self, *, asserted: bool) -> float:
        """Log-odds that its word adds to the label."""
        return evidence(self.sensitivity, self.specificity, asserted=asserted)


@dataclass(frozen=True, slots=True)
class LabelModel:
    """What Dawid and Skene's model estimates for one label."""

    #: share of the texts that have it, between 0 and 1
    prevalence: float
    #: by voice
    skills: Mapping[str, Skill]

    def evidence(self, said: Mapping[str, bool]) -> list[float]:
        """What each voice adds to the log-odds of the label."""
        return [self.skills[voice].weight(asserted=yes) for voice, yes in said.items()]

    def likely(self, evidence: Iterable[float]) -> float:
        """The probability of the label."""
        # an exact sum does not depend on the order of the votes
        odds = math.fsum([math.log(self.prevalence / (1 - self.prevalence)), *evidence])
        return 1 / (1 + math.exp(-odds)) if odds >= 0 else math.exp(odds) / (1 + math.exp(odds))


def _share(said: Mapping[str, bool]) -> float:
    """Share of the voices that assert; even where nobody speaks."""
    return sum(said.values()) / len(said) if said else _EVEN


def voice_of(rater: RaterRef) -> str:
    """The voice of a rater that belongs to no family. Each version is another."""
    return f"{rater.kind}:{rater.name}" + (f":{rater.version}" if rater.version else "")


@dataclass(frozen=True)
class Consensus:
    """A method with its estimates. Equal values have equal versions."""

    method: Method = Method.MAJORITY
    #: labels with estimates; used under `dawid-skene` only
    labels: Mapping[str, LabelModel] = field(default_factory=dict)
    #: voice of a rater (`voice_of`) to the name of its family
    families: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def version(self) -> str:
        """Hash of the content."""
        plain = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.blake2b(plain.encode(), digest_size=6).hexdigest()

    def voice(self, rater: RaterRef) -> str:
        """With which voice a rater speaks."""
        own = voice_of(rater)
        return self.families.get(own, own)

    def heard(self, label: str, votes: Sequence[Vote]) -> list[Vote]:
        """The votes that count: under `dawid-skene`, those of voices that say something of the label.

        Raters that came after the estimates are heard only where none speaks that is known.
        """
        model = self._model(label)
        if model is None:
            return list(votes)
        known = [vote for vote in votes if self.voice(vote.rater) in model.skills]
        telling = [vote for vote in known if model.skills[self.voice(vote.rater)].informative]
        return telling or [vote for vote in votes if vote not in known]

    def decide(self, label: str, votes: Iterable[Vote]) -> bool | None:
        """What votes that are heard come to; None where they leave it open.

        However rare a label is, nothing is believed that no voice speaks for: against the word of all, prevalence
        makes a label unknown at most. (A voice that is worse than chance speaks for the contrary of what it says.)
        """
        said = self._said(votes)
        model = self._weighing(label, said)
        if model is None:
            share = _share(said)
            return None if share == _EVEN else share > _EVEN
        evidence = model.evidence(said)
        likely = model.likely(evidence)
        if likely >= SURE:
            return True if max(evidence) > 0 else None
        if likely <= 1 - SURE:
            return False if min(evidence) < 0 else None
        return None

    def probability(self, label: str, votes: Iterable[Vote]) -> float:
        """How likely the label is by votes that are heard; under `majority`, the share of voices that assert it."""
        said = self._said(votes)
        model = self._weighing(label, said)
        return _share(said) if model is None else model.likely(model.evidence(said))

    def _said(self, votes: Iterable[Vote]) -> dict[str, bool]:
        """What each voice says. A family says what most of its members say; one that is even says nothing."""
        balance: dict[str, int] = defaultdict(int)
        for vote in votes:
            balance[self.voice(vote.rater)] += 1 if vote.asserted else -1
        return {voice: net > 0 for voice, net in balance.items() if net}

    def _weighing(self, label: str, said: Mapping[str, bool]) -> LabelModel | None:
        """The model that weighs these voices; None: they are counted."""
        model = self._model(label)
        return model if model is not None and said and said.keys() <= model.skills.keys() else None

    def _model(self, label: str) -> LabelModel | None:
        return self.labels.get(label) if self.method is Method.DAWID_SKENE else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values; `from_dict` makes the same value of them."""
        return {
            "method": str(self.method),
            "labels": {
                label: {
                    "prevalence": round(model.prevalence, _ROUND + 2),
                    "skills": {
                        voice: [round(skill.sensitivity, _ROUND), round(skill.specificity, _ROUND)]
                        for voice, skill in sorted(model.skills.items())
                    },
                }
                for label, model in sorted(self.labels.items())
            },
            "families": dict(sorted(self.families.items())),
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Consensus:
        """The value that `to_dict` was called on, its numbers rounded."""
        return cls(
            Method(plain["method"]),
            {
                label: LabelModel(
                    float(model["prevalence"]),
                    {voice: Skill(float(yes), float(no)) for voice, (yes, no) in model["skills"].items()},
                )
                for label, model in plain["labels"].items()
            },
            dict(plain["families"]),
        )
