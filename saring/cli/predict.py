"""`saring predict`."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from pipeline.atomic import private
from pipeline.errors import InputError
from pipeline.learning.predict import predict_rows
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
    out: Annotated[Path | None, typer.Option(help="Write to this file. Default: standard output.")] = None,
    text_field: Annotated[
        str, typer.Option("--text-field", help="The field with the text; dots lead into nested fields.")
    ] = "text",
) -> None:
    """Predict labels and probabilities of texts. Writes a line of JSON for each row, in the same order.

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
    with contextlib.ExitStack() as stack:
        stream = sys.stdout.buffer if out is None else stack.enter_context(open(out, "wb", opener=private))
        for row in predict_rows(trained, rows):
            stream.write(dump_json(row) + b"\n")
            written += 1
            if "labels" not in row:
                errors[row["error"]] += 1
                fields = fields or [name for name in row if name not in ("id", "error", "model")]
        stream.flush()
    if out is not None:
        output.note(f"{out}: {counted(written, 'row')}, {written - errors.total():,} of them with a prediction")
    if errors:
        reasons = ", ".join(f"{count} {reason}" for reason, count in errors.most_common())
        output.warn(f"rows with an error and no labels: {reasons}")
    if written and errors[MISSING] == written:
        named = f"; its fields are {', '.join(fields[:10])}" if fields else ""
        where = "standard input" if file == "-" else file
        raise InputError(f"{where}: no row has the field {text_field!r}{named}: name the right one with --text-field")
