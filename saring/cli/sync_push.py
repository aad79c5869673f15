"""`saring sync push`, `saring sync predict` and `saring sync why`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from saring.actions.label_studio import connect
from saring.cli import output
from saring.cli.options import ProjectOption
from sync.push.predictions import PredictReport
from sync.push.push import PushReport
from sync.push.why import Explanation, why


def push_command(
    project: ProjectOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="No more than so many texts a project.")] = None,
    on_workers: output.AsyncFlag = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Send queued texts to Label Studio, with labels ticked ahead. Doing it again sends nothing twice.

    Example: saring sync push --limit 200
    """
    with output.progress_bar() as progress:
        done = output.home().label_studio.push(
            project, limit=limit, executor=output.executor(on_workers), progress=progress
        )
    output.emit(asdict(done), as_json=as_json, say=lambda _: _say_pushed(done.projects))


def predict_ahead_command(
    project: ProjectOption = None, on_workers: output.AsyncFlag = False, as_json: output.JsonFlag = False
) -> None:
    """Tick the open tasks anew, from what is known now. Nothing is hidden at any moment.

    Example: saring sync predict
    """
    with output.progress_bar() as progress:
        done = output.home().label_studio.predict(project, executor=output.executor(on_workers), progress=progress)
    output.emit(asdict(done), as_json=as_json, say=lambda _: _say_predicted(done.projects))


def why_command(
    task: Annotated[str, typer.Argument(metavar="TASK", help="The task's number in Label Studio, or its text's id.")],
    as_json: output.JsonFlag = False,
) -> None:
    """Say why a task shows the ticks it shows, or none.

    Example: saring sync why 1234
    """
    home = output.home()
    with connect(home) as client:
        found = why(home.engine, client, task)
    output.emit(asdict(found), as_json=as_json, say=lambda _: _say_why(found))


def _say_pushed(done: Sequence[PushReport]) -> None:
    out = output.out()
    for one in done:
        line = f"project {one.project_id}: {one.sent:,} tasks sent"
        if one.sent:
            line += f" ({one.blind:,} blind, {one.harsh:,} harsh)"
        out.print(line, markup=False)
        if one.adopted:
            out.print(f"  {one.adopted:,} of them had arrived in a call that broke off", markup=False)
        if one.held_back:
            out.print(
                f"  {one.held_back:,} texts held back: enough harsh ones for today, or opted out of", markup=False
            )
    if done and not any(one.sent for one in done) and not done[-1].waiting:
        out.print("nothing waits to be sent: run `saring queue build`", markup=False)


def _say_predicted(done: Sequence[PredictReport]) -> None:
    out = output.out()
    for one in done:
        if one.version is None:
            out.print(f"project {one.project_id}: no open tasks", markup=False)
            continue
        out.print(
            f"project {one.project_id}: {one.sent:,} open tasks now show {one.version}", markup=False, soft_wrap=True
        )
        out.print(f"  the ticks of {one.changed:,} changed", markup=False)


def _say_why(found: Explanation) -> None:
    out = output.out()
    lines = [
        f"task {found.task} of {found.project}",
        f"queued: {found.queued} (inclusion probability {found.inclusion_probability:.3g})",
        f"ticked: {', '.join(found.shown) or 'nothing'}",
        *(f"  {label}: {source}" for label, source in found.sources.items() if source),
        *found.reasons,
    ]
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)
