"""`saring sync setup`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.errors import UsageError
from saring.cli import output
from sync.project.projects import SetupReport


def setup_command(
    title: Annotated[str | None, typer.Option(help="Name of the project, 3 to 50 characters.")] = None,
    volunteer: Annotated[
        str | None, typer.Option("--for", metavar="EMAIL|ID", help="A project for this volunteer alone.")
    ] = None,
    opt_out: Annotated[
        list[str] | None,
        typer.Option("--opt-out", metavar="LABEL", help="Never push texts of this label there. May be repeated."),
    ] = None,
    no_opt_out: Annotated[bool, typer.Option("--no-opt-out", help="Push texts of every label there again.")] = False,
    harsh_cap: Annotated[int | None, typer.Option(min=0, help="Harsh tasks a volunteer and day, at most.")] = None,
    drop_labels: Annotated[
        bool, typer.Option("--drop-labels", help="Let labels go that annotations use; the ledger keeps them.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what was edited by hand in Label Studio.")] = False,
    backend: Annotated[
        bool, typer.Option("--backend/--no-backend", help="Connect the ML backend and its webhook.")
    ] = True,
    as_json: output.JsonFlag = False,
) -> None:
    """Make the Label Studio project from the taxonomy, or bring it up to date. Doing it again changes nothing.

    Example: saring sync setup --title "Komen, pusingan kedua"

    Example: saring sync setup --for aina@example.org --opt-out self-harm --harsh-cap 10
    """
    if no_opt_out and opt_out:
        raise UsageError("--opt-out and --no-opt-out exclude each other: give one of them")
    with output.progress_bar() as progress:
        report = output.home().label_studio.setup(
            title=title,
            volunteer=volunteer,
            opt_out=[] if no_opt_out else opt_out or None,
            harsh_cap=harsh_cap,
            backend=backend,
            force=force,
            drop_labels=drop_labels,
            progress=progress,
        )
    output.emit(asdict(report), as_json=as_json, say=lambda _: _say(report))


def _say(report: SetupReport) -> None:
    out = output.out()
    what = "made" if report.created else "changed" if report.changed else "as it should be"
    lines = [f"{report.title}: {what} ({report.url})", *(f"  {one}" for one in report.changed)]
    lines += [f"  left alone, not Saring's: {one}" for one in report.others]
    lines += [f"warning: {one}" for one in report.warnings]
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)
