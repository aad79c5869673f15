"""Fine-tune a transformer on labels of which many are unknown."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score
from torch import Tensor

from pipeline.errors import TrainingError
from pipeline.measure.arrays import UNKNOWN, LabelMatrix, Scores
from pipeline.models.training.loop import LoopConfig, Trained, best_device, half_kind, run_loop
from pipeline.models.training.order import Rows
from pipeline.models.transformer.balance import answer_weights, choose_rows, first_sources
from pipeline.models.transformer.base import Base, load_base, longest_text, make_scratch
from pipeline.models.transformer.budget import Plan
from pipeline.models.transformer.classifier import TransformerClassifier
from pipeline.models.transformer.config import TransformerConfig
from pipeline.models.transformer.layers import freeze_lower, layer_factors
from pipeline.models.transformer.loss import masked_loss, positive_weights
from pipeline.models.transformer.pace import kept_plan
from pipeline.models.transformer.tokens import Tokens, batch_of, tokenise
from pipeline.plural import counted
from pipeline.progress import Progress, silent

#: held-out texts that are scored after each epoch where time is short
_SCORED = 1_000


@dataclass(frozen=True, slots=True)
class Labelled:
    """Texts with what is known of their labels: [texts, labels]."""

    texts: Sequence[str]
    truth: LabelMatrix
    #: names of the sources of each text, with commas between them; empty: not known
    sources: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Finetuned:
    """A fine-tuned classifier and its training."""

    classifier: TransformerClassifier
    #: name of the base
    base: str
    trained: Trained
    #: texts that it learnt from, of all
    texts: int
    plan: Plan | None = None


def fit_transformer(
    fitting: Labelled,
    dev: Labelled,
    labels: Sequence[str],
    config: TransformerConfig,
    *,
    seed: int,
    checkpoints: Path | None = None,
    device: torch.device | None = None,
    scored_later: int = 0,
    progress: Progress = silent,
    clock: Callable[[], float] = time.monotonic,
) -> Finetuned:
    """Train on repaired, masked texts; the weights of the epoch that is best on dev are kept.

    On a CPU the same seed, texts and number of threads give the same weights, whether or not the training was killed
    in between. With a budget this holds for the same plan, which is kept beside the checkpoints.

    Args:
        fitting: the training texts.
        dev: held-out texts; their macro average precision decides the best epoch and the end.
        labels: keys of the columns.
        config: the settings.
        seed: of the new weights, the order and dropout.
        checkpoints: see `run_loop`.
        device: None: a GPU if there is one.
        scored_later: held-out texts that are scored when training is over, for which a budget keeps time.
        progress: told of each step.
        clock: seconds, for the budget.

    Raises:
        ModelError: the base cannot be loaded.
        TrainingError: the training cannot go on, or the budget is too short.
    """
    began = clock()
    device = device or best_device()
    progress(0, None, "loading the base" if config.base is not None else "making a network")
    base = _base(fitting, labels, config, seed)
    model = base.model.to(device)
    if config.chosen("freeze_words"):
        model.get_input_embeddings().weight.requires_grad_(False)
    freeze_lower(model, config.frozen[0])
    longest = longest_text(model, base.tokenizer, config.length)
    progress(0, None, f"dividing {counted(len(fitting.texts), 'text')} into tokens")
    tokens = tokenise(base.tokenizer, fitting.texts, longest)
    lengths = _lengths(tokens)
    sources = first_sources(fitting.sources, len(tokens))
    loss_of = _loss(base, tokens, fitting, sources, config, device)
    half = half_kind(device, on_cpu=config.chosen("half"))
    attention = model.config._attn_implementation
    if half == "cpu" and attention == "sdpa":
        # In bfloat16 on a CPU the backward pass of torch's fused attention takes a third of a step.
        model.set_attn_implementation("eager")
    plan: Plan | None = None
    rows: Rows = np.arange(len(tokens), dtype=np.int64)
    if config.budget is not None:
        progress(0, None, "measuring the speed")
        left = config.budget - (clock() - began)
        plan = kept_plan(
            checkpoints,
            model,
            lengths,
            loss_of,
            seconds=left,
            batch=config.batch,
            held_out=int(lengths.mean() * scored_later),
            longest=longest,
            epochs=config.most_epochs,
            frozen=config.frozen,
            half=half,
            clock=clock,
        )
        longest = plan.length
        tokens[:] = tokenise(base.tokenizer, fitting.texts, longest)
        lengths = _lengths(tokens)
        rows = choose_rows(fitting.truth, sources, lengths, plan.tokens, seed=seed)
        if not len(rows):
            raise TrainingError("--budget: there is no time to learn from a single text: give more time")
        progress(0, None, f"learning from {len(rows):,} of {counted(len(tokens), 'text')}, at {longest} tokens")
    classifier = TransformerClassifier(model, base.tokenizer, longest)
    epochs = config.most_epochs if plan is None else plan.epochs
    some = slice(None) if plan is None else slice(0, len(dev.texts), max(1, len(dev.texts) // _SCORED))

    trained = run_loop(
        model,
        lengths[rows],
        lambda chosen: loss_of(rows[chosen]),
        LoopConfig(
            epochs=epochs,
            batch_size=config.batch,
            accumulate=config.accumulate,
            learning_rate=config.rate,
            weight_decay=config.weight_decay,
            warmup=config.warmup,
            clip=config.clip,
            patience=config.patience,
            checkpoint_steps=config.checkpoint_steps,
            half=config.chosen("half"),
            seconds=None if plan is None else plan.seconds,
            seed=seed,
        ),
        device=device,
        # Of a single epoch there is nothing to choose.
        score=None
        if plan is not None and epochs == 1
        else lambda: macro_average_precision(classifier.decisions(dev.texts[some]), dev.truth[some]),
        factors=layer_factors([name for name, _ in model.named_parameters()], config.decay),
        checkpoints=checkpoints,
        progress=progress,
        clock=clock,
    )
    model.set_attn_implementation(attention)
    return Finetuned(classifier, base.name, trained, len(rows), plan)


def _lengths(tokens: Tokens) -> NDArray[np.int64]:
    return np.array([len(text_tokens) for text_tokens in tokens], dtype=np.int64)


def _base(fitting: Labelled, labels: Sequence[str], config: TransformerConfig, seed: int) -> Base:
    if config.base is None:
        return make_scratch(fitting.texts, labels, config.scratch, longest=config.length, seed=seed)
    return load_base(config.base, labels, seed=seed)


def _loss(
    base: Base,
    tokens: Tokens,
    fitting: Labelled,
    sources: Rows,
    config: TransformerConfig,
    device: torch.device,
) -> Callable[[Rows], tuple[Tensor, float]]:
    truth = torch.from_numpy(np.ascontiguousarray(fitting.truth)).to(device)
    answers = answer_weights(fitting.truth, sources) if config.chosen("balance") else None
    positive = torch.from_numpy(positive_weights(fitting.truth, config.pos_weight_cap, answers)).to(device)
    weights = None if answers is None else torch.from_numpy(answers).to(device)

    def loss_of(rows: Rows) -> tuple[Tensor, float]:
        batch = batch_of(tokens, rows, base.tokenizer.pad_token_id, device)
        at = torch.from_numpy(rows).to(device)
        logits = base.model(**batch).logits
        return masked_loss(logits, truth[at], positive, None if weights is None else weights[at])

    return loss_of


def macro_average_precision(scores: Scores, truth: LabelMatrix) -> float:
    """Mean over the labels that have both a positive and a negative; 0 where there is none."""
    values = []
    for column, known in zip(scores.T, truth.T, strict=True):
        judged = known != UNKNOWN
        if (known == 1).any() and (known == 0).any():
            values.append(float(average_precision_score(known[judged] == 1, column[judged])))
    return float(np.mean(values)) if values else 0.0
