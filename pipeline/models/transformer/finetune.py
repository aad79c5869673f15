"""Fine-tune a transformer on labels of which many are unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor

from pipeline.measure.arrays import UNKNOWN, LabelMatrix, Scores
from pipeline.models.training.loop import LoopConfig, Trained, best_device, run_loop
from pipeline.models.training.order import Rows
from pipeline.models.transformer.base import load_base, longest_text, make_scratch
from pipeline.models.transformer.classifier import TransformerClassifier
from pipeline.models.transformer.config import TransformerConfig
from pipeline.models.transformer.loss import masked_loss, positive_weights
from pipeline.models.transformer.tokens import batch_of, tokenise
from pipeline.plural import counted
from pipeline.progress import Progress, silent


@dataclass(frozen=True, slots=True)
class Labelled:
    """Texts with what is known of their labels: [texts, labels]."""

    texts: Sequence[str]
    truth: LabelMatrix


@dataclass(frozen=True, slots=True)
class Finetuned:
    """A fine-tuned classifier and its training."""

    classifier: TransformerClassifier
    #: name of the base
    base: str
    trained: Trained


def fit_transformer(
    fitting: Labelled,
    dev: Labelled,
    labels: Sequence[str],
    config: TransformerConfig,
    *,
    seed: int,
    checkpoints: Path | None = None,
    device: torch.device | None = None,
    progress: Progress = silent,
) -> Finetuned:
    """Train on repaired, masked texts; the weights of the epoch that is best on dev are kept.

    On a CPU the same seed, texts and number of threads give the same weights, whether or not the training was killed
    in between.

    Args:
        fitting: the training texts.
        dev: held-out texts; their macro average precision decides the best epoch and the end.
        labels: keys of the columns.
        config: the settings.
        seed: of the new weights, the order and dropout.
        checkpoints: see `run_loop`.
        device: None: a GPU if there is one.
        progress: told of each step.

    Raises:
        ModelError: the base cannot be loaded.
        TrainingError: the training cannot go on.
    """
    device = device or best_device()
    progress(0, None, "loading the base" if config.base is not None else "making a network")
    if config.base is None:
        base = make_scratch(fitting.texts, labels, config.scratch, longest=config.max_length, seed=seed)
    else:
        base = load_base(config.base, labels, seed=seed)
    model = base.model.to(device)
    longest = longest_text(model, base.tokenizer, config.max_length)
    classifier = TransformerClassifier(model, base.tokenizer, longest)
    progress(0, None, f"dividing {counted(len(fitting.texts), 'text')} into tokens")
    tokens = tokenise(base.tokenizer, fitting.texts, longest)
    truth = torch.from_numpy(np.ascontiguousarray(fitting.truth)).to(device)
    weights = torch.from_numpy(positive_weights(fitting.truth, config.pos_weight_cap)).to(device)

    def loss_of(rows: Rows) -> tuple[Tensor, float]:
        batch = batch_of(tokens, rows, base.tokenizer.pad_token_id, device)
        return masked_loss(model(**batch).logits, truth[torch.from_numpy(rows).to(device)], weights)

    trained = run_loop(
        model,
        [len(text_tokens) for text_tokens in tokens],
        loss_of,
        LoopConfig(
            epochs=config.most_epochs,
            batch_size=config.batch_size,
            accumulate=config.accumulate,
            learning_rate=config.rate,
            weight_decay=config.weight_decay,
            warmup=config.warmup,
            clip=config.clip,
            patience=config.patience,
            checkpoint_steps=config.checkpoint_steps,
            seed=seed,
        ),
        device=device,
        score=lambda: macro_average_precision(classifier.decisions(dev.texts), dev.truth),
        checkpoints=checkpoints,
        progress=progress,
    )
    return Finetuned(classifier, base.name, trained)


def macro_average_precision(scores: Scores, truth: LabelMatrix) -> float:
    """Mean over the labels that have both a positive and a negative; 0 where there is none."""
    values = []
    for column, known in zip(scores.T, truth.T, strict=True):
        judged = known != UNKNOWN
        if (known == 1).any() and (known == 0).any():
            values.append(float(average_precision_score(known[judged] == 1, column[judged])))
    return float(np.mean(values)) if values else 0.0
