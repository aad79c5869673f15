"""`saring sync pull` and `saring sync reconcile`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any

import typer

from pipeline.plural import counted
from saring.actions.label_studio_stages import Pulled
from saring.cli import output
from saring.cli.options import ProjectOption
from sync.pull.reconcile import ReconcileReport


def pull_command(
    project: ProjectOption = None, on_workers: output.AsyncFlag = False, as_json: output.JsonFlag = False
) -> None:
    """Pull: copy annotations changed since the last pull into the ledger. Doing it again adds nothing.

    Tasks on which raters disagree are served to another volunteer.

    The workers of `saring up` do this too: after each webhook, and once a minute.

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
        bool, typer.Option("--withdraw-deleted", help="Withdraw the annotations of tasks that were removed.")
    ] = False,
    on_workers: output.AsyncFlag = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Compare every annotation in Label Studio with the ledger, and repair differences.

    Annotations of tasks that were removed from Label Studio stay in the ledger, because people remove finished tasks to
    tidy up. With --withdraw-deleted they are withdrawn.

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
    changes = {"annotations": "new annotation", "updated": "changed annotation", "deleted": "deleted annotation"}
    changed = [counted(report.counts[name], noun) for name, noun in changes.items() if report.counts[name]]
    out.print(
        f"Read {counted(report.tasks, 'changed task')} from {counted(report.projects, 'project')}: "
        f"{', '.join(changed) or 'no new annotation'}.",
        markup=False,
        soft_wrap=True,
    )
    others = {name: count for name, count in report.counts.items() if name not in changes}
    _say_rest(others, report.gone, report.failed)
    if report.reviews_asked:
        out.print(
            f"  {counted(report.reviews_asked, 'task')} sent to another volunteer, because raters disagree or were "
            "excluded",
            markup=False,
            soft_wrap=True,
        )
    if report.unknown_labels:
        named = ", ".join(f"{label} ({count})" for label, count in report.unknown_labels.items())
        out.print(f"left out, labels not in the taxonomy: {named}", markup=False, soft_wrap=True)


def _say_compared(report: ReconcileReport) -> None:
    out = output.out()
    out.print(
        f"Compared {counted(report.annotations, 'annotation')} of {counted(report.tasks, 'task')}; "
        f"repaired {counted(report.repaired, 'task')}.",
        markup=False,
    )
    if report.tasks_gone:
        out.print(f"  {counted(report.tasks_gone, 'task')} no longer in Label Studio", markup=False)
    if report.doubles_removed or report.doubles_left:
        out.print(
            f"  duplicate tasks: {report.doubles_removed:,} removed, "
            f"{report.doubles_left:,} kept because they have annotations",
            markup=False,
        )
    _say_rest(report.counts, report.gone, report.failed)


def _say_rest(counts: Mapping[str, int], gone: list[str], failed: Mapping[str, str]) -> None:
    out = output.out()
    for name, count in counts.items():
        out.print(f"  {name}: {count:,}", markup=False)
    for title in gone:
        out.print(
            f"  {title} was removed from Label Studio; its annotations stay in the ledger", markup=False, soft_wrap=True
        )
    for title, why in failed.items():
        out.print(f"  {title} failed: {why}", markup=False, soft_wrap=True)
