"""Read labelled texts from files; rows that are not valid are rejected, and nothing is guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.errors import InputError
from pipeline.texts.cells import labels_in
from pipeline.texts.fields import find
from pipeline.texts.json_values import load_json, lone_half, whole_characters
from pipeline.texts.labelled import LabelledText, Split
from pipeline.texts.limits import cut
from pipeline.texts.masking import mask
from pipeline.texts.normalise import readable, repair
from pipeline.texts.readers import Format, RawRow, format_of, read_rows
from pipeline.texts.rejects import Reject, RejectSink

_KNOWN = {"id", "text", "labels", "not_labels", "source", "split", "lang", "sentiment"}
_SPLITS: dict[str, Split] = {"train": "train", "dev": "dev", "valid": "dev", "validation": "dev", "test": "test"}


def clean(text: str) -> str:
    """Repair, normalise and mask a text, as models get it; of a text that is too long, its beginning."""
    return mask(readable(repair(cut(text))))


@dataclass(frozen=True, slots=True)
class LabelsField:
    """A field with labels that a data set calls by its own name, and in which they may be spelled in any way."""

    name: str
    #: the key of a label by any of its names; None: no label has it
    canonical: Callable[[str], str | None]


def read_labelled(
    paths: Iterable[str], sink: RejectSink, *, keep_extra: bool = False, labels_field: LabelsField | None = None
) -> Iterator[LabelledText]:
    """Stream labelled rows (see `pipeline.texts.labelled`) of JSON lines or Parquet files, with their texts unchanged.

    Args:
        paths: local paths or fsspec addresses.
        sink: takes the rows that cannot be used.
        keep_extra: keep fields that Saring does not use, to write them back.
        labels_field: the field with the labels; None: `labels`, a list of keys.

    Raises:
        InputError: a file cannot be read at all.
    """
    for path in paths:
        form = format_of(path)
        if form not in (Format.JSONL, Format.PARQUET):
            raise InputError(
                f"{path}: labelled texts must be JSON lines or Parquet; use `saring import` for other formats"
            )
        for row in read_rows(path, form):
            labelled = row if isinstance(row, Reject) else _parse(row, path, keep_extra, labels_field)
            if isinstance(labelled, Reject):
                sink.add(labelled)
            else:
                yield labelled


def parse_line(line: bytes, where: str, number: int, sink: RejectSink) -> Iterator[LabelledText]:
    """The labelled text of one line of JSON, with its other fields; empty if the line cannot be used.

    Args:
        line: the line, with or without its newline.
        where: name of its file in the rejects.
        number: number of the line, from 1.
        sink: takes the line if it cannot be used.
    """
    labelled = _parse(RawRow(number, line), where, keep_extra=True)
    if isinstance(labelled, Reject):
        sink.add(labelled)
    else:
        yield labelled


def unknown_labels(rows: Iterable[LabelledText], known: Sequence[str]) -> Counter[str]:
    """Labels of rows that are not in `known`, with the number of rows that have each."""
    return Counter(label for row in rows for label in row.labels | row.not_labels if label not in known)


def _parse(row: RawRow, path: str, keep_extra: bool, labels_field: LabelsField | None = None) -> LabelledText | Reject:
    if isinstance(row.payload, dict):
        fields: Mapping[str, Any] = row.payload
    else:
        try:
            fields = load_json(row.payload)
        except (orjson.JSONDecodeError, UnicodeDecodeError) as error:
            return Reject(path, row.line, "not valid JSON", _place(error))
        if not isinstance(fields, dict):
            return Reject(path, row.line, "not a JSON object", type(fields).__name__)
    text = fields.get("text")
    if not isinstance(text, str):
        return Reject(path, row.line, "missing field", "text")
    text = whole_characters(text)
    if (half := lone_half(text)) is not None:
        return Reject(path, row.line, "not valid JSON", f"half of a character at character {half}")
    if not any(c.isalnum() for c in text):
        return Reject(path, row.line, "no words" if text.strip() else "empty text")
    labels, not_labels = (_labels(fields.get(name)) for name in ("labels", "not_labels"))
    if labels_field is not None:
        labels, more = labels_in(find(fields, labels_field.name), labels_field.canonical)
        not_labels = None if not_labels is None else not_labels | more
    if labels is None or not_labels is None:
        return Reject(path, row.line, "labels are not a list of strings")
    if both := labels & not_labels:
        return Reject(path, row.line, "label both asserted and denied", sorted(both)[0])
    split, sentiment = (_text(fields.get(name)) for name in ("split", "sentiment"))
    return LabelledText(
        text=text,
        id=f"{path}:{row.line}" if fields.get("id") in (None, "") else str(fields["id"]),
        labels=labels,
        not_labels=not_labels,
        source=_text(fields.get("source")) or "",
        split=_SPLITS.get(split or ""),
        # Many data sets name the field in full.
        language=_text(fields.get("lang")) or _text(fields.get("language")),
        sentiment=sentiment,
        extra={k: v for k, v in fields.items() if k not in _KNOWN} if keep_extra else {},
    )


def _place(error: orjson.JSONDecodeError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}"
    return f"{error.msg} at character {error.pos}"


def _labels(value: object) -> frozenset[str] | None:
    if value is None:
        return frozenset()
    if isinstance(value, list) and all(isinstance(label, str) for label in value):
        return frozenset(value)
    return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
