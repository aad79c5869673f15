"""`saring predict`."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.atomic import private
from pipeline.errors import InputError
from pipeline.learning.predict import predict_rows
from pipeline.learning.predicted_sheet import PredictedSheet
from pipeline.plural import counted
from pipeline.texts.inputs import MISSING, read_input_lines, read_inputs
from pipeline.texts.json_values import dump_json
from pipeline.texts.readers import format_of
from saring.cli import output
from saring.cli.options import ModelOption


def predict_command(
    file: Annotated[
        str,
        typer.Argument(
            metavar="[FILE|-]", help="JSON, CSV, Parquet or plain text; - is JSON lines from standard input."
        ),
    ] = "-",
    model: ModelOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write to this file; as a table for spreadsheets if it ends in .csv. Default: standard output."
        ),
    ] = None,
    text_field: Annotated[
        str, typer.Option("--text-field", help="The field with the text; dots lead into nested fields.")
    ] = "text",
) -> None:
    """Predict labels and probabilities of texts. Writes a line for each row, in the same order: JSON, or of the table.

    A row that cannot be used has a field `error`, and no labels. Such rows are counted on standard error. Where no row
    has the field with the text, the command ends with an error.

    Example: saring predict posts.jsonl --out labelled.jsonl
    """
    trained = output.home().model(model, tell=output.note)
    rows = (
        read_input_lines(sys.stdin.buffer, "standard input", text_field=text_field)
        if file == "-"
        else read_inputs(file, format_of(file), text_field=text_field)
    )
    written, errors, fields = 0, Counter[str](), list[str]()
    with _writing(out, trained.labels) as write:
        for row in predict_rows(trained, rows):
            write(row)
            written += 1
            if "labels" not in row:
                errors[row["error"]] += 1
                fields = fields or [name for name in row if name not in ("id", "error", "model")]
    if out is not None:
        output.note(f"{out}: {counted(written, 'row')}, {written - errors.total():,} of them with a prediction")
    if errors:
        reasons = ", ".join(f"{count} {reason}" for reason, count in errors.most_common())
        output.warn(f"rows with an error and no labels: {reasons}")
    if written and errors[MISSING] == written:
        named = f"; its fields are {', '.join(fields[:10])}" if fields else ""
        where = "standard input" if file == "-" else file
        raise InputError(f"{where}: no row has the field {text_field!r}{named}: name the right one with --text-field")


@contextlib.contextmanager
def _writing(out: Path | None, labels: Sequence[str]) -> Iterator[Callable[[Mapping[str, Any]], object]]:
    """Open the output; what writes a row to it."""
    if out is not None and out.suffix.lower() == ".csv":
        with open(out, "w", encoding="utf-8-sig", newline="", opener=private) as table:
            yield PredictedSheet(table, labels).write
        return
    with contextlib.nullcontext(sys.stdout.buffer) if out is None else open(out, "wb", opener=private) as stream:
        yield lambda row: stream.write(dump_json(row) + b"\n")
        stream.flush()
