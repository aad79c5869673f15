"""The command of the filters, and those of their cuts and precision."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.filters.centroid import FilterReport
from pipeline.filters.cuts import Cut
from pipeline.filters.names import By
from pipeline.filters.sentiment import SentimentReport
from saring.cli import output
from saring.cli.lazy import LazyGroup
from saring.cli.options import LabelOption


class _Filter(LazyGroup):
    """The commands of cuts need nothing of what filters."""

    later = MappingProxyType(
        {
            "cut": "saring.cli.filter_cuts:cut_command",
            "cuts": "saring.cli.filter_cuts:cuts_command",
            "precision": "saring.cli.filter_cuts:precision_command",
        }
    )


filter_app = typer.Typer(
    cls=_Filter,
    add_completion=False,
    help="""Reject machine labels that a text's neighbours do not have, or that break the label's sentiment rule.

    Nothing is deleted. Judgements of people and data sets are never rejected. A random sample of the rejected labels
    is queued for people. A cut that was set by hand takes the place of the computed one.

    Example: saring filter --report out/
    """,
    invoke_without_command=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@filter_app.callback()
def filter_command(
    context: typer.Context,
    label: LabelOption = None,
    method: Annotated[
        Literal["mixture", "robust-z", "quantile"],
        typer.Option(help="The method that chooses the cut: labels with a lower score are rejected."),
    ] = "mixture",
    by: Annotated[
        Literal["similarity", "neighbours"] | None,
        typer.Option(
            help="The score: the labels of a text's neighbours, or similarity to the label's nearest centre. Default: "
            "SARING_FILTER_BY, else neighbours, unless cuts were set by hand on similarities."
        ),
    ] = None,
    quantile: Annotated[float, typer.Option(help="For quantile: the share of labels to reject.")] = 0.10,
    z: Annotated[float, typer.Option(help="For robust-z: robust standard deviations below the median.")] = 2.5,
    anchors: Annotated[
        bool,
        typer.Option(
            "--anchors/--no-anchors", help="For --by similarity: use the taxonomy's exemplars for the prototypes too."
        ),
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
    """Run the filters, unless a subcommand follows."""
    if context.invoked_subcommand is not None:
        return
    with output.progress_bar() as progress:
        filtered = output.home().filter(
            label,
            cut=Cut(method=method, quantile=quantile, z=z),
            anchored=anchors,
            by=by,
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


#: of the table, by the score
_TITLES: dict[By, str] = {
    "similarity": "by distance from the label's prototypes",
    "neighbours": "by the labels of a text's neighbours",
}


def _say(centroid: FilterReport, sentiment: SentimentReport | None, page: Path | None) -> None:
    table = Table(box=None, title=_TITLES[centroid.by], title_justify="left")
    table.add_column("label")
    # neighbours have no centres
    centres = ("prototypes",) if centroid.by == "similarity" else ()
    columns = ("kept", "rejected", "queued", *centres, "cut")
    for column in columns:
        table.add_column(column, justify="right")
    table.add_column("why")
    for row in centroid.labels:
        if row.skipped is not None:
            table.add_row(row.label, *["-"] * len(columns), f"not filtered: {row.skipped}")
        else:
            cut = f"{row.cut:.3f}" if row.cut is not None else "-"
            counts = (row.kept, row.dropped, row.in_review, *([row.prototypes] if centres else []))
            table.add_row(row.label, *map(str, counts), cut, escape(row.reason))
    out = output.out(least_width=130)
    out.print(table)
    if sentiment is not None:
        table = Table(box=None, title=f"by sentiment ({sentiment.model})", title_justify="left")
        table.add_column("label")
        for column in ("kept", "rejected", "queued", "cut"):
            table.add_column(column, justify="right")
        table.add_column("allowed")
        for rule in sentiment.labels:
            allowed = " or ".join(rule.allowed) + (f"; {rule.by_hand}" if rule.by_hand else "")
            numbers = (str(rule.kept), str(rule.dropped), str(rule.in_review), f"{rule.cut:.3f}")
            table.add_row(rule.label, *numbers, escape(allowed))
        out.print(table)
    if page is not None:
        out.print(f"page: {page}", markup=False, soft_wrap=True)
