"""`saring pseudolabel`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.learning.pseudolabel import PseudoConfig, PseudoReport
from saring.cli import output
from saring.cli.options import LabelOption, Limit


def pseudolabel_command(
    label: LabelOption = None,
    target_precision: Annotated[float, typer.Option(min=0.5, max=0.999, help="How sure to be.")] = 0.95,
    limit: Limit = None,
    on_workers: output.AsyncFlag = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Give a scarce label to texts where a classifier of that label alone is sure of it.

    Sure means: right on at least the target share of the held-out texts above the cut. If no cut is, nothing is
    written. Without --label, each label with less than half the texts that labels have on average.

    Example: saring pseudolabel --label porn --target-precision 0.97
    """
    with output.progress_bar() as progress:
        done = output.home().pseudolabel(
            label,
            config=PseudoConfig(target_precision=target_precision),
            limit=limit,
            executor=output.executor(on_workers),
            progress=progress,
        )
    output.emit({"labels": [asdict(report) for report in done]}, as_json=as_json, say=lambda _: _say(done))


def _say(done: list[PseudoReport]) -> None:
    out = output.out()
    if not done:
        out.print("no label is scarce enough, and common enough to learn from")
    for one in done:
        if one.stopped is not None:
            out.print(f"{one.label}: nothing written: {one.stopped}", markup=False, soft_wrap=True)
        else:
            out.print(
                f"{one.label}: {one.written} of {one.scored} texts from {one.cut:.3f} on "
                f"(held-out precision {one.precision:.3f} [{one.precision_low:.3f}, {one.precision_high:.3f}], "
                f"recall {one.recall:.3f}; {one.in_review} set aside for people)",
                markup=False,
                soft_wrap=True,
            )
