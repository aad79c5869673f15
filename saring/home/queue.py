"""The queue of a home, as a program uses it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError
from pipeline.progress import Progress, silent
from saring.context import Context

if TYPE_CHECKING:
    from pipeline.queue.config import QueueConfig, QueueReport
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

    def show(
        self,
        limit: int = 20,
        *,
        strategy: str | None = None,
        label: str | None = None,
        reveal: bool = False,
        place: Place = "queued",
    ) -> Waiting:
        """The texts of the queue, in the order in which they will be served; see `saring.actions.waiting.show`."""
        from saring.actions.waiting import show

        return show(self._home, limit, strategy=strategy, label=label, reveal=reveal, place=place)

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

    def bump(self, text_id: uuid.UUID, *, first: bool = True) -> None:
        """Move a queued text to the first or last place."""
        from saring.actions.waiting import bump

        bump(self._home, text_id, first=first)

    def drop(self, text_id: uuid.UUID) -> None:
        """Remove a text from the queue for ever."""
        from saring.actions.waiting import drop

        drop(self._home, text_id)
