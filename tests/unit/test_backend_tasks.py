"""What is made of tasks, whatever they are."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given

from ml_backend.request import Asked, Item, ProjectRef, read_project, read_tasks, sound
from pipeline.preannotation.label_studio_format import Control
from pipeline.texts.limits import MAX_TEXT
from pipeline.texts.normalise import text_id
from tests.support.requests import TASKS

CONTROL = Control("labels", "text", "text", {"porn": "porn"}, multiple=True)


def read(*tasks: object, control: Control | None = CONTROL) -> list[Item]:
    return read_tasks(Asked(tasks, control, None))


def one(text: object, **data: object) -> Item:
    [item] = read({"id": 1, "data": {"text": text, **data}})
    return item


def test_texts_are_repaired_and_masked_as_at_ingest() -> None:
    item = one("  telefon   saya 012-345 6789 ")
    assert item.text == "telefon saya <phone>"
    assert item.ids == (text_id("telefon saya 012-345 6789"),)


def test_the_id_in_the_task_goes_first() -> None:
    given = uuid.uuid4()
    assert one("satu teks", text_id=str(given)).ids == (given, text_id("satu teks"))
    assert one("satu teks", text_id="no id").ids == (text_id("satu teks"),)
    assert one("satu teks", text_id=str(text_id("satu teks"))).ids == (text_id("satu teks"),)


@pytest.mark.parametrize("task", [None, 1, "text", [], {}, {"data": None}, {"data": []}, {"data": {"other": "a"}}])
def test_what_is_no_task_has_no_text(task: object) -> None:
    [item] = read(task)
    assert item.text is None


@pytest.mark.parametrize("text", [None, 1, ["a"], {"a": 1}, "", " \n\t", "!!!", "\0"])
def test_what_is_no_text_is_none(text: object) -> None:
    assert one(text).text is None


def test_a_text_of_a_megabyte_is_cut() -> None:
    item = one("lucah " * 170_000)
    assert item.text is not None
    assert 0 < len(item.text) <= MAX_TEXT


def test_a_lone_surrogate_is_replaced() -> None:
    assert one("lucah \ud83d betul").text == "lucah \N{REPLACEMENT CHARACTER} betul"
    assert sound("\ud83d\ude00") == "\N{GRINNING FACE}"


def test_a_task_without_reasons_that_saring_pushed_looks_blind() -> None:
    assert one("teks", batch="b", why="").looks_blind
    assert not one("teks", batch="b", why="porn: classifier 0.9").looks_blind
    assert not one("teks").looks_blind


def test_without_a_control_nothing_is_read() -> None:
    [item] = read({"data": {"text": "teks"}}, control=None)
    assert item == Item(None, None)


@given(TASKS)
def test_there_is_an_item_for_each_task(tasks: list[Any]) -> None:
    for item in (items := read(*tasks)):
        assert item.text is None or item.ids
    assert len(items) == len(tasks)


@pytest.mark.parametrize(
    ("value", "project"),
    [
        ("7.1795437340", ProjectRef(7, 1_795_437_340)),
        ("7", ProjectRef(7, None)),
        ("7.", None),
        ("x.1", None),
        (7, None),
        (None, None),
        ("99999999999.1", None),
    ],
)
def test_projects(value: object, project: ProjectRef | None) -> None:
    assert read_project(value) == project
