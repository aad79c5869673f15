"""Functions that all commands share: the home, the executor, progress, and the printing of results and errors.

With ``--json`` a command prints one JSON object on standard output and nothing else there; messages for a person go to
standard error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.progress import Progress as ProgressCallback
from saring.cli.progress import shown

if TYPE_CHECKING:
    from pipeline.runs.executor import Executor
    from saring.home import Home

#: columns of a line in a file or a pipe, where lines are not broken
_UNBROKEN = 1_000
#: standard error, for messages; standard output is for results
err = Console(stderr=True, highlight=False)

AsyncFlag = Annotated[
    bool, typer.Option("--async", help="Run on the workers and show progress. Ctrl-C stops only the display.")
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output and nothing else.")]


def home() -> Home:
    """The home of this command."""
    # The help page needs none.
    from saring.home import Home

    return Home()


def executor(on_workers: bool) -> Executor | None:
    """The executor for `--async`; None: the work runs in this process."""
    if not on_workers:
        return None
    # Commands that do not need Celery do not load it.
    from saring.workers.executor import Workers

    return Workers(warn)


def note(sentence: str) -> None:
    """Print a less important message on standard error."""
    err.print(sentence, style="dim", markup=False, soft_wrap=True)


def warn(sentence: str) -> None:
    """Print a warning on standard error."""
    err.print(sentence, style="yellow", markup=False, soft_wrap=True)


def emit(result: dict[str, Any], *, as_json: bool, say: Callable[[dict[str, Any]], None] | None = None) -> None:
    """Print a command's result: as JSON, or for a person by `say` (which writes to `out`)."""
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(result, default=str, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n")
        sys.stdout.flush()
    elif say is not None:
        say(result)


def out(least_width: int = 0) -> Console:
    """Standard output, for results that a person reads.

    Lines in a file or a pipe are not broken, unless COLUMNS gives a width.

    Args:
        least_width: columns that a table needs to be readable.
    """
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        least_width = _UNBROKEN
    return Console(highlight=False, width=max(console.width, least_width))


def progress_bar() -> AbstractContextManager[ProgressCallback]:
    """Progress on standard error: the step at work on a terminal, elsewhere a plain line every ten seconds at most."""
    return shown(err)


def say_counts(title: str, counts: Any, unit: str) -> None:
    """Print a table of counts by name; nothing if there are none."""
    if not counts:
        return
    table = Table(box=None)
    table.add_column(title)
    table.add_column(unit, justify="right")
    for name, count in counts.items():
        table.add_row(escape(name), f"{count:,}")
    out().print(table)


def say_balance(balance: Mapping[str, Any]) -> None:
    """Print what a most per label, or a most of negatives, left out; see `pipeline.learning.sets.balance`."""
    table = Table(box=None, title="left out of train, to balance the labels", title_justify="left")
    table.add_column("label")
    for column in ("with it", "without it"):
        table.add_column(column, justify="right")
    for label, counts in balance["left_out"].items():
        table.add_row(escape(label), f"{counts['yes']:,}", f"{counts['no']:,}")
    out().print(table if balance["left_out"] else "The labels were balanced already: nothing was left out of train.")
    if balance["texts_left_out"]:
        out().print(f"{balance['texts_left_out']:,} texts of which nothing was left", markup=False)
