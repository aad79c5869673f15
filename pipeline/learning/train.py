"""Train a model from labelled texts: split, fit, calibrate, choose thresholds, measure, save. Needs no store."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import NotEnoughLabels
from pipeline.learning.card import write_card
from pipeline.learning.evaluate import Evaluation, evaluate_examples
from pipeline.learning.fitting import Fitted, checkpoints_of, fit_linear_on, fit_transformer_on
from pipeline.learning.scores import ScoredTexts, write_scores
from pipeline.learning.sets.balance import Balance, balanced, left_out
from pipeline.learning.sets.examples import Examples
from pipeline.learning.sets.split import SplitPlan, plan_splits
from pipeline.measure.arrays import UNKNOWN
from pipeline.models.artefact import NETWORK_ALONE, LabelSettings, Manifest, TrainedModel, save_model
from pipeline.models.calibration import fit_sigmoid
from pipeline.models.linear import LinearConfig
from pipeline.models.policies import DevCurve, dev_curve
from pipeline.models.protocol import Encode
from pipeline.models.thresholds import Objective, Threshold, choose_threshold
from pipeline.models.transformer.config import TransformerConfig
from pipeline.plural import counted
from pipeline.progress import Progress, silent
from pipeline.runs.record import code_version

#: least number of positives and of negatives of a label in train
LEAST_TRAIN = 5
#: range of dev probabilities below which a label counts as not learnt
_FLAT = 1e-3


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Settings of a training."""

    purpose: str = "sfw"
    #: first word of the model's name; empty: the purpose
    prefix: str = ""
    taxonomy_version: str = ""
    #: labels that stand for something harmful; None: not known, so all texts count as harmful where they are shown
    harmful: tuple[str, ...] | None = None
    objective: Objective = field(default_factory=Objective)
    #: exactly one label is true of a text
    exclusive: bool = False
    linear: LinearConfig = field(default_factory=LinearConfig)
    #: None: the linear classifier is trained
    transformer: TransformerConfig | None = None
    #: of what is learnt from; dev and test stay whole
    balance: Balance = field(default_factory=Balance)
    #: training texts without a stored vector that one is computed for, at most
    computed_vectors: int = 15_000
    seed: int = 20260101


@dataclass(frozen=True, slots=True)
class TrainReport:
    """A trained model with its data and figures."""

    model: TrainedModel
    path: Path
    splits: Mapping[str, int]
    #: labels that could not be learnt, with the reasons
    left_out: Mapping[str, str]
    #: on the test split
    evaluation: Evaluation
    #: positions of the test split in the examples
    test: Sequence[int]
    #: ids of the texts that the model was fitted on
    learnt: Sequence[uuid.UUID] = ()
    #: what a budget of time left out, in words; empty: nothing
    cut_short: str = ""


def train(
    examples: Examples,
    config: TrainConfig,
    models_dir: Path,
    *,
    encode: Encode | None = None,
    encode_learnt: Encode | None = None,
    about: Mapping[str, Any] | None = None,
    apart: Sequence[str] = (),
    progress: Progress = silent,
) -> TrainReport:
    """Train, and write the model with its card into `models_dir`.

    Thresholds, calibration and the epoch to stop at are chosen on dev only; the test split is used once, at the
    end. A transformer's training that was killed goes on from its last checkpoint.

    Args:
        examples: texts and labels, with the splits that the data bring.
        config: the settings.
        models_dir: where model folders lie.
        encode: gives vectors, if `config.linear.encoder` is set.
        encode_learnt: gives those of the training texts, zeros for one that is to have none; None: as `encode`.
        about: facts about the data for the manifest: files, sources, texts left out.
        apart: probe sentences; training texts that nearly repeat one of them are left out and counted.
        progress: told of each step.

    Raises:
        NotEnoughLabels: no label has enough texts to be learnt.
        TrainingError: the training cannot go on.
        ModelError: the base of a transformer cannot be loaded.
    """
    began = time.monotonic()
    progress(0, None, f"splitting {counted(len(examples), 'text')}")
    plan = plan_splits(examples, seed=config.seed, apart=apart)
    learnable, unlearnable = _learnable(examples, plan)
    if not learnable:
        # The label that is nearest to being learnt says most of what is missing.
        nearest = max(unlearnable, key=lambda label: _positives(examples, label), default=None)
        why = f"for example {nearest!r}: {unlearnable[nearest]}" if nearest else "there are no labelled texts"
        raise NotEnoughLabels(f"no label can be learnt ({why}): give more labelled texts")
    examples, plan, told = _balanced(_with_labels(examples, learnable), plan, config.balance)
    fitting, dev = examples.take(plan.train), examples.take(plan.dev)
    with ExitStack() as stack:
        fitted = _fit(stack, fitting, dev, len(plan.test), config, models_dir, (encode, encode_learnt), began, progress)
        classifier = fitted.classifier
        progress(0, None, f"calibrating on {counted(len(dev), 'text')}")
        decisions = fitted.dev_decisions if fitted.dev_decisions is not None else classifier.decisions(dev.texts)
        settings, curves = _calibrated(decisions, dev, config)
        alone = {}
        if fitted.network_decisions is not None:
            # For programs that read the network and not what stands beside it.
            network, _ = _calibrated(fitted.network_decisions, dev, config)
            alone = {NETWORK_ALONE: [label.model_dump() for label in network]}
        prefix = (config.prefix or config.purpose).replace(":", "-").replace(" ", "-")
        manifest = Manifest(
            version=f"{prefix}-{classifier.backend}-{datetime.now(UTC):%Y%m%d}",
            purpose=config.purpose,
            backend=classifier.backend,
            created_at=datetime.now(UTC),
            code_version=code_version(),
            taxonomy_version=config.taxonomy_version,
            exclusive=config.exclusive,
            objective=str(config.objective),
            labels=settings,
            config={**fitted.config, **alone, "seed": config.seed},
            data={**(about or {}), **_described(examples, plan), "left_out": unlearnable, **told, **_harm(config)},
            metrics={},
            dev_curves=curves,
            encoder=config.linear.encoder
            if config.transformer is None or config.transformer.chosen("ngrams")
            else None,
        )
        progress(0, None, f"evaluating on {counted(len(plan.test), 'text')}")
        evaluation = evaluate_examples(
            TrainedModel(classifier, manifest), examples.take(plan.test), rng=np.random.default_rng(config.seed)
        )
        test_set = manifest.data.get("test_set")
        metrics = evaluation.to_dict() | ({"test_set": test_set} if test_set is not None else {})
        manifest = manifest.model_copy(update={"metrics": metrics})
        model, path = save_model(TrainedModel(classifier, manifest), models_dir)
        write_card(path, model.manifest, evaluation)
        write_scores(path, ScoredTexts.of(evaluation, test_set["version"] if test_set is not None else None))
    return TrainReport(model, path, plan.sizes(), unlearnable, evaluation, plan.test, fitting.ids, fitted.left_out)


def _fit(
    stack: ExitStack,
    fitting: Examples,
    dev: Examples,
    test: int,
    config: TrainConfig,
    models_dir: Path,
    encodes: tuple[Encode | None, Encode | None],
    began: float,
    progress: Progress,
) -> Fitted:
    encode, encode_learnt = encodes
    if config.transformer is None:
        return fit_linear_on(fitting, config.linear, encode=encode, encode_learnt=encode_learnt, progress=progress)
    # Checkpoints are kept until the model is written, so that a killed training does not start from zero.
    checkpoints = stack.enter_context(checkpoints_of(models_dir, config.transformer, config.seed, fitting, dev))
    return fit_transformer_on(
        fitting,
        dev,
        config.transformer,
        linear=config.linear,
        seed=config.seed,
        checkpoints=checkpoints,
        encode=encode,
        encode_learnt=encode_learnt,
        test=test,
        began=began,
        progress=progress,
    )


def _learnable(examples: Examples, plan: SplitPlan) -> tuple[list[str], dict[str, str]]:
    learnable, left_out = [], {}
    for i, label in enumerate(examples.labels):
        counts = {
            name: ((examples.truth[list(rows), i] == 1).sum(), (examples.truth[list(rows), i] == 0).sum())
            for name, rows in (("train", plan.train), ("dev", plan.dev))
        }
        (yes, no), (dev_yes, dev_no) = counts["train"], counts["dev"]
        if yes >= LEAST_TRAIN and no >= LEAST_TRAIN and dev_yes and dev_no:
            learnable.append(label)
        elif (examples.truth[:, i] != UNKNOWN).any():
            left_out[label] = (
                f"{yes} positive and {no} negative texts in train, {dev_yes} and {dev_no} in dev; "
                f"it needs at least {LEAST_TRAIN} of each in train and 1 of each in dev"
            )
    return learnable, left_out


def _balanced(examples: Examples, plan: SplitPlan, balance: Balance) -> tuple[Examples, SplitPlan, dict[str, Any]]:
    """The examples whose training part is balanced, the plan without texts of which nothing is left, and the counts."""
    if not balance:
        return examples, plan, {}
    rows = list(plan.train)
    truth = examples.truth.copy()
    truth[rows] = balanced(examples.truth[rows], [examples.ids[i].bytes for i in rows], balance)
    counts = left_out(examples.truth[rows], truth[rows], examples.labels).to_dict(balance)
    known = [i for i in rows if (truth[i] != UNKNOWN).any() or not (examples.truth[i] != UNKNOWN).any()]
    return replace(examples, truth=truth), replace(plan, train=known), {"balance": counts}


def _positives(examples: Examples, label: str) -> int:
    return int((examples.truth[:, examples.labels.index(label)] == 1).sum())


def _with_labels(examples: Examples, labels: Sequence[str]) -> Examples:
    columns = [examples.labels.index(label) for label in labels]
    return Examples(
        examples.ids,
        examples.texts,
        examples.truth[:, columns],
        tuple(labels),
        examples.splits,
        examples.languages,
        examples.disputed,
        examples.repeated,
        examples.sources,
    )


def _calibrated(
    decisions: np.ndarray[tuple[int, ...], np.dtype[np.float64]], dev: Examples, config: TrainConfig
) -> tuple[tuple[LabelSettings, ...], dict[str, DevCurve]]:
    settings, curves = [], {}
    for i, label in enumerate(dev.labels):
        known = dev.truth[:, i] != UNKNOWN
        truth = dev.truth[known, i] == 1
        sigmoid = fit_sigmoid(decisions[known, i], truth)
        probabilities = sigmoid(decisions[known, i])
        cut = choose_threshold(probabilities, truth, config.objective)
        if np.ptp(probabilities) < _FLAT:
            # The classifier separates nothing on dev, so the label is never given.
            cut = Threshold(1.0, 0.0, 0.0, reached=False)
        curves[label] = dev_curve(probabilities, truth)
        settings.append(
            LabelSettings(
                key=label, slope=sigmoid.slope, offset=sigmoid.offset, threshold=cut.value, reached=cut.reached
            )
        )
    return tuple(settings), curves


def _harm(config: TrainConfig) -> dict[str, Any]:
    return {} if config.harmful is None else {"harmful_labels": list(config.harmful)}


def denied_beside_no_label(examples: Examples) -> tuple[str, ...]:
    """Labels that are denied only in texts without any label.

    A model of such a label learns whether a text has a label at all, and its figures, from texts of the same kind, are
    too good.
    """
    yes, no = examples.truth == 1, examples.truth == 0
    beside = (no & yes.any(axis=1, keepdims=True)).any(axis=0)
    # where one label is known, there is no other
    return tuple(
        label
        for label, denied, mixed in zip(examples.labels, no.any(axis=0), beside, strict=True)
        if denied and not mixed and len(examples.labels) > 1
    )


def _described(examples: Examples, plan: SplitPlan) -> dict[str, Any]:
    counts = {
        label: {
            name: [int((examples.truth[list(rows), i] == value).sum()) for value in (1, 0)]
            for name, rows in (("train", plan.train), ("dev", plan.dev), ("test", plan.test))
        }
        for i, label in enumerate(examples.labels)
    }
    return {
        "texts": len(examples),
        "splits": plan.sizes(),
        "split_origin": plan.origin,
        "left_out_as_near_duplicates_of_held_out": plan.leaking,
        "left_out_as_near_duplicates_of_probes": plan.probed,
        "repeated_rows": examples.repeated,
        "disputed_labels": examples.disputed,
        "denied_beside_no_label": list(denied_beside_no_label(examples)),
        "languages": dict(Counter(examples.languages).most_common()),
        #: [positive, negative] by label and split
        "counts": counts,
    }
