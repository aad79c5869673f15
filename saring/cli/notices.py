"""The commands of notices."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from pipeline.errors import NoticeError
from pipeline.notices.config import notices_config
from pipeline.notices.kinds import Kind
from saring.actions import notices
from saring.cli import output

notices_app = typer.Typer(add_completion=False, help="Show what was told to whom, and try it.", no_args_is_help=True)

KindOption = Annotated[Kind | None, typer.Option("--kind", help="Only of this kind.")]


@notices_app.command("list")
def list_command(
    kind: KindOption = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The number of notices to show, newest first.")] = 20,
    as_json: output.JsonFlag = False,
) -> None:
    """Show what happened that people should know, and what was sent of it through which channel.

    Example: saring notices list --kind run-failed
    """
    listed = notices.recent_notices(output.home(), kind=kind, limit=limit)
    output.emit({"notices": [asdict(notice) for notice in listed]}, as_json=as_json, say=_say_list)


@notices_app.command("test")
def test_command(
    kind: KindOption = None,
    channel: Annotated[str | None, typer.Option("--channel", help="Only this channel.")] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Send a test notice through the channels of notices.yaml, now. It fails if one of them does not take it.

    Example: saring notices test --kind disk-low
    """
    trials = notices.try_channels(output.home(), kind=kind, channel=channel)
    output.emit({"channels": [asdict(trial) for trial in trials]}, as_json=as_json, say=_say_trials)
    failed = [trial.channel for trial in trials if trial.error is not None]
    if failed:
        raise NoticeError(f"not sent through {', '.join(failed)}: correct notices.yaml, then try again")


@notices_app.command("send")
def send_command(as_json: output.JsonFlag = False) -> None:
    """Look for what people should know, and send what waits. The workers do this by themselves; without them, cron can.

    Example: saring notices send
    """
    home = output.home()
    notices_config(home.settings)
    new = notices.look(home)
    delivered = notices.deliver(home)
    result = {"new": new, "delivered": asdict(delivered) if delivered is not None else None}
    output.emit(result, as_json=as_json, say=_say_sent)


def _say_list(result: dict[str, Any]) -> None:
    if not result["notices"]:
        output.out().print("Nothing has happened that people should know.")
        return
    table = Table(box=None)
    for column in ("time (UTC)", "kind", "what happened", "sent"):
        table.add_column(column, overflow="fold")
    for notice in result["notices"]:
        sent = "; ".join(_in_words(delivery) for delivery in notice["deliveries"]) or "nowhere"
        table.add_row(f"{notice['at']:%Y-%m-%d %H:%M}", notice["kind"], notice["message"], sent)
    output.out(least_width=120).print(table)


def _in_words(delivery: dict[str, Any]) -> str:
    words = f"{delivery['channel']}: {delivery['state']}"
    return f"{words} ({delivery['error']})" if delivery["error"] else words


def _say_trials(result: dict[str, Any]) -> None:
    if not result["channels"]:
        output.out().print("Notices of this kind go to no channel.")
    for trial in result["channels"]:
        outcome = "taken" if trial["error"] is None else trial["error"]
        output.out().print(f"{trial['channel']} ({trial['type']}, {trial['place']}): {outcome}", markup=False)


def _say_sent(result: dict[str, Any]) -> None:
    delivered = result["delivered"]
    if delivered is None:
        output.out().print(f"{result['new']} new; another process sends them now.")
        return
    output.out().print(
        f"{result['new']} new, {delivered['sent']} sent, {delivered['held']} held back, {delivered['delayed']} to be "
        f"tried again, {delivered['failed']} failed"
    )
