"""Verdicts: probabilities under a policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import and_, ge

from ml_backend.moderation.scorer import Scored
from pipeline.models.artefact import TrainedModel
from pipeline.models.policies import Policy, PolicyThreshold, apply_policy
from pipeline.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on one text."""

    #: a harmful label reaches its threshold
    flagged: bool
    labels: Sequence[str]
    #: of each label: whether its probability reaches its threshold, and its calibrated probability; [labels]
    marks: list[bool]
    values: list[float]

    @property
    def given(self) -> Mapping[str, bool]:
        """For each label: whether its probability reaches its threshold."""
        return dict(zip(self.labels, self.marks, strict=True))

    @property
    def scores(self) -> Mapping[str, float]:
        """The calibrated probability of each label."""
        return dict(zip(self.labels, self.values, strict=True))


class Judge:
    """One model under one policy.

    Args:
        model: the model.
        policy: gives the thresholds.
        taxonomy: says which labels are harmful.
    """

    def __init__(self, model: TrainedModel, policy: Policy, taxonomy: Taxonomy) -> None:
        self.policy = policy
        self.labels = model.labels
        self.exclusive = model.manifest.exclusive
        self.thresholds: Mapping[str, PolicyThreshold] = apply_policy(
            policy, model.thresholds, model.manifest.dev_curves
        )
        self.cuts: Mapping[str, float] = {label: row.threshold for label, row in self.thresholds.items()}
        self._cuts = [self.thresholds[label].threshold for label in self.labels]
        harmful = set(taxonomy.harmful)
        self._harmful = [label in harmful for label in self.labels]

    def verdicts(self, scored: Scored) -> Sequence[Verdict]:
        """The verdict on each text."""
        verdicts = []
        # built-in functions over short lists: for one text they take a fraction of the time of arrays and of loops
        for values in scored.probabilities.tolist():
            if self.exclusive:
                best = max(range(len(values)), key=values.__getitem__)
                marks = [i == best for i in range(len(values))]
            else:
                marks = list(map(ge, values, self._cuts))
            flagged = any(map(and_, marks, self._harmful))
            verdicts.append(Verdict(flagged, self.labels, marks, [round(value, 6) for value in values]))
        return verdicts
