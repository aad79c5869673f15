"""The queue of texts for people: draw it, show it, change its order."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import func, select

from pipeline import store
from pipeline.progress import Progress, silent
from pipeline.queue import waiting
from pipeline.queue.build import STAGE, build_queue
from pipeline.queue.config import QueueConfig, QueueReport
from pipeline.runs.executor import Executor, run
from pipeline.runs.stage import WorkContext
from pipeline.runs.whole import WholeStage
from pipeline.store.session import open_session
from pipeline.vectors.spaces import space_in_use
from saring.actions.filtering import require_label
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


@dataclass(frozen=True, slots=True)
class Waiting:
    """Queued texts, in the order in which they will be served."""

    #: number of all queued texts
    waiting: int
    items: Sequence[Mapping[str, Any]]


def show(
    home: Context,
    limit: int = 20,
    *,
    strategy: str | None = None,
    label: str | None = None,
    reveal: bool = False,
) -> Waiting:
    """The queued texts, each with its reason, label and inclusion probability.

    Texts are masked. Harsh texts are None unless `reveal` is set.

    Args:
        home: the home with the store.
        limit: largest number of texts.
        strategy: only texts drawn by this strategy; None: all.
        label: only texts drawn for this label or expected to have it; None: all.
        reveal: show harsh texts too.

    Raises:
        UsageError: there is no such label.
    """
    key = require_label(home, label) if label is not None else None
    with open_session(home.engine) as session:
        items = waiting.queued(session, limit, strategy=strategy, label=key)
        t = store.Text
        ids = [item.text_id for item in items]
        masked = {row.id: row.masked for row in session.execute(select(t.id, t.masked).where(t.id == func.any(ids)))}
        return Waiting(waiting.waiting(session), [_as_row(item, masked[item.text_id], reveal=reveal) for item in items])


def bump(home: Context, text_id: uuid.UUID, *, first: bool = True) -> None:
    """Move a queued text to the first or last place.

    Raises:
        QueueError: the text is not queued.
    """
    with home.begin() as session:
        waiting.bump(session, text_id, first=first)


def drop(home: Context, text_id: uuid.UUID) -> None:
    """Remove a text from the queue for ever: no later build draws it.

    Raises:
        QueueError: the text is not queued.
    """
    with home.begin() as session:
        waiting.drop(session, text_id)


def _as_row(item: store.QueueItem, masked: str, *, reveal: bool) -> dict[str, Any]:
    hidden = item.harsh and not reveal
    return {
        "text_id": str(item.text_id),
        "text": None if hidden else masked,
        "hidden": hidden,
        "strategy": item.strategy,
        "label": item.label,
        "reason": item.reason,
        "inclusion_probability": item.inclusion_probability,
        "priority": item.priority,
        "harsh": item.harsh,
        "expected": item.expected,
        "blind": item.blind,
        "gold": item.gold,
    }
