"""Predictions for tasks: known texts from the ledger and the champion, others from the champion alone."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from ml_backend.config import Tally
from ml_backend.request import Item, ProjectRef
from ml_backend.serving import Serving
from pipeline import store
from pipeline.errors import StoreError
from pipeline.preannotation import Proposal
from pipeline.preannotation.label_studio_format import Control, score_of
from pipeline.store import open_session
from pipeline.store.public_ids import PublicIds
from pipeline.store.tables.human_loop import ProjectState

logger = logging.getLogger(__name__)

#: of tasks without a usable text: Label Studio serves the lowest score first
_LAST = 1.0
#: where a prediction comes from
FROM_STORE, FROM_CHAMPION, FROM_NOTHING = "store", "champion", "nothing"

#: a prediction as Label Studio takes it
Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Pushed:
    """A task that Saring pushed."""

    project: ProjectRef
    priority: float
    blind: bool


@dataclass(frozen=True, slots=True)
class _Known:
    """The store's records of the texts of a request."""

    #: an item's position to its text's id
    ids: Mapping[int, uuid.UUID] = field(default_factory=dict)
    proposals: Mapping[uuid.UUID, Proposal] = field(default_factory=dict)
    #: an item's position to the task that Saring pushed
    tasks: Mapping[int, _Pushed] = field(default_factory=dict)


def answer(items: Sequence[Item], serving: Serving, engine: Engine | None, tally: Tally | None = None) -> list[Answer]:
    """A prediction for each item, in order.

    Args:
        items: the tasks.
        serving: what to answer with.
        engine: the store; None, or one that fails: every text is taken for unknown.
        tally: is told how many of them came from where.
    """
    known = _from_store(items, serving, engine) if engine is not None else None
    ids, proposed = (known.ids, known.proposals) if known is not None else ({}, {})
    proposals = {i: proposed[text_id] for i, text_id in ids.items() if text_id in proposed}
    from_store = len(proposals)
    fresh = [i for i, item in enumerate(items) if item.text is not None and i not in proposals]
    if fresh:
        proposals.update(zip(fresh, serving.preannotator.fresh([items[i].text or "" for i in fresh]), strict=True))
    if tally is not None:
        from_champion = len(fresh) if serving.preannotator.model is not None else 0
        tally(FROM_STORE, from_store)
        tally(FROM_CHAMPION, from_champion)
        tally(FROM_NOTHING, len(items) - from_store - from_champion)
    answers = []
    for i, item in enumerate(items):
        task = known.tasks.get(i) if known is not None else None
        blind = task.blind if task is not None else known is None and item.looks_blind
        answers.append(_answer(item, proposals.get(i), task, blind, serving.version))
    return answers


def _answer(item: Item, proposal: Proposal | None, task: _Pushed | None, blind: bool, version: str) -> Answer:
    usable = proposal is not None and item.control is not None
    # the queue's order where the task is from the queue; else the least certain comes first
    score = (
        score_of(task.priority) if task is not None else _share(proposal.confidence) if proposal and usable else _LAST
    )
    result = _result(item.control, proposal) if proposal and item.control and not blind else []
    return {"result": result, "score": round(score, 6), "model_version": version}


def _share(value: float) -> float:
    return round(min(1.0, max(0.0, float(value))), 6)


def _result(control: Control, proposal: Proposal) -> list[dict[str, Any]]:
    labels = [label for label in proposal.labels if label in control.choices]
    return [control.region(labels, proposal.scores, _share(proposal.confidence))] if labels else []


def _task_of(item: Item, pushed: Mapping[uuid.UUID, Sequence[_Pushed]]) -> _Pushed | None:
    """The task that Saring pushed to the item's project, by text: its text may have been edited since."""
    if item.project is None:
        return None
    for task in (task for text_id in item.ids for task in pushed.get(text_id, ())):
        theirs = item.project.created_at
        if task.project.id == item.project.id and theirs in (None, task.project.created_at):
            return task
    return None


def _from_store(items: Sequence[Item], serving: Serving, engine: Engine) -> _Known | None:
    """Look the texts up in the store; None if it does not answer."""
    if not any(item.ids for item in items):
        return _Known()
    try:
        with open_session(engine) as session:
            public = PublicIds.of_store(session)
            own = {given: public.candidates(given) for item in items for given in item.ids}
            items = [replace(item, ids=tuple(chain.from_iterable(own[given] for given in item.ids))) for item in items]
            asked = sorted({text_id for item in items for text_id in item.ids})
            t = store.Text
            rows = session.execute(select(t.id, t.masked).where(t.id == func.any(asked)))
            masked = {text_id: text for text_id, text in rows}  # noqa: C416 - rows are tuples to people, not to mypy
            if not masked:
                return _Known()
            ids = _matching(items, masked)
            proposals = serving.preannotator.known(session, sorted(set(ids.values()))) if ids else {}
            pushed = _pushed(session, sorted(masked))
            tasks = {i: task for i, item in enumerate(items) if (task := _task_of(item, pushed)) is not None}
            return _Known(ids, proposals, tasks)
    except (StoreError, SQLAlchemyError) as error:
        logger.warning("the store did not answer, the champion alone does: %s", type(error).__name__)
        return None


def _matching(items: Sequence[Item], masked: Mapping[uuid.UUID, str]) -> dict[int, uuid.UUID]:
    """The position of each item whose text the store knows, and which text it is."""
    ids = {}
    for i, item in enumerate(items):
        for text_id in item.ids:
            # an id alone is not believed: the text may have been edited in Label Studio since
            if text_id in masked and _same(masked[text_id], item.text):
                ids[i] = text_id
                break
    return ids


def _same(stored: str, shown: str | None) -> bool:
    return shown is not None and (stored == shown or stored.split() == shown.split())


def _pushed(session: Session, text_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[_Pushed]]:
    k, p = store.Task, store.Project
    rows = session.execute(
        select(k.text_id, p.label_studio_id, p.label_studio_created_at, k.priority, k.blind)
        .join(p, p.id == k.project_id)
        .where(k.text_id == func.any(text_ids), p.state == ProjectState.OPEN)
    )
    pushed: dict[uuid.UUID, list[_Pushed]] = {}
    for text_id, project, created_at, priority, blind in rows:
        ref = ProjectRef(project, int(created_at.timestamp()))
        pushed.setdefault(text_id, []).append(_Pushed(ref, priority, blind))
    return pushed
