"""Display of progress on standard error: one line that changes on a terminal, else plain lines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

from rich.console import Console

from pipeline.progress import Progress
from saring.cli.steps import Clock, Lines, Step, Steps, duration

if TYPE_CHECKING:
    from rich.progress import Task

#: seconds between two looks at whether a line is due
_LOOK_SECONDS = 1.0


@contextmanager
def shown(console: Console, clock: Clock = time.monotonic) -> Iterator[Progress]:
    """Show progress on a console until the end of the block: on a terminal as a bar, elsewhere in plain lines."""
    # Colours may be asked for in a file too; a bar may not.
    bar = console.is_terminal and not console.is_dumb_terminal and console.file.isatty()
    with _bar(console, clock) if bar else _lines(console, clock) as report:
        yield report


@contextmanager
def _bar(console: Console, clock: Clock) -> Iterator[Progress]:
    # Most commands are over before anybody could watch one.
    from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    steps = Steps(clock)

    class Words(ProgressColumn):
        """Count and time, which go on between two reports."""

        max_refresh = None

        def render(self, task: Task) -> Text:  # noqa: ARG002 - the step knows more
            return Text(words(steps.current, clock()))

    shown_bar = Bar(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        Words(),
        console=console,
        transient=True,
        get_time=clock,
    )
    tasks = [shown_bar.add_task(steps.current.what, total=None)]

    def report(finished: int, total: int | None, what: str, note: str = "", /) -> None:
        began, name = steps.current.began, steps.current.what
        steps.report(finished, total, what, note)
        step = steps.current
        whole = step.total if step.is_counted else None
        if (step.began, step.what) != (began, name):
            # What was there before leaves the screen.
            tasks.append(shown_bar.add_task(step.what, total=whole, completed=step.finished))
            shown_bar.remove_task(tasks.pop(0))
        else:
            shown_bar.update(tasks[0], total=whole, completed=step.finished)

    with shown_bar:
        yield report


@contextmanager
def _lines(console: Console, clock: Clock) -> Iterator[Progress]:
    lines, over = Lines(clock), Event()

    def write() -> None:
        while not over.wait(_LOOK_SECONDS):
            line = lines.due()
            if line is None:
                continue
            try:
                console.print(line, style="dim", markup=False, soft_wrap=True)
            except (OSError, ValueError):
                # Nobody reads standard error any more, which is no reason to stop the work.
                return

    # In a thread, since a step may be silent for minutes.
    writer = Thread(target=write, name="progress", daemon=True)
    writer.start()
    try:
        yield lines.report
    finally:
        over.set()
        writer.join()


def words(step: Step, now: float) -> str:
    """Count, time so far, estimate of the rest, and figures: what stands behind a step's name on a terminal."""
    left = step.left(now)
    estimate = "" if left is None else f"about {duration(left)} left"
    return "  ".join(filter(None, (step.count, duration(now - step.began), estimate, step.note)))
