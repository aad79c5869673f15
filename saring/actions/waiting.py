"""The queued texts: show them, change their order. Nothing that draws a queue is imported."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from pipeline import store
from pipeline.queue import waiting
from pipeline.queue.waiting import Place
from pipeline.store.session import open_session
from saring.actions.labels import require_label
from saring.context import Context


@dataclass(frozen=True, slots=True)
class Waiting:
    """Texts of the queue in one place, in the order in which they are served."""

    #: number of all texts in that place
    waiting: int
    items: Sequence[Mapping[str, Any]]


def show(
    home: Context,
    limit: int = 20,
    *,
    strategy: str | None = None,
    label: str | None = None,
    reveal: bool = False,
    place: Place = "queued",
) -> Waiting:
    """The texts of the queue, each with its reason, label and inclusion probability.

    Texts are masked. Harsh texts are None unless `reveal` is set.

    Args:
        home: the home with the store.
        limit: largest number of texts.
        strategy: only texts drawn by this strategy; None: all.
        label: only texts drawn for this label or expected to have it; None: all.
        reveal: show harsh texts too.
        place: `queued` texts, those `sent` to Label Studio without an answer, or `answered` ones.

    Raises:
        UsageError: there is no such label.
    """
    key = require_label(home, label) if label is not None else None
    with open_session(home.engine) as session:
        items = waiting.queued(session, limit, strategy=strategy, label=key, place=place)
        t = store.Text
        ids = [item.text_id for item in items]
        masked = {row.id: row.masked for row in session.execute(select(t.id, t.masked).where(t.id == func.any(ids)))}
        return Waiting(
            waiting.waiting(session, place), [_as_row(item, masked[item.text_id], reveal=reveal) for item in items]
        )


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
