"""What `saring up --without` leaves out is started by nothing until the next `saring up`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import LeftOut
from pipeline.settings import Settings
from saring.services import ensure_backend, ensure_keeper, ensure_label_studio, ensure_worker, leave_out
from saring.services.left_out import left_out
from saring.workers.jobs import _label_studio_may_fail

PARTS: list[tuple[str, Callable[[Settings], object]]] = [
    ("label-studio", ensure_label_studio),
    ("backend", ensure_backend),
    ("worker", ensure_worker),
    ("keeper", ensure_keeper),
]


@pytest.mark.parametrize(("part", "ensure"), PARTS)
def test_a_part_that_was_left_out_is_not_started(
    tmp_path: Path, part: str, ensure: Callable[[Settings], object]
) -> None:
    settings = Settings(home=tmp_path / "home")
    leave_out(settings, [part])
    with pytest.raises(LeftOut, match=f"left out with `saring up --without {part}`: `saring up` starts it"):
        ensure(settings)
    # nothing was installed, and nothing was prepared
    assert [path.name for path in (tmp_path / "home").rglob("*") if path.is_file()] == ["left_out"]


def test_an_address_of_ones_own_is_used_all_the_same(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, backend_url="http://localhost:9/")
    leave_out(settings, ["backend"])
    assert ensure_backend(settings) == "http://localhost:9"


def test_the_next_up_decides_anew(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert left_out(settings) == frozenset()
    leave_out(settings, ["worker", "label-studio"])
    assert left_out(settings) == {"worker", "label-studio"}
    leave_out(settings, [])
    assert left_out(settings) == frozenset()


def test_a_job_that_needs_what_was_left_out_has_nothing_to_do(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(home=tmp_path)
    leave_out(settings, ["label-studio"])
    with caplog.at_level(logging.INFO), _label_studio_may_fail("pull"):
        ensure_label_studio(settings)
    assert caplog.messages == [
        "pull: nothing to do: Label Studio was left out with `saring up --without label-studio`: `saring up` starts it"
    ]
