"""`saring sync setup`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from pipeline.backend_credentials import backend_credentials
from pipeline.errors import UsageError
from saring.cli import common
from saring.cli.label_studio import connect
from saring.services import ensure_backend
from sync.api.client import LabelStudio
from sync.project.projects import SetupReport, setup


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
    as_json: common.JsonFlag = False,
) -> None:
    """Make the Label Studio project from the taxonomy, or bring it up to date. Doing it again changes nothing.

    Example: saring sync setup --title "Komen, pusingan kedua"

    Example: saring sync setup --for aina@example.org --opt-out self-harm --harsh-cap 10
    """
    if no_opt_out and opt_out:
        raise UsageError("--opt-out and --no-opt-out exclude each other: give one of them")
    ctx = common.context()
    with common.progress_bar() as progress, connect(ctx, progress) as client:
        report = setup(
            ctx.engine,
            client,
            taxonomy=ctx.taxonomy,
            backend_url=ensure_backend(ctx.settings, progress) if backend else None,
            credentials=backend_credentials(ctx.settings),
            volunteer=_account(client, volunteer) if volunteer is not None else None,
            opt_out=[] if no_opt_out else opt_out or None,
            harsh_cap=harsh_cap,
            title=title,
            force=force,
            drop_labels=drop_labels,
            now=datetime.now(UTC),
        )
    common.emit(asdict(report), as_json=as_json, say=lambda _: _say(report))


def _account(client: LabelStudio, named: str) -> str:
    """The id of the account with that address or id."""
    for user in client.users():
        if named.strip().casefold() in (str(user["id"]), str(user["email"]).casefold()):
            return str(user["id"])
    raise UsageError(
        f"no account of Label Studio is {named!r}: invite them first (Organization, Add members), or check the address"
    )


def _say(report: SetupReport) -> None:
    out = common.out()
    what = "made" if report.created else "changed" if report.changed else "as it should be"
    lines = [f"{report.title}: {what} ({report.url})", *(f"  {one}" for one in report.changed)]
    lines += [f"  left alone, not Saring's: {one}" for one in report.others]
    lines += [f"warning: {one}" for one in report.warnings]
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)
