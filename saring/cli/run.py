"""The commands that do it all: run, demo."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.errors import UsageError
from saring.cli import common
from saring.cli.data import Limit
from saring.demo.show import DemoResult, run_demo
from saring.whole_run import StageSummary, run_everything


def run_command(
    paths: Annotated[list[str] | None, typer.Argument(metavar="[PATH]...", help="Files to ingest first.")] = None,
    source: Annotated[str | None, typer.Option("--source", help="What to call where they come from.")] = None,
    limit: Limit = None,
    report: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the filter's page goes.")] = None,
    as_json: common.JsonFlag = False,
) -> None:
    """Run every stage once, in order: ingest, embed, judge, filter, pseudo-label, train.

    What is done already is not done again, so the same command goes on after Ctrl-C or a crash.

    Example: saring run posts.jsonl.gz --source forum-2026 --limit 10000
    """
    if paths and source is None:
        raise UsageError("say with --source what to call where the files come from")
    ctx = common.context()
    with common.progress_bar() as progress:
        done = run_everything(
            ctx, paths or [], source, limit=limit, report_dir=report or ctx.settings.reports_dir, progress=progress
        )
    common.emit({"stages": [asdict(one) for one in done]}, as_json=as_json, say=lambda _: say_stages(done))


def demo_command(
    home: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the demo lives. Default: a demo folder in the home.")
    ] = None,
    as_json: common.JsonFlag = False,
) -> None:
    """Run the whole pipeline on the demo corpus, and show what each stage caught of what was planted.

    The corpus was written for the project. Repeats, near-duplicates, other languages, broken rows and wrong labels are
    planted in it, so that what the stages catch can be counted. Your own store is not touched.

    Example: saring demo
    """
    settings = common.context().settings
    with common.progress_bar() as progress:
        result = run_demo(settings, home or settings.home / "demo", progress)
    common.emit(asdict(result), as_json=as_json, say=lambda _: _say_demo(result))


def say_stages(done: list[StageSummary]) -> None:
    """The closing table of a run."""
    table = Table(box=None, title="what each stage did", title_justify="left")
    for column in ("stage", "in", "out", "set aside"):
        table.add_column(column, overflow="fold")
    table.add_column("seconds", justify="right")
    for one in done:
        table.add_row(one.stage, *(escape(cell) for cell in (one.taken, one.given, one.aside)), f"{one.seconds:.1f}")
    common.out(least_width=130).print(table)


def _say_demo(result: DemoResult) -> None:
    out = common.out(least_width=130)
    say_stages(result.stages)
    table = Table(box=None, title="\nwhat was planted, and what became of it", title_justify="left")
    table.add_column("planted")
    table.add_column("how many", justify="right")
    table.add_column("caught", justify="right")
    table.add_column("by")
    for row in result.caught:
        table.add_row(row.planted, f"{row.total:,}", f"{row.caught:,} ({row.caught / max(1, row.total):.0%})", row.by)
    out.print(table)
    wrong = result.filters
    out.print(
        f"\nOf {wrong['right']:,} right labels the filters demoted {wrong['right_demoted']:,} "
        f"({wrong['right_demoted'] / max(1, wrong['right']):.1%}); "
        f"labels wrong before the filters {wrong['wrong_before']:.1%}, after {wrong['wrong_after']:.1%}."
    )
    _say_paths(result.paths)
    out.print(
        f"\nThe demo's database keeps running; `SARING_HOME={result.paths['home']} saring down` stops it.",
        markup=False,
        soft_wrap=True,
    )


def _say_paths(paths: dict[str, Any]) -> None:
    out = common.out()
    out.print()
    for what, path in paths.items():
        out.print(f"{what}: {path}", markup=False, soft_wrap=True)
