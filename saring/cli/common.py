"""What every command shares: settings, the store, progress, and one way of printing results and errors.

With ``--json`` a command prints one JSON object on standard output and nothing else there; everything meant for a
person goes to standard error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import orjson
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from sqlalchemy import Engine

from pipeline.progress import Progress as ProgressCallback
from pipeline.settings import Settings, load_settings
from pipeline.store.migrate import current_and_head, require_head, upgrade
from pipeline.store.session import make_engine
from pipeline.taxonomy import Taxonomy, load_taxonomy

if TYPE_CHECKING:
    from pipeline.vectors.encoders.protocol import Encoder

T = TypeVar("T")

#: columns of a line that nobody reads on a screen
_UNBROKEN = 1_000
#: for people; standard output is kept for results
err = Console(stderr=True, highlight=False)

AsyncFlag = Annotated[
    bool, typer.Option("--async", help="Hand the work to the workers, and follow it; Ctrl-C leaves it to them.")
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output and nothing else.")]


@dataclass
class Context:
    """What a command works with, made when it is first asked for."""

    settings: Settings
    _kept: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    def keep(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` makes, made once: encoders and models are slow to load."""
        if key not in self._kept:
            self._kept[key] = make()
        found: T = self._kept[key]
        return found

    def close(self, *, theirs: bool = False) -> None:
        """Let go of the store's connections; `theirs`: they are another process's, and stay open there."""
        if "engine" in self.__dict__:
            self.engine.dispose(close=not theirs)

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """The taxonomy in force."""
        return load_taxonomy(self.settings.taxonomy)

    @property
    def space(self) -> str:
        """The space of vectors in use: the store's active one, or the settings' before there is any.

        Raises:
            UsageError: the settings name no encoder.
        """
        from pipeline.vectors.spaces import space_in_use

        return space_in_use(self.engine, self.settings)

    def encoder(self) -> Encoder:
        """The encoder of the space in use, loaded once.

        Raises:
            EncoderError: it can't be loaded or reached.
        """
        from pipeline.vectors.encoders.make import make_encoder

        name = self.space
        return self.keep(("encoder", name), lambda: make_encoder(self.settings, name))

    @cached_property
    def engine(self) -> Engine:
        """The store: the embedded server is started if need be, and an empty database is given its schema.

        Raises:
            StoreUnavailable: the database cannot be reached.
            StoreNotReady: its schema is older or newer than this code.
        """
        from saring.services import ensure_database

        engine = make_engine(ensure_database(self.settings))
        if current_and_head(engine)[0] is None:
            upgrade(engine)
        require_head(engine)
        return engine


def context() -> Context:
    """The context of this command."""
    return Context(load_settings())


def emit(result: dict[str, Any], *, as_json: bool, say: Callable[[dict[str, Any]], None] | None = None) -> None:
    """Print a command's result: as JSON, or for a person by `say` (which writes to `out`)."""
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(result, default=str, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n")
        sys.stdout.flush()
    elif say is not None:
        say(result)


def out(least_width: int = 0) -> Console:
    """Standard output, for results that a person reads; a table may ask for a width below which it can't be read.

    What goes into a file or another program is not broken over lines, unless COLUMNS says where.
    """
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        least_width = _UNBROKEN
    return Console(highlight=False, width=max(console.width, least_width))


@contextmanager
def progress_bar() -> Iterator[ProgressCallback]:
    """A progress bar on standard error; one line for each `what` that is reported."""
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=err,
        transient=True,
        # without a terminal there is nobody to watch it
        disable=not err.is_terminal,
    )
    tasks: dict[str, Any] = {}

    def report(done: int, total: int | None, what: str, note: str = "") -> None:
        if what not in tasks:
            tasks[what] = bar.add_task(what, total=total, note=note)
        bar.update(tasks[what], completed=done, total=total, note=note)

    with bar:
        yield report


def bracketed(estimate: dict[str, float | None]) -> str:
    """A number with its interval, for a person."""
    value, low, high = (estimate[name] for name in ("value", "low", "high"))
    if value is None:
        return "-"
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"
