"""`saring sync pull` and `saring sync reconcile`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any

import typer

from saring.actions.label_studio import Pulled
from saring.cli import output
from saring.cli.options import ProjectOption
from sync.pull.reconcile import ReconcileReport


def pull_command(
    project: ProjectOption = None, on_workers: output.AsyncFlag = False, as_json: output.JsonFlag = False
) -> None:
    """Bring home what changed in Label Studio since the last pull. Doing it again adds nothing.

    Tasks on which raters disagree are served to another volunteer.

    `saring up` does this by itself, woken by webhooks and once a minute.

    Example: saring sync pull
    """
    with output.progress_bar() as progress:
        report = output.home().label_studio.pull(project, executor=output.executor(on_workers), progress=progress)
    output.emit(_shown(report), as_json=as_json, say=lambda _: _say_pulled(report))
    if report.failed:
        raise typer.Exit(1)


def reconcile_command(
    project: ProjectOption = None,
    withdraw_deleted: Annotated[
        bool, typer.Option("--withdraw-deleted", help="Take back what was said of tasks that were removed.")
    ] = False,
    on_workers: output.AsyncFlag = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Compare every annotation with the ledger, and repair what differs.

    What was said of tasks that were removed from Label Studio stays, because removing finished tasks is how people
    tidy up; `--withdraw-deleted` takes it back.

    Example: saring sync reconcile
    """
    with output.progress_bar() as progress:
        report = output.home().label_studio.reconcile(
            project,
            withdraw_deleted=withdraw_deleted,
            executor=output.executor(on_workers),
            progress=progress,
        )
    output.emit(_shown(report), as_json=as_json, say=lambda _: _say_compared(report))
    if report.failed:
        raise typer.Exit(1)


def _shown(report: Pulled | ReconcileReport) -> dict[str, Any]:
    """The fields by name; before Python 3.12, `asdict` counts the entries of a Counter instead."""
    return {field.name: getattr(report, field.name) for field in fields(report)}


def _say_pulled(report: Pulled) -> None:
    out = output.out()
    out.print(f"{report.tasks:,} changed tasks looked at in {_many(report.projects, 'project')}", markup=False)
    _say_rest(report.counts, report.gone, report.failed)
    if report.reviews_asked:
        out.print(
            f"  {_many(report.reviews_asked, 'task')} served again, because raters disagree or were excluded",
            markup=False,
        )
    if report.unknown_labels:
        named = ", ".join(f"{label} ({count})" for label, count in report.unknown_labels.items())
        out.print(f"labels that the taxonomy does not know, left out: {named}", markup=False, soft_wrap=True)


def _say_compared(report: ReconcileReport) -> None:
    out = output.out()
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
    out = output.out()
    for name, count in counts.items():
        out.print(f"  {name}: {count:,}", markup=False)
    for title in gone:
        out.print(f"  {title} was removed from Label Studio; what was said in it stays", markup=False)
    for title, why in failed.items():
        out.print(f"  {title} failed: {why}", markup=False, soft_wrap=True)


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
