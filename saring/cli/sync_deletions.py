"""`saring sync deletions`: decide on annotations that somebody else than their rater deleted."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pipeline.errors import UsageError
from pipeline.plural import counted
from saring.cli import output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sync.pull.interventions import HeldDeletion


def deletions_command(
    numbers: Annotated[
        list[int] | None, typer.Argument(metavar="[NUMBER]...", help="The deletions, by their number in the list.")
    ] = None,
    agree: Annotated[bool, typer.Option("--agree", help="Withdraw the judgements.")] = False,
    refuse: Annotated[bool, typer.Option("--refuse", help="Let the judgements count for good.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="All deletions of the list.")] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """List annotations that another account than their rater's deleted, and decide on them.

    Every account of Label Studio can delete every annotation. The judgement of a deleted annotation counts until you
    agree. Deletions by the rater, and by the account that Saring uses, need no decision.

    Example: saring sync deletions 3 4 --agree
    """
    from pipeline.store.session import open_session
    from pipeline.store.tables.human_loop import Decision
    from sync.pull.interventions import decide, held_deletions

    if agree and refuse:
        raise UsageError("--agree and --refuse exclude each other: give one")
    ctx = output.home()
    if not agree and not refuse:
        if numbers or everything:
            raise UsageError("the decision is missing: add --agree or --refuse")
        with open_session(ctx.engine) as session:
            waiting = held_deletions(session)
        result = {"waiting": [asdict(deletion) for deletion in waiting]}
        output.emit(result, as_json=as_json, say=lambda _: _say(waiting))
        return
    if bool(numbers) is everything:
        raise UsageError("name the deletions by their numbers, or give --all")
    decided = decide(
        ctx.engine,
        None if everything else numbers,
        Decision.AGREED if agree else Decision.REFUSED,
        taxonomy_version=ctx.taxonomy.version,
        now=datetime.now(UTC),
    )
    effect = "withdrawn" if agree else "kept"
    number = decided.withdrawn if agree else decided.decided
    line = f"{counted(decided.decided, 'deletion')} decided; {counted(number, 'judgement')} {effect}."
    output.emit(asdict(decided), as_json=as_json, say=lambda _: output.out().print(line, markup=False))


def _say(waiting: Sequence[HeldDeletion]) -> None:
    out = output.out(least_width=100)
    if not waiting:
        out.print("No deletion waits for a decision.", markup=False)
        return
    table = Table(box=None)
    for column in ("number", "noted", "project", "task", "rater", "deleted by", "labels"):
        table.add_column(column)
    for deletion in waiting:
        table.add_row(
            str(deletion.id),
            f"{deletion.noted_at:%Y-%m-%d %H:%M}",
            deletion.project,
            str(deletion.task),
            f"#{deletion.rater}",
            f"#{deletion.actor}" if deletion.actor else "not known",
            ", ".join(deletion.labels) or "-",
        )
    out.print(table)
    out.print(
        "`saring sync deletions NUMBER... --agree` withdraws the judgements; `--refuse` keeps them.", markup=False
    )
