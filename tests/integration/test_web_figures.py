"""Figures that take long: what pages are given meanwhile, and what becomes of one when the server stops."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest

from pipeline.settings import Settings
from saring.home import Home
from saring.web.figures import Figures
from tests.support.waiting import until

_HOUR = timedelta(hours=1)


@pytest.fixture
def opened(database_url: str, new_home: Path) -> Iterator[Home]:
    with Home(settings=Settings(home=new_home, database_url=database_url)) as home:
        yield home


def test_a_figure_is_computed_once_and_then_shown_as_it_was(opened: Home) -> None:
    figures = Figures(opened)
    values = iter((1, 2, 3))
    first = figures.get("one", lambda _: next(values), _HOUR)
    assert first.value is None
    until(lambda: figures.get("one", lambda _: next(values), _HOUR).value == 1, "the figure is computed")
    assert figures.get("one", lambda _: next(values), _HOUR).value == 1
    figures.get("one", lambda _: next(values), _HOUR, renew=True)
    until(lambda: figures.get("one", lambda _: next(values), _HOUR).value == 2, "it is computed again")
    figures.close()


def test_a_computation_that_fails_is_told_of_and_the_next_one_is_carried_out(opened: Home) -> None:
    def broken(_: Home) -> int:
        raise ValueError("no texts")

    def faulty(_: Home) -> int:
        raise TypeError("a fault of ours")

    figures = Figures(opened)
    figures.get("broken", broken, _HOUR)
    until(lambda: figures.get("broken", broken, _HOUR).error == "no texts", "the error is stored")
    figures.get("faulty", faulty, _HOUR)
    until(lambda: figures.get("after", lambda _: "here", _HOUR).value == "here", "the next figure is computed")
    figures.close()


def test_the_server_stops_though_a_figure_takes_longer(opened: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saring.web.figures._PATIENCE", 0.05)
    begun, go_on = Event(), Event()

    def long(_: Home) -> int:
        begun.set()
        assert go_on.wait(60)
        return 1

    figures = Figures(opened)
    figures.get("long", long, _HOUR)
    assert begun.wait(60)
    figures.close()
    # the computation has not ended, and nothing else is begun
    assert not go_on.is_set()
    asked: list[int] = []
    figures.get("later", lambda _: asked.append(1), _HOUR)
    go_on.set()
    until(lambda: not figures.get("long", long, _HOUR).renewing, "the long one is over")
    assert asked == []
