"""The commands that share the labelled data: export them as a folder, push it to the Hugging Face Hub."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from pipeline.learning.sets.balance import Balance
from pipeline.plural import counted
from pipeline.sharing.dataset_export import ROWS_PER_SHARD, export_dataset
from pipeline.sharing.dataset_push import push_dataset
from pipeline.sharing.maintainer_words import load_words
from pipeline.sharing.pseudonyms import pseudonym_key
from saring.cli import output

dataset_app = typer.Typer(add_completion=False, help="Share the labelled data with others.", no_args_is_help=True)


@dataset_app.command("export")
def export_command(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder to write: a new one, or an earlier export.")
    ],
    name: Annotated[str | None, typer.Option(help="Name of the data set. Default: the folder's name.")] = None,
    non_commercial: Annotated[
        bool, typer.Option("--non-commercial", help="Include sources that forbid commercial use.")
    ] = False,
    rows_per_file: Annotated[int, typer.Option(min=1, help="Largest number of rows in a Parquet file.")] = (
        ROWS_PER_SHARD
    ),
    most: Annotated[
        int | None,
        typer.Option(
            "--most-per-label", min=1, help="Write so many training rows that have a label at most. Default: all."
        ),
    ] = None,
    negatives: Annotated[
        float | None,
        typer.Option(
            metavar="RATIO", help="Write so many training rows without a label for each with it at most. Default: all."
        ),
    ] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Write the labelled texts as Parquet with a card, for `datasets.load_dataset`.

    Texts are masked; each has its labels, tiers, raters and splits. People have pseudonyms. Texts whose licence does
    not allow sharing are left out and counted: see `saring sources list`.

    Example: saring dataset export out/saringan --name "Saringan"
    """
    ctx = output.home()
    with output.progress_bar() as progress:
        report = export_dataset(
            ctx.engine,
            ctx.taxonomy,
            folder,
            key=pseudonym_key(ctx.settings.home),
            name=name,
            words=load_words(ctx.settings.home),
            non_commercial=non_commercial,
            rows_per_shard=rows_per_file,
            balance=Balance(most, negatives, ctx.settings.seed),
            progress=progress,
        )
    output.emit(report.to_dict(), as_json=as_json, say=_say_export)


@dataset_app.command("push")
def push_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that `saring dataset export` wrote.")],
    repo: Annotated[str, typer.Option(metavar="OWNER/NAME", help="The repository. A missing one is created.")],
    public: Annotated[bool, typer.Option("--public/--private", help="Let everyone see it, or only its owner.")] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Send an exported data set to the Hugging Face Hub, with the token in HF_TOKEN.

    The repository is private unless you give --public. Pushing again sends only what changed.

    Example: saring dataset push out/saringan --repo tinjau/saringan --public
    """
    settings = output.home().settings
    pushed = push_dataset(folder, repo, private=not public, token=settings.hf_token, endpoint=settings.hf_endpoint)
    output.emit(asdict(pushed), as_json=as_json, say=_say_pushed)


def _say_export(result: dict[str, Any]) -> None:
    out = output.out(least_width=100)
    counts = result["counts"]
    splits = ", ".join(f"{split} {rows:,}" for split, rows in counts["splits"].items())
    out.print(f"Wrote {counted(counts['rows'], 'row')} to {result['path']} ({splits})", markup=False, soft_wrap=True)
    if result["withheld"]:
        table = Table(box=None, title="left out because of the licence", title_justify="left")
        for column in ("source", "texts", "judgements", "why", "what to do"):
            table.add_column(column, justify="right" if column in ("texts", "judgements") else "left", overflow="fold")
        for source in result["withheld"]:
            numbers = (f"{source['texts']:,}", f"{source['verdicts']:,}")
            table.add_row(source["source"], *numbers, source["why"], source["todo"])
        out.print(table, markup=False)
    if result["balance"] is not None:
        output.say_balance(result["balance"])
    for reason, count in result["dropped"].items():
        out.print(f"left out: {count:,} ({reason})", markup=False, soft_wrap=True)
    out.print(
        f'To read it: load_dataset("{result["path"]}"). '
        f"To share it: `saring dataset push {result['path']} --repo OWNER/NAME`.",
        markup=False,
        soft_wrap=True,
    )


def _say_pushed(result: dict[str, Any]) -> None:
    access = "private" if result["private"] else "public"
    output.out().print(f"{result['url']} ({access}), commit {result['commit'][:12]}", markup=False, soft_wrap=True)
