"""The commands of sources: list them with their licences, and correct a licence."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.sharing.sources import list_sources, set_source
from pipeline.store.session import open_session
from saring.cli import output

sources_app = typer.Typer(add_completion=False, help="List sources, and correct their licences.", no_args_is_help=True)


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
