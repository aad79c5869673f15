"""Labelled files: what is read, and why a row is not."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import InputError
from pipeline.texts.labelled import LabelledText
from pipeline.texts.labelled_files import clean, parse_line, read_labelled, unknown_labels
from pipeline.texts.rejects import RejectSink

_GOOD = {"id": "a1", "text": "nasi lemak", "labels": ["hate"], "not_labels": ["porn"], "source": "set", "lang": "ms"}


def written(path: Path, *rows: object) -> str:
    path.write_bytes(b"".join((r if isinstance(r, bytes) else json.dumps(r).encode()) + b"\n" for r in rows))
    return str(path)


def read(path: str, **options: Any) -> tuple[list[LabelledText], dict[str, int]]:
    sink = RejectSink()
    return list(read_labelled([path], sink, **options)), dict(sink.counts)


def test_a_row_is_read_as_it_is_written(tmp_path: Path) -> None:
    [row], rejected = read(written(tmp_path / "a.jsonl", _GOOD | {"split": "test", "sentiment": "negative"}))
    assert row == LabelledText(
        "nasi lemak", "a1", frozenset({"hate"}), frozenset({"porn"}), "set", "test", "ms", "negative"
    )
    assert not rejected
    [again], _ = read(written(tmp_path / "b.jsonl", row.to_json()))
    assert again == row


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "cut', "not valid JSON"),
        (b"\xff\xfe nasi", "not valid JSON"),
        (b"[1, 2]", "not a JSON object"),
        (b'"nasi"', "not a JSON object"),
        ({"labels": ["hate"]}, "missing field"),
        ({"text": None}, "missing field"),
        ({"text": 5}, "missing field"),
        ({"text": ""}, "empty text"),
        ({"text": " \n "}, "empty text"),
        ({"text": "!!! 😂"}, "no words"),
        (_GOOD | {"labels": "hate"}, "labels are not a list of strings"),
        (_GOOD | {"labels": [1]}, "labels are not a list of strings"),
        (_GOOD | {"not_labels": {"porn": True}}, "labels are not a list of strings"),
        (_GOOD | {"not_labels": ["hate", "porn"]}, "label both asserted and denied"),
    ],
)
def test_a_row_that_cannot_be_used_is_rejected_with_its_reason(tmp_path: Path, line: object, reason: str) -> None:
    with RejectSink(tmp_path / "rejects.jsonl") as sink:
        rows = list(read_labelled([written(tmp_path / "a.jsonl", _GOOD, line, _GOOD)], sink))
    assert len(rows) == 2
    assert dict(sink.counts) == {reason: 1}
    noted = json.loads((tmp_path / "rejects.jsonl").read_bytes())
    assert (noted["file"], noted["line"], noted["reason"]) == (str(tmp_path / "a.jsonl"), 2, reason)
    assert "nasi" not in noted["detail"]


def test_what_is_missing_is_unknown_and_the_place_names_the_row(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.jsonl", {"text": "nasi"}, {"text": "teh", "id": 0}, {"text": "kopi", "id": "", "labels": None}
    )
    rows, _ = read(path)
    assert rows[0] == LabelledText("nasi", id=f"{path}:1")
    assert [row.id for row in rows] == [f"{path}:1", "0", f"{path}:3"]


def test_other_names_of_dev_are_known_and_no_other_split_is_guessed(tmp_path: Path) -> None:
    said = ["train", "dev", "valid", "validation", "test", "gold", 3, None]
    rows, _ = read(written(tmp_path / "a.jsonl", *(_GOOD | {"split": split} for split in said)))
    assert [row.split for row in rows] == ["train", "dev", "dev", "dev", "test", None, None, None]


def test_fields_that_mean_nothing_to_saring_are_kept_on_request(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", _GOOD | {"likes": 3})
    assert read(path, keep_extra=True)[0][0].extra == {"likes": 3}
    assert read(path)[0][0].extra == {}


def test_compressed_files_and_parquet_hold_the_same_rows(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(json.dumps(_GOOD).encode()))
    pq.write_table(pa.Table.from_pylist([_GOOD]), tmp_path / "a.parquet")
    sink = RejectSink()
    rows = list(read_labelled([str(tmp_path / "a.jsonl.gz"), str(tmp_path / "a.parquet")], sink))
    assert rows[0] == rows[1]
    assert rows[0].labels == {"hate"}


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    for name in ("a.csv", "a.txt", "a"):
        with pytest.raises(InputError, match=name):
            read(written(tmp_path / name, _GOOD))
    with pytest.raises(InputError, match="no such file"):
        read(str(tmp_path / "none.jsonl"))
    with pytest.raises(InputError, match="not a Parquet file"):
        read(written(tmp_path / "a.parquet", _GOOD))


def test_one_line_is_read_like_one_of_a_file() -> None:
    sink = RejectSink()
    line = json.dumps(_GOOD | {"likes": 3}).encode() + b"\n"
    [row] = parse_line(line, "standard input", 7, sink)
    assert (row.text, row.extra) == ("nasi lemak", {"likes": 3})
    assert list(parse_line(b"{}", "standard input", 8, sink)) == []
    assert dict(sink.counts) == {"missing field": 1}


def test_labels_outside_the_taxonomy_are_counted_by_row() -> None:
    rows = [
        LabelledText("a", labels=frozenset({"spam", "hate"})),
        LabelledText("b", not_labels=frozenset({"spam", "advert"})),
    ]
    assert unknown_labels(rows, ("hate", "porn")) == {"spam": 2, "advert": 1}


def test_models_see_repaired_and_masked_text() -> None:
    assert clean("  hubungi\tali@example.com  ") == "hubungi <email>"
    assert clean("cafÃ© tutup") == "café tutup"
