"""Requests for predictions, read with care: no field is sure to have its type."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.preannotation.label_studio_format import Control
from pipeline.texts.limits import cut
from pipeline.texts.masking import mask
from pipeline.texts.normalise import readable, repair, text_id

#: "ID.EPOCH": a project, and the second of its making
_PROJECT = re.compile(r"(\d{1,9})(?:\.(\d{1,12}))?", re.ASCII)
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class ProjectRef:
    """A project as Label Studio names it."""

    id: int
    #: seconds since 1970; tells it from a later project with the same id
    created_at: int | None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for predictions, its tasks as they came."""

    tasks: Sequence[object]
    #: None: nothing in the config takes our labels
    control: Control | None
    project: ProjectRef | None

    def part(self, start: int, stop: int) -> Asked:
        """The request for some of its tasks."""
        return Asked(self.tasks[start:stop], self.control, self.project)


@dataclass(frozen=True, slots=True)
class Item:
    """One task to be predicted, as far as it can be."""

    #: None: nothing in the config takes our labels
    control: Control | None
    project: ProjectRef | None
    #: repaired and masked; None: there is no text
    text: str | None = None
    #: what the text might be in the store, likeliest first
    ids: tuple[uuid.UUID, ...] = ()
    #: pushed by Saring without a word on why: how a blind task looks from outside
    looks_blind: bool = False


def read_project(value: object) -> ProjectRef | None:
    """The project that a request names; None if it names none."""
    match = _PROJECT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    return ProjectRef(int(match[1]), int(match[2]) if match[2] else None)


def read_tasks(request: Asked) -> list[Item]:
    """One item a task, in order, whatever the tasks are."""
    return [_item(task, request.control, request.project) for task in request.tasks]


def _item(task: object, control: Control | None, project: ProjectRef | None) -> Item:
    data: Any = task.get("data") if isinstance(task, dict) else None
    written = data.get(control.variable) if isinstance(data, dict) and control is not None else None
    if not isinstance(written, str):
        return Item(control, project)
    given = _uuid(data.get("text_id"))
    # a text beyond this length is no post, and not in the store; its beginning says enough
    repaired = repair(sound(cut(written)))
    if not any(c.isalnum() for c in repaired):
        return Item(control, project)
    own = text_id(repaired)
    ids = (own,) if given is None or given == own else (given, own)
    return Item(control, project, mask(readable(repaired)), ids, bool(data.get("batch")) and not data.get("why"))


def sound(text: str) -> str:
    """The text without lone surrogates, which can be neither hashed nor stored."""
    if text.isascii() or _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _uuid(value: object) -> uuid.UUID | None:
    try:
        return uuid.UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
