"""The commands of the queue: draw it, look at it, and put a hand in it."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from pipeline.errors import UsageError
from pipeline.queue.config import QueueConfig, QueueReport
from saring.cli import output

queue_app = typer.Typer(
    add_completion=False,
    help="Choose which texts are worth a person's time, and in what order.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

#: shown in place of a harsh text
HIDDEN = "(hidden; --reveal shows)"
_DEFAULT = QueueConfig()
_TextId = Annotated[str, typer.Argument(metavar="TEXT_ID", help="As `saring queue show` gives it.")]


@queue_app.command("build")
def build_command(
    size: Annotated[int, typer.Option(min=1, help="Texts to draw.")] = _DEFAULT.size,
    mix: Annotated[
        str | None, typer.Option(metavar="NAME=SHARE,...", help="Strategies and their shares of the queue.")
    ] = None,
    blind: Annotated[float, typer.Option(min=0, max=1, help="Share shown without ticks.")] = _DEFAULT.blind_share,
    gold: Annotated[float, typer.Option(min=0, max=1, help="Share whose answer is known.")] = _DEFAULT.gold_share,
    benign: Annotated[
        float, typer.Option(min=0, max=1, help="Share that is not harsh, at least.")
    ] = _DEFAULT.benign_share,
    harsh_run: Annotated[int, typer.Option(min=1, help="Harsh texts in a row, at most.")] = _DEFAULT.harsh_run,
    near: Annotated[float, typer.Option(help="No two texts have a cosine above this.")] = _DEFAULT.near,
    target: Annotated[int, typer.Option(min=1, help="Gold texts each label should have.")] = _DEFAULT.gold_target,
    pool: Annotated[int, typer.Option(min=1, help="Candidates to look at, at most.")] = _DEFAULT.pool,
    seed: Annotated[int | None, typer.Option(help="Of every coin. Default: that of the settings.")] = None,
    on_workers: output.AsyncFlag = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Draw a new queue, in place of the texts that wait and have not been pushed.

    Each text is kept with why it was drawn and with what probability, so that estimates can be weighted back.

    Example: saring queue build --size 200 --mix uncertain=0.5,random=0.5
    """
    config = QueueConfig(
        size=size,
        mix=_parse_mix(mix) if mix is not None else _DEFAULT.mix,
        blind_share=blind,
        gold_share=gold,
        benign_share=benign,
        harsh_run=harsh_run,
        near=near,
        gold_target=target,
        pool=pool,
    )
    with output.progress_bar() as progress:
        done = output.home().queue.build(
            config=config, seed=seed, executor=output.executor(on_workers), progress=progress
        )
    output.emit(asdict(done), as_json=as_json, say=lambda _: _say_built(done))


@queue_app.command("show")
def show_command(
    limit: Annotated[int, typer.Option(min=1, help="Texts to show.")] = 20,
    strategy: Annotated[str | None, typer.Option(help="Only those that it brought.")] = None,
    label: Annotated[str | None, typer.Option(help="Only those drawn for it, or expected to have it.")] = None,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show harsh texts too.")] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Show what waits, in the order in which it will be served: why, for which label, with what probability.

    Texts are shown with personal data masked. Harsh ones are hidden unless asked for.

    Example: saring queue show --label hate --limit 10
    """
    found = output.home().queue.show(limit, strategy=strategy, label=label, reveal=reveal)
    output.emit(asdict(found), as_json=as_json, say=_say_queue)


@queue_app.command("bump")
def bump_command(
    text_id: _TextId,
    first: Annotated[bool, typer.Option("--first/--last", help="Before all others, or behind them.")] = True,
    as_json: output.JsonFlag = False,
) -> None:
    """Put a waiting text first, or last. A new build draws the queue anew.

    Example: saring queue bump 0b6e7a3e-59a1-4a4e-8f0a-2f1a3c5d7e9b --last
    """
    chosen = _parse_id(text_id)
    output.home().queue.bump(chosen, first=first)
    where = "first" if first else "last"
    output.emit(
        {"text_id": chosen, "place": where},
        as_json=as_json,
        say=lambda _: output.out().print(f"{chosen} is {where} in the queue", markup=False, soft_wrap=True),
    )


@queue_app.command("drop")
def drop_command(text_id: _TextId, as_json: output.JsonFlag = False) -> None:
    """Take a waiting text out of the queue, for good: no later build draws it.

    Example: saring queue drop 0b6e7a3e-59a1-4a4e-8f0a-2f1a3c5d7e9b
    """
    chosen = _parse_id(text_id)
    output.home().queue.drop(chosen)
    output.emit(
        {"text_id": chosen, "state": "refused"},
        as_json=as_json,
        say=lambda _: output.out().print(f"{chosen} will not be queued again", markup=False, soft_wrap=True),
    )


def _parse_mix(written: str) -> dict[str, float]:
    mix: dict[str, float] = {}
    for part in written.split(","):
        name, _, share = (piece.strip() for piece in part.partition("="))
        try:
            value = float(share)
        except ValueError:
            raise UsageError(f"--mix: {part.strip()!r} is not NAME=SHARE, for example uncertain=0.4") from None
        if not name or name in mix:
            raise UsageError(f"--mix: name each strategy once, not {written!r}")
        mix[name] = value
    return mix


def _parse_id(written: str) -> uuid.UUID:
    try:
        return uuid.UUID(written)
    except ValueError:
        raise UsageError(f"{written!r} is not the id of a text; see `saring queue show`") from None


def _say_built(done: QueueReport) -> None:
    out = output.out()
    out.print(
        f"{done.drawn:,} texts are queued, of {done.eligible:,} that might have been: "
        f"{done.harsh:,} are expected to be harsh, {done.blind:,} are blind, {done.gold:,} have a known answer",
        markup=False,
        soft_wrap=True,
    )
    by = ", ".join(f"{name} {count:,}" for name, count in done.by_strategy.items())
    if by:
        out.print(f"drawn by: {by}", markup=False, soft_wrap=True)
    if done.near_alike:
        out.print(f"{done.near_alike:,} gave way to a near-alike text", markup=False)
    if done.without_vector:
        out.print(
            f"{done.without_vector:,} candidates have no vector, so whether they are near-alike is not known: "
            "run `saring embed`",
            markup=False,
            soft_wrap=True,
        )
    for note in done.notes:
        out.print(note, markup=False, soft_wrap=True)


def _say_queue(result: dict[str, Any]) -> None:
    out = output.out(least_width=150)
    if not result["items"]:
        out.print(
            "nothing waits: `saring queue build` draws a queue" if not result["waiting"] else "none of those wait"
        )
        return
    table = Table(box=None, show_lines=False)
    for column in ("text", "id", "by", "label", "why"):
        table.add_column(column, overflow="fold")
    for column in ("probability", "priority"):
        table.add_column(column, justify="right")
    for row in result["items"]:
        marks = "".join(f" [{mark}]" for mark in ("harsh", "blind", "gold") if row[mark])
        shown = HIDDEN if row["hidden"] else " ".join(row["text"].split())[:120]
        table.add_row(
            *(_plain(cell) for cell in (shown + marks, row["text_id"], row["strategy"], row["label"] or "-")),
            _plain(row["reason"]),
            f"{row['inclusion_probability']:.2g}",
            f"{row['priority']:.4f}",
        )
    out.print(table)
    out.print(f"{len(result['items']):,} of {result['waiting']:,} that wait", markup=False)


def _plain(cell: str) -> Text:
    # texts are not ours: nothing in them is markup
    return Text(cell)
