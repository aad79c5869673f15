"""The commands of the review: find what is in dispute, show it, settle it, undo it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from pipeline.plural import counted
from saring.cli import output

if TYPE_CHECKING:
    from pipeline.review.reviewer import Reviewer
    from saring.home import Home

review_app = typer.Typer(
    add_completion=False,
    help="Settle texts whose labels are in doubt: what a reviewer settles outranks the votes.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_TextId = Annotated[str, typer.Argument(metavar="TEXT_ID", help="The text's id, from `saring review list`.")]
_As = Annotated[str, typer.Option("--as", metavar="NAME", help="Account of the reviewer, from `saring users list`.")]
#: cell in place of a harsh text
_HIDDEN = "(hidden; --reveal shows it)"


@review_app.command("find")
def find_command(
    suspects: Annotated[
        bool, typer.Option("--suspects/--no-suspects", help="Train models to find suspected label errors too.")
    ] = True,
    as_json: output.JsonFlag = False,
    on_workers: output.AsyncFlag = False,
) -> None:
    """Find disagreements, undecided texts and suspected label errors.

    Example: saring review find
    """
    with output.progress_bar() as progress:
        report = output.home().review.find(suspects=suspects, executor=output.executor(on_workers), progress=progress)
    output.emit(asdict(report), as_json=as_json, say=_say_found)


@review_app.command("list")
def list_command(
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="`disagreement`, `undecided` or `suspect`; all if not given.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Largest number of texts.")] = 20,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show harsh texts too.")] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Show the texts that wait for a reviewer, each with why it is there.

    Example: saring review list --kind suspect
    """
    home = output.home()
    from saring.actions.review import counts, public_id

    rows = [
        {
            "text_id": str(public_id(home, item.text_id)),
            "kind": str(item.kind),
            "text": None if item.harsh and not reveal else item.text,
            "labels": list(item.labels),
            "why": [reason.sentence for reason in item.why],
            "value": item.value,
        }
        for item in home.review.show(kind, limit)
    ]
    output.emit({"waiting": counts(home), "items": rows}, as_json=as_json, say=_say_list)


@review_app.command("settle")
def settle_command(
    text_id: _TextId,
    reviewer: _As,
    yes: Annotated[list[str] | None, typer.Option(metavar="LABEL", help="A label that the text has.")] = None,
    no: Annotated[list[str] | None, typer.Option(metavar="LABEL", help="A label that the text has not.")] = None,
    reason: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="definition, meaning, language, overlooked, slip, not-shown or other."),
    ] = None,
    words: Annotated[str | None, typer.Option(help="The reason in your own words.")] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Settle a text as a reviewer. Labels that are not named stay as other raters leave them.

    Example: saring review settle 0b7c... --as aina --no hate --reason meaning
    """
    home = output.home()
    from saring.actions.review import own_id, public_id

    settled = home.review.settle(
        own_id(home, text_id),
        _reviewer(home, reviewer),
        yes=_keys(home, yes),
        no=_keys(home, no),
        ground=reason,
        words=words,
    )
    output.emit(
        {
            "text_id": str(public_id(home, settled.text_id)),
            "judgement": settled.judgement,
            "repeated": settled.repeated,
            "settled": [str(kind) for kind in settled.kinds],
            "waiting": [str(kind) for kind in settled.remaining],
        },
        as_json=as_json,
        say=lambda result: output.out().print(
            "settled before, and stays so" if result["repeated"] else "settled", markup=False
        ),
    )


@review_app.command("undo")
def undo_command(reviewer: _As, as_json: output.JsonFlag = False) -> None:
    """Withdraw the last settlement of a reviewer; its text waits again.

    Example: saring review undo --as aina
    """
    home = output.home()
    from saring.actions.review import public_id

    undone = home.review.undo(_reviewer(home, reviewer))
    result: dict[str, Any] = {
        "text_id": None if undone is None else str(public_id(home, undone.text_id)),
        "waiting": [] if undone is None else [str(kind) for kind in undone.kinds],
    }
    output.emit(
        result,
        as_json=as_json,
        say=lambda result: output.out().print(
            "there is nothing to take back" if result["text_id"] is None else f"taken back: {result['text_id']}",
            markup=False,
        ),
    )


def _reviewer(home: Home, name: str) -> Reviewer:
    from pipeline.errors import UsageError
    from pipeline.store.tables.accounts import Role
    from saring.accounts.people import by_name

    with home.begin() as session:
        person = by_name(session, name)
    if person.role is None or not person.role.allows(Role.REVIEWER) or person.disabled_at is not None:
        raise UsageError(f"{name} is no reviewer: `saring users role {name} reviewer` makes them one")
    return home.review.reviewer(person.id)


def _keys(home: Home, labels: list[str] | None) -> list[str]:
    from saring.actions.labels import require_label

    return [require_label(home, label) for label in labels or ()]


def _say_found(result: dict[str, Any]) -> None:
    output.out().print(f"read {counted(result['texts'], 'judged text')}", markup=False)
    output.say_counts("waits for a reviewer", result["waiting"], "texts")
    output.say_counts("suspected label", result["suspected"], "texts")
    if result["left_out"]:
        output.note(f"too few texts to suspect errors of: {', '.join(result['left_out'])}")


def _say_list(result: dict[str, Any]) -> None:
    output.say_counts("waits for a reviewer", result["waiting"], "texts")
    table = Table(box=None)
    for column in ("id", "kind", "why", "text"):
        table.add_column(column, overflow="fold")
    for item in result["items"]:
        table.add_row(item["text_id"], item["kind"], Text("; ".join(item["why"])), Text(item["text"] or _HIDDEN))
    if result["items"]:
        output.out(least_width=110).print(table)
