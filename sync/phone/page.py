"""The labels of a project as a phone shows them, and an answer as the result of an annotation. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.preannotation.label_studio_format import (
    CANT_DECIDE,
    NONE_OF_THESE,
    TEXT,
    UNDECIDED,
    Control,
    Reading,
    own_control,
    read_config,
    reading_of,
    ticks,
)
from pipeline.store.tables.volunteers import AnswerKind
from pipeline.taxonomy import Taxonomy
from sync.pull.annotations import labels_in, user_of

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """The labelling page of a project, as far as a phone shows it."""

    control: Control
    reading: Reading
    #: keys of the labels that can be ticked, in order
    labels: tuple[str, ...]
    #: True: the page has "none of these"
    none: bool
    #: True: the page has "can't decide"
    undecided: bool

    @classmethod
    def of(cls, config: str, taxonomy: Taxonomy) -> Page | None:
        """Read a label config; None: it has no control that takes labels of the taxonomy."""
        control, shown = own_control(config, taxonomy), read_config(config)
        if control is None or shown is None:
            return None
        answers = shown.choices.get(UNDECIDED, ())
        labels = tuple(label.key for label in taxonomy if label.key in control.choices)
        return cls(control, reading_of(config, taxonomy), labels, NONE_OF_THESE in answers, CANT_DECIDE in answers)

    def allows(self, kind: AnswerKind, labels: Collection[str]) -> bool:
        """True where the page can take an answer."""
        match kind:
            case AnswerKind.LABELS:
                return bool(labels) and set(labels) <= set(self.labels) and len(labels) <= (self.control.limit or 99)
            case AnswerKind.NONE:
                return self.none and not labels
            case AnswerKind.UNDECIDED:
                return self.undecided and not labels
            case AnswerKind.SKIPPED:
                return not labels

    def result(self, answer: uuid.UUID, kind: AnswerKind, labels: Sequence[str], ticked: Collection[str]) -> list[Json]:
        """The result of the annotation that an answer becomes. The id of its region is the answer's.

        Args:
            answer: id of the answer.
            kind: its sort.
            labels: keys of the labels that fit.
            ticked: keys of the labels that were ticked beforehand.
        """
        if kind is AnswerKind.SKIPPED:
            return []
        if kind is AnswerKind.LABELS:
            region = self.control.region(list(labels), {})
        else:
            choice = NONE_OF_THESE if kind is AnswerKind.NONE else CANT_DECIDE
            region = ticks([choice], control=UNDECIDED, to=self.control.to_name or TEXT)
        kept = kind is AnswerKind.LABELS and set(labels) == set(ticked)
        origin = "manual" if not ticked else "prediction" if kept else "prediction-changed"
        return [region | {"id": str(answer), "origin": origin}]


def ticks_of(
    task: Mapping[str, Any], version: str | None, page: Page, taxonomy: Taxonomy
) -> tuple[int | None, tuple[str, ...]]:
    """The prediction of a task that Label Studio shows, and the labels that it ticks; (None, ()) where it ticks none.

    Args:
        task: as `LabelStudio.shown_tasks` gives it.
        version: the version that its project shows.
        page: the project's page.
        taxonomy: the labels in force.
    """
    for prediction in _dicts(task.get("predictions")):
        if version and prediction.get("model_version") == version:
            known, _ = labels_in(prediction.get("result"), taxonomy, page.reading)
            number = prediction.get("id")
            if known and isinstance(number, int):
                return number, tuple(key for key in page.labels if key in known)
            return None, ()
    return None, ()


def own_annotation(task: Mapping[str, Any], user: str) -> Json | None:
    """The newest annotation of a user on a task; None: they have not answered it."""
    own = [row for row in _dicts(task.get("annotations")) if user_of(row.get("completed_by")) == user]
    return max(own, key=lambda row: int(row.get("id") or 0), default=None)


def is_answer(annotation: Mapping[str, Any], answer: uuid.UUID, kind: AnswerKind) -> bool:
    """True where an annotation is what an answer became."""
    regions = _dicts(annotation.get("result"))
    if kind is AnswerKind.SKIPPED:
        return annotation.get("was_cancelled") is True and not regions
    return any(region.get("id") == str(answer) for region in regions)


def _dicts(value: object) -> list[Json]:
    return [item for item in _iterable(value) if isinstance(item, dict)]


def _iterable(value: object) -> Iterable[object]:
    return value if isinstance(value, list) else ()
