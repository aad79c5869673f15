"""`saring filter cut`, `saring filter cuts` and `saring filter precision`."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.errors import UsageError
from pipeline.measure.shown import bracketed
from saring.cli import output

_Filter = Annotated[
    Literal["centroid", "sentiment"], typer.Option("--filter", help="The filter: centroid or sentiment.")
]
_Label = Annotated[str | None, typer.Option("--label", help="Only this label.")]


def cut_command(
    label: Annotated[str, typer.Argument(metavar="LABEL", help="Key or name of the label.")],
    why: Annotated[str, typer.Option(help="The reason, which is stored.")],
    to: Annotated[float | None, typer.Option(help="The cut: labels with a lower score are rejected.")] = None,
    computed: Annotated[bool, typer.Option("--computed", help="Take the cut back: the filter computes it.")] = False,
    name: _Filter = "centroid",
    as_json: output.JsonFlag = False,
) -> None:
    """Set the cut of a label by hand, or take it back. The next `saring filter` uses it.

    Example: saring filter cut hate --to 0.41 --why "the texts just below it are right"
    """
    if (to is None) != computed:
        raise UsageError("give --to NUMBER to set the cut, or --computed to take it back")
    filters = output.home().filters
    saved = filters.set_cut(label, to, reason=why, who=_user(), name=name)
    if to is None:
        line = f"The {name} filter computes the cut of {saved.label!r} again."
    else:
        at = filters.at_cut(label, to, name, limit=0)
        line = (
            f"The cut of {saved.label!r} is {to:g}: of the scores of the last run, {at.kept:,} are kept and "
            f"{at.dropped:,} rejected."
        )
    output.emit(
        asdict(saved),
        as_json=as_json,
        say=lambda _: output.out().print(f"{line} `saring filter` applies it.", markup=False, soft_wrap=True),
    )


def cuts_command(label: _Label = None, as_json: output.JsonFlag = False) -> None:
    """Show the cut of each label, and the cuts that people set, with their reasons.

    Example: saring filter cuts --label hate
    """
    ctx = output.home()
    # The name of a label is checked here.
    history = ctx.filters.cut_history(label)
    key = ctx.taxonomy.canonical(label) if label is not None else None
    labels = [
        {
            "filter": row.filter,
            "label": row.label,
            "cut": row.summary.cut if row.summary is not None else None,
            "kept": row.summary.kept if row.summary is not None else None,
            "dropped": row.summary.dropped if row.summary is not None else None,
            "by_hand": row.saved.cut if row.saved is not None else None,
            "of_another_space": row.saved is not None and not row.fits,
            "waits": row.waits,
        }
        for row in ctx.filters.labels()
        if key in (None, row.label)
    ]
    result = {"labels": labels, "history": [asdict(cut) for cut in history]}
    output.emit(result, as_json=as_json, say=_say_cuts)


def precision_command(as_json: output.JsonFlag = False) -> None:
    """Show how often each filter was right to reject each label, by people's judgements of the review sample.

    Example: saring filter precision
    """
    rows = [
        {"filter": name, "label": label} | asdict(precision)
        for (name, label), precision in output.home().filters.precision().items()
    ]
    output.emit({"precision": rows}, as_json=as_json, say=_say_precision)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # A container's user may have no name.
        return "unknown"


def _say_cuts(result: dict[str, Any]) -> None:
    out = output.out(least_width=110)
    if not result["labels"]:
        out.print("No label was filtered yet: `saring filter` does it.")
    else:
        table = Table(box=None)
        for column in ("filter", "label"):
            table.add_column(column)
        for column in ("cut", "kept", "rejected", "by hand"):
            table.add_column(column, justify="right")
        table.add_column("")
        for row in result["labels"]:
            table.add_row(
                row["filter"],
                row["label"],
                *(_number(row[name]) for name in ("cut", "kept", "dropped", "by_hand")),
                "chosen in another space, not used"
                if row["of_another_space"]
                else "waits for the next `saring filter`"
                if row["waits"]
                else "",
            )
        out.print(table)
    for cut in result["history"]:
        what = "computed again" if cut["cut"] is None else f"cut {cut['cut']:.4g}"
        out.print(
            f"{cut['at']:%Y-%m-%d %H:%M} {cut['label']} ({cut['stage'].removeprefix('filter-')}): {what}, "
            f"by {cut['who']}: {cut['reason']}",
            markup=False,
            soft_wrap=True,
        )


def _say_precision(result: dict[str, Any]) -> None:
    out = output.out(least_width=110)
    if not result["precision"]:
        out.print("No filter has rejected a label yet: `saring filter` draws a sample of what it rejects.")
        return
    table = Table(box=None)
    for column in ("filter", "label"):
        table.add_column(column)
    for column in ("sample", "rightly", "wrongly", "disputed", "can't say", "open", "precision"):
        table.add_column(column, justify="right")
    for row in result["precision"]:
        counts = (row[name] for name in ("sampled", "rightly", "wrongly", "disputed", "unsure", "open"))
        share = bracketed(row["share"]) if row["share"] is not None else "-"
        table.add_row(row["filter"], escape(row["label"]), *(f"{count:,}" for count in counts), escape(share))
    out.print(table)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
