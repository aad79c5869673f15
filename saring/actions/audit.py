"""Audit the labels: which are probably wrong, and send them to reviewers or to volunteers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from pipeline.atomic import write_file
from pipeline.errors import UsageError
from pipeline.progress import Progress, silent
from pipeline.review.audit import AuditConfig, AuditReport, Doubted
from pipeline.review.audit import audit as look
from pipeline.review.suspects import WHO
from saring.actions.labels import require_label
from saring.actions.review import public_id
from saring.context import Context


@dataclass(frozen=True, slots=True)
class Audited:
    """The result of an audit, and what became of it."""

    report: AuditReport
    #: the texts, the most doubtful first
    doubted: Sequence[Doubted]
    #: texts that were put into the queue
    queued: int = 0
    #: the others that should have been, counted by the reason
    not_queued: Mapping[str, int] = field(default_factory=dict)


def audit(
    home: Context,
    *,
    labels: Sequence[str] = (),
    by: Sequence[str] = (),
    learnt: int = AuditConfig().learnt,
    most: int = AuditConfig().most,
    to_review: bool = False,
    to_queue: int = 0,
    seed: int | None = None,
    progress: Progress = silent,
) -> Audited:
    """Find the labels of people, data sets and machines that are probably wrong. By itself it changes nothing.

    Args:
        home: the home with the store.
        labels: the labels that are looked at; empty: all.
        by: whose answers are doubted, of `people`, `data` and `machines`; empty: everybody's.
        learnt: texts that the models learn from, at most.
        most: texts that are returned, at most.
        to_review: put the texts into the review, in place of the suspected errors that wait there.
        to_queue: put so many of the texts into the queue, the most doubtful first. Texts that a person has judged
            cannot be queued again: they are for the review.
        seed: of the folds; None: the settings'.
        progress: called from time to time.

    Raises:
        UsageError: there is no such label, or nobody of that name; or a part of the labels should go into the review.
        RunConflict: another audit is running.
    """
    keys = tuple(require_label(home, label) for label in labels)
    for name in by:
        if name not in WHO:
            raise UsageError(f"there are no labels by {name!r}: choose from {', '.join(WHO)}")
    if to_review and (keys or by):
        raise UsageError("the review takes the suspected errors of all labels: leave out --label and --by")
    report, doubted = look(
        home.engine,
        home.taxonomy,
        AuditConfig(keys, tuple(by), learnt, most, to_review),
        seed=home.settings.seed if seed is None else seed,
        progress=progress,
    )
    queued, left_out = _into_queue(home, doubted, to_queue) if to_queue else (0, {})
    return Audited(report, doubted, queued, left_out)


def row_of(home: Context, doubted: Doubted, *, with_text: bool = True) -> dict[str, Any]:
    """A doubted text as it is shown outside the store: masked, under its public id."""
    return {
        "text_id": str(public_id(home, doubted.text_id)),
        "text": doubted.text if with_text else None,
        "labels": [
            {
                "label": label,
                "given": "yes" if doubted.given[label] else "no",
                "expected": "no" if doubted.given[label] else "yes",
                "wrong": doubted.wrong[label],
            }
            for label in doubted.labels
        ],
        "why": [reason.sentence for reason in doubted.why],
        "value": doubted.value,
    }


def write_rows(home: Context, audited: Audited, path: Path) -> None:
    """Write all doubted texts as JSON lines, the most doubtful first. Texts are masked."""
    lines = b"".join(orjson.dumps(row_of(home, each)) + b"\n" for each in audited.doubted)
    write_file(path, lines)


def _into_queue(home: Context, doubted: Sequence[Doubted], count: int) -> tuple[int, dict[str, int]]:
    """Put up to `count` of the texts into the queue, each with its own reason."""
    from pipeline.queue.pick import pick
    from pipeline.queue.waiting import MOST_WHY
    from saring.actions.models import kept_champion

    model = kept_champion(home)
    left_out: Counter[str] = Counter()
    queued = 0
    with home.begin() as session:
        for each in doubted:
            if queued == count:
                break
            why = "; ".join(reason.sentence for reason in each.why)[:MOST_WHY]
            picked = pick(session, home.taxonomy, [each.text_id], why=why, model=model, label=each.labels[0])
            queued += picked.added
            left_out.update(picked.left_out)
    return queued, dict(left_out)
