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
        Literal["mixture", "robust-z", "quantile"],
        typer.Option(help="How to choose the cut: labels with a lower similarity are rejected."),
    ] = "mixture",
    quantile: Annotated[float, typer.Option(help="For quantile: the share of labels to reject.")] = 0.10,
    z: Annotated[float, typer.Option(help="For robust-z: robust standard deviations below the median.")] = 2.5,
    anchors: Annotated[
        bool, typer.Option("--anchors/--no-anchors", help="Use the taxonomy's exemplars for the prototypes too.")
    ] = False,
    sentiment: Annotated[
        bool, typer.Option("--sentiment/--no-sentiment", help="Apply the taxonomy's sentiment rules too.")
    ] = True,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a page with the rejected labels to this folder.")
    ] = None,
    on_workers: output.AsyncFlag = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Reject machine labels that are far from their label's prototypes or break its sentiment rule.

    Nothing is deleted. Judgements of people and data sets are never rejected. A random sample of the rejected labels
    is queued for people.

    Example: saring filter --report out/
    """
    with output.progress_bar() as progress:
        filtered = output.home().filter(
            label,
            cut=Cut(method=method, quantile=quantile, z=z),
            anchored=anchors,
            sentiment=sentiment,
            report=report,
            executor=output.executor(on_workers),
            progress=progress,
        )
    result = {
        "centroid": asdict(filtered.centroid),
        "sentiment": asdict(filtered.sentiment) if filtered.sentiment is not None else None,
        "report": filtered.page,
    }
    output.emit(result, as_json=as_json, say=lambda _: _say(filtered.centroid, filtered.sentiment, filtered.page))


def _say(centroid: FilterReport, sentiment: SentimentReport | None, page: Path | None) -> None:
    table = Table(box=None, title="by distance from the label's prototypes", title_justify="left")
    table.add_column("label")
    for column in ("kept", "rejected", "queued", "prototypes", "cut"):
        table.add_column(column, justify="right")
    table.add_column("why")
    for row in centroid.labels:
        if row.skipped is not None:
            table.add_row(row.label, "-", "-", "-", "-", "-", f"not filtered: {row.skipped}")
        else:
            cut = f"{row.cut:.3f}" if row.cut is not None else "-"
            counts = (row.kept, row.dropped, row.in_review, row.prototypes)
            table.add_row(row.label, *map(str, counts), cut, row.reason)
    out = output.out(least_width=130)
    out.print(table)
    if sentiment is not None:
        table = Table(box=None, title=f"by sentiment ({sentiment.model})", title_justify="left")
        table.add_column("label")
        for column in ("kept", "rejected", "queued"):
            table.add_column(column, justify="right")
        table.add_column("allowed")
        for rule in sentiment.labels:
            table.add_row(rule.label, str(rule.kept), str(rule.dropped), str(rule.in_review), " or ".join(rule.allowed))
        out.print(table)
    if page is not None:
        out.print(f"page: {page}", markup=False, soft_wrap=True)
