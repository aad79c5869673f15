"""Forms: typed values from what was typed, and a problem for each value that cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.filters.cuts import Cut
from pipeline.settings import Settings
from saring.actions.starting.forms import Choice, Field, Form, FormError, as_posted, read_form, shown
from saring.actions.starting.machines import CENTROID
from saring.context import Context

FORM = Form(
    "stage",
    "Stage",
    "Do it.",
    (
        Field("size", "whole", "Size", default=500, least=1, most=100_000, needed=True),
        Field("share", "number", "Share", default=0.1, least=0, most=1),
        Field("method", "choice", "Method", default="a", choices=[Choice("a", "A"), Choice("b", "B")]),
        Field("labels", "several", "Labels", default=[], choices=[Choice("x", "X"), Choice("y", "Y")]),
        Field("deep", "switch", "Deep", default=True),
        Field("name", "words", "Name"),
    ),
)


def problems(**given: Any) -> dict[str, str]:
    with pytest.raises(FormError) as error:
        read_form(FORM, given)
    return {problem.field: problem.sentence for problem in error.value.problems}


def test_a_field_that_is_missing_has_its_default() -> None:
    defaults = {"size": 500, "share": 0.1, "method": "a", "labels": [], "deep": True, "name": None}
    assert read_form(FORM, {}) == defaults
    # an empty page of a browser: nothing is ticked
    assert read_form(FORM, as_posted(FORM, {})) == defaults | {"deep": False}


def test_values_get_their_types() -> None:
    given = {"size": " 5,000 ", "share": "0.25", "method": "b", "labels": ["y", "x", "y"], "deep": "on", "name": " a b"}
    assert read_form(FORM, given) == {
        "size": 5000,
        "share": 0.25,
        "method": "b",
        "labels": ["y", "x"],
        "deep": True,
        "name": "a b",
    }
    # values that have their type already: a program's, or those of a stored request
    typed = {"size": 7, "share": 0, "method": None, "labels": [], "deep": False, "name": None}
    assert read_form(FORM, typed) == typed


@pytest.mark.parametrize(
    ("field", "given", "says"),
    [
        ("size", "many", "whole number"),
        ("size", "2.5", "whole number"),
        ("size", "0", "give 1 or more"),
        ("size", "100001", "give 100,000 or less"),
        ("size", "", "fill this in"),
        ("share", "half", "give a number"),
        ("share", "nan", "give a number"),
        ("share", "1e999", "give a number"),
        ("share", "-0.1", "give 0 or more"),
        ("share", "1.01", "give 1 or less"),
        ("method", "c", "one of the list"),
        ("labels", ["x", "z"], "one of the list"),
        ("name", "a\x00b", "cannot be seen"),
        ("name", "a\nb", "cannot be seen"),
        ("name", "a" * 301, "300 characters"),
        ("colour", "red", "no such field"),
    ],
)
def test_a_value_that_cannot_be_used_is_a_problem_of_its_field(field: str, given: Any, says: str) -> None:
    found = problems(**{field: given})
    assert list(found) == [field]
    assert says in found[field]


def test_all_problems_are_told_at_once_in_one_line() -> None:
    assert set(problems(size="x", share="y", name="ok")) == {"size", "share"}
    with pytest.raises(FormError, match=r"size: .*; share: ") as error:
        read_form(FORM, {"size": "x", "share": "y"})
    assert "\n" not in str(error.value)


def test_a_form_is_shown_again_with_what_was_typed() -> None:
    assert shown(FORM, {"size": "many", "labels": ["x"]}) == {
        "size": "many",
        "share": 0.1,
        "method": "a",
        "labels": ["x"],
        "deep": True,
        "name": None,
    }


def test_what_a_browser_adds_is_no_field() -> None:
    posted = {"csrf": ["t"], "size": ["1", "2"], "labels": ["x", "y"]}
    assert as_posted(FORM, posted) == {"size": "2", "labels": ["x", "y"], "deep": ""}


def test_bounds_of_a_form_are_those_of_the_stage() -> None:
    """A value that a field lets through must not be refused by the parameters behind it."""
    home = Context(Settings(home=Path("/nonexistent")))
    form = CENTROID.form(home)
    for end in ("least", "most"):
        given = {
            each.name: getattr(each, end)
            for each in form.fields
            if each.kind in ("whole", "number") and getattr(each, end) is not None
        }
        [(stage, params)] = CENTROID.starts(home, read_form(form, given))
        assert stage == "filter-centroid"
        assert isinstance(params.cut, Cut)
