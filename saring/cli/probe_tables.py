"""Tables of probe pairs: figures of a model, and pairs that a challenger gets right or wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from pipeline.plural import counted
from saring.cli import output

#: cell in place of a harsh sentence
HIDDEN = "(hidden; --reveal shows it)"


def kinds_table(heading: str, kinds: Sequence[Mapping[str, Any]]) -> Table:
    """The figures of a model by function, label or variety."""
    table = Table(box=None)
    table.add_column(heading)
    for column in ("pairs", "right", "given where it is", "left out where it is not"):
        table.add_column(column, justify="right")
    for kind in kinds:
        table.add_row(
            Text(kind["name"]),
            f"{kind['pairs']:,}",
            f"{kind['right']:,} ({kind['right'] / kind['pairs']:.0%})",
            f"{kind['found']:,}",
            f"{kind['left_alone']:,}",
        )
    return table


def say_changed_pairs(gate: Mapping[str, Any], *, reveal: bool) -> None:
    """Print what the gate's report says of probe pairs, and the pairs that turned wrong in kinds that are worse.

    Args:
        gate: as `gate.json` holds it.
        reveal: show harsh sentences too.
    """
    probes = gate.get("probes")
    if not probes:
        return
    out = output.out(least_width=130)
    out.print(
        f"probe pairs: of {probes['pairs']:,} the champion gets {probes['champion']:,} right and the challenger "
        f"{probes['challenger']:,}",
        markup=False,
        soft_wrap=True,
    )
    rows = pairs_of_worse_kinds(probes)
    if not rows:
        return
    hidden = gate.get("harmful", True) and not reveal
    table = Table(box=None, title=f"{counted(len(rows), 'pair')} turned wrong", title_justify="left")
    for column in ("label", "function", "has it", "lacks it"):
        table.add_column(column, overflow="fold")
    for column in ("champion", "challenger"):
        table.add_column(column, justify="right", no_wrap=True)
    for pair in rows:
        sentences = (HIDDEN, HIDDEN) if hidden else (pair["has"], pair["lacks"])
        figures = (" > ".join(f"{value:.2f}" for value in pair["champion"]), _ordered(pair["challenger"]))
        table.add_row(*map(Text, (pair["label"], pair["function"], *sentences, *figures)))
    out.print(table)


def pairs_of_worse_kinds(probes: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The pairs that turned wrong in the kinds that are worse.

    Args:
        probes: as `gate.json` holds them.
    """
    worse = [(kind["function"], kind["label"]) for kind in probes["kinds"] if kind["worse"]]
    return [
        pair
        for pair in probes["changed"]
        if not pair["right"]
        and any(pair["function"] == function and label in (None, pair["label"]) for function, label in worse)
    ]


def _ordered(values: Sequence[float]) -> str:
    return f"{values[0]:.2f} {'<' if values[0] < values[1] else '='} {values[1]:.2f}"
