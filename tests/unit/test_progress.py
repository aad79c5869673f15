"""What commands show of their progress: the step at work, counts, and about how long the rest takes."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from pipeline.runs.run_logs import LoggedSteps
from saring.cli.progress import shown, words
from saring.cli.steps import Lines, Steps, duration, line
from tests.support.waiting import until


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def after(clock: Clock, lines: Lines, seconds: int) -> Iterator[tuple[int, str]]:
    """The lines of the next seconds, each with its second, as a caller gets them that asks every second."""
    for second in range(1, seconds + 1):
        clock.now += 1
        if (said := lines.due()) is not None:
            yield second, said


def test_a_step_ends_with_its_last_unit_or_with_the_next_step(clock: Clock) -> None:
    steps = Steps(clock)
    assert steps.current.what == "starting"
    steps.report(0, 3_000, "embedding")
    assert steps.current.what == "embedding"
    steps.report(3_000, 3_000, "embedding")
    assert steps.current.what == "finishing"
    steps.report(0, None, "calibrating")
    steps.report(0, None, "evaluating")
    assert steps.current.what == "evaluating"


def test_the_rest_is_estimated_from_the_mean_pace(clock: Clock) -> None:
    steps = Steps(clock)
    steps.report(0, 10_000, "embedding")
    assert words(steps.current, clock()) == "0 of 10,000  1 s"
    clock.now += 60
    steps.report(500, 10_000, "embedding")
    # 500 in a minute: 9,500 take 19 minutes
    assert words(steps.current, clock()) == "500 of 10,000  1 min  about 19 min left"
    # chunks that are far apart have an estimate too, which goes down between them
    clock.now += 300
    assert words(steps.current, clock()) == "500 of 10,000  6 min  about 14 min left"


def test_an_estimate_counts_only_what_was_done_since_we_looked(clock: Clock) -> None:
    steps = Steps(clock)
    steps.report(8_000, 10_000, "embedding (run 7, on workers)")
    clock.now += 10
    steps.report(8_100, 10_000, "embedding (run 7, on workers)")
    assert steps.current.left(clock()) == pytest.approx(190)


def test_an_estimate_that_has_passed_is_not_shown(clock: Clock) -> None:
    steps = Steps(clock)
    steps.report(0, 100, "embedding")
    clock.now += 10
    steps.report(50, 100, "embedding")
    clock.now += 11
    assert words(steps.current, clock()) == "50 of 100  21 s"


def test_a_step_with_the_name_of_the_last_one_begins_anew(clock: Clock) -> None:
    steps = Steps(clock)
    steps.report(0, 1, "training")  # the stage: one part
    assert words(steps.current, clock()) == "1 s"
    clock.now += 100
    steps.report(0, 4, "training")  # the labels
    clock.now += 10
    steps.report(1, 4, "training")
    assert words(steps.current, clock()) == "1 of 4  10 s  about 30 s left"
    clock.now += 10
    steps.report(0, 4, "training")  # another model
    assert steps.current.began == clock()


def test_no_count_is_shown_where_nothing_is_counted(clock: Clock) -> None:
    steps = Steps(clock)
    steps.report(0, None, "evaluating on 1,203 texts")
    clock.now += 600
    assert line(steps.current, clock()) == "evaluating on 1,203 texts, 10 min so far"
    steps.report(12_000, None, "reading")
    clock.now += 5
    assert line(steps.current, clock()) == "reading: 12,000, 5 s so far"


def test_plain_lines_come_ten_seconds_apart_at_most(clock: Clock) -> None:
    lines = Lines(clock)
    said: list[tuple[int, str]] = []
    for second in range(1, 36):
        lines.report(second * 10, 1_000, "judging", "$0.10")
        said += [(second, text) for _, text in after(clock, lines, 1)]
    assert [second for second, _ in said] == [10, 20, 30]
    assert said[1] == (20, "judging: 200 of 1,000 (20 %), about 1 min left, $0.10")


def test_a_short_command_says_nothing(clock: Clock) -> None:
    lines = Lines(clock)
    lines.report(0, 5, "embedding")
    assert list(after(clock, lines, 9)) == []


def test_a_silent_step_is_told_of_and_ever_more_seldom(clock: Clock) -> None:
    lines = Lines(clock)
    lines.report(0, None, "calibrating")
    said = list(after(clock, lines, 200))
    assert [second for second, _ in said] == [10, 30, 70, 150]
    assert said[0][1] == "calibrating, 10 s so far"
    # as soon as there is something new, it is told at the usual time
    lines.report(1, None, "reading")
    assert [second for second, _ in after(clock, lines, 5)] == [1]


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_finished_step_leaves_the_screen(clock: Clock) -> None:
    file = Terminal()
    console = Console(file=file, force_terminal=True, width=100, color_system=None, _environ={"TERM": "xterm"})
    with shown(console, clock) as report:
        report(0, 3_000, "embedding")
        report(3_000, 3_000, "embedding")
        before = len(file.getvalue())
        report(0, None, "fitting the consensus")
    last = file.getvalue()[before:]
    assert "fitting the consensus" in last
    assert "embedding" not in last
    assert "0/?" not in file.getvalue()


def test_a_file_gets_no_bar_even_where_it_gets_colours(clock: Clock) -> None:
    file = io.StringIO()
    with shown(Console(file=file, force_terminal=True, width=100), clock) as report:
        report(0, 3_000, "embedding")
        report(1_000, 3_000, "embedding")
    assert file.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (5_000, "83 min"),
        (7_200, "2 h"),
        (8_040, "2 h 14 min"),
        (90_000, "25 h"),
    ],
)
def test_lengths_of_time_are_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_worker_logs_each_step_once_and_its_count_once_a_minute(clock: Clock) -> None:
    said: list[str] = []
    steps = LoggedSteps(said.append, clock)
    steps(0, None, "splitting 120 texts")
    for step in range(1, 131):
        clock.now += 1
        steps(step, 200, "training", "loss 0.1")
    steps(0, None, "calibrating on 12 texts")
    assert said == [
        "splitting 120 texts",
        "training: 1 of 200, loss 0.1",
        "training: 61 of 200, loss 0.1",
        "training: 121 of 200, loss 0.1",
        "calibrating on 12 texts",
    ]


def test_a_line_comes_while_a_step_is_silent(clock: Clock) -> None:
    file = io.StringIO()
    with shown(Console(file=file, width=20), clock) as report:
        report(0, None, "evaluating on 1,203 texts")
        clock.now += 90
        until(lambda: "\n" in file.getvalue(), "a line")
    # not broken, however narrow the file is thought to be
    assert file.getvalue() == "evaluating on 1,203 texts, 2 min so far\n"
