"""Look for what people should know: failed runs, rejected models, an empty queue, a full disk.

Runs are found by their records, wherever and however they ended: a process that was killed could not tell of itself.
The same run is found again at each look, and makes one notice.
"""

from __future__ import annotations

import re
import shutil
import socket
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.models.purposes import shown_purpose
from pipeline.notices.kinds import Kind
from pipeline.notices.record import note_state, notify
from pipeline.store.tables.core import RunState
from pipeline.store.tables.human_loop import QueueState, TaskState

#: runs that ended longer ago are not told of
_LONGEST_AGO = timedelta(days=7)
#: what ended at one time may be seen later: clocks differ, and transactions take their time
_OVERLAP = timedelta(minutes=10)
#: runs that one look tells of
_MOST = 500
#: the type of an error at the beginning of a run's error; of a run on workers, that of its shard
_TYPE = re.compile(r"(?:RunFailed: )?([A-Z]\w*)(?=: |$)")


def look_at_runs(session: Session, now: datetime) -> int:
    """Record runs that failed or left parked shards, and trainings whose model did not pass the gate; their number."""
    return _failed_runs(session, now) + _rejected_models(session, now)


def look_at_queue(session: Session, now: datetime) -> bool:
    """Record that no text is left for people, in a store whose queue has had some; True if it begins now."""
    q, k = store.QueueItem, store.Task
    is_left = session.scalar(
        select(
            or_(
                select(q.id).where(q.state == QueueState.QUEUED).exists(),
                select(k.text_id).where(k.state.in_((TaskState.OPEN, TaskState.PUSHING))).exists(),
            )
        )
    )
    is_used = bool(is_left) or session.scalars(select(q.id).limit(1)).first() is not None
    message = None
    if is_used and not is_left:
        message = "no text is left for people: run `saring queue build` and `saring sync push`, or set SARING_QUEUE_LOW"
    return note_state(session, Kind.QUEUE_EMPTY, "queue", message, now)


def look_at_disk(
    session: Session, home: Path, least_bytes: float, now: datetime, *, machine: str | None = None
) -> bool:
    """Record that little room is left where the home lies, seen from this machine; True if it begins now.

    Args:
        session: an open transaction.
        home: the folder of the home.
        least_bytes: free space below which the disk is low.
        now: the time.
        machine: name of this machine; None: its host name.
    """
    machine = machine or socket.gethostname()
    free = shutil.disk_usage(home).free
    message = None
    if free < least_bytes:
        message = f"{free / 1e9:.1f} GB are free on the disk of the home on {machine}: free some space"
    return note_state(session, Kind.DISK_LOW, machine, message, now)


def _failed_runs(session: Session, now: datetime) -> int:
    r = store.Run
    runs = session.execute(
        select(r.id, r.stage, r.slice, r.state, r.error, r.finished_at)
        .where(
            r.error.is_not(None),
            r.state.in_((RunState.FAILED, RunState.DONE)),
            r.finished_at > _since(session, Kind.RUN_FAILED, now),
        )
        .order_by(r.finished_at.desc())
        .limit(_MOST)
    ).all()
    return sum(
        notify(
            session,
            Kind.RUN_FAILED,
            run.stage,
            failed_message(run.id, run.stage, run.state, run.error),
            # a run that is resumed and fails again ends at another time
            event=f"run:{run.id}:{run.finished_at.timestamp():.6f}",
            at=run.finished_at,
        )
        for run in reversed(runs)
    )


def failed_message(run_id: int, stage: str, state: RunState, error: str) -> str:
    """A sentence about a failed run. Of its error it has the type only: the rest may quote what people wrote."""
    if state is RunState.DONE:
        return f"run {run_id} ({stage}) left out parked shards: see `saring runs show {run_id}`"
    found_type = _TYPE.match(error)
    because = f" with {found_type[1]}" if found_type else ""
    return f"run {run_id} ({stage}) failed{because}: see `saring runs show {run_id}`"


def _rejected_models(session: Session, now: datetime) -> int:
    r = store.Run
    since = _since(session, Kind.GATE_REJECTED, now)
    runs = session.execute(
        select(r.id, r.slice, r.result, r.finished_at)
        .where(
            r.stage == "train",
            r.state == RunState.DONE,
            r.finished_at > since,
            r.result["promoted"].astext == "false",
        )
        .order_by(r.finished_at.desc())
        .limit(_MOST)
    ).all()
    recorded = 0
    for run in reversed(runs):
        model, reason = str(run.result.get("model", "")), str(run.result.get("reason") or "")
        message = f"model {model} did not pass the gate: {reason}; see `saring models list`"
        event = f"gate:{run.id}:{run.finished_at.timestamp():.6f}"
        recorded += notify(
            session, Kind.GATE_REJECTED, shown_purpose(run.slice), message, event=event, at=run.finished_at
        )
    return recorded


def _since(session: Session, kind: Kind, now: datetime) -> datetime:
    """The time from which runs are looked at: a little before the last one that was told of."""
    n = store.Notice
    last = session.scalar(select(func.max(n.at)).where(n.kind == kind.value, n.at > now - _LONGEST_AGO))
    return max(now - _LONGEST_AGO, last - _OVERLAP) if last is not None else now - _LONGEST_AGO
