"""The commands of sources: list them with their licences, correct a licence, and remove what came by mistake."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.errors import UsageError
from pipeline.plural import counted
from pipeline.sharing.remove_source import SourceRemoval, preview_removal
from pipeline.sharing.sources import list_sources, set_source
from pipeline.store.session import open_session
from saring.actions.sources import remove_source
from saring.cli import output

sources_app = typer.Typer(
    add_completion=False, help="List sources, correct their licences, and remove one.", no_args_is_help=True
)


@sources_app.command("list")
def list_command(as_json: output.JsonFlag = False) -> None:
    """Show the sources of texts with their licences, and which of them an export may share.

    Example: saring sources list
    """
    with open_session(output.home().engine) as session:
        sources = [source.to_dict() for source in list_sources(session, count=True)]
    output.emit({"sources": sources}, as_json=as_json, say=_say)


@sources_app.command("set")
def set_command(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    licence: Annotated[
        str | None, typer.Option(help='SPDX identifier of the licence, for example CC-BY-4.0; "" removes it.')
    ] = None,
    url: Annotated[str | None, typer.Option(help="Web address of the source.")] = None,
    permitted: Annotated[
        bool | None,
        typer.Option("--permitted/--not-permitted", help="The owner of the rights has agreed to sharing, or has not."),
    ] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Correct the licence or address of a source. The next export uses it.

    Example: saring sources set forum-2026 --licence CC-BY-4.0
    """
    with open_session(output.home().engine) as session, session.begin():
        changed = set_source(session, name, licence=licence, url=url, permitted=permitted)
    output.emit(changed.to_dict(), as_json=as_json, say=lambda source: _say({"sources": [source]}))


@sources_app.command("remove")
def remove_command(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Undo an import that was a mistake: withdraw its judgements, and take its texts out of scope.

    Texts that another source has stay, and so does what people and other raters said. Nothing is deleted from the
    ledger. The source keeps its name and licence, and its files can be imported again. Tasks that are in Label Studio
    already, models that were trained, and a frozen test set stay as they are.

    Example: saring sources remove forum-2026
    """
    home = output.home()
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"nobody can be asked whether to remove {name!r}: add --yes")
        would = preview_removal(home.engine, name)
        output.note("\n".join(_removal(would, "to withdraw", "to go out of scope")))
        # On standard error, so that standard output holds the result alone.
        typer.confirm(f"Remove {name}?", abort=True, err=True)
    removed = remove_source(home, name)
    output.emit(asdict(removed), as_json=as_json, say=lambda _: _say_removed(removed))


def _say_removed(removed: SourceRemoval) -> None:
    for line in _removal(removed, "withdrawn", "out of scope"):
        output.out().print(line, markup=False, soft_wrap=True)


def _removal(removal: SourceRemoval, withdrawn: str, out_of_scope: str) -> list[str]:
    by = f" of {counted(removal.raters, 'rater')}" if removal.raters else ""
    return [
        f"{removal.source}: {counted(removal.rows, 'row')}",
        f"{counted(removal.judgements, 'judgement')}{by} {withdrawn}",
        f"{counted(removal.out_of_scope, 'text')} {out_of_scope}; {removal.kept:,} kept, since another source has them",
    ]


def _say(result: dict[str, Any]) -> None:
    if not result["sources"]:
        output.out().print("There are no sources yet: `saring ingest` or `saring import` adds one.")
        return
    table = Table(box=None)
    for column in ("source", "rows", "licence", "shared", "why not"):
        table.add_column(column, justify="right" if column == "rows" else "left", overflow="fold")
    answers = {"open": "yes", "non-commercial": "with --non-commercial", "closed": "no"}
    for source in result["sources"]:
        sharing = source["sharing"]
        shared = "yes, by permission" if source["permitted"] and sharing == "open" else answers[sharing]
        cells = (source["name"], f"{source['rows']:,}", source["licence"] or "-", shared, source["why"])
        table.add_row(*(escape(cell) for cell in cells))
    output.out(least_width=110).print(table)
