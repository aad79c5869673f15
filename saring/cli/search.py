"""`saring search`: find texts by words, by likeness and by filters; save a search; prepare the indexes."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from pipeline.errors import UsageError
from pipeline.plural import counted
from saring.cli import output

if TYPE_CHECKING:
    from pipeline.search.find import Found
    from pipeline.search.query import Query
    from saring.actions.searching import SearchPrepared
    from saring.home import Home

#: characters of a text in the table
_SHOWN = 120


def search_command(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WORDS...",
            help='Words of the text; "in quotation marks"; or; after --, -word for one that must not be there.',
        ),
    ] = None,
    like: Annotated[str | None, typer.Option(metavar="TEXT_ID", help="Find texts like this one.")] = None,
    meaning: Annotated[str | None, typer.Option(help="Find texts like this sentence.")] = None,
    label: Annotated[str | None, typer.Option(help="Only texts that have this label.")] = None,
    tier: Annotated[
        str | None, typer.Option(help="Only decisions of this tier: gold, silver, pseudo, contested, unknown.")
    ] = None,
    language: Annotated[str | None, typer.Option(help="Only texts in this language, for example ms.")] = None,
    source: Annotated[str | None, typer.Option(help="Only texts of this source.")] = None,
    where: Annotated[
        str | None, typer.Option(help="Only texts that are queued, sent, judged by people, or free to be queued.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Number of texts to show.")] = 20,
    offset: Annotated[int, typer.Option(min=0, help="Number of texts to pass over.")] = 0,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show harsh texts too.")] = False,
    save: Annotated[str | None, typer.Option(metavar="NAME", help="Save the search under this name.")] = None,
    saved: Annotated[str | None, typer.Option(metavar="NAME", help="Search as it was saved under this name.")] = None,
    add: Annotated[bool, typer.Option("--add", help="Put the shown texts into the queue.")] = False,
    index: Annotated[
        bool, typer.Option("--index", help="Do not search: make the indexes for likeness and spellings.")
    ] = False,
    on_workers: output.AsyncFlag = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Find texts by words, by likeness and by what is known of them.

    The words are compared as they are written. Personal data is masked. Harsh texts are hidden unless you give
    --reveal.

    Example: saring search banjir kampung --language ms
    """
    home = output.home()
    given = {
        "words": " ".join(words or ()),
        "like": like,
        "meaning": meaning,
        "label": label,
        "tier": tier,
        "language": language,
        "source": source,
        "whereabouts": where,
    }
    if index:
        _prepare(home, given, on_workers=on_workers, as_json=as_json)
        return
    query = _query(home, given, saved)
    from saring.actions.searching import find, save_search

    hits = find(home, query, limit=limit, offset=offset)
    result: dict[str, Any] = {"query": query.values(), **asdict(hits)}
    for hit in result["hits"]:
        hit["hidden"] = hit["harsh"] and not reveal
        hit["text"] = None if hit["hidden"] else hit["text"]
    if save is not None:
        result["saved"] = save_search(home, save, query)
    if add:
        why = "found by a search" + (f" for {query.words!r}" if query.words else "")
        picked = home.queue.add([hit.text_id for hit in hits.hits], why=why) if hits.hits else None
        result["added"] = asdict(picked) if picked is not None else None
    output.emit(result, as_json=as_json, say=lambda values: _say(hits, values))


def _query(home: Home, given: dict[str, str | None], saved: str | None) -> Query:
    from pipeline.search.query import Query
    from saring.actions.searching import saved_searches

    if saved is None:
        return Query.of(given)
    if any(given.values()):
        raise UsageError("give --saved, or what to look for, not both")
    for search in saved_searches(home):
        if search.name == saved:
            return search.query
    names = ", ".join(search.name for search in saved_searches(home))
    raise UsageError(f"no search is saved as {saved!r}" + (f"; there are {names}" if names else ""))


def _prepare(home: Home, given: dict[str, str | None], *, on_workers: bool, as_json: bool) -> None:
    from saring.actions.searching import prepare

    if any(given.values()):
        raise UsageError("--index does not search: leave the words and filters out")
    with output.progress_bar() as progress:
        report = prepare(home, executor=output.executor(on_workers), progress=progress)
    output.emit(asdict(report), as_json=as_json, say=lambda _: _say_prepared(report))


def _say_prepared(report: SearchPrepared) -> None:
    out = output.out()
    out.print(f"{counted(report.words, 'word')} can be corrected to.", markup=False)
    if report.index_made:
        out.print(f"{counted(report.vectors, 'vector')} of {report.encoder} are indexed.", markup=False)
    elif report.vectors:
        out.print(f"The vectors of {report.encoder} have an index already.", markup=False)
    else:
        out.print(f"There are no vectors of {report.encoder}: run `saring embed` first.", markup=False)


def _say(hits: Found, values: dict[str, Any]) -> None:
    out = output.out(least_width=120)
    if hits.hits:
        table = Table(box=None)
        for column in ("text", "id", "labels"):
            table.add_column(column, overflow="fold")
        if hits.hits[0].likeness is not None:
            table.add_column("likeness", justify="right")
        for hit, row in zip(hits.hits, values["hits"], strict=True):
            shown = "(hidden; --reveal shows it)" if row["hidden"] else " ".join(hit.text.split())[:_SHOWN]
            labels = ", ".join(f"{label.key} ({label.tier})" for label in hit.labels) or "-"
            cells = [shown, str(hit.text_id), labels]
            if hit.likeness is not None:
                cells.append(f"{hit.likeness:.3f}")
            # Texts come from outside, so nothing in them may be read as markup.
            table.add_row(*(Text(cell) for cell in cells))
        out.print(table)
    else:
        out.print("No such text is found.")
    total = counted(hits.known, "text")
    out.print(f"{total} found" if hits.complete else f"at least {total} found", markup=False)
    for spelling in hits.spellings:
        out.print(f"{spelling.word}: did you mean {' or '.join(spelling.instead)}?", markup=False)
    for note in hits.notes:
        output.note(note)
    if values.get("saved") is not None:
        out.print("The search is saved.")
    if values.get("added"):
        out.print(f"Put {counted(values['added']['added'], 'text')} into the queue, with unknown probability.")
