"""The command that describes the labelled texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.explore.explore import explore
from pipeline.explore.page import write_page
from pipeline.plural import counted
from saring.cli import output


def explore_command(
    report: Annotated[Path | None, typer.Option(metavar="DIR", help="Write explore.html to this folder.")] = None,
    points: Annotated[int, typer.Option(min=0, help="Largest number of texts on the map.")] = 1_500,
    as_json: output.JsonFlag = False,
) -> None:
    """Show labels by tier and language, their words, lengths, duplicates, and a map of the texts.

    The page needs no network and no server. Its texts are masked, and blurred until you click.

    Example: saring explore --report out/
    """
    ctx = output.home()
    with output.progress_bar() as progress:
        overview = explore(
            ctx.engine,
            ctx.taxonomy,
            encoder=ctx.space,
            # The numbers alone need no map.
            points=points if report is not None else 0,
            seed=ctx.settings.seed,
            progress=progress,
        )
    page = write_page(overview, ctx.taxonomy, report) if report is not None else None
    output.emit(overview.to_dict() | {"report": page}, as_json=as_json, say=_say)


def _say(result: dict[str, Any]) -> None:
    out = output.out(least_width=100)
    out.print(f"{counted(result['texts'], 'text')}, {result['judged']:,} judged", markup=False)
    tiers, languages = ("gold", "silver", "pseudo"), list(result["languages"])[:4]
    table = Table(box=None)
    table.add_column("label")
    for column in ("yes", "no", "contested", *tiers, *languages):
        table.add_column(escape(column), justify="right")
    for key, counts in result["labels"].items():
        numbers = [counts["yes"], counts["no"], counts["contested"]]
        numbers += [counts["tiers"].get(tier, 0) for tier in tiers]
        numbers += [counts["languages"].get(language, 0) for language in languages]
        table.add_row(escape(key), *(f"{number:,}" for number in numbers))
    out.print(table)
    same = result["duplicates"]
    repeats, clusters = counted(same["repeats"], "near-duplicate"), counted(same["clusters"], "cluster")
    out.print(f"{repeats} in {clusters}", markup=False)
    if result["report"] is not None:
        out.print(f"page: {result['report']}", markup=False, soft_wrap=True)
