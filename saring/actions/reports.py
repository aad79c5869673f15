"""Reports of applications: kept as judgements that never decide, and put before people with their provenance."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ml_backend.moderation.config import Caller
from ml_backend.moderation.errors import BadRequest
from ml_backend.moderation.reports import NewReport
from pipeline import store
from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.queue.pick import pick
from pipeline.review.disputes import Found
from pipeline.review.find import text_lock
from pipeline.review.reasons import Why
from pipeline.review.state import labels_of, read_state, write_found
from pipeline.store import locks
from pipeline.store.session import open_session
from pipeline.store.tables.accounts import Report
from pipeline.store.tables.review import DisputeKind
from pipeline.texts.ingest import SourceInfo, source_id_of
from pipeline.texts.labelled_files import clean
from pipeline.texts.prepare import Options, PreparedText, prepare
from pipeline.texts.readers import Format
from pipeline.texts.write import ERASED, NO_RUN, write
from saring.context import Context

#: name of the source of reported texts, and of the raters that report
SOURCE, RATER = "reports", "application"


def keep_report(home: Context, caller: Caller, report: NewReport) -> Mapping[str, Any]:
    """Store a report in one transaction: its text, its judgement, its place before reviewers and in the queue.

    A report that is sent twice is kept once: by the application's own reference, else by its content.

    Args:
        home: the home with the store.
        caller: the application.
        report: what it says.

    Returns:
        The report's state, as `report_state` gives it.

    Raises:
        BadRequest: the text cannot be used, for example because it has no words.
        StoreError: the database cannot be reached.
    """
    reference = report.reference or _digest(report)
    with home.begin() as session:
        source = source_id_of(session, SourceInfo(SOURCE))
        row = _prepared(home, report, f"{caller.account_id}:{reference}")
        written = write(session, [row], source_id=source, run_id=NO_RUN, path=SOURCE, splits=[None])
        if any(reject.reason == ERASED for reject in written.rejected):
            raise BadRequest("the text was erased on request, and is not kept again", param="text")
        if written.rejected:
            raise BadRequest("another text was reported under this reference: choose another one", param="reference")
        locks.take(session, text_lock(row.id))
        before = session.scalar(
            select(Report).where(Report.account_id == caller.account_id, Report.reference == reference)
        )
        if before is None:
            before = _keep(session, home, caller, report, row, reference)
        return _state(session, home, before)


def report_state(home: Context, caller: Caller, report_id: str) -> Mapping[str, Any] | None:
    """The state of an application's report: `waiting`, or `settled` with what reviewers and people decided.

    None: the application's account has no such report.
    """
    try:
        wanted = uuid.UUID(report_id)
    except ValueError:
        return None
    with open_session(home.engine) as session:
        row = session.get(Report, wanted)
        if row is None or row.account_id != caller.account_id:
            return None
        return _state(session, home, row)


def _prepared(home: Context, report: NewReport, external_id: str) -> PreparedText:
    fields = {"text": report.text, "id": hashlib.sha256(external_id.encode()).hexdigest()}
    options = Options(Format.JSONL, languages=home.settings.languages)
    prepared = prepare([1], [fields], path=SOURCE, name=SOURCE, options=options)
    if prepared.rejects:
        raise BadRequest(f"the text cannot be kept: {prepared.rejects[0].reason}", param="text")
    return prepared.rows[0]


def _keep(
    session: Session, home: Context, caller: Caller, report: NewReport, row: PreparedText, reference: str
) -> Report:
    report_id = uuid.uuid4()
    rater = rater_id(session, RaterRef(RaterKind.REPORT, RATER, str(caller.token_id)))
    reason = clean(report.reason) if report.reason else None
    new = NewJudgement(row.id, report.right, report.wrong, {}, reason, str(report_id))
    record(session, rater, [new], taxonomy_version=home.taxonomy.version)
    judgement = session.execute(
        select(store.Judgement.id).where(
            store.Judgement.rater_id == rater, store.Judgement.external_ref == str(report_id)
        )
    ).scalar_one()
    kept = Report(
        id=report_id,
        account_id=caller.account_id,
        application=caller.name,
        reference=reference,
        text_id=row.id,
        judgement_id=judgement,
        reason=reason,
        model=report.model,
    )
    session.add(kept)
    session.flush()
    session.refresh(kept)
    _before_reviewers(session, caller, report, row.id, judgement)
    why = f"{caller.name} reports a wrong verdict"
    label = min(report.right, default=None) or min(report.wrong, default=None)
    # who has judged it already is asked no more: it then waits for a reviewer only
    pick(session, home.taxonomy, [row.id], why=why, model=None, label=label, first=True)
    return kept


def _before_reviewers(session: Session, caller: Caller, report: NewReport, text_id: uuid.UUID, judgement: int) -> None:
    about = {"application": caller.name, "judgement": judgement}
    why = [Why("reported-yes", {**about, "label": label}) for label in sorted(report.right)]
    why += [Why("reported-no", {**about, "label": label}) for label in sorted(report.wrong)]
    d = store.Dispute
    waiting = session.scalar(
        select(d).where(d.text_id == text_id, d.kind == DisputeKind.APPEAL, d.settled_by.is_(None))
    )
    earlier = [Why.of_stored(reason) for reason in waiting.why] if waiting is not None else []
    reasons = (*earlier, *(why or [Why("reported", about)]))
    # each report adds to the weight of the text
    value = (waiting.value if waiting is not None else 0.0) + 1.0
    write_found(session, [Found(text_id, DisputeKind.APPEAL, labels_of(reasons), reasons, value)])


def _state(session: Session, home: Context, row: Report) -> dict[str, Any]:
    state = read_state(session, home.taxonomy, row.text_id)
    # of people alone: what machines say was reported as wrong
    people = {j.id for j in state.standing if j.rater.kind is RaterKind.HUMAN}
    decided = {
        label: decision.value
        for label, decision in state.decisions.items()
        if decision.value is not None and people & set(decision.judgements)
    }
    return {
        "object": "report",
        "id": str(row.id),
        "reference": row.reference,
        "created": int(row.created_at.timestamp()),
        "status": "settled" if decided else "waiting",
        "labels": decided,
    }


def _digest(report: NewReport) -> str:
    parts = (report.text, *sorted(report.right), "", *sorted(report.wrong), "", report.reason or "")
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
