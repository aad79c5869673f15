"""From a raw row to a row ready for the store: the part of ingest that needs no database, so it can run anywhere."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from pipeline.ingest.language import MarkerDetector
from pipeline.ingest.masking import PLACEHOLDER, mask
from pipeline.ingest.neardup import buckets, level
from pipeline.ingest.normalise import repair, text_id
from pipeline.ingest.readers import Format, RawRow
from pipeline.ingest.rejects import Reject

#: characters beyond which a text is no post but a document
MAX_TEXT = 20_000


@dataclass(frozen=True, slots=True)
class Options:
    """How rows are to be read."""

    form: Format
    text_field: str = "text"
    id_field: str = "id"
    #: fields to hand on beside the text
    keep: tuple[str, ...] = ()
    languages: tuple[str, ...] = ("ms", "id", "en")


@dataclass(frozen=True, slots=True)
class PreparedText:
    """One text, ready for the store."""

    line: int
    external_id: str
    id: uuid.UUID
    body: str
    masked: str
    language: str | None
    language_score: float
    in_scope: bool
    levelled: str
    fields: Mapping[str, Any]
    #: filled in for a whole batch at once
    buckets: list[int] = field(default_factory=list)


def prepare(rows: Sequence[RawRow | Reject], *, path: str, name: str, options: Options) -> list[PreparedText | Reject]:
    """Parse, repair, mask and describe rows; one result a row, in order.

    Args:
        rows: what a reader gave.
        path: the file, for rejects.
        name: the file's name without its folder: the identity of rows that have no id of their own.
        options: how to read them.
    """
    prepared = [row if isinstance(row, Reject) else _prepare(row, path, name, options) for row in rows]
    texts = [row for row in prepared if isinstance(row, PreparedText)]
    for text, found in zip(texts, buckets([text.levelled for text in texts]), strict=True):
        text.buckets.extend(found)
    return prepared


def _prepare(row: RawRow, path: str, name: str, options: Options) -> PreparedText | Reject:
    try:
        fields = _fields(row, options)
        text = _text(fields, options.text_field)
    except _BadRow as bad:
        return Reject(path, row.line, bad.reason, bad.detail)
    body = repair(text)
    if not any(c.isalnum() for c in body):
        return Reject(path, row.line, "no words" if body else "empty text")
    if len(body) > MAX_TEXT:
        return Reject(path, row.line, "text too long", f"{len(body)} characters; at most {MAX_TEXT}")
    masked = mask(body)
    if not any(c.isalnum() for c in PLACEHOLDER.sub("", masked)):
        return Reject(path, row.line, "only addresses and numbers")
    found = _detector().detect(masked)
    levelled = level(masked)
    own_id = fields.get(options.id_field)
    return PreparedText(
        line=row.line,
        external_id=str(own_id).replace("\0", "") if own_id not in (None, "") else f"{name}:{row.line}",
        id=text_id(body),
        body=body,
        masked=masked,
        language=found.language,
        language_score=found.score,
        in_scope=found.in_scope(options.languages),
        levelled=levelled,
        fields={key: fields.get(key) for key in options.keep},
    )


class _BadRow(Exception):
    """A row that can't be used."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


def _fields(row: RawRow, options: Options) -> Mapping[str, Any]:
    if isinstance(row.payload, dict):
        return row.payload
    if options.form is Format.TXT:
        try:
            return {options.text_field: row.payload.decode("utf-8")}
        except UnicodeDecodeError as error:
            raise _BadRow("not UTF-8", f"byte {error.start}") from error
    try:
        value = orjson.loads(row.payload)
    except orjson.JSONDecodeError as error:
        # what the decoder says of the place is useful; the line itself may not be repeated
        raise _BadRow("not valid JSON", f"{error.msg} at character {error.pos}") from error
    if not isinstance(value, dict):
        raise _BadRow("not a JSON object", type(value).__name__)
    return value


def _text(fields: Mapping[str, Any], name: str) -> str:
    if name not in fields:
        raise _BadRow("missing field", name)
    text = fields[name]
    if text is None:
        raise _BadRow("empty text")
    if not isinstance(text, str):
        raise _BadRow("text is not a string", type(text).__name__)
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise _BadRow("not UTF-8", f"character {error.start}") from error
    return text


@lru_cache(maxsize=1)
def _detector() -> MarkerDetector:
    return MarkerDetector()
