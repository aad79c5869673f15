"""Preparation of rows for the store: the part of ingest that needs no database, so it can run in any process."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from pipeline.texts.fields import find, has, is_rounded
from pipeline.texts.json_values import load_json, lone_half, whole_characters
from pipeline.texts.language import MarkerDetector
from pipeline.texts.limits import MAX_ID, MAX_RAW_TEXT, MAX_TEXT
from pipeline.texts.masking import bare, mask, words
from pipeline.texts.near_duplicates import level, packed_buckets
from pipeline.texts.normalise import readable, repair, text_key
from pipeline.texts.readers import Format, RawRow
from pipeline.texts.rejects import Reject

#: a letter or a digit of any script, and a letter
_WORDY, _LETTER = re.compile(r"[^\W_]"), re.compile(r"[^\W\d_]")


@dataclass(frozen=True, slots=True)
class Options:
    """Options for reading rows."""

    form: Format
    text_field: str = "text"
    id_field: str = "id"
    #: fields to keep beside the text
    keep: tuple[str, ...] = ()
    languages: tuple[str, ...] = ("ms", "id", "en")


class PreparedText(NamedTuple):
    """One text, ready for the store."""

    line: int
    external_id: str
    #: see `text_key`
    key: bytes
    body: str
    masked: str
    language: str | None
    language_score: float
    in_scope: bool
    fields: Mapping[str, Any]
    #: see `near_duplicates.packed_buckets`
    buckets: bytes

    @property
    def id(self) -> uuid.UUID:
        """The text's id in the store."""
        return uuid.UUID(bytes=self.key)


@dataclass(slots=True)
class Prepared:
    """A prepared batch of rows: texts and rejects, each in the file's order."""

    rows: list[PreparedText] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    #: rows whose id a spreadsheet has rounded; they are known by file and line instead
    rounded_ids: int = 0

    def __len__(self) -> int:
        return len(self.rows) + len(self.rejects)

    def __reduce__(self) -> tuple[Any, ...]:
        # Rows are sent between processes as columns: this takes a fifth of the time of thousands of objects.
        return _from_columns, (tuple(zip(*self.rows, strict=True)), self.rejects, self.rounded_ids)


def _from_columns(columns: tuple[tuple[Any, ...], ...], rejects: list[Reject], rounded_ids: int) -> Prepared:
    return Prepared(list(map(PreparedText._make, zip(*columns, strict=True))), rejects, rounded_ids)


def prepare(
    lines: Sequence[int], payloads: Sequence[bytes | dict[str, Any]], *, path: str, name: str, options: Options
) -> Prepared:
    """Parse, repair, mask and describe rows.

    Args:
        lines: the line of each row.
        payloads: the content of each row, from a reader.
        path: the file, for rejects.
        name: the file's name without its folder: part of the id of rows without an id.
        options: options for reading.
    """
    prepared, detector = Prepared(), _detector()
    described: list[tuple[Any, ...]] = []
    levelled: list[str] = []
    for row in map(RawRow, lines, payloads):
        try:
            fields = _fields(row, options)
            body = repair(_text(fields, options.text_field))
            masked = _masked(body)
            own_id = _own_id(find(fields, options.id_field))
        except _BadRow as bad:
            prepared.rejects.append(Reject(path, row.line, bad.reason, bad.detail))
            continue
        if is_rounded(own_id):
            prepared.rounded_ids += 1
            own_id = ""
        external_id = own_id or f"{name}:{row.line}"
        its_words = words(bare(masked))
        detected = detector.detect(masked, its_words)
        kept = {key: find(fields, key) for key in options.keep}
        in_scope = detected.in_scope(options.languages)
        described.append(
            (row.line, external_id, text_key(body), body, masked, detected.language, detected.score, in_scope, kept)
        )
        levelled.append(level(masked, its_words))
    for parts, its_buckets in zip(described, packed_buckets(levelled), strict=True):
        prepared.rows.append(PreparedText._make((*parts, its_buckets)))
    return prepared


class _BadRow(Exception):
    """A row that cannot be used."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


def _fields(row: RawRow, options: Options) -> Mapping[str, Any]:
    if isinstance(row.payload, dict):
        return row.payload
    if options.form is Format.TXT:
        return {options.text_field: _decoded(row.payload)}
    try:
        value = load_json(row.payload)
    except UnicodeDecodeError as error:
        raise _BadRow("not UTF-8", f"byte {error.start}") from error
    except orjson.JSONDecodeError as error:
        # The place of the error is useful; the line itself must not be logged.
        raise _BadRow("not valid JSON", f"{error.msg} at character {error.pos}") from error
    if not isinstance(value, dict):
        raise _BadRow("not a JSON object", type(value).__name__)
    return value


def _text(fields: Mapping[str, Any], name: str) -> str:
    if not has(fields, name):
        raise _BadRow("missing field", name)
    text = find(fields, name)
    if text is None:
        raise _BadRow("empty text")
    if not isinstance(text, str):
        raise _BadRow("text is not a string", type(text).__name__)
    if len(text) > MAX_RAW_TEXT:
        raise _too_long(text)
    text = whole_characters(text)
    _check_characters(text)
    return text


def _too_long(text: str) -> _BadRow:
    return _BadRow("text too long", f"{len(text)} characters; at most {MAX_TEXT}")


def _own_id(value: object) -> str:
    """The source's id of a row, without characters that the store cannot hold; empty if it has none."""
    own_id = "" if value is None else str(value).replace("\0", "")
    if len(own_id) > MAX_ID:
        raise _BadRow("id too long", f"{len(own_id)} characters; at most {MAX_ID}")
    _check_characters(own_id)
    return own_id


def _decoded(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _BadRow("not UTF-8", f"byte {error.start}") from error


def _check_characters(text: str) -> None:
    """Refuse text with lone surrogates: JSON may spell them, and readers make them of bytes that are not UTF-8."""
    place = lone_half(text)
    if place is None:
        return
    if "\udc80" <= text[place] <= "\udcff":
        raise _BadRow("not UTF-8", f"character {place}")
    raise _BadRow("not valid JSON", f"half of a character at character {place}")


def _masked(body: str) -> str:
    if len(body) > MAX_TEXT:
        raise _too_long(body)
    if _WORDY.search(body) is None:
        raise _BadRow("no words" if body else "empty text")
    masked = mask(readable(body))
    if _LETTER.search(bare(masked)) is None:
        raise _BadRow("only addresses and numbers")
    return masked


@lru_cache(maxsize=1)
def _detector() -> MarkerDetector:
    return MarkerDetector()
