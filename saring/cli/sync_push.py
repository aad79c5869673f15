"""`saring sync push`, `saring sync predict` and `saring sync why`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.plural import counted
from saring.actions.projects import connect
from saring.cli import output
from saring.cli.options import ProjectOption, parse_text_id
from sync.push.predictions import PredictReport
from sync.push.push import PushReport
from sync.push.why import Explanation, why


def push_command(
    project: ProjectOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Largest number of texts for each project.")] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="TEXT_ID", help="Push this text only; can be repeated.")
    ] = None,
    on_workers: output.AsyncFlag = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Push queued texts to Label Studio as tasks, with predicted labels ticked. No text is sent twice.

    Example: saring sync push --limit 200
    """
    chosen = [parse_text_id(text_id) for text_id in only] if only else None
    with output.progress_bar() as progress:
        pushed = output.home().label_studio.push(
            project, limit=limit, only=chosen, executor=output.executor(on_workers), progress=progress
        )
    output.emit(asdict(pushed), as_json=as_json, say=lambda _: _say_pushed(pushed.projects))


def predict_ahead_command(
    project: ProjectOption = None, on_workers: output.AsyncFlag = False, as_json: output.JsonFlag = False
) -> None:
    """Renew the ticks of all open tasks, from the newest predictions. Volunteers can keep working.

    Example: saring sync predict
    """
    with output.progress_bar() as progress:
        predicted = output.home().label_studio.predict(project, executor=output.executor(on_workers), progress=progress)
    output.emit(asdict(predicted), as_json=as_json, say=lambda _: _say_predicted(predicted.projects))


def why_command(
    task: Annotated[str, typer.Argument(metavar="TASK", help="The task's id in Label Studio, or the id of its text.")],
    as_json: output.JsonFlag = False,
) -> None:
    """Explain why a task has its ticks, or why it has none.

    Example: saring sync why 1234
    """
    home = output.home()
    with connect(home) as client:
        explanation = why(home.engine, client, task, taxonomy=home.taxonomy)
    output.emit(asdict(explanation), as_json=as_json, say=lambda _: _say_why(explanation))


def _say_pushed(reports: Sequence[PushReport]) -> None:
    out = output.out()
    for report in reports:
        line = f"project {report.project_id}: {counted(report.sent, 'task')} sent"
        if report.sent:
            harsh = f", {report.harsh:,} harsh" if report.harsh else ""
            line += f" ({report.blind:,} without ticks{harsh})"
        out.print(line, markup=False)
        if report.adopted:
            out.print(f"  {report.adopted:,} of them were sent by an earlier push that was interrupted", markup=False)
        if report.held_back:
            out.print(
                f"  {counted(report.held_back, 'text')} not sent: the daily limit of harsh texts is reached, "
                "or the volunteer opted out of the label",
                markup=False,
                soft_wrap=True,
            )
    if reports and not any(report.sent for report in reports) and not reports[-1].waiting:
        out.print("No text is queued: run `saring queue build`.", markup=False)


def _say_predicted(reports: Sequence[PredictReport]) -> None:
    out = output.out()
    for report in reports:
        if report.version is None:
            out.print(f"project {report.project_id}: no open tasks", markup=False)
            continue
        out.print(
            f"project {report.project_id}: {counted(report.sent, 'open task')} updated to {report.version}",
            markup=False,
            soft_wrap=True,
        )
        out.print(f"  tasks with other ticks than before: {report.changed:,}", markup=False)


def _say_why(explanation: Explanation) -> None:
    out = output.out()
    lines = [
        f"task {explanation.task} of {explanation.project}",
        f"queued: {explanation.queued} (inclusion probability {_chance(explanation.inclusion_probability)})",
        f"ticked: {', '.join(explanation.shown) or 'nothing'}",
        *(f"  {label}: {source}" for label, source in explanation.sources.items() if source),
        *explanation.reasons,
    ]
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)


def _chance(value: float | None) -> str:
    """An inclusion probability in words; a person chose the text where there is none."""
    return "unknown" if value is None else f"{value:.3g}"
