"""The command of the schedule."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import typer
from rich.table import Table

from saring.cli import output
from saring.services import ensure_broker
from saring.workers.app import make_app
from saring.workers.schedule import last_sent, planned

schedule_app = typer.Typer(add_completion=False, help="Show the times of the regular jobs.", no_args_is_help=True)


@schedule_app.callback()
def _group() -> None:
    """Show the times of the regular jobs."""


@schedule_app.command("show")
def show_command(as_json: output.JsonFlag = False) -> None:
    """Show the regular jobs, how often each is sent, when it was last sent, and when it is sent next.

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
            "last_sent_at": job.last_sent_at.isoformat(timespec="seconds") if job.last_sent_at else None,
            "next_at": job.next_at.isoformat(timespec="seconds") if job.next_at else None,
            "settings": dict(job.settings),
        }
        for job in planned(settings, sent, now=datetime.now(UTC))
    ]
    output.emit({"kept": sent is not None, "jobs": jobs}, as_json=as_json, say=_say)


def _ahead(at: str | None, now: datetime) -> str:
    """The time until a job is sent, in words."""
    if at is None:
        return "-"
    seconds = max(0.0, (datetime.fromisoformat(at) - now).total_seconds())
    return f"in {seconds:.0f} s" if seconds < 120 else f"in {seconds / 60:.0f} min"


def _say(result: dict[str, Any]) -> None:
    table = Table(box=None)
    for column in ("job", "sent", "last", "next", "what it does"):
        table.add_column(column, overflow="fold")
    now = datetime.now(UTC)
    for job in result["jobs"]:
        every, last = job["every"], job["last_sent_at"]
        ago = f"{(now - datetime.fromisoformat(last)).total_seconds():.0f} s ago" if last else "never"
        table.add_row(
            job["name"],
            f"daily, {every} UTC" if isinstance(every, str) else f"every {every:g} s",
            ago,
            _ahead(job["next_at"], now),
            job["what"],
        )
    output.out(least_width=110).print(table)
    if not result["kept"]:
        output.out().print("The scheduler does not run, so no job is sent: start it with `saring up` or `saring beat`.")
