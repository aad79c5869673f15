"""The queued texts: show them, change their order. Nothing that draws a queue is imported."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from pipeline import store
from pipeline.errors import UsageError
from pipeline.queue import sent, waiting
from pipeline.queue.sent import SentProject, SentText
from pipeline.queue.waiting import Place
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import QueueState, TaskState
from saring.actions.labels import require_label
from saring.context import Context


@dataclass(frozen=True, slots=True)
class Waiting:
    """Texts of the queue in one place, in the order in which they are served."""

    #: number of all texts in that place
    waiting: int
    items: Sequence[Mapping[str, Any]]
    #: number of those that the filters choose
    chosen: int = 0


def show(
    home: Context,
    limit: int = 20,
    *,
    strategy: str | None = None,
    label: str | None = None,
    language: str | None = None,
    reveal: bool = False,
    place: Place = "queued",
    offset: int = 0,
) -> Waiting:
    """The texts of the queue, each with its reason, label and inclusion probability.

    Texts are masked. Harsh texts are None unless `reveal` is set.

    Args:
        home: the home with the store.
        limit: largest number of texts.
        strategy: only texts drawn by this strategy; None: all.
        label: only texts drawn for this label or expected to have it; None: all.
        language: only texts in this language; None: all.
        reveal: show harsh texts too.
        place: `queued` texts, those `sent` to Label Studio without an answer, or `answered` ones.
        offset: number of texts to pass over.

    Raises:
        UsageError: there is no such label.
    """
    key = require_label(home, label) if label is not None else None
    with open_session(home.engine) as session:
        items = waiting.queued(
            session, limit, strategy=strategy, label=key, language=language, place=place, offset=offset
        )
        t = store.Text
        ids = [item.text_id for item in items]
        rows = session.execute(select(t.id, t.masked, t.language).where(t.id == func.any(ids)))
        texts = {row.id: (row.masked, row.language) for row in rows}
        total = waiting.waiting(session, place)
        filtered = strategy is not None or key is not None or language is not None
        return Waiting(
            total,
            [_as_row(item, *texts[item.text_id], reveal=reveal) for item in items],
            waiting.waiting(session, place, strategy=strategy, label=key, language=language) if filtered else total,
        )


def bump(home: Context, text_id: uuid.UUID, *, first: bool = True) -> None:
    """Move a queued text to the first or last place.

    Raises:
        QueueError: the text is not queued.
    """
    with home.begin() as session:
        waiting.bump(session, text_id, first=first)


def move(home: Context, text_id: uuid.UUID, *, before: uuid.UUID | None = None, place: int | None = None) -> None:
    """Move a queued text before another one, or to a place; 1 is the first.

    Raises:
        QueueError: a text is not queued.
        UsageError: neither is given, or both.
    """
    if (before is None) == (place is None):
        raise UsageError("say before which text it goes, or to which place")
    with home.begin() as session:
        if before is not None:
            waiting.move(session, text_id, before=before)
        elif place is not None:
            waiting.move_to(session, text_id, place)


def drop(home: Context, text_id: uuid.UUID | Collection[uuid.UUID], why: str | None = None) -> None:
    """Remove texts from the queue for ever: no later build draws them. All are removed, or none.

    Args:
        home: the home with the queue.
        text_id: a text, or several.
        why: the reviewer's reason.

    Raises:
        QueueError: a text is not queued.
    """
    with home.begin() as session:
        waiting.drop(session, text_id, why)


def choices(home: Context) -> tuple[Sequence[str], Sequence[str]]:
    """The strategies and the languages of the texts that are queued, for the filters of a list."""
    q, t = store.QueueItem, store.Text
    with open_session(home.engine) as session:
        queued = q.state == QueueState.QUEUED
        strategies = session.scalars(select(q.strategy).where(queued).distinct().order_by(q.strategy)).all()
        languages = session.scalars(
            select(t.language)
            .join(q, q.text_id == t.id)
            .where(queued, t.language.is_not(None))
            .distinct()
            .order_by(t.language)
        ).all()
    return strategies, [language for language in languages if language is not None]


def sent_projects(home: Context) -> Sequence[SentProject]:
    """The open projects of Label Studio with their tasks by state."""
    with open_session(home.engine) as session:
        return sent.projects(session)


def sent_texts(
    home: Context,
    *,
    project: int | None = None,
    states: Sequence[TaskState] | None = None,
    limit: int = 50,
    offset: int = 0,
) -> Sequence[SentText]:
    """Tasks in Label Studio, the oldest first; see `pipeline.queue.sent.sent_texts`."""
    chosen = tuple(states) if states else (TaskState.PUSHING, TaskState.OPEN)
    with open_session(home.engine) as session:
        return sent.sent_texts(session, project=project, states=chosen, limit=limit, offset=offset)


@dataclass(frozen=True, slots=True)
class Queued:
    """A queued text in full."""

    item: Mapping[str, Any]
    #: its place in the serving order; 1 is the first
    place: int
    #: probability of each label by the champion; empty: there is none
    probabilities: Mapping[str, float]
    champion: str | None


def one(home: Context, text_id: uuid.UUID) -> Queued:
    """A queued text with its place and what the champion gives it.

    Raises:
        QueueError: the text is not queued.
    """
    from saring.actions.models import kept_champion

    q, t = store.QueueItem, store.Text
    with open_session(home.engine) as session:
        place = waiting.place_of(session, text_id)
        item, masked, language = session.execute(
            select(q, t.masked, t.language)
            .join(t, t.id == q.text_id)
            .where(q.text_id == text_id, q.state == QueueState.QUEUED)
        ).one()
    model = kept_champion(home)
    probabilities = dict(zip(model.labels, model.probabilities([masked])[0].tolist(), strict=True)) if model else {}
    champion = model.manifest.version if model is not None else None
    return Queued(_as_row(item, masked, language, reveal=True), place, probabilities, champion)


def _as_row(item: store.QueueItem, masked: str, language: str | None, *, reveal: bool) -> dict[str, Any]:
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
        "language": language,
    }
