"""`saring drift`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from pipeline.drift.measure import RECENT, WEEKS, DriftConfig
from pipeline.measure.plain import plain
from pipeline.measure.shown import bracketed
from saring.cli import output

#: what an alarm is about, in words
_WORDS = {
    "training": "recent texts differ from those that the champion was trained on",
    "earlier": "recent texts differ from earlier ones",
    "label": "the share of texts with the label {name} changed",
    "score": "the mean score of {name} changed",
    "language": "the share of the language {name} changed",
}


def drift_command(
    weeks: Annotated[int, typer.Option(min=2, max=520, help="Look at so many weeks.")] = WEEKS,
    recent: Annotated[int, typer.Option(min=1, help="Compare the newest so many weeks with the rest.")] = RECENT,
    seed: Annotated[int | None, typer.Option(help="Seed of the random choices. Default: SARING_SEED.")] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Show whether recent texts are still like earlier ones, and like those that the champion was trained on.

    Labels and scores are the champion's, for a sample of each week. An alarm is a change that is more than chance and
    large enough to matter.

    Example: saring drift --recent 2
    """
    home = output.home()
    with output.progress_bar() as progress:
        report = home.drift(DriftConfig(weeks=weeks, recent=recent), seed=seed, progress=progress)
    output.emit(plain(report), as_json=as_json, say=_say)


def _say(result: dict[str, Any]) -> None:
    out = output.out(least_width=90)
    if not result["weeks"]:
        out.print("There are no texts yet: run `saring ingest`.", markup=False)
        return
    out.print(f"texts since {result['recent_since'][:10]}, compared with those before", markup=False)
    table = Table(box=None)
    for column in ("", "name"):
        table.add_column(column)
    for column in ("before", "now", "effect", "p-value"):
        table.add_column(column, justify="right")
    for kind, shifts in (("label", "labels"), ("score", "scores"), ("language", "languages")):
        for shift in result[shifts]:
            table.add_row(
                kind,
                shift["name"],
                f"{shift['before']:.3f}",
                f"{shift['now']:.3f}",
                "-" if shift["effect"] is None else f"{shift['effect']:+.2f}",
                "-" if shift["p_value"] is None else f"{shift['p_value']:.2g}",
            )
    out.print(table)
    if all(week["start"] >= result["recent_since"] for week in result["weeks"]):
        out.print("There are no earlier texts to compare with: everything is recent.", markup=False)
    for name, other in (("training", "the texts of the champion's training"), ("earlier", "earlier texts")):
        test = result[name]
        if test is None:
            out.print(f"recent texts and {other}: too few vectors to compare", markup=False)
            continue
        out.print(
            f"recent texts and {other}: a classifier tells them apart with accuracy "
            f"{bracketed(test['accuracy'])}, where 0.5 is chance (p-value {test['p_value']:.2g}, "
            f"{test['texts']:,} texts each)",
            markup=False,
            soft_wrap=True,
        )
    for alarm in result["alarms"]:
        out.print(f"alarm: {_WORDS[alarm['kind']].format(name=alarm['name'])}", markup=False, style="red")
    if not result["alarms"]:
        out.print("no alarm", markup=False)
