"""Retrain from the ledger: snapshot, train, measure against the champion, register."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from pipeline.classifiers.artefact import TrainedModel
from pipeline.classifiers.linear import Encode
from pipeline.ingest.normalise import text_id
from pipeline.learning import registry
from pipeline.learning.evaluate import evaluate_examples
from pipeline.learning.examples import Examples, gather
from pipeline.learning.labelled_io import clean
from pipeline.learning.snapshot import Frozen, SnapshotPolicy, learnt_from, take_snapshot
from pipeline.learning.split import plan_splits
from pipeline.learning.train import TrainConfig, TrainReport, train
from pipeline.progress import Progress, silent
from pipeline.runs import stage_run
from pipeline.store.session import open_session
from pipeline.taxonomy import Taxonomy

#: loads the model that lies in a folder
Load = Callable[[Path], TrainedModel]


@dataclass(frozen=True, slots=True)
class Retrained:
    """A model trained from the ledger, and whether it now serves."""

    snapshot: Frozen
    report: TrainReport
    promoted: bool
    #: why it was promoted or not, in words
    verdict: str


def retrain(
    engine: Engine,
    taxonomy: Taxonomy,
    config: TrainConfig,
    policy: SnapshotPolicy,
    *,
    models_dir: Path,
    snapshots_dir: Path,
    load: Load,
    encode: Encode | None = None,
    progress: Progress = silent,
) -> Retrained:
    """Train on what the ledger says now; the first model, and one that is not worse than the champion, is promoted.

    Champion and challenger are measured on the same held-out texts, which neither learnt from, by macro average
    precision over the labels that both know.

    Raises:
        NotEnoughLabels: too little is decided to train from.
        RunConflict: another training is under way.
    """
    with stage_run(engine, "train", slice=config.purpose, progress=progress) as run:
        run.advance(0, None, "taking a snapshot")
        with open_session(engine) as session, session.begin():
            snapshot = take_snapshot(session, taxonomy, policy, snapshots_dir, run_id=run.id)
        examples = gather(snapshot.rows, taxonomy.keys)
        about = {"snapshot": snapshot.hash, **snapshot.counts}
        report = train(examples, config, models_dir, encode=encode, about=about, progress=progress)
        with open_session(engine) as session, session.begin():
            manifest = report.model.manifest
            registry.register(session, manifest, report.path, snapshot_id=snapshot.id, run_id=run.id)
            before = registry.champion(session, config.purpose)
            champion = load(Path(before.path)) if before is not None else None
            learnt = learnt_from(session, before.version) if before is not None else None
            promote, verdict = _verdict(
                champion, report, _held_out(examples, snapshot, config, learnt or set()), config
            )
            if promote:
                registry.promote(session, manifest.version, reason=verdict)
            else:
                registry.explain(session, manifest.version, f"not promoted: {verdict}")
            run.counts = {"snapshot": snapshot.hash, "model": manifest.version, "splits": dict(report.splits)}
            run.save(session)
    return Retrained(snapshot, report, promote, verdict)


def _held_out(examples: Examples, snapshot: Frozen, config: TrainConfig, learnt: set[uuid.UUID]) -> Examples:
    """The test texts, without those that the champion learnt from: people have judged texts since that a machine had
    labelled for its training. If that leaves none, all of them, which favours the champion."""
    test = plan_splits(examples, seed=config.seed).test
    known = {text_id(clean(row.text)) for row in snapshot.rows if uuid.UUID(row.id) in learnt}
    new = [i for i in test if examples.ids[i] not in known]
    return examples.take(list(new or test))


def _verdict(
    champion: TrainedModel | None, report: TrainReport, held_out: Examples, config: TrainConfig
) -> tuple[bool, str]:
    if champion is None:
        return True, "the first model of its purpose"
    if champion.manifest.version == report.model.manifest.version:
        return True, champion.manifest.version + " again"
    theirs, ours = (
        evaluate_examples(model, held_out, rng=np.random.default_rng(config.seed)).overall.labels
        for model in (champion, report.model)
    )
    shared = [label for label in champion.labels if label in theirs and label in ours]
    if not shared:
        return False, "it shares no measured label with the champion"
    old, new = (
        float(np.mean([labels[label].average_precision.value for label in shared])) for labels in (theirs, ours)
    )
    found = (
        f"macro average precision {new:.3f}, champion {old:.3f}, over {len(shared)} labels of the same "
        f"{len(held_out.texts):,} texts"
    )
    return new >= old, found
