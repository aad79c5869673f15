"""Erase the words of texts on request, here and in Label Studio."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from markupsafe import escape

from pipeline.errors import ModelError, UsageError
from pipeline.learning.gate.report import REPORT, erase_in_gate
from pipeline.progress import Progress, silent
from pipeline.runs.record import stage_run
from pipeline.sharing import erase
from saring.actions.projects import connect
from saring.actions.review import own_id, public_id
from saring.context import Context
from sync.project.erased_tasks import count_tasks, remove_tasks


@dataclass(frozen=True, slots=True)
class ErasePlan:
    """The texts that would be erased."""

    #: the store's ids of texts that still have their words
    texts: Sequence[uuid.UUID]
    #: number of texts that were erased before
    erased: int
    #: public ids of near-duplicates, which have almost the same words and would stay
    near_duplicates: Sequence[str]
    #: tasks in Label Studio
    tasks: int
    #: all that were named, erased before or not
    named: Sequence[uuid.UUID] = field(repr=False, default=())


@dataclass(frozen=True, slots=True)
class Erasure:
    """Numbers of what was erased, and what is left to do."""

    run_id: int
    texts: int
    #: judgements whose explanation was erased; their labels stay
    explanations: int
    comments: int
    replies: int
    #: tasks that were removed from Label Studio
    tasks: int
    #: tasks in projects that this Label Studio does not have: they may still be on another server
    tasks_left: int
    #: public ids of near-duplicates that stay
    near_duplicates: Sequence[str]
    #: models in use that learnt from the texts
    models: Sequence[str]
    #: pages in the folder of reports that quote them still, and reports of the gate that cannot be read
    pages: Sequence[str]


def plan_erasure(home: Context, given: Sequence[str], *, with_near_duplicates: bool = False) -> ErasePlan:
    """The texts that `erase_texts` would erase.

    Args:
        home: the home with the store.
        given: public ids of texts, or the store's own.
        with_near_duplicates: their near-duplicates too.

    Raises:
        UsageError: there is no such text.
    """
    named = list(dict.fromkeys(own_id(home, written) for written in given))
    with home.begin() as session:
        copies = erase.near_duplicates(session, named)
        if with_near_duplicates:
            named, copies = [*named, *copies], []
        texts = erase.not_erased(session, named)
    others = [str(public_id(home, key)) for key in copies]
    return ErasePlan(texts, len(named) - len(texts), others, count_tasks(home.engine, named), named)


def erase_texts(home: Context, plan: ErasePlan, *, why: str, progress: Progress = silent) -> Erasure:
    """Erase the words of texts, keep what was judged of them, and remove their tasks from Label Studio.

    First the gate's reports and the store are changed, so that nothing shows or sends the texts any more; then
    snapshots and Label Studio. Where that fails, the same call again does the rest.

    Args:
        home: the home with the store, snapshots and Label Studio.
        plan: the texts.
        why: the reason, kept with the run.
        progress: is told of waiting for Label Studio.

    Raises:
        UsageError: there is no reason.
        RunConflict: another erasure is running.
        ServiceError, LabelStudioError: Label Studio cannot be reached; the store's words are erased by then.
    """
    if not why.strip():
        raise UsageError('say why, with --why: "request of 1 December" is enough')
    shown = [str(public_id(home, key)) for key in plan.named]
    with stage_run(home.engine, erase.STAGE, params={"why": why.strip(), "texts": shown}, progress=progress) as run:
        with home.begin() as session:
            quoted = erase.masked_words(session, plan.named)
        pages = _quoting(home.settings.reports_dir, quoted) + _erase_in_gates(home.settings.models_dir, quoted)
        with home.begin() as session:
            words = erase.erase_words(session, plan.named, run_id=run.id)
        with home.begin() as session:
            models = erase.erase_in_snapshots(session, plan.named)
        tasks = 0
        if count_tasks(home.engine, plan.named):
            with connect(home, progress) as client:
                tasks = remove_tasks(home.engine, client, plan.named)
        run.counts = {"texts": words.texts, "tasks": tasks}
        with home.begin() as session:
            run.save(session)
    return Erasure(
        run.id,
        words.texts,
        words.explanations,
        words.comments,
        words.replies,
        tasks,
        count_tasks(home.engine, plan.named),
        plan.near_duplicates,
        models,
        pages,
    )


def _erase_in_gates(models: Path, words: Sequence[str]) -> list[str]:
    """Erase the texts in the gate's reports of all models; the reports that cannot be read."""
    damaged = []
    for folder in sorted(models.glob("*")):
        try:
            erase_in_gate(folder, words)
        except ModelError:
            # It must not keep the words in the store.
            damaged.append(str(folder / REPORT))
    return damaged


def _quoting(folder: Path, words: Sequence[str]) -> list[str]:
    """The pages of a folder that have one of the texts."""
    written = [str(escape(text)) for text in words]
    return [
        str(page)
        for page in sorted(folder.rglob("*.html"))
        if written
        and any(text in content for content in [page.read_text(encoding="utf-8", errors="replace")] for text in written)
    ]
