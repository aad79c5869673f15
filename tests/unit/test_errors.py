"""Errors: one line each, and the exit status that a script sees."""

from __future__ import annotations

import multiprocessing

import pytest

from pipeline import errors
from pipeline.errors import SaringError, UsageError, first_line


def _all(kind: type[SaringError] = SaringError) -> list[type[SaringError]]:
    return [kind, *(found for below in kind.__subclasses__() for found in _all(below))]


@pytest.mark.parametrize("kind", [kind for kind in _all() if kind.__module__ == errors.__name__])
def test_each_says_in_one_line_what_is_wrong_even_when_given_no_words(kind: type[SaringError]) -> None:
    message = str(kind())
    assert message
    assert "\n" not in message
    assert str(kind("the disk is full")) == "the disk is full"


@pytest.mark.parametrize("kind", [kind for kind in _all() if kind.__module__ == errors.__name__])
def test_each_survives_the_way_from_a_worker(kind: type[SaringError]) -> None:
    here, there = multiprocessing.Pipe()
    there.send(kind("the disk is full"))
    back = here.recv()
    assert type(back) is kind
    assert str(back) == "the disk is full"


def test_wrong_usage_can_be_told_from_failure_by_the_exit_status() -> None:
    assert {kind.exit_status for kind in _all() if issubclass(kind, UsageError)} == {2}
    assert {kind.exit_status for kind in _all() if not issubclass(kind, UsageError)} == {1}


def test_the_map_of_errors_shows_every_one() -> None:
    shown = errors.__doc__ or ""
    # what a module keeps to itself is caught under the name of its parent
    public = [kind.__name__ for kind in _all() if not kind.__name__.startswith("_")]
    assert [name for name in public if name not in shown] == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("no such file\nsee the manual", "no such file"),
        ("\n\n   no such file  \n", "no such file"),
        ("bad row: a\0b", "bad row: ab"),
        ("bad name: \udcff", "bad name: ?"),
        ("", "ValueError"),
        (" \n\t\n", "ValueError"),
        ("x" * 600, "x" * 500),
        ("the key sk-123 is refused", "the key *** is refused"),
    ],
)
def test_the_first_line_that_says_anything_is_quoted(words: str, line: str) -> None:
    assert first_line(ValueError(words), hidden="sk-123") == line
