"""What is made of a project's label config, whoever wrote it."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.preannotation.label_studio_format import Control, control_reader
from pipeline.taxonomy import load_taxonomy
from tests.support.backend import label_config

TAXONOMY = load_taxonomy()


def read(config: object) -> Control | None:
    return control_reader(TAXONOMY)(config)


def test_names_choices_and_the_field_come_from_the_config() -> None:
    control = read(
        '<View><Header value="Read"/><Text name="post" value="$body"/>'
        '<Choices name="verdict" toName="post" choice="multiple">'
        '<Choice value="porn"/><Choice value="PENGANAS"/></Choices></View>'
    )
    assert control == Control("verdict", "post", "body", {"porn": "porn"}, multiple=True)


def test_a_choice_is_spelled_as_the_config_spells_it() -> None:
    control = read(label_config(["Porn", "Hate"]))
    assert control is not None
    assert control.choices == {"porn": "Porn", "hate": "Hate"}


def test_an_alias_is_what_label_studio_stores() -> None:
    control = read(label_config(["x"]).replace('<Choice value="x"/>', '<Choice value="Lucah!" alias="porn"/>'))
    assert control is not None
    assert control.choices == {"porn": "porn"}


@pytest.mark.parametrize(("choice", "multiple"), [("multiple", True), ("single", False), ("single-radio", False)])
def test_how_many_may_be_ticked(choice: str, multiple: bool) -> None:
    control = read(label_config(["porn", "hate"], choice))
    assert control is not None
    assert control.multiple is multiple


def test_of_several_controls_the_one_with_most_labels_counts() -> None:
    other = '<Choices name="undecided" toName="text"><Choice value="can\'t decide"/><Choice value="hate"/></Choices>'
    control = read(label_config(["porn", "hate"]).replace("</View>", f"{other}</View>"))
    assert control is not None
    assert control.from_name == "labels"


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (None, "brought no label config"),
        (7, "brought no label config"),
        ("  ", "brought no label config"),
        ("<View>", "cannot be parsed"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><View>&b;</View>', "cannot be parsed"),
        ("<View/>", "no <Choices>"),
        (label_config(["porn"]).replace('value="$text"', 'value="fixed"'), "no <Choices>"),
        (label_config(["porn"]).replace('toName="text"', 'toName="gone"'), "no <Choices>"),
        (label_config([]), "no choice"),
        (label_config(["sports", "politics"]), "no choice"),
    ],
)
def test_a_config_that_takes_no_labels_is_named_once(
    config: object, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    reader = control_reader(TAXONOMY)
    with caplog.at_level(logging.WARNING):
        assert [reader(config), reader(config)] == [None, None]
    [line] = caplog.messages
    assert why in line
    assert "\n" not in line


@given(st.text() | st.text(alphabet="<>/\"'=&;$ Choicesvalue"))
def test_nothing_written_there_is_an_error(config: str) -> None:
    read(config)
