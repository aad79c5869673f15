"""What a training is to be like, from the settings and from what was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError
from pipeline.learning.train import TrainConfig
from pipeline.models.linear import LinearConfig
from pipeline.models.thresholds import parse_objective
from pipeline.models.transformer.config import TransformerConfig
from saring.cli import common

BACKENDS = ("linear", "transformers")


def training_config(
    ctx: common.Context,
    *,
    backend: str | None = None,
    objective: str = "f1",
    vectors: bool = False,
    transformer: Mapping[str, Any] | None = None,
    encoder: str | None = None,
) -> TrainConfig:
    """How to train.

    Args:
        ctx: of this home.
        backend: `linear` or `transformers`; None: what the settings say.
        objective: what thresholds are chosen for.
        vectors: whether the linear classifier takes the encoder's vectors as well.
        transformer: fields of TransformerConfig that were asked for.
        encoder: whose vectors; None: of the space in use.

    Raises:
        UsageError: what was asked for doesn't go together.
    """
    chosen = backend or ctx.settings.train_backend
    if chosen not in BACKENDS:
        raise UsageError(f"--backend {chosen!r} is not known: this version has {' and '.join(BACKENDS)}")
    asked = {name: value for name, value in (transformer or {}).items() if value is not None}
    if chosen == "linear" and asked:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(asked))
        raise UsageError(f"{named}: only for --backend transformers")
    if chosen == "transformers" and vectors:
        raise UsageError("--vectors is for --backend linear: a transformer makes its own")
    base = ctx.settings.base_model
    if vectors and encoder is None:
        encoder = ctx.space
    return TrainConfig(
        taxonomy_version=ctx.taxonomy.version,
        objective=parse_objective(objective),
        linear=LinearConfig(encoder=encoder if vectors else None),
        transformer=TransformerConfig(**({"base": base} | asked)) if chosen == "transformers" else None,
        seed=ctx.settings.seed,
    )


def said_of_base(config: TrainConfig) -> str | None:
    """What a person should know of the base of a training; None: nothing."""
    if config.transformer is None or config.transformer.base is not None:
        return None
    return (
        "no base model is set: a small network is trained from scratch. One that has learnt the language will be "
        "better: give its hub name or folder with --base or SARING_BASE_MODEL"
    )


def absolute_base(base: str | None) -> str | None:
    """A base that is a folder here, in full, for workers that stand elsewhere in the file tree."""
    if base is None or not (place := Path(base).expanduser()).is_dir():
        return base
    return str(place.absolute())
