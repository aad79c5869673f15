"""Predictions as a table that spreadsheets open."""

from __future__ import annotations

import csv
import io

from pipeline.learning.predicted_sheet import PredictedSheet


def read(rows: list[dict[str, object]]) -> list[dict[str, str]]:
    stream = io.StringIO(newline="")
    sheet = PredictedSheet(stream, ["late", "driver"])
    for row in rows:
        sheet.write(row)
    return list(csv.DictReader(io.StringIO(stream.getvalue(), newline="")))


def test_own_fields_labels_and_scores_are_columns() -> None:
    own = {"No": 7, "Aduan": 'bas lewat, "lagi"\nhari ni', "tags": ["a", "b"]}
    scored = {"scores": {"late": 0.9, "driver": 0.25}, "labels": ["late"], "model": "m-1"}
    assert read([{**own, **scored}]) == [
        {
            "No": "7",
            "Aduan": 'bas lewat, "lagi"\nhari ni',
            "tags": '["a","b"]',
            "labels": "late",
            "score late": "0.9",
            "score driver": "0.25",
            "error": "",
            "model": "m-1",
        }
    ]


def test_a_row_with_an_error_keeps_its_place_and_other_fields_are_left_out() -> None:
    first = {"id": "a", "text": "x", "scores": {"late": 0.9, "driver": 0.8}, "labels": ["late", "driver"], "model": "m"}
    [one, two] = read([first, {"id": "b", "more": 1, "error": "empty text", "model": "m"}])
    assert one["labels"] == "late; driver"
    assert (two["id"], two["text"], two["labels"], two["score late"], two["error"]) == ("b", "", "", "", "empty text")
    assert "more" not in two


def test_a_text_is_no_formula() -> None:
    rows = [
        {"text": text, "balance": -3.5, "scores": {}, "labels": [], "model": "m"}
        for text in ('=HYPERLINK("http://example.org")', "+60", "-1", "@a", "\tx", "biasa")
    ]
    shown = read(rows)
    assert [row["text"][0] for row in shown] == ["'"] * 5 + ["b"]
    assert {row["balance"] for row in shown} == {"-3.5"}


def test_the_name_of_a_field_is_no_formula() -> None:
    [row] = read([{"=1+1": "x", "scores": {}, "labels": [], "model": "m"}])
    assert row["'=1+1"] == "x"
