"""Retrain from the ledger: take a snapshot, train, compare with the champion, register."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from pipeline.learning import registry
from pipeline.learning.gate.decide import Contender, compare_with_champion
from pipeline.learning.gate.report import PAGE, GateReport, Rows, read_gate, write_gate
from pipeline.learning.gate.rules import Margins
from pipeline.learning.probes.sentences import ProbeSentences
from pipeline.learning.sets.examples import Examples, gather
from pipeline.learning.sets.snapshot import Frozen, SnapshotPolicy, learnt_from, take_snapshot
from pipeline.learning.train import TrainConfig, TrainReport, train
from pipeline.models.artefact import TrainedModel
from pipeline.models.protocol import Encode
from pipeline.plural import counted
from pipeline.progress import Progress, silent
from pipeline.runs.record import stage_run
from pipeline.store.session import open_session
from pipeline.taxonomy import Taxonomy
from pipeline.texts.labelled_files import clean
from pipeline.texts.normalise import text_id
from pipeline.vectors.stored import AtMost, reading_vectors, stored_first

#: loads the model that lies in a folder
Load = Callable[[Path], TrainedModel]


@dataclass(frozen=True, slots=True)
class Retrained:
    """A model trained from the ledger, and the decision of the gate."""

    snapshot: Frozen
    report: TrainReport
    promoted: bool
    #: the reason why it was promoted or not, in words
    verdict: str
    gate: GateReport
    #: the page of the gate's report, in the model's folder
    page: Path


def retrain(
    engine: Engine,
    taxonomy: Taxonomy,
    config: TrainConfig,
    policy: SnapshotPolicy,
    *,
    models_dir: Path,
    snapshots_dir: Path,
    load: Load,
    margins: Margins | None = None,
    probes: ProbeSentences | None = None,
    encode: Encode | None = None,
    progress: Progress = silent,
) -> Retrained:
    """Train from the ledger; a model that passes the gate is promoted, another is rejected.

    Champion and challenger are measured on the same held-out texts, which neither was trained on (see
    `pipeline.learning.gate.rules`). The model and the gate's report are in its folder before it is registered, so a
    training that is killed and repeated ends in the same store.

    Raises:
        NotEnoughLabels: too little is decided to train from.
        ModelError: the champion's folder is missing or damaged.
        RunConflict: another training is under way.
    """
    with stage_run(engine, "train", slice=config.purpose, progress=progress) as run:
        run.advance(0, None, "taking a snapshot of the judged texts")
        with open_session(engine) as session, session.begin():
            snapshot = take_snapshot(session, taxonomy, policy, snapshots_dir, run_id=run.id, progress=run.advance)
        examples = gather(snapshot.rows, taxonomy.keys)
        about = {"snapshot": snapshot.hash, **snapshot.counts}
        sessions, in_store = partial(open_session, engine), _ids_by_text(snapshot)
        reads: Encode | None = None
        learnt: Encode | None = None
        spare: AtMost | None = None
        if encode is not None and config.linear.encoder is not None:
            reads = stored_first(sessions, config.linear.encoder, in_store(), encode)
            spare = AtMost(encode, config.computed_vectors)
            learnt = stored_first(sessions, config.linear.encoder, in_store(), spare)
        report = train(
            examples,
            config,
            models_dir,
            encode=reads,
            encode_learnt=learnt,
            about=about,
            apart=probes.texts if probes is not None else (),
            progress=progress,
        )
        if spare is not None:
            report = replace(report, cut_short=spare.told(report.cut_short))
        manifest = report.model.manifest
        served = report.model.encoding(lambda own: encode or own)
        challenger = Contender(report.model, report.path, served)
        while True:
            with open_session(engine) as session:
                before, held_out, rows = _opponent(session, examples, snapshot, report, config.purpose, load)
                if before is not None and before.model.manifest.encoder is not None:
                    of_store = reading_vectors(sessions, before.model, in_store())
                    before = replace(before, model=of_store, served=before.model)
            run.advance(0, None, f"comparing on {counted(len(held_out), 'text')}")
            gate = compare_with_champion(
                before, challenger, held_out, rows, margins or Margins(), seed=config.seed, probes=probes
            )
            serves = before is not None and before.version == manifest.version
            if not (serves and read_gate(report.path) is not None):
                # The champion keeps the report of its own promotion.
                write_gate(gate, report.path, now=datetime.now(UTC))
            with open_session(engine) as session, session.begin():
                registry.lock_registry(session)
                current = registry.champion(session, config.purpose)
                if (current.version if current else None) != (before.version if before else None):
                    continue  # The champion changed meanwhile, so the comparison is repeated.
                registry.register(session, manifest, report.path, snapshot_id=snapshot.id, run_id=run.id)
                if gate.verdict.passed:
                    registry.promote(session, manifest.version, reason=gate.verdict.reason)
                elif not serves:
                    registry.reject(session, manifest.version, reason=f"not promoted: {gate.verdict.reason}")
                run.counts = {"snapshot": snapshot.hash, "model": manifest.version, "splits": dict(report.splits)}
                run.save(session)
            return Retrained(snapshot, report, gate.verdict.passed, gate.verdict.reason, gate, report.path / PAGE)


def _ids_by_text(snapshot: Frozen) -> Callable[[], dict[str, uuid.UUID]]:
    """Give the ids in the store by text as a model gets it; made when first asked for, since cleaning takes long."""
    return cache(lambda: {clean(row.text): uuid.UUID(row.id) for row in snapshot.rows})


def _opponent(
    session: Session, examples: Examples, snapshot: Frozen, report: TrainReport, purpose: str, load: Load
) -> tuple[Contender | None, Examples, Rows]:
    """The champion, and the texts to compare it on.

    Texts that the champion was trained on are left out: people have since judged texts that had machine labels in its
    training. If that leaves none, all are used, which favours the champion.
    """
    origin = "the frozen test set" if snapshot.test_set is not None else "held out at this training"
    test = list(report.test)
    before = registry.champion(session, purpose)
    if before is None:
        return None, examples.take(test), Rows(origin, snapshot.test_set, len(test))
    learnt = learnt_from(session, before.version) or set()
    known = {text_id(clean(row.text)) for row in snapshot.rows if uuid.UUID(row.id) in learnt}
    new = [i for i in test if examples.ids[i] not in known]
    if not new:
        origin += ", all of which the champion was trained on"
    rows = Rows(origin, snapshot.test_set, len(new or test), len(test) - len(new or test))
    folder = Path(before.path)
    return Contender(load(folder), folder), examples.take(new or test), rows
