"""The command that runs every stage."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.errors import UsageError
from saring.actions.whole_run import StageSummary, run_everything
from saring.cli import output
from saring.cli.options import Limit


def run_command(
    paths: Annotated[list[str] | None, typer.Argument(metavar="[PATH]...", help="Files to ingest first.")] = None,
    source: Annotated[str | None, typer.Option("--source", help="What to call where they come from.")] = None,
    limit: Limit = None,
    report: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the filter's page goes.")] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Run every stage once, in order: ingest, embed, judge, filter, pseudo-label, train.

    What is done already is not done again, so the same command goes on after Ctrl-C or a crash.

    Example: saring run posts.jsonl.gz --source forum-2026 --limit 10000
    """
    if paths and source is None:
        raise UsageError("say with --source what to call where the files come from")
    ctx = output.home()
    with output.progress_bar() as progress:
        done = run_everything(
            ctx, paths or [], source, limit=limit, report_dir=report or ctx.settings.reports_dir, progress=progress
        )
    output.emit({"stages": [asdict(one) for one in done]}, as_json=as_json, say=lambda _: say_stages(done))


def say_stages(done: list[StageSummary]) -> None:
    """The closing table of a run."""
    table = Table(box=None, title="what each stage did", title_justify="left")
    for column in ("stage", "in", "out", "set aside"):
        table.add_column(column, overflow="fold")
    table.add_column("seconds", justify="right")
    for one in done:
        table.add_row(one.stage, *(escape(cell) for cell in (one.taken, one.given, one.aside)), f"{one.seconds:.1f}")
    output.out(least_width=130).print(table)
