"""The command of the schedule."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import typer
from rich.table import Table

from saring.cli import output
from saring.services import ensure_broker
from saring.workers.app import make_app
from saring.workers.schedule import last_sent, regular_jobs

schedule_app = typer.Typer(add_completion=False, help="Show the times of the regular jobs.", no_args_is_help=True)


@schedule_app.callback()
def _group() -> None:
    """Show the times of the regular jobs."""


@schedule_app.command("show")
def show_command(as_json: output.JsonFlag = False) -> None:
    """Show the regular jobs, how often each is sent, and when it was last sent.

    The times are settings. A change in the settings file takes effect within a minute, without a restart.

    Example: saring schedule show
    """
    settings = output.home().settings
    app = make_app(ensure_broker(settings), settings=settings)
    sent = last_sent(app)
    jobs = [
        {
            "name": job.name,
            "every": job.every,
            "what": job.what,
            "last_sent_at": at.isoformat(timespec="seconds") if (at := (sent or {}).get(job.name)) else None,
        }
        for job in regular_jobs(settings)
    ]
    output.emit({"kept": sent is not None, "jobs": jobs}, as_json=as_json, say=_say)


def _say(result: dict[str, Any]) -> None:
    table = Table(box=None)
    for column in ("job", "sent", "last", "what it does"):
        table.add_column(column, overflow="fold")
    now = datetime.now(UTC)
    for job in result["jobs"]:
        every, last = job["every"], job["last_sent_at"]
        ago = f"{(now - datetime.fromisoformat(last)).total_seconds():.0f} s ago" if last else "never"
        table.add_row(
            job["name"],
            f"daily, {every} UTC" if isinstance(every, str) else f"every {every:g} s",
            ago,
            job["what"],
        )
    output.out(least_width=110).print(table)
    if not result["kept"]:
        output.out().print("The scheduler does not run, so no job is sent: start it with `saring up` or `saring beat`.")
