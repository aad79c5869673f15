"""`saring translate`: texts of the store, or a labelled set, in another language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pipeline.errors import UsageError
from pipeline.llm.translation.make import make_translator
from pipeline.llm.translation.rows import RowCounts, translated_rows
from pipeline.llm.translation.translate import TranslationReport, translate_texts
from pipeline.texts.labelled import LabelledText
from pipeline.texts.labelled_files import read_labelled
from pipeline.texts.rejects import RejectSink
from saring.cli import common
from saring.cli.data import Limit, MaxCost, MaxTokens


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
    as_json: common.JsonFlag = False,
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
    ctx = common.context()
    with common.progress_bar() as progress:
        translator = make_translator(by, ctx.settings, ctx.engine, most_tokens=max_tokens, most_cost=max_cost)
        if not paths or out is None:
            report = translate_texts(ctx.engine, translator, to, limit=limit, progress=progress)
            common.emit(asdict(report), as_json=as_json, say=lambda _: _say(report))
            _fail_if(not report.translated and not report.present and bool(report.failed))
            return
        if not out.parent.is_dir():
            raise UsageError(f"--out {out}: there is no folder {out.parent}: make it first")
        counts = RowCounts()
        with RejectSink(ctx.settings.rejects_dir / "translate.jsonl") as sink:
            rows = _first(read_labelled(paths, sink, keep_extra=True), limit)
            made = translated_rows(ctx.engine, translator, rows, to, counts, progress=progress)
            _write(made, out)
            rejected = dict(sink.counts)
    result: dict[str, Any] = {"translator": translator.name, "language": to, "path": out, "rejected": rejected}
    common.emit(result | asdict(counts), as_json=as_json, say=lambda _: _say_rows(counts, out, sum(rejected.values())))
    _fail_if(not counts.translated and not counts.already)


def _fail_if(nothing: bool) -> None:
    """A command that came to nothing must not look to a script as if it had not."""
    if nothing:
        raise typer.Exit(1)


def _first(rows: Iterator[LabelledText], limit: int | None) -> Iterator[LabelledText]:
    for number, row in enumerate(rows):
        if limit is not None and number == limit:
            return
        yield row


def _write(rows: Iterator[LabelledText], out: Path) -> None:
    """All of them or nothing: a file that is half there would be taken for the whole, and so would an empty one."""
    partial = out.with_name(f"{out.name}.partial")
    written = 0
    try:
        with partial.open("wb") as file:
            for written, row in enumerate(rows, 1):  # noqa: B007 - the last is how many
                file.write(row.to_json() + b"\n")
        if written:
            partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _say(report: TranslationReport) -> None:
    out = common.out()
    out.print(
        f"{report.translated:,} texts translated into {report.language} by {report.translator}; "
        f"{report.present:,} were before, {report.already:,} are {report.language} as they are",
        markup=False,
        soft_wrap=True,
    )
    _say_failures(report.failed, report.tokens, report.cost)


def _say_rows(counts: RowCounts, out: Path, rejected: int) -> None:
    console = common.out()
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
    out = common.out()
    for reason, count in sorted(failed.items()):
        out.print(f"  not translated: {reason}: {count:,}", markup=False)
    if tokens:
        out.print(f"{tokens:,} tokens" + (f", {cost:,.4f} spent" if cost else ""))
