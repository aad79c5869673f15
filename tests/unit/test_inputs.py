"""Rows to predict: none is left out, and what cannot be used says why."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from pipeline.models.learnt import count_learnt, write_learnt
from pipeline.texts.inputs import InputRow, read_input_lines, read_inputs
from pipeline.texts.json_values import dump_json
from pipeline.texts.readers import MAX_LINE, Format


@pytest.mark.parametrize(
    ("line", "text", "error"),
    [
        (b'{"id": 1, "text": "hai kawan", "labels": [1, 0]}', "hai kawan", None),
        (b'{"id": 1, "text": "hai kawan", "labels": "hate", "scores": 3, "model": 4}', "hai kawan", None),
        (b'{"id": 1, "text": "\xf0\x9f\xa4\xac"}', "🤬", None),
        (b'{"id": 1, "text": "lawak \\ud83d"}', "lawak", None),
        (b'{"id": 1, "text": "hai", "likes": NaN}', "hai", None),
        (b'{"id": 1}', None, "missing field"),
        (b'{"id": 1, "text": null}', None, "empty text"),
        (b'{"id": 1, "text": "  "}', None, "empty text"),
        (b'{"id": 1, "text": "?!"}', None, "no words"),
        (b'{"id": 1, "text": 12}', None, "text is not a string"),
        (b'{"id": 1, "text": "a\\ud83db"}', None, "not valid JSON"),
        (b"bukan json", None, "not valid JSON"),
        (b'{"text": "caf\xe9"}', None, "not UTF-8"),
        (b"[1]", None, "not a JSON object"),
        (b'{"text": "' + b"x" * MAX_LINE + b'"}', None, "line too long"),
    ],
)
def test_each_line_is_a_row(line: bytes, text: str | None, error: str | None) -> None:
    before, row, after = read_input_lines([b'{"text": "a"}\n', b"\n", line, b'{"text": "b"}'], "in")
    assert (before.text, after.text) == ("a", "b")
    assert ((row.text or "").rstrip() or None, row.error) == (text, error)
    assert row.fields["id"] in ("1", "in:3")
    assert not {"labels", "scores", "model"} & set(row.fields)


def test_other_fields_are_handed_through_as_they_are() -> None:
    given = {"text": "hai", "split": "validate", "lang": 5, "source": None, "user": {"name": "x"}, "language": "ms"}
    [row] = read_input_lines([json.dumps(given).encode()], "in")
    assert row == InputRow({**given, "id": "in:1"}, "hai")
    [named] = read_input_lines([b'{"text": "hai", "language": "ms", "id": ""}'], "in")
    assert named.fields == {"text": "hai", "language": "ms", "lang": "ms", "id": "in:1"}


def test_a_half_of_a_character_in_another_field_is_written_as_it_was_read() -> None:
    [row] = read_input_lines([b'{"id": "7", "text": "hai", "name": "abu \\ud83d"}'], "in")
    assert json.loads(dump_json(row.fields)) == {"id": "7", "text": "hai", "name": "abu \ud83d"}


def test_tables_and_plain_text_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id;isi\n1;hai, kawan\n2\n"3;tiga\n4;baik\n')
    rows = list(read_inputs(str(tmp_path / "a.csv"), Format.CSV, text_field="isi"))
    assert [(row.text, row.error) for row in rows] == [
        ("hai, kawan", None),
        (None, "ragged row"),
        (None, "not valid CSV"),
        ("baik", None),
    ]
    (tmp_path / "a.txt").write_text("satu\ndua\n")
    assert [row.text for row in read_inputs(str(tmp_path / "a.txt"), Format.TXT)] == ["satu", "dua"]


def test_the_texts_that_a_model_learnt_from_are_counted(tmp_path: Path) -> None:
    ids = [uuid.uuid4() for _ in range(5)]
    assert count_learnt(tmp_path / "notes", "m", ids) is None
    write_learnt(tmp_path / "notes", "m", ids[:3])
    assert count_learnt(tmp_path / "notes", "m", ids[2:]) == 1
    assert count_learnt(tmp_path / "notes", "m", []) == 0
