"""`saring filter`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from pipeline.filters.centroid import FilterReport
from pipeline.filters.cuts import Cut
from pipeline.filters.sentiment import SentimentReport
from saring.cli import output
from saring.cli.options import LabelOption


def filter_command(
    label: LabelOption = None,
    method: Annotated[
        Literal["mixture", "robust-z", "quantile"], typer.Option(help="How the cut is chosen from the similarities.")
    ] = "mixture",
    quantile: Annotated[float, typer.Option(help="For quantile: the share that is dropped.")] = 0.10,
    z: Annotated[float, typer.Option(help="For robust-z: robust standard deviations below the median.")] = 2.5,
    anchors: Annotated[
        bool, typer.Option("--anchors/--no-anchors", help="Let the taxonomy's exemplars speak for the centres too.")
    ] = False,
    sentiment: Annotated[
        bool, typer.Option("--sentiment/--no-sentiment", help="Apply the taxonomy's sentiment rules too.")
    ] = True,
    report: Annotated[Path | None, typer.Option(metavar="DIR", help="Write a page that shows what was cut.")] = None,
    on_workers: output.AsyncFlag = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Demote machine labels that lie far from their label's centre or break its sentiment rule.

    Nothing is deleted, what people or data sets said is never touched, and a random sample of what was dropped is set
    aside for people.

    Example: saring filter --report out/
    """
    with output.progress_bar() as progress:
        done = output.home().filter(
            label,
            cut=Cut(method=method, quantile=quantile, z=z),
            anchored=anchors,
            sentiment=sentiment,
            report=report,
            executor=output.executor(on_workers),
            progress=progress,
        )
    result = {
        "centroid": asdict(done.centroid),
        "sentiment": asdict(done.sentiment) if done.sentiment is not None else None,
        "report": done.page,
    }
    output.emit(result, as_json=as_json, say=lambda _: _say(done.centroid, done.sentiment, done.page))


def _say(done: FilterReport, mood: SentimentReport | None, page: Path | None) -> None:
    table = Table(box=None, title="by distance from the label's centre", title_justify="left")
    table.add_column("label")
    for column in ("kept", "dropped", "to people", "centres", "cut"):
        table.add_column(column, justify="right")
    table.add_column("why")
    for one in done.labels:
        if one.skipped is not None:
            table.add_row(one.label, "-", "-", "-", "-", "-", f"not filtered: {one.skipped}")
        else:
            shown = f"{one.cut:.3f}" if one.cut is not None else "-"
            counts = (one.kept, one.dropped, one.in_review, one.prototypes)
            table.add_row(one.label, *map(str, counts), shown, one.reason)
    out = output.out(least_width=130)
    out.print(table)
    if mood is not None:
        table = Table(box=None, title=f"by sentiment ({mood.model})", title_justify="left")
        table.add_column("label")
        for column in ("kept", "dropped", "to people"):
            table.add_column(column, justify="right")
        table.add_column("allowed")
        for rule in mood.labels:
            table.add_row(rule.label, str(rule.kept), str(rule.dropped), str(rule.in_review), " or ".join(rule.allowed))
        out.print(table)
    if page is not None:
        out.print(f"the page: {page}", markup=False, soft_wrap=True)
