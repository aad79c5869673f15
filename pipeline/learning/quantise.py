"""Make the 8-bit form of a transformer model: a model of its own, with its own figures."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from pipeline.errors import ModelError
from pipeline.learning.card import write_card
from pipeline.learning.evaluate import evaluate_examples
from pipeline.learning.gate.decide import Contender
from pipeline.learning.sets.examples import Examples
from pipeline.models.artefact import TrainedModel, save_model
from pipeline.models.protocol import Classifier


def quantise_model(model: TrainedModel, examples: Examples, models_dir: Path, *, seed: int) -> Contender:
    """Write the 8-bit form of a model with its card into `models_dir`.

    Its calibration and thresholds are those of the model that it is made from.

    Args:
        model: of the backend `transformers`.
        examples: texts that it was not trained on, for the figures on the card.
        models_dir: where model folders lie.
        seed: of the resamples.

    Raises:
        ModelError: the model is of another backend.
        InputError: no text has a yes or a no for its labels.
    """
    manifest = model.manifest
    if manifest.backend != "transformers":
        raise ModelError(
            f"{manifest.version} is of backend {manifest.backend!r}: only a transformers model can be quantised"
        )
    from pipeline.models.transformer.classifier import TransformerClassifier
    from pipeline.models.transformer.combined import CombinedClassifier
    from pipeline.models.transformer.int8 import quantise

    large = model.classifier
    small: Classifier
    if isinstance(large, CombinedClassifier):
        small = CombinedClassifier(quantise(large.network), large.linear, large.mixture)
    else:
        assert isinstance(large, TransformerClassifier)
        small = quantise(large)
    # sfw-transformers-20260101-0a1b2c3d
    prefix = manifest.version.partition(f"-{manifest.backend}-")[0]
    described = manifest.model_copy(
        update={
            "version": f"{prefix}-{small.backend}-{datetime.now(UTC):%Y%m%d}",
            "backend": small.backend,
            "created_at": datetime.now(UTC),
            "config": {**manifest.config, "quantised_from": manifest.version},
        }
    )
    evaluation = evaluate_examples(TrainedModel(small, described), examples, rng=np.random.default_rng(seed))
    described = described.model_copy(update={"metrics": evaluation.to_dict()})
    saved, folder = save_model(TrainedModel(small, described), models_dir)
    write_card(folder, saved.manifest, evaluation)
    return Contender(saved, folder)
