"""Events of Label Studio as rows: without secrets, and without what PostgreSQL cannot hold."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from ml_backend.request import sound

#: names of fields that hold secrets
_SECRET = re.compile(r"(?i)token|passw|secret|credential|authori[sz]ation|cookie|(?:api|access|private)_?key")
#: a name and a password in an address
_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")
#: longest name of an action that is kept
_LONGEST_ACTION = 100
#: nesting beyond which an event is nothing that Label Studio sends
_DEEPEST = 50


def read_event(payload: Any, *, size: int, most: int) -> dict[str, Any] | None:
    """The values of an event's row; None if it is none.

    Args:
        payload: the decoded body.
        size: bytes that it came in.
        most: bytes beyond which only the ids in it are kept.
    """
    action = payload.get("action") if isinstance(payload, dict) else None
    if not isinstance(action, str) or not action.strip():
        return None
    project = payload.get("project")
    project_id = project.get("id") if isinstance(project, dict) else None
    body = _clean(payload) if size <= most else _summary(payload, project_id)
    known = isinstance(project_id, int) and not isinstance(project_id, bool) and 0 < project_id < 2**31
    return {
        "action": _storable(action.strip()[:_LONGEST_ACTION]),
        "label_studio_project": project_id if known else None,
        "body": body,
    }


def _summary(payload: Mapping[str, Any], project_id: object) -> dict[str, Any]:
    """The ids in a large event, and a note that there was more."""
    body: dict[str, Any] = {"summary": True, "action": _clean(payload.get("action")), "project": {"id": project_id}}
    for name in ("task", "tasks", "annotation", "annotations"):
        value = payload.get(name)
        listed = value if isinstance(value, list) else [value] if isinstance(value, dict) else []
        if ids := [item["id"] for item in listed if isinstance(item, dict) and isinstance(item.get("id"), int)]:
            body[name] = [{"id": item} for item in ids]
    return body if isinstance(project_id, int | None) else body | {"project": {"id": None}}


def _clean(value: Any, depth: int = 0) -> Any:
    """The value without secrets, and without what PostgreSQL's JSON cannot hold."""
    if isinstance(value, dict):
        if depth > _DEEPEST:
            return {}
        return {_storable(key): _clean(inner, depth + 1) for key, inner in value.items() if _SECRET.search(key) is None}
    if isinstance(value, list):
        return [_clean(inner, depth + 1) for inner in value] if depth <= _DEEPEST else []
    if isinstance(value, str):
        return _USERINFO.sub("", _storable(value)) if "://" in value else _storable(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _storable(text: str) -> str:
    return sound(text).replace("\0", "")
