"""Reports: an application, or its user, says that a verdict was wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ml_backend.moderation.errors import BadRequest, Unprocessable
from pipeline.taxonomy import Taxonomy
from pipeline.texts.limits import MAX_COMMENT, MAX_ID, MAX_RAW_TEXT

#: labels of a report
_MOST_LABELS = 100


@dataclass(frozen=True, slots=True)
class NewReport:
    """A report, read."""

    text: str
    #: labels that are right for the text, and labels that are wrong; both may be empty
    right: frozenset[str]
    wrong: frozenset[str]
    reason: str | None
    #: the application's own name of the report
    reference: str | None
    #: version of the model whose verdict was wrong
    model: str | None


def read_report(payload: Any, taxonomy: Taxonomy) -> NewReport:
    """Read a request.

    Args:
        payload: what was sent.
        taxonomy: the labels; names and aliases are understood too.

    Raises:
        BadRequest: a field cannot be used; the message names it.
        Unprocessable: a field is too long.
    """
    if not isinstance(payload, dict):
        raise BadRequest('the body is not a JSON object: send {"text": "...", "labels": {"hate": false}}')
    text = payload.get("text")
    if not isinstance(text, str) or not text.strip():
        raise BadRequest("`text` is missing: send the text that was judged", param="text")
    if len(text) > MAX_RAW_TEXT:
        raise Unprocessable(f"`text` has {len(text)} characters: at most {MAX_RAW_TEXT} are kept", param="text")
    given = payload.get("labels", {})
    if isinstance(given, list):
        given = dict.fromkeys([label for label in given if isinstance(label, str)], True)
    if not isinstance(given, dict) or len(given) > _MOST_LABELS:
        raise BadRequest("`labels` is not an object of labels with true or false", param="labels")
    marks: dict[str, bool] = {}
    for name, value in given.items():
        key = taxonomy.canonical(str(name))
        if key is None:
            raise BadRequest(
                f"there is no label {str(name)[:60]!r}: there are {', '.join(taxonomy.keys)}", param="labels"
            )
        if not isinstance(value, bool):
            raise BadRequest(f"the value of {key!r} is neither true nor false", param="labels")
        marks[key] = value
    return NewReport(
        text,
        frozenset(label for label, value in marks.items() if value),
        frozenset(label for label, value in marks.items() if not value),
        _words(payload, "reason", MAX_COMMENT),
        _words(payload, "reference", MAX_ID),
        _words(payload, "model", MAX_ID),
    )


def _words(payload: Mapping[str, Any], field: str, most: int) -> str | None:
    value = payload.get(field)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise BadRequest(f"`{field}` is not a text", param=field)
    if len(value) > most:
        raise Unprocessable(f"`{field}` has {len(value)} characters: send at most {most}", param=field)
    return value.replace("\0", "").encode("utf-8", "replace").decode()
