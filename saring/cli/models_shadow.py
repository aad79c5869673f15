"""`saring models shadow`: a challenger that scores live traffic beside the champion."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.plural import counted
from saring.actions.shadow import set_shadow, shadow_reports, shadow_since
from saring.cli import output


def shadow_command(
    version: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="The challenger; unset: only show the counts.")
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Let no challenger score any more.")] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Let a challenger score what applications ask, beside the champion, and show where they differ.

    Applications get the champion's verdicts only. No text is kept.

    Example: saring models shadow sfw-linear-20261129-1a2b3c4d
    """
    ctx = output.home()
    if off or version is not None:
        set_shadow(ctx, None if off else version)
    now = shadow_since(ctx)
    result = {
        "challenger": None if now is None else {"version": now[0], "since": now[1]},
        "reports": [report.to_dict() for report in shadow_reports(ctx)],
    }
    output.emit(result, as_json=as_json, say=_say)


def _say(result: dict[str, Any]) -> None:
    challenger = result["challenger"]
    line = f"{challenger['version']} scores in the shadow" if challenger else "no challenger scores in the shadow"
    output.out().print(line, markup=False, soft_wrap=True)
    for report in result["reports"]:
        say_differences(report)


def say_differences(report: dict[str, Any]) -> None:
    """Print what two models say of the same live texts, label by label."""
    title = f"{report['challenger']} beside {report['champion']}: {counted(report['texts'], 'text')}"
    if report["left_out"]:
        title += f", {report['left_out']:,} left out for want of time"
    table = Table(box=None, title=escape(title), title_justify="left")
    for column in ("label", "both", "champion only", "challenger only"):
        table.add_column(column, justify="left" if column == "label" else "right")
    for label, counts in report["labels"].items():
        numbers = (counts["both"], counts["champion_only"], counts["challenger_only"])
        table.add_row(escape(label), *(f"{number:,}" for number in numbers))
    output.out().print(table)
