"""The queue of texts for people: draw it. `saring.actions.waiting` shows it and changes its order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pipeline.progress import Progress, silent
from pipeline.queue.build import STAGE, build_queue
from pipeline.queue.config import QueueConfig, QueueReport
from pipeline.runs.executor import Executor, run
from pipeline.runs.stage import WorkContext
from pipeline.runs.whole import WholeStage
from pipeline.vectors.spaces import space_in_use
from saring.actions.models import load_champion
from saring.context import Context


@dataclass(frozen=True, slots=True)
class QueueParams:
    """The parameters of a queue to draw."""

    config: QueueConfig = field(default_factory=QueueConfig)
    #: strategies of the mix in the order in which they draw, which the mapping in a stored record would lose
    mix: Sequence[tuple[str, float]] = ()
    #: seed of every random choice; None: the settings'
    seed: int | None = None


class QueueStage(WholeStage[QueueParams, QueueReport]):
    """Draw a queue with the settings and the champion of a home."""

    name = STAGE
    what = "drawing the queue"
    params = QueueParams
    report = QueueReport

    def call(self, home: WorkContext, params: QueueParams, progress: Progress) -> QueueReport:
        """Draw the queue."""
        return build_queue(
            home.engine,
            home.taxonomy,
            replace(params.config, mix=dict(params.mix)) if params.mix else params.config,
            model=load_champion(home.engine, home.settings),
            encoder=space_in_use(home.engine, home.settings),
            seed=home.settings.seed if params.seed is None else params.seed,
            progress=progress,
        )


def build(
    home: Context,
    config: QueueConfig | None = None,
    *,
    seed: int | None = None,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> QueueReport:
    """Draw a new queue, in place of the queued texts that have not been pushed.

    Args:
        home: the home with the store.
        config: size, mix and limits of the queue; None: the defaults.
        seed: seed of every random choice; None: the settings'.
        executor: the place where the stage runs; None: this process.
        progress: called after every chunk that is read.

    Raises:
        QueueError: the mix names a strategy that does not exist.
        RunConflict: another queue is being built.
    """
    chosen = config or QueueConfig()
    params = QueueParams(chosen, tuple(chosen.mix.items()), seed)
    return run(QueueStage(), home, params, executor=executor, progress=progress)
