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
    source: Annotated[str | None, typer.Option("--source", help="A name for the source of the files.")] = None,
    limit: Limit = None,
    report: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the filter's page to this folder.")] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Run every stage once, in order: ingest, embed, judge, filter, pseudo-label, train.

    Finished work is not done again: after Ctrl-C or a crash, the same command continues.

    Example: saring run posts.jsonl.gz --source forum-2026 --limit 10000
    """
    if paths and source is None:
        raise UsageError("the files need a name for their source: add --source NAME")
    ctx = output.home()
    with output.progress_bar() as progress:
        stages = run_everything(
            ctx, paths or [], source, limit=limit, report_dir=report or ctx.settings.reports_dir, progress=progress
        )
    output.emit({"stages": [asdict(stage) for stage in stages]}, as_json=as_json, say=lambda _: say_stages(stages))


def say_stages(stages: list[StageSummary]) -> None:
    """Print the table of the stages of a run."""
    table = Table(box=None, title="stages", title_justify="left")
    for column in ("stage", "in", "out", "notes"):
        table.add_column(column, overflow="fold")
    table.add_column("seconds", justify="right")
    for stage in stages:
        cells = (escape(cell) for cell in (stage.taken, stage.given, stage.aside))
        table.add_row(stage.stage, *cells, f"{stage.seconds:.1f}")
    output.out(least_width=130).print(table)
