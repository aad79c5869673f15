"""The rule that combines the judgements of several machines on one label: a plain value, an argument of `resolve()`.

A voice is an independent rater: a single rater, or a family of raters that are not independent of each other
(`families`), which count as one.

There are two methods. Under `majority`, every voice counts alike. Under `dawid-skene`, a voice is weighed by how well
it distinguishes texts with the label from texts without it (Dawid & Skene 1979, "Maximum likelihood estimation of
observer error-rates using the EM algorithm", Applied Statistics 28): the log-odds of the label are those of its
prevalence plus the evidence of each voice, which depends on the voice's sensitivity and specificity. The majority
decides a label without estimates.
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

#: a voice is not informative for a label if its sensitivity and specificity add up to 1, within this distance
LEAST_INFORMATION = 0.05
#: least probability of an answer at which it is decided: two to one, as among people
SURE = 2 / 3
_EVEN = 0.5
_ROUND = 4


class Method(enum.StrEnum):
    """The method that combines voices."""

    MAJORITY = "majority"
    DAWID_SKENE = "dawid-skene"


class Vote(NamedTuple):
    """The vote of one rater on one label of one text."""

    rater: RaterRef
    asserted: bool
    #: id of the judgement
    judgement: int


@dataclass(frozen=True, slots=True)
class Skill:
    """Sensitivity and specificity of a voice for a label, both between 0 and 1, exclusive."""

    #: share of the texts with the label on which the voice asserts it
    sensitivity: float
    #: share of the texts without the label on which the voice denies it
    specificity: float

    @property
    def informative(self) -> bool:
        """True where the voice is better or worse than a coin (Youden's index is not near 0)."""
        return abs(self.sensitivity + self.specificity - 1) >= LEAST_INFORMATION

    def weight(self, *, asserted: bool) -> float:
        """Log-odds that a vote of the voice adds to the label."""
        return evidence(self.sensitivity, self.specificity, asserted=asserted)


@dataclass(frozen=True, slots=True)
class LabelModel:
    """Estimates of Dawid and Skene's model for one label."""

    #: share of the texts that have it, between 0 and 1
    prevalence: float
    #: skill of each voice
    skills: Mapping[str, Skill]

    def evidence(self, verdicts: Mapping[str, bool]) -> list[float]:
        """Log-odds that each voice adds to the label, from its verdict."""
        return [self.skills[voice].weight(asserted=yes) for voice, yes in verdicts.items()]

    def likely(self, evidence: Iterable[float]) -> float:
        """The probability of the label."""
        # An exact sum does not depend on the order of the votes.
        odds = math.fsum([math.log(self.prevalence / (1 - self.prevalence)), *evidence])
        return 1 / (1 + math.exp(-odds)) if odds >= 0 else math.exp(odds) / (1 + math.exp(odds))


def _share(verdicts: Mapping[str, bool]) -> float:
    """Share of the voices that assert the label; one half where no voice has a verdict."""
    return sum(verdicts.values()) / len(verdicts) if verdicts else _EVEN


def voice_of(rater: RaterRef) -> str:
    """The voice of a rater that belongs to no family. Each version has its own."""
    return f"{rater.kind}:{rater.name}" + (f":{rater.version}" if rater.version else "")


@dataclass(frozen=True)
class Consensus:
    """A method with its estimates. Equal consensuses have equal versions."""

    method: Method = Method.MAJORITY
    #: labels with estimates; used under `dawid-skene` only
    labels: Mapping[str, LabelModel] = field(default_factory=dict)
    #: from the voice of a rater (`voice_of`) to the name of its family
    families: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def version(self) -> str:
        """Hash of the content."""
        plain = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.blake2b(plain.encode(), digest_size=6).hexdigest()

    def voice(self, rater: RaterRef) -> str:
        """The voice that a rater belongs to."""
        own = voice_of(rater)
        return self.families.get(own, own)

    def heard(self, label: str, votes: Sequence[Vote]) -> list[Vote]:
        """The votes that count: under `dawid-skene`, those of voices that are informative for the label.

        Votes of raters that are newer than the estimates count only where no informative voice has a vote.
        """
        model = self._model(label)
        if model is None:
            return list(votes)
        known = [vote for vote in votes if self.voice(vote.rater) in model.skills]
        informative = [vote for vote in known if model.skills[self.voice(vote.rater)].informative]
        return informative or [vote for vote in votes if vote not in known]

    def decide(self, label: str, votes: Iterable[Vote]) -> bool | None:
        """The decision from votes that count; None: not decided.

        A decision needs the support of at least one voice, even if the label is very rare or very common: where the
        prevalence outweighs all voices, the label is not decided. (A vote of a voice that is worse than chance
        supports the opposite.)
        """
        verdicts = self._verdicts(votes)
        model = self._weighing(label, verdicts)
        if model is None:
            share = _share(verdicts)
            return None if share == _EVEN else share > _EVEN
        evidence = model.evidence(verdicts)
        likely = model.likely(evidence)
        if likely >= SURE:
            return True if max(evidence) > 0 else None
        if likely <= 1 - SURE:
            return False if min(evidence) < 0 else None
        return None

    def probability(self, label: str, votes: Iterable[Vote]) -> float:
        """The probability of the label from votes that count; under `majority`, the share of voices that assert it."""
        verdicts = self._verdicts(votes)
        model = self._weighing(label, verdicts)
        return _share(verdicts) if model is None else model.likely(model.evidence(verdicts))

    def _verdicts(self, votes: Iterable[Vote]) -> dict[str, bool]:
        """The verdict of each voice: that of most members of a family; a family that is even has no verdict."""
        balance: dict[str, int] = defaultdict(int)
        for vote in votes:
            balance[self.voice(vote.rater)] += 1 if vote.asserted else -1
        return {voice: net > 0 for voice, net in balance.items() if net}

    def _weighing(self, label: str, verdicts: Mapping[str, bool]) -> LabelModel | None:
        """The model that weighs these voices; None: the majority counts."""
        model = self._model(label)
        return model if model is not None and verdicts and verdicts.keys() <= model.skills.keys() else None

    def _model(self, label: str) -> LabelModel | None:
        return self.labels.get(label) if self.method is Method.DAWID_SKENE else None

    def to_dict(self) -> dict[str, Any]:
        """The consensus as plain values, which `from_dict` reads."""
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
        """The consensus of plain values from `to_dict`, with rounded numbers."""
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
