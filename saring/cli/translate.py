"""`saring translate`: translate texts of the store, or a labelled set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pipeline.errors import UsageError
from pipeline.llm.translation.rows import RowCounts
from pipeline.llm.translation.translate import TranslationReport
from pipeline.plural import counted
from saring.actions.translating import translate, translate_files
from saring.cli import output
from saring.cli.options import Limit, MaxCost, MaxTokens


def translate_command(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="[PATH]...", help="Labelled files to translate. Default: the store.")
    ] = None,
    to: Annotated[Literal["ms", "en"], typer.Option("--to", help="The language to translate into.")] = "ms",
    by: Annotated[
        str | None,
        typer.Option(
            "--with", metavar="RATER|seq2seq:PATH", help="The translator. Default: the language model that judges."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the translated labelled set to this file.")] = None,
    limit: Limit = None,
    max_tokens: MaxTokens = None,
    max_cost: MaxCost = None,
    on_workers: output.AsyncFlag = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Translate the texts of the store, or a labelled set, into Malay or English.

    Each translation is stored with its translator, and none is made twice. With files, each labelled row is written to
    --out in the other language: labels, source and split stay, and the field `translation` names the translator. Rows
    that are already in this language are copied.

    Example: saring translate --to en --limit 5000

    Example: saring translate english.jsonl --to ms --out malay.jsonl --with seq2seq:models/en-ms
    """
    if bool(paths) != (out is not None):
        raise UsageError(
            "to translate a labelled set, give both its files and --out; to translate the store, give neither"
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
        files = translate_files(
            home, paths, out, to, by=by, limit=limit, most_tokens=max_tokens, most_cost=max_cost, progress=progress
        )
    counts = files.counts
    result: dict[str, Any] = {"translator": files.translator, "language": to, "path": out, "rejected": files.rejected}
    rejected = sum(files.rejected.values())
    output.emit(result | asdict(counts), as_json=as_json, say=lambda _: _say_rows(counts, out, rejected))
    _fail_if(not counts.translated and not counts.already)


def _fail_if(nothing: bool) -> None:
    """Exit with status 1 if nothing could be translated, so that scripts notice it."""
    if nothing:
        raise typer.Exit(1)


def _say(report: TranslationReport) -> None:
    out = output.out()
    out.print(
        f"{counted(report.translated, 'text')} translated into {report.language} by {report.translator}; "
        f"{report.present:,} already translated, {report.already:,} already in {report.language}",
        markup=False,
        soft_wrap=True,
    )
    _say_failures(report.failed, report.tokens, report.cost)


def _say_rows(counts: RowCounts, out: Path, rejected: int) -> None:
    console = output.out()
    written = counts.translated + counts.already
    if written:
        outcome = (
            f"{counted(written, 'row')} written to {out}: {counts.translated:,} translated, {counts.already:,} copied"
        )
    else:
        outcome = f"No row could be translated, so {out} was not written."
    console.print(outcome, markup=False, soft_wrap=True)
    if counts.left_out or rejected:
        console.print(f"left out: {counts.left_out:,} without a translation, {rejected:,} not readable", markup=False)
    _say_failures(counts.failed, counts.tokens, counts.cost)


def _say_failures(failed: Mapping[str, int], tokens: int, cost: float) -> None:
    out = output.out()
    for reason, count in sorted(failed.items()):
        out.print(f"  not translated: {reason}: {count:,}", markup=False)
    if tokens:
        out.print(counted(tokens, "token") + (f", cost {cost:,.4f}" if cost else ""))
