"""The examples of the taxonomy as probes: they say what a model should and should not give.

An exemplar of a label must get it; a near-miss must not. Such tests find weaknesses that a score on held-out texts
hides (Röttger et al. 2021, "HateCheck: Functional Tests for Hate Speech Detection Models"). They are few and written
for people: they show where to look, and are no estimate of how good a model is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from pipeline.learning.evaluate import given_matrix
from pipeline.measure.intervals import Estimate, wilson
from pipeline.measure.metrics import rounded
from pipeline.models.artefact import TrainedModel
from pipeline.taxonomy import Taxonomy
from pipeline.texts.labelled_files import clean

Kind = Literal["exemplar", "near_miss"]


@dataclass(frozen=True, slots=True)
class Miss:
    """An example that the model gets wrong."""

    label: str
    kind: Kind
    #: `ms`, `manglish`, `en`
    variety: str
    text: str
    #: why a near-miss does not have the label
    why: str | None
    #: of the label
    probability: float


@dataclass(frozen=True, slots=True)
class LabelProbe:
    """One label on its own examples."""

    label: str
    exemplars: int
    #: exemplars to which the model gives the label
    found: int
    near_misses: int
    #: near-misses to which it does not give it
    left: int
    share_found: Estimate | None
    share_left: Estimate | None


@dataclass(frozen=True, slots=True)
class Probes:
    """A model on the examples of the taxonomy."""

    labels: tuple[LabelProbe, ...]
    #: labels of the taxonomy that the model does not know
    unknown: tuple[str, ...]
    #: sorted by label; exemplars first
    misses: tuple[Miss, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, numbers rounded to four places."""
        plain: dict[str, Any] = rounded(asdict(self))
        return plain


def probe(model: TrainedModel, taxonomy: Taxonomy) -> Probes:
    """Try a model on the exemplars and near-misses of every label that it knows."""
    cases: list[tuple[str, Kind, str, str, str | None]] = []
    for label in taxonomy:
        if label.key not in model.labels:
            continue
        for variety, texts in label.exemplars.items():
            cases += [(label.key, "exemplar", variety, text, None) for text in texts]
        for variety, near in label.near_misses.items():
            cases += [(label.key, "near_miss", variety, miss.text, miss.why) for miss in near]
    unknown = tuple(key for key in taxonomy.keys if key not in model.labels)
    if not cases:
        return Probes((), unknown, ())
    probabilities = model.probabilities([clean(text) for _, _, _, text, _ in cases])
    given = given_matrix(model, probabilities)
    columns = {label: i for i, label in enumerate(model.labels)}
    counts: dict[str, dict[Kind, list[bool]]] = {}
    misses = []
    for row, (key, kind, variety, text, why) in enumerate(cases):
        right = bool(given[row, columns[key]]) == (kind == "exemplar")
        counts.setdefault(key, {"exemplar": [], "near_miss": []})[kind].append(right)
        if not right:
            misses.append(Miss(key, kind, variety, text, why, float(probabilities[row, columns[key]])))
    return Probes(tuple(_label_probe(key, rights) for key, rights in counts.items()), unknown, tuple(misses))


def _label_probe(key: str, rights: dict[Kind, list[bool]]) -> LabelProbe:
    exemplars, near = rights["exemplar"], rights["near_miss"]
    return LabelProbe(
        key,
        len(exemplars),
        sum(exemplars),
        len(near),
        sum(near),
        wilson(sum(exemplars), len(exemplars)),
        wilson(sum(near), len(near)),
    )
