"""Texts without labels to pre-train on: repaired and masked, without the texts that a classifier is tested on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson
from sqlalchemy import Engine, select

from pipeline import store
from pipeline.ledger import test_set
from pipeline.progress import Progress, silent
from pipeline.store.session import open_session
from pipeline.store.texts import sample
from pipeline.texts.fields import find
from pipeline.texts.json_values import load_json, lone_half, whole_characters
from pipeline.texts.labelled_files import clean
from pipeline.texts.readers import Format, RawRow, format_of, read_rows
from pipeline.texts.rejects import Reject, RejectSink

_BATCH = 2_000


def read_texts(
    paths: Iterable[str], sink: RejectSink, *, text_field: str = "text", progress: Progress = silent
) -> Iterator[str]:
    """The texts of files: JSON lines, CSV and Parquet by a field, plain text by lines. Rows of a test split stay out.

    Raises:
        InputError: a file can't be read at all, or its name doesn't tell what it holds.
    """
    count = 0
    for path in paths:
        form = format_of(path)
        for row in read_rows(path, form):
            text = row if isinstance(row, Reject) else _text(row, path, form, text_field)
            if isinstance(text, Reject):
                sink.add(text)
            elif text is not None:
                yield text
            count += 1
            if count % _BATCH == 0:
                progress(count, None, "reading")


def store_texts(engine: Engine, *, progress: Progress = silent) -> Iterator[str]:
    """The store's texts in scope, as they are masked there; without near-duplicates, and without its test set."""
    t = store.Text
    with open_session(engine) as session:
        held_out = test_set.members(session)
        ids = [text_id for text_id in session.scalars(sample(None)) if text_id not in held_out]
        for start in range(0, len(ids), _BATCH):
            some = ids[start : start + _BATCH]
            rows = session.execute(select(t.id, t.masked).where(t.id.in_(some))).all()
            by_id = {row.id: row.masked for row in rows}
            yield from (by_id[text_id] for text_id in some if text_id in by_id)
            progress(start + len(some), len(ids), "reading")


def _text(row: RawRow, path: str, form: Format, field: str) -> str | Reject | None:
    if form is Format.TXT:
        assert isinstance(row.payload, bytes)
        content: object = row.payload.decode(errors="replace")
    else:
        fields = _fields(row, path)
        if isinstance(fields, Reject):
            return fields
        if fields.get("split") == "test":
            return None
        content = find(fields, field)
        if not isinstance(content, str):
            return Reject(path, row.line, "missing field", field)
        content = whole_characters(content)
        if lone_half(content) is not None:
            return Reject(path, row.line, "not valid JSON", "half of a character")
    assert isinstance(content, str)
    if not any(c.isalnum() for c in content):
        # Empty lines separate the paragraphs of plain text.
        return None if form is Format.TXT else Reject(path, row.line, "no words")
    return clean(content)


def _fields(row: RawRow, path: str) -> Mapping[str, Any] | Reject:
    if isinstance(row.payload, dict):
        return row.payload
    try:
        fields = load_json(row.payload)
    except (orjson.JSONDecodeError, UnicodeDecodeError):
        return Reject(path, row.line, "not valid JSON")
    return fields if isinstance(fields, dict) else Reject(path, row.line, "not a JSON object", type(fields).__name__)
