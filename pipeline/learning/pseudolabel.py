"""Pseudo-labels: a classifier of one scarce label, used only where it was right on held-out texts.

Held-out scores come from folds of whole near-duplicate groups (each text is scored by a model that saw neither it nor
anything like it), with every known negative scored, so that precision is measured at the share of positives that the
labelled texts have and not at the 2:1 that the model is trained on.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from pipeline.errors import NotEnoughLabels
from pipeline.ledger.decisions import DecidedText, decided_texts
from pipeline.ledger.test_set import members
from pipeline.measure.intervals import wilson
from pipeline.models.artefact import LabelSettings, Manifest, TrainedModel, save_model
from pipeline.models.calibration import Sigmoid, fit_sigmoid
from pipeline.models.linear import LinearClassifier, LinearConfig, fit_linear
from pipeline.runs.record import code_version
from pipeline.taxonomy import Taxonomy
from pipeline.texts.near_duplicates import near_duplicate_groups

STAGE = "pseudolabel"
_FOLDS = 5


@dataclass(frozen=True, slots=True)
class PseudoConfig:
    """Settings of pseudo-labels."""

    target_precision: float = 0.95
    #: negatives for each positive in training
    ratio: int = 2
    #: least number of positives
    min_positives: int = 30
    #: least number of held-out texts that pass the cut
    min_passing: int = 15
    review_share: float = 0.05
    review_least: int = 20


@dataclass(frozen=True, slots=True)
class PseudoReport:
    """Result for one label."""

    label: str
    positives: int
    negatives: int
    #: probability from which the label is given; None where no cut reaches the target
    cut: float | None = None
    #: held-out precision at the cut, with its 95% interval (Wilson 1927)
    precision: float | None = None
    precision_low: float | None = None
    precision_high: float | None = None
    #: share of the held-out positives that pass the cut
    recall: float | None = None
    scored: int = 0
    written: int = 0
    in_review: int = 0
    model: str | None = None
    #: the reason why nothing was written; None where the target was reached
    stopped: str | None = None


@dataclass(frozen=True, slots=True)
class SafeCut:
    """A cut with its figures on held-out texts; `low` and `high` bound the precision."""

    value: float
    precision: float
    low: float
    high: float
    recall: float


@dataclass(frozen=True, slots=True)
class Taught:
    """A classifier of one label, and the cut from which it is used."""

    classifier: LinearClassifier
    sigmoid: Sigmoid
    cut: SafeCut


def scarce_labels(session: Session, taxonomy: Taxonomy, *, limit: int | None, config: PseudoConfig) -> list[str]:
    """Labels with enough positives to learn from, and with fewer than half of the average number of positives."""
    positives = dict.fromkeys(taxonomy.keys, 0)
    for text in decided_texts(session, taxonomy, limit=limit):
        for key, decision in text.decisions.items():
            positives[key] += decision.value is True
    mean = sum(positives.values()) / len(positives)
    return [key for key, count in positives.items() if config.min_positives <= count < mean / 2]


def to_learn_from(session: Session, taxonomy: Taxonomy, limit: int | None) -> list[DecidedText]:
    """The decided texts without the frozen test set."""
    held_out = members(session)
    return [text for text in decided_texts(session, taxonomy, limit=limit) if text.id not in held_out]


def learn(
    decided: Sequence[DecidedText],
    label: str,
    taxonomy_version: str,
    models_dir: Path,
    config: PseudoConfig,
    linear: LinearConfig,
    rng: np.random.Generator,
) -> tuple[PseudoReport, tuple[TrainedModel, Path] | None]:
    """Learn a label; return the report, and the model with its folder where it is safe on held-out texts."""
    yes = [text for text in decided if _value(text, label) is True]
    no = [text for text in decided if _value(text, label) is False]
    report = PseudoReport(label, len(yes), len(no))
    if len(yes) < config.min_positives or len(no) < config.min_positives:
        why = f"{len(yes)} positive and {len(no)} negative texts; it needs {config.min_positives} of each"
        return replace(report, stopped=why), None
    taught = learn_label(yes, no, label, config, linear, rng)
    if taught is None:
        why = f"no cut reaches a precision of {config.target_precision:g} on held-out texts"
        return replace(report, stopped=why), None
    manifest = _manifest(taught, report, taxonomy_version, config, linear)
    model, path = save_model(TrainedModel(taught.classifier, manifest), models_dir)
    report = replace(
        report,
        cut=taught.cut.value,
        precision=taught.cut.precision,
        precision_low=taught.cut.low,
        precision_high=taught.cut.high,
        recall=taught.cut.recall,
        model=model.manifest.version,
    )
    return report, (model, path)


def settled(decided: Iterable[DecidedText], label: str) -> frozenset[uuid.UUID]:
    """Texts whose label is decided without this stage, contested, or rejected by a filter."""
    return frozenset(text.id for text in decided if _value(text, label) is not None or _is_barred(text, label))


def learn_label(
    yes: Sequence[DecidedText],
    no: Sequence[DecidedText],
    label: str,
    config: PseudoConfig,
    linear: LinearConfig,
    rng: np.random.Generator,
) -> Taught | None:
    """A classifier of one label with a cut that is safe on held-out texts; None if there is no such cut."""
    texts = [text.masked for text in (*yes, *no)]
    truth = np.array([True] * len(yes) + [False] * len(no))
    try:
        decisions = held_out_decisions(texts, truth, label, linear, config.ratio, rng)
    except NotEnoughLabels:
        # Texts that are all near-duplicates are one group, so none is left to measure on.
        return None
    sigmoid = fit_sigmoid(decisions, truth)
    cut = choose_safe_cut(sigmoid(decisions), truth, config)
    if cut is None:
        return None
    classifier = _fit(texts, truth, np.arange(len(texts)), label, linear, config.ratio, rng)
    return Taught(classifier, sigmoid, cut)


def held_out_decisions(
    texts: Sequence[str],
    truth: NDArray[np.bool_],
    label: str,
    linear: LinearConfig,
    ratio: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """A raw score for each text, by a model that saw neither it nor a near-duplicate of it.

    Raises:
        NotEnoughLabels: all positives or all negatives are near-duplicates of each other.
    """
    groups = np.array(near_duplicate_groups(texts))
    # Groups with a positive are dealt first, so that positives and negatives are spread evenly.
    with_positive = set(groups[truth].tolist())
    dealt = sorted(set(groups.tolist()), key=lambda group: group not in with_positive)
    shuffled = [*rng.permutation(dealt[: len(with_positive)]), *rng.permutation(dealt[len(with_positive) :])]
    fold_of = {int(group): i % _FOLDS for i, group in enumerate(shuffled)}
    folds = np.array([fold_of[int(group)] for group in groups])
    decisions = np.zeros(len(texts))
    for fold in range(_FOLDS):
        held = np.flatnonzero(folds == fold)
        classifier = _fit(texts, truth, np.flatnonzero(folds != fold), label, linear, ratio, rng)
        decisions[held] = classifier.decisions([texts[i] for i in held.tolist()])[:, 0]
    return decisions


def choose_safe_cut(
    probabilities: NDArray[np.float64], truth: NDArray[np.bool_], config: PseudoConfig
) -> SafeCut | None:
    """The lowest cut whose held-out precision reaches the target on enough texts; None where none does."""
    order = np.argsort(-probabilities, kind="stable")
    ranked = probabilities[order]
    hits = np.cumsum(truth[order])
    passing = np.arange(1, len(order) + 1)
    last_of_ties = np.append(ranked[1:] != ranked[:-1], True)
    good = last_of_ties & (hits >= config.target_precision * passing) & (passing >= config.min_passing)
    if not good.any():
        return None
    at = int(np.flatnonzero(good)[-1])
    below = ranked[at + 1] if at + 1 < len(ranked) else 0.0
    between = (ranked[at] + below) / 2
    precision = wilson(int(hits[at]), int(passing[at]))
    assert precision is not None  # At least one text passes.
    return SafeCut(
        # Two neighbouring floats have none between them.
        value=float(between if between > below else ranked[at]),
        precision=precision.value,
        low=precision.low,
        high=precision.high,
        recall=float(hits[at] / truth.sum()),
    )


def _fit(
    texts: Sequence[str],
    truth: NDArray[np.bool_],
    rows: NDArray[np.int64],
    label: str,
    linear: LinearConfig,
    ratio: int,
    rng: np.random.Generator,
) -> LinearClassifier:
    positives, negatives = rows[truth[rows]], rows[~truth[rows]]
    drawn = rng.choice(negatives, size=min(len(negatives), ratio * len(positives)), replace=False)
    chosen = np.sort(np.concatenate([positives, drawn]))
    column = truth[chosen].astype(np.int8)[:, None]
    return fit_linear([texts[i] for i in chosen.tolist()], column, [label], linear)


def _manifest(
    taught: Taught, report: PseudoReport, taxonomy_version: str, config: PseudoConfig, linear: LinearConfig
) -> Manifest:
    now = datetime.now(UTC)
    settings = LabelSettings(
        key=report.label, slope=taught.sigmoid.slope, offset=taught.sigmoid.offset, threshold=taught.cut.value
    )
    return Manifest(
        version=f"pseudo-{report.label.replace(' ', '-')}-linear-{now:%Y%m%d}",
        purpose=f"pseudo:{report.label}",
        backend="linear",
        created_at=now,
        code_version=code_version(),
        taxonomy_version=taxonomy_version,
        exclusive=False,
        objective=f"precision={config.target_precision:g}",
        labels=(settings,),
        config={**asdict(linear), "ratio": config.ratio, "folds": _FOLDS},
        data={"positives": report.positives, "negatives": report.negatives},
        metrics={"held_out": asdict(taught.cut)},
    )


def _value(text: DecidedText, label: str) -> bool | None:
    decision = text.decisions.get(label)
    # Earlier pseudo-labels must not be learnt from.
    if decision is None or decision.tier == "pseudo":
        return None
    return decision.value


def _is_barred(text: DecidedText, label: str) -> bool:
    decision = text.decisions.get(label)
    return label in text.demoted or (decision is not None and decision.tier == "contested")
