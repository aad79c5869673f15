"""The author of an annotation.

Every account of Label Studio's community edition can write, change and delete annotations of every other, and can name
another account as the one who made them. The server tells who wrote an annotation last, and who last changed an
annotation of a task. From that: what somebody writes is their own word, whatever annotation they write it into, and
nobody takes back the word of another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline import store
from pipeline.store.tables.human_loop import AnnotationState
from sync.pull.annotations import Name, Said, user_of

#: states of annotations that are no longer in Label Studio
GONE = frozenset({AnnotationState.DELETED, AnnotationState.HELD})


def author_of(name: Name, content: Said, noted: store.Annotation | None, noted_rater: str) -> str:
    """Label Studio user id of the one whose word an annotation is; empty if that cannot be told.

    Args:
        name: the annotation's identity and accounts.
        content: its content.
        noted: our copy of it as it was before, if there is one.
        noted_rater: whose word that was.
    """
    if noted is not None and noted.state not in GONE and (is_as_noted(name, noted) or _same(content, noted)):
        # a change of its owner's name, of its mark as ground truth and so on says nothing about the text
        return noted_rater
    return name.writer or name.rater


def is_as_noted(name: Name, noted: store.Annotation) -> bool:
    """True where the annotation was not written since our copy of it was made."""
    return noted.updated_at == name.updated_at


def may_take_back(task: Mapping[str, Any] | None, rater: str, maintainer: str) -> bool:
    """True where an annotation that is gone from a task was deleted by its rater, or by a maintainer.

    Args:
        task: the task as it is now.
        rater: Label Studio user id of the one whose word it was.
        maintainer: the account that Saring itself uses.
    """
    return deleter_of(task) in {rater, maintainer}


def deleter_of(task: Mapping[str, Any] | None) -> str:
    """Label Studio user id of the one who last changed an annotation of the task; empty if the server does not tell."""
    return user_of(task.get("updated_by")) if task is not None else ""


def _same(content: Said, noted: store.Annotation) -> bool:
    return (content.state, sorted(content.chosen), sorted(content.unknown), content.comment) == (
        noted.state,
        sorted(noted.chosen),
        sorted(noted.unknown),
        noted.comment,
    )
