"""Texts without labels to pre-train on: repaired and masked, none that a classifier will be tested on."""

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
    done = 0
    for path in paths:
        form = format_of(path)
        for row in read_rows(path, form):
            found = row if isinstance(row, Reject) else _text(row, path, form, text_field)
            if isinstance(found, Reject):
                sink.add(found)
            elif found is not None:
                yield found
            done += 1
            if done % _BATCH == 0:
                progress(done, None, "reading")


def store_texts(engine: Engine, *, progress: Progress = silent) -> Iterator[str]:
    """The store's texts in scope, as they are masked there; without near-duplicates, and without its test set."""
    t = store.Text
    with open_session(engine) as session:
        held_out = test_set.members(session)
        ids = [one for one in session.scalars(sample(None)) if one not in held_out]
        for start in range(0, len(ids), _BATCH):
            some = ids[start : start + _BATCH]
            rows = session.execute(select(t.id, t.masked).where(t.id.in_(some))).all()
            found = {row.id: row.masked for row in rows}
            yield from (found[one] for one in some if one in found)
            progress(start + len(some), len(ids), "reading")


def _text(row: RawRow, path: str, form: Format, field: str) -> str | Reject | None:
    if form is Format.TXT:
        assert isinstance(row.payload, bytes)
        found: object = row.payload.decode(errors="replace")
    else:
        fields = _fields(row, path)
        if isinstance(fields, Reject):
            return fields
        if fields.get("split") == "test":
            return None
        found = fields.get(field)
        if not isinstance(found, str):
            return Reject(path, row.line, "missing field", field)
    assert isinstance(found, str)
    if not any(c.isalnum() for c in found):
        # empty lines part the paragraphs of plain text
        return None if form is Format.TXT else Reject(path, row.line, "no words")
    return clean(found)


def _fields(row: RawRow, path: str) -> Mapping[str, Any] | Reject:
    if isinstance(row.payload, dict):
        return row.payload
    try:
        fields = orjson.loads(row.payload)
    except orjson.JSONDecodeError as error:
        return Reject(path, row.line, "not valid JSON", f"{error.msg} at character {error.pos}")
    return fields if isinstance(fields, dict) else Reject(path, row.line, "not a JSON object", type(fields).__name__)
