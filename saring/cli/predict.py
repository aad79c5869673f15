"""`saring predict`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import orjson
import typer

from pipeline.learning.predict import predict
from pipeline.texts.labelled import LabelledText
from pipeline.texts.labelled_files import parse_line, read_labelled
from pipeline.texts.rejects import RejectSink
from saring.cli import output
from saring.cli.options import ModelOption


def predict_command(
    file: Annotated[
        str, typer.Argument(metavar="[FILE|-]", help="JSON lines with the field `text`; - is standard input.")
    ] = "-",
    model: ModelOption = None,
    out: Annotated[Path | None, typer.Option(help="Write to this file. Default: standard output.")] = None,
) -> None:
    """Predict labels and probabilities of texts. Reads JSON lines, and writes JSON lines in the same order.

    Rows that cannot be used are counted on standard error.

    Example: saring predict posts.jsonl --out labelled.jsonl
    """
    trained = output.home().model(model, tell=output.note)
    rejects = RejectSink()
    rows = _stdin(rejects) if file == "-" else read_labelled([file], rejects, keep_extra=True)
    with contextlib.ExitStack() as stack:
        stream = sys.stdout.buffer if out is None else stack.enter_context(out.open("wb"))
        for row in predict(trained, rows):
            stream.write(orjson.dumps(row, default=str) + b"\n")
        stream.flush()
    if rejects.counts:
        output.warn(
            f"rows left out: {', '.join(f'{count} {reason}' for reason, count in rejects.counts.most_common())}"
        )


def _stdin(rejects: RejectSink) -> Iterator[LabelledText]:
    for number, line in enumerate(sys.stdin.buffer, start=1):
        if line.strip():
            yield from parse_line(line, "standard input", number, rejects)
