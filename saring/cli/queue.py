"""The commands of the queue: draw it, show it, and change it by hand."""

from __future__ import annotations

from dataclasses import asdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from pipeline.errors import UsageError
from pipeline.plural import counted
from pipeline.queue.config import QueueConfig, QueueReport
from saring.cli import output
from saring.cli.lazy import LazyGroup
from saring.cli.options import parse_mix, parse_text_id

if TYPE_CHECKING:
    from pipeline.queue.pick import Picked
    from pipeline.queue.waiting import Place


class _Queue(LazyGroup):
    """The command that trains needs what takes seconds to import."""

    later = MappingProxyType({"simulate": "saring.cli.queue_simulate:simulate_command"})


queue_app = typer.Typer(
    cls=_Queue,
    add_completion=False,
    help="Choose the texts that people should label next, and their order.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

#: cell in place of a harsh text
HIDDEN = "(hidden; --reveal shows it)"
_DEFAULT = QueueConfig()
_TextId = Annotated[str, typer.Argument(metavar="TEXT_ID", help="The text's id, from `saring queue show`.")]


@queue_app.command("build")
def build_command(
    size: Annotated[int, typer.Option(min=1, help="Number of texts to draw.")] = _DEFAULT.size,
    mix: Annotated[
        str | None, typer.Option(metavar="NAME=SHARE,...", help="Strategies and their shares of the queue.")
    ] = None,
    blind: Annotated[
        float, typer.Option(min=0, max=1, help="Share of texts to show without ticks.")
    ] = _DEFAULT.blind_share,
    gold: Annotated[
        float, typer.Option(min=0, max=1, help="Share of texts with a known answer.")
    ] = _DEFAULT.gold_share,
    benign: Annotated[
        float, typer.Option(min=0, max=1, help="Smallest share of texts that are not harsh.")
    ] = _DEFAULT.benign_share,
    harsh_run: Annotated[int, typer.Option(min=1, help="Largest number of harsh texts in a row.")] = _DEFAULT.harsh_run,
    near: Annotated[
        float, typer.Option(help="Largest cosine similarity of two queued texts; more similar ones are left out.")
    ] = _DEFAULT.near,
    target: Annotated[
        int, typer.Option(min=1, help="Number of gold texts that each label should have.")
    ] = _DEFAULT.gold_target,
    pool: Annotated[int, typer.Option(min=1, help="Largest number of candidates to draw from.")] = _DEFAULT.pool,
    seed: Annotated[int | None, typer.Option(help="Seed of all random choices. Default: SARING_SEED.")] = None,
    on_workers: output.AsyncFlag = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Draw a new queue. It replaces the queued texts that have not been pushed.

    Each text is stored with the reason and the inclusion probability, so that estimates can be weighted.

    Example: saring queue build --size 200 --mix uncertain=0.5,random=0.5
    """
    config = QueueConfig(
        size=size,
        mix=parse_mix(mix) if mix is not None else _DEFAULT.mix,
        blind_share=blind,
        gold_share=gold,
        benign_share=benign,
        harsh_run=harsh_run,
        near=near,
        gold_target=target,
        pool=pool,
    )
    with output.progress_bar() as progress:
        report = output.home().queue.build(
            config=config, seed=seed, executor=output.executor(on_workers), progress=progress
        )
    output.emit(asdict(report), as_json=as_json, say=lambda _: _say_built(report))


@queue_app.command("show")
def show_command(
    limit: Annotated[int, typer.Option(min=1, help="Number of texts to show.")] = 20,
    strategy: Annotated[str | None, typer.Option(help="Show only texts drawn by this strategy.")] = None,
    label: Annotated[
        str | None, typer.Option(help="Show only texts drawn for this label or expected to have it.")
    ] = None,
    language: Annotated[str | None, typer.Option(help="Show only texts in this language, for example ms.")] = None,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show harsh texts too.")] = False,
    sent: Annotated[bool, typer.Option("--sent", help="Show the texts that people have before them instead.")] = False,
    answered: Annotated[bool, typer.Option("--answered", help="Show the texts that people answered instead.")] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Show the queued texts in serving order, each with its reason, label and inclusion probability.

    With --sent or --answered, show texts that left the queue for Label Studio. Personal data is masked. Harsh texts are
    hidden unless you give --reveal.

    Example: saring queue show --label hate --limit 10
    """
    if sent and answered:
        raise UsageError("give --sent or --answered, not both")
    place: Place = "sent" if sent else "answered" if answered else "queued"
    queued = output.home().queue.show(
        limit, strategy=strategy, label=label, language=language, reveal=reveal, place=place
    )
    output.emit(asdict(queued), as_json=as_json, say=lambda result: _say_queue(result, place))


@queue_app.command("bump")
def bump_command(
    text_id: _TextId,
    first: Annotated[bool, typer.Option("--first/--last", help="Before all other texts, or after them.")] = True,
    as_json: output.JsonFlag = False,
) -> None:
    """Move a queued text to the first or last place. The next `saring queue build` makes a new order.

    Example: saring queue bump 0b6e7a3e-59a1-4a4e-8f0a-2f1a3c5d7e9b --last
    """
    chosen = parse_text_id(text_id)
    output.home().queue.bump(chosen, first=first)
    where = "first" if first else "last"
    output.emit(
        {"text_id": chosen, "place": where},
        as_json=as_json,
        say=lambda _: output.out().print(f"{chosen} is {where} in the queue", markup=False, soft_wrap=True),
    )


@queue_app.command("move")
def move_command(
    text_id: _TextId,
    before: Annotated[str | None, typer.Option(metavar="TEXT_ID", help="The text that it goes before.")] = None,
    place: Annotated[int | None, typer.Option(min=1, help="The place that it goes to; 1 is the first.")] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Move a queued text before another one, or to a place. The others keep their order.

    Example: saring queue move 0b6e7a3e-59a1-4a4e-8f0a-2f1a3c5d7e9b --place 3
    """
    chosen = parse_text_id(text_id)
    other = parse_text_id(before) if before is not None else None
    output.home().queue.move(chosen, before=other, place=place)
    where = f"before {other}" if other is not None else f"at place {place:,}"
    output.emit(
        {"text_id": chosen, "before": other, "place": place},
        as_json=as_json,
        say=lambda _: output.out().print(f"{chosen} is {where} in the queue", markup=False, soft_wrap=True),
    )


@queue_app.command("add")
def add_command(
    text_ids: Annotated[list[str], typer.Argument(metavar="TEXT_ID...", help="The texts' ids, from `saring search`.")],
    why: Annotated[str, typer.Option(help="The reason, which reviewers see.")] = "chosen by hand",
    label: Annotated[str | None, typer.Option(help="The label that they are chosen for.")] = None,
    first: Annotated[bool, typer.Option("--first/--last", help="Before all other texts, or after them.")] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Put texts into the queue by hand. Nobody drew them: their probability is unknown, and no estimate uses them.

    Example: saring queue add 0b6e7a3e-59a1-4a4e-8f0a-2f1a3c5d7e9b --why "like the texts of last week"
    """
    chosen = [parse_text_id(text_id) for text_id in text_ids]
    picked = output.home().queue.add(chosen, why=why, label=label, first=first)
    output.emit(asdict(picked), as_json=as_json, say=lambda _: say_picked(picked))


@queue_app.command("drop")
def drop_command(
    text_id: _TextId,
    why: Annotated[str | None, typer.Option(help="The reason, which is kept.")] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Remove a text from the queue for ever: no later build draws it.

    Example: saring queue drop 0b6e7a3e-59a1-4a4e-8f0a-2f1a3c5d7e9b
    """
    chosen = parse_text_id(text_id)
    output.home().queue.drop(chosen, why)
    output.emit(
        {"text_id": chosen, "state": "refused"},
        as_json=as_json,
        say=lambda _: output.out().print(f"{chosen} is removed and will not be queued again", markup=False),
    )


def say_picked(picked: Picked) -> None:
    """Say what became of texts that were chosen by hand."""
    out = output.out()
    out.print(f"Put {counted(picked.added, 'text')} into the queue, with unknown probability.", markup=False)
    for reason, count in picked.left_out.items():
        out.print(f"{counted(count, 'text')} left out: {reason}", markup=False, soft_wrap=True)


def _say_built(report: QueueReport) -> None:
    out = output.out()
    harsh = f"{report.harsh:,} probably harsh, " if report.harsh else ""
    out.print(
        f"Queued {report.drawn:,} of {counted(report.eligible, 'eligible text')}: {harsh}"
        f"{report.blind:,} to be shown without ticks, {report.gold:,} with a known answer.",
        markup=False,
        soft_wrap=True,
    )
    by = ", ".join(f"{name} {count:,}" for name, count in report.by_strategy.items())
    if by:
        out.print(f"drawn by: {by}", markup=False, soft_wrap=True)
    if report.near_alike:
        out.print(f"{report.near_alike:,} left out because a very similar text was drawn", markup=False)
    if report.without_vector:
        out.print(
            f"{counted(report.without_vector, 'candidate')} without a vector could not be compared with the others: "
            "run `saring embed`",
            markup=False,
            soft_wrap=True,
        )
    for note in report.notes:
        out.print(note, markup=False, soft_wrap=True)


def _say_queue(result: dict[str, Any], place: Place) -> None:
    out = output.out(least_width=150)
    if not result["items"]:
        out.print(
            f"No such text is {place}."
            if result["waiting"] or place != "queued"
            else "The queue is empty: `saring queue build` draws a new queue."
        )
        return
    table = Table(box=None, show_lines=False)
    for column in ("text", "id", "by", "label", "why"):
        # an id is copied into other commands
        table.add_column(column, overflow="fold", no_wrap=column == "id")
    for column in ("inclusion probability", "priority"):
        table.add_column(column, justify="right")
    for row in result["items"]:
        marks = "".join(f" [{mark}]" for mark in ("harsh", "blind", "gold") if row[mark])
        shown = HIDDEN if row["hidden"] else " ".join(row["text"].split())[:120]
        table.add_row(
            *(_plain(cell) for cell in (shown + marks, row["text_id"], row["strategy"], row["label"] or "-")),
            _plain(row["reason"]),
            "unknown" if row["inclusion_probability"] is None else f"{row['inclusion_probability']:.2g}",
            f"{row['priority']:.4f}",
        )
    out.print(table)
    out.print(f"{len(result['items']):,} of {counted(result['waiting'], f'{place} text')}", markup=False)


def _plain(cell: str) -> Text:
    # Texts come from outside, so nothing in them may be read as markup.
    return Text(cell)
