"""`saring sync pull` and `saring sync reconcile`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Annotated

import typer

from saring.cli import common
from saring.cli.label_studio import connect, current_projects
from saring.cli.on_workers import on_the_workers
from saring.workers.reports import plain
from sync.pull.pull import PullReport, open_projects, pull
from sync.pull.reconcile import ReconcileReport, reconcile
from sync.quality.review import request_reviews

ProjectOption = Annotated[
    int | None, typer.Option("--project", metavar="ID", help="Label Studio's id of the project. Default: all.")
]


def pull_command(
    project: ProjectOption = None, on_workers: common.AsyncFlag = False, as_json: common.JsonFlag = False
) -> None:
    """Bring home what changed in Label Studio since the last pull. Doing it again adds nothing.

    Tasks on which raters disagree are served to another volunteer.

    `saring up` does this by itself, woken by webhooks and once a minute.

    Example: saring sync pull
    """
    ctx = common.context()
    if on_workers:
        shown = on_the_workers(ctx, "pull", {"project": project})
        asked = shown.get("reviews_asked", 0)
        report = PullReport(**{name: value for name, value in shown.items() if name in _names(PullReport)})
        common.emit(shown, as_json=as_json, say=lambda _: _say_pulled(report, asked))
        raise typer.Exit(1 if report.failed else 0)
    with common.progress_bar() as progress, connect(ctx, progress) as client:
        chosen = [one.id for one in current_projects(ctx, client, project)]
        report = pull(
            ctx.engine,
            client,
            taxonomy=ctx.taxonomy,
            projects=chosen,
            now=datetime.now(UTC),
            languages=ctx.settings.languages,
            progress=progress,
        )
        still = open_projects(ctx.engine, client, chosen)
        asked = sum(request_reviews(ctx.engine, client, project_id=one.id).asked for one in still)
    shown = plain(report) | {"reviews_asked": asked}
    common.emit(shown, as_json=as_json, say=lambda _: _say_pulled(report, asked))
    if report.failed:
        raise typer.Exit(1)


def reconcile_command(
    project: ProjectOption = None,
    withdraw_deleted: Annotated[
        bool, typer.Option("--withdraw-deleted", help="Take back what was said of tasks that were removed.")
    ] = False,
    on_workers: common.AsyncFlag = False,
    as_json: common.JsonFlag = False,
) -> None:
    """Compare every annotation with the ledger, and repair what differs.

    What was said of tasks that were removed from Label Studio stays, because removing finished tasks is how people
    tidy up; `--withdraw-deleted` takes it back.

    Example: saring sync reconcile
    """
    ctx = common.context()
    if on_workers:
        shown = on_the_workers(ctx, "reconcile", {"project": project, "withdraw_deleted": withdraw_deleted})
        report = ReconcileReport(**{name: value for name, value in shown.items() if name in _names(ReconcileReport)})
        common.emit(shown, as_json=as_json, say=lambda _: _say_compared(report))
        raise typer.Exit(1 if report.failed else 0)
    with common.progress_bar() as progress, connect(ctx, progress) as client:
        chosen = [one.id for one in current_projects(ctx, client, project)]
        report = reconcile(
            ctx.engine,
            client,
            taxonomy=ctx.taxonomy,
            projects=chosen,
            now=datetime.now(UTC),
            languages=ctx.settings.languages,
            withdraw_deleted=withdraw_deleted,
            progress=progress,
        )
    common.emit(plain(report), as_json=as_json, say=lambda _: _say_compared(report))
    if report.failed:
        raise typer.Exit(1)


def _names(kind: type[PullReport | ReconcileReport]) -> set[str]:
    return {one.name for one in fields(kind)}


def _say_pulled(report: PullReport, asked: int) -> None:
    out = common.out()
    out.print(f"{report.tasks:,} changed tasks looked at in {_many(report.projects, 'project')}", markup=False)
    _say_rest(report.counts, report.gone, report.failed)
    if asked:
        out.print(f"  {_many(asked, 'task')} served again, because raters disagree or were excluded", markup=False)
    if report.unknown_labels:
        named = ", ".join(f"{label} ({count})" for label, count in report.unknown_labels.items())
        out.print(f"labels that the taxonomy does not know, left out: {named}", markup=False, soft_wrap=True)


def _say_compared(report: ReconcileReport) -> None:
    out = common.out()
    out.print(
        f"{report.annotations:,} annotations of {report.tasks:,} tasks compared; {report.repaired:,} tasks repaired",
        markup=False,
    )
    if report.tasks_gone:
        out.print(f"  {_many(report.tasks_gone, 'task')} no longer in Label Studio", markup=False)
    if report.doubles_removed or report.doubles_left:
        out.print(
            f"  tasks that were there twice: {report.doubles_removed:,} removed, "
            f"{report.doubles_left:,} left because somebody annotated them",
            markup=False,
        )
    _say_rest(report.counts, report.gone, report.failed)


def _say_rest(counts: Mapping[str, int], gone: list[str], failed: Mapping[str, str]) -> None:
    out = common.out()
    for name, count in counts.items():
        out.print(f"  {name}: {count:,}", markup=False)
    for title in gone:
        out.print(f"  {title} was removed from Label Studio; what was said in it stays", markup=False)
    for title, why in failed.items():
        out.print(f"  {title} failed: {why}", markup=False, soft_wrap=True)


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
