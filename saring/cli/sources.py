"""The commands for sources: what they are, what their licences allow, and correcting that."""

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
    """Show where texts came from, on which licence, and whether an export takes them.

    Example: saring sources list
    """
    with open_session(output.home().engine) as session:
        found = [one.to_dict() for one in list_sources(session, count=True)]
    output.emit({"sources": found}, as_json=as_json, say=_say)


@sources_app.command("set")
def set_command(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    licence: Annotated[
        str | None, typer.Option(help='Its SPDX identifier, for example CC-BY-4.0; "" takes it away.')
    ] = None,
    url: Annotated[str | None, typer.Option(help="Where the source can be found.")] = None,
    permitted: Annotated[
        bool | None,
        typer.Option("--permitted/--not-permitted", help="Whoever holds the rights agreed that it is shared."),
    ] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Correct what is known of a source. The next export goes by it.

    Example: saring sources set forum-2026 --licence CC-BY-4.0
    """
    with open_session(output.home().engine) as session, session.begin():
        changed = set_source(session, name, licence=licence, url=url, permitted=permitted)
    output.emit(changed.to_dict(), as_json=as_json, say=lambda one: _say({"sources": [one]}))


def _say(result: dict[str, Any]) -> None:
    if not result["sources"]:
        output.out().print("no source yet: `saring ingest` or `saring import` brings one")
        return
    table = Table(box=None)
    for column in ("source", "rows", "licence", "shared", "why not"):
        table.add_column(column, justify="right" if column == "rows" else "left", overflow="fold")
    words = {"open": "yes", "non-commercial": "with --non-commercial", "closed": "no"}
    for one in result["sources"]:
        shared = "yes, by permission" if one["permitted"] and one["sharing"] == "open" else words[one["sharing"]]
        cells = (one["name"], f"{one['rows']:,}", one["licence"] or "-", shared, one["why"])
        table.add_row(*(escape(cell) for cell in cells))
    output.out(least_width=110).print(table)
