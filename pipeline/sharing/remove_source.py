"""Removal of a source that was imported by mistake: its judgements are withdrawn, its texts go out of scope."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from sqlalchemy import Engine, Select, exists, select, update
from sqlalchemy.orm import Session, aliased

from pipeline import store
from pipeline.errors import UsageError
from pipeline.ledger.book import NewJudgement, Recorded, record
from pipeline.runs.record import stage_lock, stage_run
from pipeline.store.session import open_session
from pipeline.store.tables.core import RunState
from pipeline.texts.removal import remove_texts

STAGE = "remove-source"
#: stages that write into a source
_WRITERS = ("import", "ingest")


@dataclass(frozen=True, slots=True)
class SourceRemoval:
    """Numbers of what the removal of a source changes."""

    source: str
    #: judgements that are withdrawn, and the number of raters whose they were
    judgements: int
    raters: int
    #: rows of the source
    rows: int
    #: texts that no other source has: they go out of scope
    out_of_scope: int
    #: texts that another source has: they stay
    kept: int


def preview_removal(engine: Engine, name: str) -> SourceRemoval:
    """Count what `remove_source` would do now.

    Raises:
        UsageError: there is no such source.
    """
    with open_session(engine) as session, session.begin():
        source_id = _id_of(session, name)
        rows = session.execute(_standing(name)).all()
        texts = remove_texts(session, source_id, change=False)
    raters = {rater for rater, _, _ in rows}
    return SourceRemoval(name, len(rows), len(raters), texts.rows, texts.out_of_scope, texts.kept)


def remove_source(engine: Engine, name: str, *, taxonomy_version: str) -> SourceRemoval:
    """Withdraw the judgements that were imported with a source, and take its texts out of scope.

    Nothing is deleted from the ledger: each judgement gets a revision that withdraws it. What others said of the texts
    stays. The source keeps its name and its licence, so that its files can be imported again. Doing it twice changes
    nothing.

    Args:
        engine: the store.
        name: name of the source.
        taxonomy_version: version of the taxonomy in force.

    Raises:
        UsageError: there is no such source.
        RunConflict: an import or ingest of the source is running.
    """
    with open_session(engine) as session:
        source_id = _id_of(session, name)
    with ExitStack() as stack:
        for stage in _WRITERS:
            stack.enter_context(stage_lock(engine, stage, name))
        run = stack.enter_context(stage_run(engine, STAGE, slice=name))
        with open_session(engine) as session, session.begin():
            texts = remove_texts(session, source_id, change=True)
            recorded, raters = Recorded(), 0
            rows = session.execute(_standing(name)).all()
            for rater, group in groupby(rows, key=itemgetter(0)):
                withdrawals = [NewJudgement(text_id, external_ref=ref, withdrawn=True) for _, text_id, ref in group]
                recorded += record(session, rater, withdrawals, taxonomy_version=taxonomy_version, run_id=run.id)
                raters += 1
            _forget_interrupted(session, name)
            removal = SourceRemoval(name, recorded.revised, raters, texts.rows, texts.out_of_scope, texts.kept)
            run.counts = {"judgements": removal.judgements, "rows": removal.rows, "out_of_scope": removal.out_of_scope}
            run.save(session)
    return removal


def _id_of(session: Session, name: str) -> int:
    s = store.Source
    source_id = session.scalars(select(s.id).where(s.name == name)).one_or_none()
    if source_id is None:
        names = ", ".join(session.scalars(select(s.name).order_by(s.name))) or "none yet"
        raise UsageError(f"no source {name!r}: known sources are {names}")
    return source_id


def _standing(name: str) -> Select[int, uuid.UUID, str]:
    """Rater, text and reference of the judgements that imports of the source wrote and nobody withdrew, by rater."""
    j, r, later = store.Judgement, store.Run, aliased(store.Judgement)
    imports = select(r.id).where(r.stage == "import", r.params["source"].astext == name)
    return (
        select(j.rater_id, j.text_id, j.external_ref)
        .where(j.run_id.in_(imports), ~j.withdrawn, ~exists().where(later.supersedes == j.id))
        .order_by(j.rater_id, j.text_id, j.external_ref)
    )


def _forget_interrupted(session: Session, name: str) -> None:
    """Have the next import begin anew: an interrupted one would go on after rows that are gone."""
    r = store.Run
    session.execute(
        update(r)
        .where(r.stage.in_(_WRITERS), r.slice == name, r.state != RunState.DONE)
        .values(checkpoint={}, counts={})
    )
