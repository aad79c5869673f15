"""The command `saring audit`: labels that are probably wrong."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from pipeline.plural import counted
from saring.cli import output

#: cell in place of a harsh text
_HIDDEN = "(hidden; --reveal shows it)"


def audit_command(
    label: Annotated[
        list[str] | None, typer.Option(metavar="LABEL", help="Look at this label only. Repeat it.")
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="WHO", help="Doubt only labels by `people`, `data` (sets) or `machines`. Repeat it."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Texts that are listed.")] = 20,
    reveal: Annotated[bool, typer.Option("--reveal", help="List harsh texts too.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write all of them to a file, as JSON lines.")
    ] = None,
    to_review: Annotated[bool, typer.Option("--to-review", help="Put all of them into the review.")] = False,
    to_queue: Annotated[
        int, typer.Option("--to-queue", min=0, metavar="N", help="Put the N most doubtful into the queue.")
    ] = 0,
    learnt: Annotated[int, typer.Option(min=100, help="Texts that the models learn from, at most.")] = 30_000,
    seed: Annotated[int | None, typer.Option(help="Seed of the folds; SARING_SEED if not given.")] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Find labels of people, data sets and machines that are probably wrong. By itself it changes nothing.

    Example: saring audit --label hate --out doubtful.jsonl
    """
    home = output.home()
    from saring.actions.audit import row_of, write_rows

    with output.progress_bar() as progress:
        audited = home.review.audit(
            labels=label or (),
            by=by or (),
            learnt=learnt,
            to_review=to_review,
            to_queue=to_queue,
            seed=seed,
            progress=progress,
        )
    if out is not None:
        write_rows(home, audited, out)
    result: dict[str, Any] = {
        **asdict(audited.report),
        "queued": audited.queued,
        "not_queued": dict(audited.not_queued),
        "written": None if out is None else str(out),
        "items": [row_of(home, each, with_text=reveal or not each.harsh) for each in audited.doubted[:limit]],
    }
    output.emit(result, as_json=as_json, say=_say)


def _say(result: dict[str, Any]) -> None:
    texts = counted(result["texts"], "text")
    output.out().print(f"{texts} with labels; {result['doubted']:,} of them have a doubtful one", markup=False)
    output.say_counts("doubtful label", result["by_label"], "texts")
    table = Table(box=None)
    for column in ("id", "label", "given", "wrong", "why", "text"):
        table.add_column(column, overflow="fold", justify="right" if column == "wrong" else "left")
    for item in result["items"]:
        labels = item["labels"]
        table.add_row(
            item["text_id"],
            "\n".join(each["label"] for each in labels),
            "\n".join(each["given"] for each in labels),
            "\n".join(f"{each['wrong']:.0%}" for each in labels),
            Text("; ".join(item["why"])),
            Text(item["text"] or _HIDDEN),
        )
    if result["items"]:
        output.out(least_width=110).print(table)
    if result["left_out"]:
        output.note(f"too few texts to doubt: {', '.join(result['left_out'])}")
    if result["into_review"]:
        output.note(f"{counted(result['into_review'], 'text')} wait in the review: saring review list --kind suspect")
    if result["queued"] or result["not_queued"]:
        output.note(f"{counted(result['queued'], 'text')} put into the queue")
    for reason, count in result["not_queued"].items():
        output.note(f"{counted(count, 'text')} not put into the queue: {reason}")
    if result["written"]:
        output.note(f"all of them are in {result['written']}")
