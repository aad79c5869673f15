"""`saring translate`: texts of the store, or a labelled set, in another language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pipeline.errors import UsageError
from pipeline.llm.translation.rows import RowCounts
from pipeline.llm.translation.translate import TranslationReport
from saring.actions.translating import translate, translate_files
from saring.cli import output
from saring.cli.options import Limit, MaxCost, MaxTokens


def translate_command(
    paths: Annotated[list[str] | None, typer.Argument(metavar="[PATH]...", help="Labelled sets to translate.")] = None,
    to: Annotated[
        Literal["ms", "en"], typer.Option("--to", help="The language that texts are translated into.")
    ] = "ms",
    by: Annotated[
        str | None,
        typer.Option("--with", metavar="RATER|seq2seq:PATH", help="Who translates. Default: the model that judges."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Where the translated set is written.")] = None,
    limit: Limit = None,
    max_tokens: MaxTokens = None,
    max_cost: MaxCost = None,
    on_workers: output.AsyncFlag = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Translate the texts of the store, or bring a labelled set into another language.

    Translations are stored with who made them, and none is made twice. Given files, each labelled row is written to
    --out in the other language: labels, source and split stay, and the field `translation` says where it comes from.
    Rows that are in that language already are written as they are.

    Example: saring translate --to en --limit 5000

    Example: saring translate english.jsonl --to ms --out malay.jsonl --with seq2seq:models/en-ms
    """
    if bool(paths) != (out is not None):
        raise UsageError(
            "a labelled set needs both its files and --out; without either, the store's texts are translated"
        )
    if on_workers and paths:
        raise UsageError("--async translates the store's texts: leave out the files and --out")
    home = output.home()
    with output.progress_bar() as progress:
        if not paths or out is None:
            executor = output.executor(on_workers)
            report = translate(
                home,
                to,
                by=by,
                limit=limit,
                most_tokens=max_tokens,
                most_cost=max_cost,
                executor=executor,
                progress=progress,
            )
            output.emit(asdict(report), as_json=as_json, say=lambda _: _say(report))
            _fail_if(not report.translated and not report.present and bool(report.failed))
            return
        made = translate_files(
            home, paths, out, to, by=by, limit=limit, most_tokens=max_tokens, most_cost=max_cost, progress=progress
        )
    counts = made.counts
    result: dict[str, Any] = {"translator": made.translator, "language": to, "path": out, "rejected": made.rejected}
    rejected = sum(made.rejected.values())
    output.emit(result | asdict(counts), as_json=as_json, say=lambda _: _say_rows(counts, out, rejected))
    _fail_if(not counts.translated and not counts.already)


def _fail_if(nothing: bool) -> None:
    """A command that came to nothing must not look to a script as if it had not."""
    if nothing:
        raise typer.Exit(1)


def _say(report: TranslationReport) -> None:
    out = output.out()
    out.print(
        f"{report.translated:,} texts translated into {report.language} by {report.translator}; "
        f"{report.present:,} were before, {report.already:,} are {report.language} as they are",
        markup=False,
        soft_wrap=True,
    )
    _say_failures(report.failed, report.tokens, report.cost)


def _say_rows(counts: RowCounts, out: Path, rejected: int) -> None:
    console = output.out()
    written = counts.translated + counts.already
    if written:
        said = f"{written:,} rows written to {out}: {counts.translated:,} translated, {counts.already:,} as they were"
    else:
        said = f"no row could be translated, so {out} was not written"
    console.print(said, markup=False, soft_wrap=True)
    if counts.left_out or rejected:
        console.print(f"{counts.left_out:,} have no translation, {rejected:,} cannot be read", markup=False)
    _say_failures(counts.failed, counts.tokens, counts.cost)


def _say_failures(failed: Mapping[str, int], tokens: int, cost: float) -> None:
    out = output.out()
    for reason, count in sorted(failed.items()):
        out.print(f"  not translated: {reason}: {count:,}", markup=False)
    if tokens:
        out.print(f"{tokens:,} tokens" + (f", {cost:,.4f} spent" if cost else ""))
