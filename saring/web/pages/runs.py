"""The page /runs: what is running, what ran, and how it went."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Header
from fastapi.responses import Response
from fastapi.sse import ServerSentEvent

from pipeline.runs.requests import open_requests
from pipeline.store.session import open_session
from pipeline.store.tables.accounts import Role
from pipeline.store.tables.core import RunState
from saring.actions.run_record import flat_record
from saring.actions.runs import RunDetails, cancel, list_runs, run_details, run_log, stages_with_runs
from saring.web.routing import Pages
from saring.web.run_words import STARTABLE
from saring.web.visit import Visit

pages = Pages("runs")

#: seconds after which a stream ends, so that the browser comes back and its session is looked at again
_STREAM_SECONDS = 600.0
#: milliseconds until a browser comes back
_RETRY = 2000
_Cursor = Annotated[str | None, Header(alias="Last-Event-ID")]


@pages.get(role=Role.VIEWER)
def index(
    visit: Visit, stage: str = "", state: str = "", before: int | None = None, after: int | None = None
) -> Response:
    """The runs, newest first, and those that were asked for and have not begun."""
    chosen = state if state in set(RunState) else ""
    with open_session(visit.home.engine) as session:
        page = list_runs(session, stage=stage or None, state=chosen or None, before=before, after=after)
        waiting = open_requests(session) if before is None and after is None else []
        stages = stages_with_runs(session)
    return visit.page(
        "runs/index.html",
        runs=page,
        waiting=waiting,
        stages=stages,
        states=[str(each) for each in RunState],
        stage=stage,
        state=chosen,
        now=datetime.now(UTC),
        first=before is None and after is None and not stage and not chosen,
    )


@pages.events("/events", role=Role.VIEWER)
async def events(visit: Visit, last_event_id: _Cursor = None, after: str | None = None) -> AsyncIterator[Any]:
    """Changes of all runs."""
    async for event in _stream(visit, last_event_id or after, None):
        yield event


@pages.get("/{number:int}", role=Role.VIEWER)
def show(visit: Visit, number: int) -> Response:
    """A run: its progress, what it left out, its parked shards, its log, its parameters and its result."""
    details = _details(visit, number)
    with open_session(visit.home.engine) as session:
        log = run_log(session, number)
    return visit.page("runs/run.html", log=log, **_shown(details))


@pages.get("/{number:int}/state", role=Role.VIEWER)
def state(visit: Visit, number: int) -> Response:
    """The part of a run's page that changes."""
    return visit.fragment("runs/state.html", **_shown(_details(visit, number)))


@pages.get("/{number:int}/log", role=Role.VIEWER)
def log(visit: Visit, number: int, after: int = 0) -> Response:
    """The lines of a run's log after a line."""
    with open_session(visit.home.engine) as session:
        lines = run_log(session, number, after=max(0, after))
    return visit.fragment("runs/log.html", log=lines)


@pages.get("/{number:int}/row", role=Role.VIEWER)
def row(visit: Visit, number: int) -> Response:
    """The row of a run in the list."""
    return visit.fragment("runs/row.html", run=_details(visit, number).line, now=datetime.now(UTC))


@pages.events("/{number:int}/events", role=Role.VIEWER)
async def events_of_run(
    visit: Visit, number: int, last_event_id: _Cursor = None, after: str | None = None
) -> AsyncIterator[Any]:
    """Changes of one run."""
    async for event in _stream(visit, last_event_id or after, number):
        yield event


@pages.post("/{number:int}/cancel", role=Role.MAINTAINER, act="run.cancel")
def cancel_run(visit: Visit, number: int) -> Response:
    """Cancel a run."""
    if cancel(visit.home, number) is RunState.CANCELLED:
        message = visit.say("Run %(run)s is cancelled. What it has done stays, and it can be resumed.", run=number)
    else:
        message = visit.say("Run %(run)s will stop when it next saves its work.", run=number)
    return visit.done(f"/runs/{number}", message)


@pages.post("/{number:int}/resume", role=Role.MAINTAINER, act="run.resume")
def resume_run(visit: Visit, number: int) -> Response:
    """Continue a run with its unfinished and its parked shards."""
    # The module knows every stage, which takes a while to load.
    from saring.workers.asking import resume

    count = resume(visit.home, number)
    visit.note(shards=count)
    message = visit.say("Run %(run)s goes on. Shards to do: %(count)s.", run=number, count=count)
    return visit.done(f"/runs/{number}", message)


def _details(visit: Visit, number: int) -> RunDetails:
    with open_session(visit.home.engine) as session:
        return run_details(session, number)


def _shown(details: RunDetails) -> dict[str, Any]:
    run = details.run
    return {
        "details": details,
        "run": details.line,
        "params": flat_record(run.params),
        "counts": flat_record(run.counts) if run.result is None else [],
        "result": flat_record(run.result or {}),
        "now": datetime.now(UTC),
        "can_start": run.stage in STARTABLE,
    }


async def _stream(visit: Visit, cursor: str | None, number: int | None) -> AsyncIterator[ServerSentEvent]:
    """Changes of runs as events, for some minutes."""
    yield ServerSentEvent(event="hello", data={}, retry=_RETRY)
    feed = visit.web.runs.follow(cursor, run=number, seconds=_STREAM_SECONDS)
    try:
        async for event in feed:
            data = event.run.values() if event.run is not None else {}
            yield ServerSentEvent(event=event.kind, data=data, id=event.cursor)
    finally:
        await feed.aclose()
