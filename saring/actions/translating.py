"""Translate the store's texts, or a labelled set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pipeline.atomic import private
from pipeline.errors import UsageError
from pipeline.llm.translation.make import make_translator
from pipeline.llm.translation.protocol import Language
from pipeline.llm.translation.rows import RowCounts, translated_rows
from pipeline.llm.translation.translate import TranslateParams, TranslateStage, TranslationReport
from pipeline.progress import Progress, silent
from pipeline.runs.executor import Executor, run
from pipeline.texts.labelled import LabelledText
from pipeline.texts.labelled_files import read_labelled
from pipeline.texts.rejects import RejectSink
from saring.context import Context


@dataclass(frozen=True, slots=True)
class TranslatedFiles:
    """The result of the translation of labelled files."""

    translator: str
    language: str
    path: Path
    #: rows that could not be read, by reason
    rejected: dict[str, int]
    counts: RowCounts


def translate(
    home: Context,
    language: Language = "ms",
    *,
    by: str | None = None,
    limit: int | None = None,
    most_tokens: int | None = None,
    most_cost: float | None = None,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> TranslationReport:
    """Translate the store's texts that are in another language; none is translated twice.

    Args:
        home: the home with the store.
        language: `ms` or `en`.
        by: a rater's name, or `seq2seq:PATH`; None: the language model that judges.
        limit: size of the random sample of texts to translate; None: all.
        most_tokens: stop before a language model uses more tokens.
        most_cost: stop before it costs more.
        executor: the place where the stage runs; None: this process.
        progress: called after every portion.

    Raises:
        UsageError: there is no such translator.
        LlmError: its server refuses, or does not answer.
        RunConflict: the translator is translating into this language already.
    """
    params = TranslateParams(language, by, limit, most_tokens, most_cost)
    return run(TranslateStage(), home, params, executor=executor, progress=progress)


def translate_files(
    home: Context,
    files: Sequence[str],
    out: Path,
    language: Language = "ms",
    *,
    by: str | None = None,
    limit: int | None = None,
    most_tokens: int | None = None,
    most_cost: float | None = None,
    progress: Progress = silent,
) -> TranslatedFiles:
    """Write a labelled set in another language; labels, source and split stay.

    Args:
        home: the home with the store of translations.
        files: labelled JSON lines or Parquet.
        out: the file that is written, whole or not at all.
        language: `ms` or `en`.
        by: a rater's name, or `seq2seq:PATH`; None: the language model that judges.
        limit: number of rows to read, from the first; None: all.
        most_tokens: stop before a language model uses more tokens.
        most_cost: stop before it costs more.
        progress: called after every portion.

    Raises:
        UsageError: there is no such translator, or no folder for `out`.
        InputError: a file can't be read at all.
        LlmError: the server refuses, or does not answer.
    """
    if not out.parent.is_dir():
        raise UsageError(f"--out {out}: there is no folder {out.parent}; make it first")
    translator = make_translator(by, home.settings, home.engine, most_tokens=most_tokens, most_cost=most_cost)
    counts = RowCounts()
    with RejectSink(home.settings.rejects_dir / "translate.jsonl") as sink:
        rows = islice(read_labelled(files, sink, keep_extra=True), limit)
        _write(translated_rows(home.engine, translator, rows, language, counts, progress=progress), out)
        rejected = dict(sink.counts)
    return TranslatedFiles(translator.name, language, out, rejected, counts)


def _write(rows: Iterator[LabelledText], out: Path) -> None:
    """Write all rows or nothing, so that nobody takes an incomplete or empty file for the whole."""
    partial = out.with_name(f"{out.name}.partial")
    written = 0
    try:
        with open(partial, "wb", opener=private) as file:
            for written, row in enumerate(rows, 1):  # noqa: B007 - the last is the number of rows
                file.write(row.to_json() + b"\n")
        if written:
            partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
