"""The commands of runs: list, follow, cancel and resume them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import typer
from rich.markup import escape
from rich.table import Table
from sqlalchemy import select

from pipeline import store
from pipeline.models.purposes import shown_purpose
from pipeline.plural import counted
from pipeline.runs.book import cancel_run
from pipeline.runs.watch import RunStatus, follow, status
from pipeline.store.session import open_session
from pipeline.store.tables.core import RunState
from pipeline.store.tables.work import ShardState
from saring.cli import output
from saring.cli.runs_page import PULL, PullsBetween, page_lines, pulls_between

runs_app = typer.Typer(
    add_completion=False,
    help="List runs, and follow, cancel or resume one. A run is one execution of a stage.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_RunId = Annotated[int, typer.Argument(metavar="RUN", help="The run's number, from `saring runs list`.")]
_COLOURS = {"running": "yellow", "done": "green", "failed": "red", "cancelled": "dim"}


@runs_app.command("list")
def list_command(
    stage: Annotated[str | None, typer.Option(help="Show only runs of this stage.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The number of runs to show, newest first.")] = 20,
    as_json: output.JsonFlag = False,
) -> None:
    """Show the newest runs. Pulls that ended well are summed up, unless --stage pull asks for them.

    Example: saring runs list --stage train
    """
    ctx = output.home()
    r = store.Run
    query = select(r.id).order_by(r.id.desc())
    with open_session(ctx.engine) as session:
        if as_json or stage is not None:
            # every run, as programs expect it
            ids = session.scalars((query if stage is None else query.where(r.stage == stage)).limit(limit)).all()
            runs = [status(session, run_id) for run_id in ids]
            pulls: list[PullsBetween] = []
        else:
            calm = (r.stage == PULL) & (r.state == RunState.DONE)
            ids = session.scalars(query.where(~calm).limit(limit)).all()
            runs = [status(session, run_id) for run_id in ids]
            pulls = pulls_between(session, ids, limit=limit)
    output.emit({"runs": [asdict(run) for run in runs]}, as_json=as_json, say=lambda _: _say_runs(runs, pulls))


@runs_app.command("show")
def show_command(run: _RunId, as_json: output.JsonFlag = False) -> None:
    """Show a run on a page: its parameters, counts and result, and the shards that were parked after repeated failures.

    --json has every value.

    Example: saring runs show 12
    """
    ctx = output.home()
    s = store.Shard
    with open_session(ctx.engine) as session:
        run_status = status(session, run)
        parked = session.execute(
            select(s.number, s.worker, s.error).where(s.run_id == run, s.state == ShardState.PARKED).order_by(s.number)
        ).all()
    result = asdict(run_status) | {"parked": [{"shard": n, "worker": w, "error": e} for n, w, e in parked]}
    output.emit(result, as_json=as_json, say=_say_run)


@runs_app.command("watch")
def watch_command(run: _RunId, as_json: output.JsonFlag = False) -> None:
    """Follow a run to its end. With --json, print one object per line at each change.

    Example: saring runs watch 12
    """
    ctx = output.home()
    if as_json:
        for run_status in follow(ctx.engine, run):
            typer.echo(orjson.dumps(asdict(run_status), default=str).decode())
        return
    from saring.workers.executor import Workers

    with output.progress_bar() as progress:
        Workers(output.warn).wait(ctx, run, progress)
    with open_session(ctx.engine) as session:
        _say_runs([status(session, run)], [])


@runs_app.command("cancel")
def cancel_command(run: _RunId, as_json: output.JsonFlag = False) -> None:
    """Cancel a run. Finished work stays, and the run can be resumed.

    Example: saring runs cancel 12
    """
    state = cancel_run(output.home().engine, run)
    output.emit({"run": run, "state": str(state)}, as_json=as_json, say=_say_cancelled)


@runs_app.command("resume")
def resume_command(
    run: _RunId,
    wait_for_it: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the run to its end.")] = True,
    as_json: output.JsonFlag = False,
) -> None:
    """Continue a run on workers: its unfinished and its parked shards are sent again.

    Example: saring runs resume 12
    """
    from saring.workers.executor import Workers

    workers, ctx = Workers(output.warn), output.home()
    sent = workers.resume(ctx, run)
    result: dict[str, Any] = {"run": run, "shards": sent}
    if wait_for_it:
        with output.progress_bar() as progress:
            result["result"] = workers.wait(ctx, run, progress)
    output.emit(
        result,
        as_json=as_json,
        say=lambda _: output.out().print(
            f"run {run}: {counted(sent, 'shard')} sent{' and finished' if wait_for_it else ''}"
        ),
    )


@runs_app.command("logs")
def logs_command(
    run: _RunId,
    shard: Annotated[int | None, typer.Option(min=0, help="Show only this shard.")] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Show the log of a run on workers, from all machines.

    Example: saring runs logs 12
    """
    ctx = output.home()
    log = store.RunLog
    query = select(log).where(log.run_id == run).order_by(log.at, log.id)
    with open_session(ctx.engine) as session:
        run_status = status(session, run)
        rows = session.scalars(query if shard is None else query.where(log.shard == shard)).all()
    lines = [
        {"at": row.at, "level": row.level, "shard": row.shard, "worker": row.worker, "message": row.message}
        for row in rows
    ]

    def say(_: dict[str, Any]) -> None:
        for line in lines:
            where = f"shard {line['shard']}" if line["shard"] is not None else "run"
            output.out().print(
                f"{line['at']:%Y-%m-%d %H:%M:%S} {line['level']:7} {line['worker']} {where}: {line['message']}",
                markup=False,
                soft_wrap=True,
            )
        if not lines:
            reason = "" if run_status.on_workers else ": it did not run on workers, so its log was not stored"
            output.out().print(f"run {run} has no log{reason}", markup=False, soft_wrap=True)

    output.emit({"run": run, "lines": lines}, as_json=as_json, say=say)


def _say_runs(runs: list[RunStatus], pulls: list[PullsBetween]) -> None:
    if not runs and not pulls:
        output.out().print("There are no runs yet.")
        return
    table = Table(box=None)
    for column in ("run", "stage", "of", "state", "progress", "shards", "started", "duration", "note"):
        table.add_column(column, overflow="fold")
    rows = [(run.id, _row_of(run)) for run in runs] + [(group.last, _row_of_pulls(group)) for group in pulls]
    for _, row in sorted(rows, key=lambda pair: -pair[0]):
        table.add_row(*row)
    output.out(least_width=130).print(table)


def _row_of(run: RunStatus) -> tuple[str, ...]:
    return (
        str(run.id),
        run.stage,
        _slice(run.stage, run.slice),
        f"[{_COLOURS[run.state]}]{run.state}[/]",
        _progress(run),
        ", ".join(f"{count:,} {state}" for state, count in run.shards.items()),
        _time(run.started_at),
        _duration(run),
        escape(run.error or ""),
    )


def _row_of_pulls(group: PullsBetween) -> tuple[str, ...]:
    which = str(group.last) if group.count == 1 else f"{group.first}-{group.last}"
    note = f"{counted(group.count, 'pull')} since {_time(group.since)}"
    return (which, PULL, "", f"[{_COLOURS['done']}]done[/]", "", "", _time(group.until), "", note)


def _slice(stage: str, slice_: str) -> str:
    """The part that a run worked on; of a training it is the purpose."""
    return shown_purpose(slice_) if stage == "train" else slice_


def _time(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def _progress(run: RunStatus) -> str:
    if run.total:
        return f"{run.done:,} of {run.total:,}"
    return f"{run.done:,}" if run.done else ""


def _duration(run: RunStatus) -> str:
    seconds = ((run.finished_at or datetime.now(UTC)) - run.started_at).total_seconds()
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _say_run(result: dict[str, Any]) -> None:
    out = output.out()
    where = "on workers" if result["on_workers"] else "in one process"
    of = f" of {_slice(result['stage'], result['slice'])}" if result["slice"] else ""
    out.print(f"run {result['id']}: {result['stage']}{of}, {where}, {result['state']}", markup=False)
    ended = f", ended {_time(result['finished_at'])}" if result["finished_at"] else ""
    out.print(f"started {_time(result['started_at'])}{ended}", markup=False)
    for name, title in (("params", "asked for"), ("counts", "counts"), ("result", "result")):
        if result[name]:
            out.print(f"{title}:", markup=False)
            for line in page_lines(result[name]):
                out.print(f"  {line}", markup=False, soft_wrap=True)
    if result["error"]:
        out.print(result["error"], markup=False, soft_wrap=True, style="red")
    for shard in result["parked"]:
        line = f"shard {shard['shard']} was parked ({shard['worker']}): {shard['error']}"
        out.print(line, markup=False, soft_wrap=True)
    out.print("every value: add --json", markup=False)


def _say_cancelled(result: dict[str, Any]) -> None:
    outcomes = {
        RunState.CANCELLED: "is cancelled; `saring runs resume` continues it",
        RunState.RUNNING: "will stop when it next saves its work",
    }
    output.out().print(f"run {result['run']} {outcomes.get(RunState(result['state']), 'has already ended')}")
