"""`saring sync setup`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.errors import UsageError
from saring.cli import output
from sync.project.language import Language
from sync.project.projects import SetupReport


def setup_command(
    title: Annotated[str | None, typer.Option(help="Name of the project, 3 to 50 characters.")] = None,
    volunteer: Annotated[
        str | None, typer.Option("--for", metavar="EMAIL|ID", help="Make a project for this volunteer only.")
    ] = None,
    opt_out: Annotated[
        list[str] | None,
        typer.Option("--opt-out", metavar="LABEL", help="Push no texts of this label to it. May be repeated."),
    ] = None,
    no_opt_out: Annotated[bool, typer.Option("--no-opt-out", help="Push texts of every label to it again.")] = False,
    harsh_cap: Annotated[
        int | None, typer.Option(min=0, help="Largest number of harsh tasks for a volunteer in a day.")
    ] = None,
    language: Annotated[
        Language | None, typer.Option(help="The language that comes first on the page; the other is beside or below.")
    ] = None,
    empty_is_none: Annotated[
        bool | None,
        typer.Option(
            "--empty-is-none/--empty-is-nothing",
            help="The meaning of an answer without labels that a program sends: no label fits, or nothing.",
        ),
    ] = None,
    drop_labels: Annotated[
        bool, typer.Option("--drop-labels", help="Remove labels even if annotations use them; the ledger keeps them.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite changes made by hand in Label Studio.")] = False,
    again: Annotated[
        bool,
        typer.Option("--again", help="Queue the open tasks of projects that were removed from Label Studio again."),
    ] = False,
    backend: Annotated[
        bool, typer.Option("--backend/--no-backend", help="Connect the ML backend and its webhook.")
    ] = True,
    as_json: output.JsonFlag = False,
) -> None:
    """Create the Label Studio project from the taxonomy, or update it. Doing it again changes nothing.

    Example: saring sync setup --title "Komen, pusingan kedua"

    Example: saring sync setup --for aina@example.org --opt-out self-harm --harsh-cap 10
    """
    if no_opt_out and opt_out:
        raise UsageError("--opt-out and --no-opt-out cannot be used together: give one of them")
    with output.progress_bar() as progress:
        report = output.home().label_studio.setup(
            title=title,
            volunteer=volunteer,
            opt_out=[] if no_opt_out else opt_out or None,
            harsh_cap=harsh_cap,
            language=language,
            empty_is_none=empty_is_none,
            backend=backend,
            force=force,
            drop_labels=drop_labels,
            again=again,
            progress=progress,
        )
    output.emit(asdict(report), as_json=as_json, say=lambda _: _say(report))


#: changes of a project, by their names in the report
_CHANGES = {
    "project made": "made the project",
    "task list made that keeps texts out of sight": "made the task list, without the text column",
    "task list renewed that keeps answers out of sight": "renewed the task list, without answers and predictions",
    "webhook made": "made the webhook",
    "webhook repaired": "repaired the webhook",
    "doubled webhook removed": "removed a webhook that was there twice",
    "ML backend connected": "connected the ML backend",
    "ML backend repaired": "repaired the ML backend's address",
    "doubled ML backend removed": "removed an ML backend that was there twice",
    "expert_instruction set": "updated the guidelines",
    "title set": "changed the title",
    "description set": "updated the description",
    "color set": "changed the colour",
    "sampling set": "put the tasks in the order of the queue",
    "skip_queue set": "skipped tasks go to another volunteer",
    "show_skip_button set": "switched the button Skip on",
    "show_instruction set": "the guidelines are shown first",
    "show_collab_predictions set": "switched the ticks on",
    "enable_empty_annotation set": "empty answers cannot be submitted",
    "min_annotations_to_start_training set": "Label Studio starts no training by itself",
}


def _say(report: SetupReport) -> None:
    out = output.out()
    state = "created" if report.created else "updated" if report.changed else "up to date"
    changes = (_CHANGES.get(change, change) for change in report.changed)
    lines = [f"Project {report.title!r} is {state} ({report.url})", *(f"  {change}" for change in changes)]
    lines += [f"  not changed, because Saring did not make it: {other}" for other in report.others]
    lines += [f"warning: {warning}" for warning in report.warnings]
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)
