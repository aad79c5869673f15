"""The commands of runs: what was and is being done, and how to follow, end, or go on with it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import typer
from rich.table import Table
from sqlalchemy import select

from pipeline import store
from pipeline.runs.book import cancel_run
from pipeline.runs.watch import RunStatus, follow, status
from pipeline.store.session import open_session
from pipeline.store.tables.core import RunState
from pipeline.store.tables.work import ShardState
from saring.cli import output

runs_app = typer.Typer(
    add_completion=False,
    help="See what was and is being done; follow, cancel or resume it.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_RunId = Annotated[int, typer.Argument(metavar="RUN", help="Its number, as `saring runs list` gives it.")]
_COLOURS = {"running": "yellow", "done": "green", "failed": "red", "cancelled": "dim"}


@runs_app.command("list")
def list_command(
    stage: Annotated[str | None, typer.Option(help="Only of this stage.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many, the newest.")] = 20,
    as_json: output.JsonFlag = False,
) -> None:
    """Show the newest runs.

    Example: saring runs list --stage train
    """
    ctx = output.home()
    r = store.Run
    query = select(r.id).order_by(r.id.desc()).limit(limit)
    with open_session(ctx.engine) as session:
        ids = session.scalars(query if stage is None else query.where(r.stage == stage)).all()
        found = [status(session, run_id) for run_id in ids]
    output.emit({"runs": [asdict(one) for one in found]}, as_json=as_json, say=lambda _: _say_runs(found))


@runs_app.command("show")
def show_command(run: _RunId, as_json: output.JsonFlag = False) -> None:
    """Show a run: its parameters, how far it is, what came of it, and what was parked.

    Example: saring runs show 12
    """
    ctx = output.home()
    s = store.Shard
    with open_session(ctx.engine) as session:
        found = status(session, run)
        parked = session.execute(
            select(s.number, s.worker, s.error).where(s.run_id == run, s.state == ShardState.PARKED).order_by(s.number)
        ).all()
    result = asdict(found) | {"parked": [{"shard": n, "worker": w, "error": e} for n, w, e in parked]}
    output.emit(result, as_json=as_json, say=_say_run)


@runs_app.command("watch")
def watch_command(run: _RunId, as_json: output.JsonFlag = False) -> None:
    """Follow a run to its end. With --json, one object a line, at each change.

    Example: saring runs watch 12
    """
    ctx = output.home()
    if as_json:
        for one in follow(ctx.engine, run):
            typer.echo(orjson.dumps(asdict(one), default=str).decode())
        return
    from saring.workers.executor import Workers

    with output.progress_bar() as progress:
        Workers(output.warn).wait(ctx, run, progress)
    with open_session(ctx.engine) as session:
        _say_runs([status(session, run)])


@runs_app.command("cancel")
def cancel_command(run: _RunId, as_json: output.JsonFlag = False) -> None:
    """End a run. What it has done stays; it can be resumed.

    Example: saring runs cancel 12
    """
    state = cancel_run(output.home().engine, run)
    output.emit({"run": run, "state": str(state)}, as_json=as_json, say=_say_cancelled)


@runs_app.command("resume")
def resume_command(
    run: _RunId,
    wait_for_it: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow it to its end.")] = True,
    as_json: output.JsonFlag = False,
) -> None:
    """Let a run on workers go on: what was not done, and what was parked.

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
        say=lambda _: output.out().print(f"run {run}: {sent:,} shards sent{' and done' if wait_for_it else ''}"),
    )


@runs_app.command("logs")
def logs_command(
    run: _RunId,
    shard: Annotated[int | None, typer.Option(min=0, help="Only of this shard.")] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Show what was logged while a run was at work, on whichever machine.

    Example: saring runs logs 12
    """
    ctx = output.home()
    one = store.RunLog
    query = select(one).where(one.run_id == run).order_by(one.at, one.id)
    with open_session(ctx.engine) as session:
        found_run = status(session, run)
        rows = session.scalars(query if shard is None else query.where(one.shard == shard)).all()
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
            mine = "" if found_run.on_workers else ": only runs on workers keep what they say"
            output.out().print(f"run {run} logged nothing{mine}", markup=False)

    output.emit({"run": run, "lines": lines}, as_json=as_json, say=say)


def _say_runs(found: list[RunStatus]) -> None:
    if not found:
        output.out().print("there are no runs yet")
        return
    table = Table(box=None)
    for column in ("run", "stage", "of", "state", "progress", "shards", "began", "took", "note"):
        table.add_column(column, overflow="fold")
    for one in found:
        table.add_row(
            str(one.id),
            one.stage,
            one.slice,
            f"[{_COLOURS[one.state]}]{one.state}[/]",
            _progress(one),
            ", ".join(f"{count:,} {state}" for state, count in one.shards.items()),
            f"{one.started_at.astimezone():%Y-%m-%d %H:%M:%S}",
            _took(one),
            one.error or "",
        )
    output.out(least_width=130).print(table)


def _progress(one: RunStatus) -> str:
    if one.total:
        return f"{one.done:,} of {one.total:,}"
    return f"{one.done:,}" if one.done else ""


def _took(one: RunStatus) -> str:
    seconds = ((one.finished_at or datetime.now(UTC)) - one.started_at).total_seconds()
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _say_run(result: dict[str, Any]) -> None:
    out = output.out()
    where = "on workers" if result["on_workers"] else "in one process"
    of = f" of {result['slice']}" if result["slice"] else ""
    out.print(f"run {result['id']}: {result['stage']}{of}, {where}, {result['state']}", markup=False)
    for name in ("params", "counts", "result"):
        if result[name]:
            out.print(f"{name}:", markup=False)
            out.print_json(orjson.dumps(result[name], default=str).decode())
    if result["error"]:
        out.print(result["error"], markup=False, soft_wrap=True, style="red")
    for one in result["parked"]:
        out.print(f"shard {one['shard']} was parked ({one['worker']}): {one['error']}", markup=False, soft_wrap=True)


def _say_cancelled(result: dict[str, Any]) -> None:
    words = {
        RunState.CANCELLED: "is cancelled; `saring runs resume` goes on from there",
        RunState.RUNNING: "is asked to stop, which it does when it next saves",
    }
    output.out().print(f"run {result['run']} {words.get(RunState(result['state']), 'is over already')}")
