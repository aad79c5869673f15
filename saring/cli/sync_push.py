"""`saring sync push`, `saring sync predict` and `saring sync why`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from pipeline import store
from pipeline.preannotation import fit_policy
from pipeline.progress import Progress
from pipeline.store.session import open_session
from saring.actions.serving import load_champion
from saring.cli import common
from saring.cli.label_studio import connect, current_projects
from saring.cli.on_workers import on_the_workers
from saring.cli.sync_pull import ProjectOption
from sync.api.client import LabelStudio
from sync.push.predictions import PredictReport, predict_ahead
from sync.push.push import PushReport, push
from sync.push.why import Explanation, why

#: tasks that a push sends to a personal project unless told otherwise
_PERSONAL = 50


def push_command(
    project: ProjectOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="No more than so many texts a project.")] = None,
    on_workers: common.AsyncFlag = False,
    as_json: common.JsonFlag = False,
) -> None:
    """Send queued texts to Label Studio, with labels ticked ahead. Doing it again sends nothing twice.

    Example: saring sync push --limit 200
    """
    ctx = common.context()
    if on_workers:
        found = on_the_workers(ctx, "push", {"project": project, "limit": limit})
        done = [PushReport(**one) for one in found.get("projects", ())]
    else:
        with common.progress_bar() as progress, connect(ctx, progress) as client:
            done = push_projects(ctx, client, current_projects(ctx, client, project), limit, progress)
    common.emit({"projects": [asdict(one) for one in done]}, as_json=as_json, say=lambda _: _say_pushed(done))


def predict_ahead_command(
    project: ProjectOption = None, on_workers: common.AsyncFlag = False, as_json: common.JsonFlag = False
) -> None:
    """Tick the open tasks anew, from what is known now. Nothing is hidden at any moment.

    Example: saring sync predict
    """
    ctx = common.context()
    if on_workers:
        found = on_the_workers(ctx, "predict-ahead", {"project": project})
        done = [PredictReport(**one) for one in found.get("projects", ())]
    else:
        with common.progress_bar() as progress, connect(ctx, progress) as client:
            done = predict_projects(ctx, client, current_projects(ctx, client, project), progress)
    common.emit({"projects": [asdict(one) for one in done]}, as_json=as_json, say=lambda _: _say_predicted(done))


def why_command(
    task: Annotated[str, typer.Argument(metavar="TASK", help="The task's number in Label Studio, or its text's id.")],
    as_json: common.JsonFlag = False,
) -> None:
    """Say why a task shows the ticks it shows, or none.

    Example: saring sync why 1234
    """
    ctx = common.context()
    with connect(ctx) as client:
        found = why(ctx.engine, client, task)
    common.emit(asdict(found), as_json=as_json, say=lambda _: _say_why(found))


def push_projects(
    ctx: common.Context,
    client: LabelStudio,
    projects: Sequence[store.Project],
    limit: int | None,
    progress: Progress,
) -> list[PushReport]:
    """Push to each project, personal ones first and a day's work at most: the rest is for everyone."""
    model = load_champion(ctx.engine, ctx.settings)
    with open_session(ctx.engine) as session:
        policy = fit_policy(session, taxonomy=ctx.taxonomy, model=model)
    return [
        push(
            ctx.engine,
            client,
            one.id,
            taxonomy=ctx.taxonomy,
            model=model,
            policy=policy,
            limit=limit or (None if one.volunteer is None else _PERSONAL),
            now=datetime.now(UTC),
            progress=progress,
        )
        for one in sorted(projects, key=lambda one: (one.volunteer is None, one.id))
    ]


def predict_projects(
    ctx: common.Context, client: LabelStudio, projects: Sequence[store.Project], progress: Progress
) -> list[PredictReport]:
    """Write each project's predictions anew."""
    model = load_champion(ctx.engine, ctx.settings)
    with open_session(ctx.engine) as session:
        policy = fit_policy(session, taxonomy=ctx.taxonomy, model=model)
    return [
        predict_ahead(
            ctx.engine,
            client,
            one.id,
            taxonomy=ctx.taxonomy,
            model=model,
            policy=policy,
            now=datetime.now(UTC),
            progress=progress,
        )
        for one in projects
    ]


def _say_pushed(done: list[PushReport]) -> None:
    out = common.out()
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


def _say_predicted(done: list[PredictReport]) -> None:
    out = common.out()
    for one in done:
        if one.version is None:
            out.print(f"project {one.project_id}: no open tasks", markup=False)
            continue
        out.print(
            f"project {one.project_id}: {one.sent:,} open tasks now show {one.version}", markup=False, soft_wrap=True
        )
        out.print(f"  the ticks of {one.changed:,} changed", markup=False)


def _say_why(found: Explanation) -> None:
    out = common.out()
    lines = [
        f"task {found.task} of {found.project}",
        f"queued: {found.queued} (inclusion probability {found.inclusion_probability:.3g})",
        f"ticked: {', '.join(found.shown) or 'nothing'}",
        *(f"  {label}: {source}" for label, source in found.sources.items() if source),
        *found.reasons,
    ]
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)
