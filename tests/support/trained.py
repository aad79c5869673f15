"""Models of any classifier, for tests that look at what is done with a model and not at how it was trained."""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline.models.artefact import LabelSettings, Manifest, TrainedModel
from pipeline.models.protocol import Classifier

_MADE = datetime(2026, 3, 1, 12, tzinfo=UTC)


def model_of(
    classifier: Classifier, version: str, *, labels: tuple[LabelSettings, ...] | None = None, made: datetime = _MADE
) -> TrainedModel:
    """A model whose decisions are the logits of its probabilities, unless `labels` says otherwise."""
    plain = (LabelSettings(key=label, slope=1, offset=0, threshold=0.5) for label in classifier.labels)
    manifest = Manifest(
        version=version,
        purpose="sfw",
        backend=classifier.backend,
        created_at=made,
        code_version="0",
        taxonomy_version="t",
        exclusive=False,
        objective="f1",
        labels=tuple(plain) if labels is None else labels,
        config={},
        data={},
        metrics={},
    )
    return TrainedModel(classifier, manifest)
