"""The queue of a home, as a program uses it."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError
from pipeline.progress import Progress, silent
from saring.context import Context

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.queue.config import QueueConfig, QueueReport
    from pipeline.queue.pick import Picked
    from pipeline.queue.replay import ReplayConfig, Replayed
    from pipeline.queue.waiting import Place
    from pipeline.runs.executor import Executor
    from saring.actions.waiting import Waiting


class Queue:
    """The queue of texts for people."""

    def __init__(self, home: Context) -> None:
        self._home = home

    def build(
        self,
        size: int | None = None,
        *,
        config: QueueConfig | None = None,
        seed: int | None = None,
        executor: Executor | None = None,
        progress: Progress = silent,
    ) -> QueueReport:
        """Draw a new queue, in place of the queued texts that have not been pushed.

        Args:
            size: number of texts to draw; None: the configuration's.
            config: size, mix and limits of the queue; None: the defaults.
            seed: seed of every random choice; None: the settings'.
            executor: the place where the stage runs; None: this process.
            progress: called after every chunk that is read.
        """
        from dataclasses import replace

        from pipeline.queue.config import QueueConfig as Config
        from saring.actions.queue import build

        chosen = config or Config()
        if size is not None:
            chosen = replace(chosen, size=size)
        return build(self._home, chosen, seed=seed, executor=executor, progress=progress)

    def simulate(
        self,
        files: Sequence[str | Path] = (),
        *,
        rules: Sequence[str] | None = None,
        mix: Mapping[str, float] | None = None,
        labels: Sequence[str] = (),
        config: ReplayConfig | None = None,
        seed: int | None = None,
        progress: Progress = silent,
    ) -> Replayed:
        """Replay a labelled set, to see which way of choosing needs the fewest labels; without files, the gold.

        See `saring.actions.simulation.simulate`.
        """
        from saring.actions.simulation import FIRST, simulate

        chosen = FIRST if rules is None else rules
        return simulate(
            self._home, files, rules=chosen, mix=mix, labels=labels, config=config, seed=seed, progress=progress
        )

    def show(
        self,
        limit: int = 20,
        *,
        strategy: str | None = None,
        label: str | None = None,
        language: str | None = None,
        reveal: bool = False,
        place: Place = "queued",
        offset: int = 0,
    ) -> Waiting:
        """The texts of the queue, in the order in which they will be served; see `saring.actions.waiting.show`."""
        from saring.actions.waiting import show

        return show(
            self._home,
            limit,
            strategy=strategy,
            label=label,
            language=language,
            reveal=reveal,
            place=place,
            offset=offset,
        )

    def to_frame(self, limit: int = 10_000, *, reveal: bool = False) -> Any:
        """The queued texts as a pandas data frame, one row for each: id, text, strategy, label, reason, probability.

        Args:
            limit: largest number of rows.
            reveal: show harsh texts too; otherwise their text is None.

        Raises:
            UsageError: pandas is not installed.
        """
        import pyarrow as pa

        rows = pa.Table.from_pylist([dict(row) for row in self.show(limit, reveal=reveal).items])
        try:
            return rows.to_pandas()
        except ImportError as error:
            raise UsageError("a data frame needs pandas: run `pip install pandas`") from error

    def move(self, text_id: uuid.UUID, *, before: uuid.UUID | None = None, place: int | None = None) -> None:
        """Move a queued text before another one, or to a place; 1 is the first."""
        from saring.actions.waiting import move

        move(self._home, text_id, before=before, place=place)

    def add(self, text_ids: Sequence[uuid.UUID], *, why: str, label: str | None = None, first: bool = False) -> Picked:
        """Put texts into the queue by hand; see `saring.actions.searching.pick`."""
        from saring.actions.searching import pick

        return pick(self._home, text_ids, why=why, label=label, first=first)

    def bump(self, text_id: uuid.UUID, *, first: bool = True) -> None:
        """Move a queued text to the first or last place."""
        from saring.actions.waiting import bump

        bump(self._home, text_id, first=first)

    def drop(self, text_id: uuid.UUID | Collection[uuid.UUID], why: str | None = None) -> None:
        """Remove texts from the queue for ever."""
        from saring.actions.waiting import drop

        drop(self._home, text_id, why)
