"""A transformer champion of a given size whose weights are drawn at random: for what it costs, not for what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from transformers import MistralConfig

from pipeline.learning import registry
from pipeline.models.artefact import TrainedModel, load_model, save_model
from pipeline.models.mistral import MistralForSequenceClassification
from pipeline.models.transformer.base import train_tokenizer
from pipeline.models.transformer.classifier import TransformerClassifier
from pipeline.models.transformer.int8 import quantise
from pipeline.settings import Settings
from pipeline.store import make_engine, open_session
from saring.services import ensure_database

_LONGEST = 128


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a network."""

    hidden: int
    layers: int


def promote_untrained(settings: Settings, champion: Path, texts: Sequence[str], size: Size) -> str:
    """Put a network of that size, in 8 bits, in the champion's place; its version.

    Args:
        settings: of the home.
        champion: folder of a trained model, whose labels and thresholds it has.
        texts: give its tokenizer.
        size: of the network.
    """
    manifest = load_model(champion).manifest
    tokenizer = train_tokenizer(list(texts), 4096)
    torch.manual_seed(0)
    network = MistralForSequenceClassification(
        MistralConfig(
            vocab_size=len(tokenizer),
            hidden_size=size.hidden,
            num_hidden_layers=size.layers,
            num_attention_heads=size.hidden // 32,
            num_key_value_heads=size.hidden // 32,
            head_dim=32,
            intermediate_size=4 * size.hidden,
            max_position_embeddings=512,
            sliding_window=None,
            pad_token_id=tokenizer.pad_token_id,
            num_labels=len(manifest.labels),
            id2label=dict(enumerate(label.key for label in manifest.labels)),
        )
    )
    small = quantise(TransformerClassifier(network, tokenizer, _LONGEST))
    named = {"version": f"sfw-{small.backend}-untrained", "backend": small.backend, "created_at": datetime.now(UTC)}
    saved, folder = save_model(TrainedModel(small, manifest.model_copy(update=named)), settings.models_dir)
    engine = make_engine(ensure_database(settings))
    with open_session(engine) as session, session.begin():
        registry.register(session, saved.manifest, folder)
        registry.promote(session, saved.manifest.version, reason="a benchmark")
    engine.dispose()
    return saved.manifest.version
