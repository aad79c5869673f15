"""`saring pseudolabel`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.learning.pseudolabel import PseudoConfig, PseudoReport
from pipeline.plural import counted
from saring.cli import output
from saring.cli.options import LabelOption, Limit


def pseudolabel_command(
    label: LabelOption = None,
    target_precision: Annotated[float, typer.Option(min=0.5, max=0.999, help="Precision to reach.")] = 0.95,
    limit: Limit = None,
    on_workers: output.AsyncFlag = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Give a scarce label to texts for which a classifier of this label is sure.

    Sure means: above a threshold, at least the target share of the held-out texts has the label. If no threshold
    reaches it, nothing is written. Without --label, it takes each label with less than half the average number of
    texts.

    Example: saring pseudolabel --label porn --target-precision 0.97
    """
    with output.progress_bar() as progress:
        reports = output.home().pseudolabel(
            label,
            config=PseudoConfig(target_precision=target_precision),
            limit=limit,
            executor=output.executor(on_workers),
            progress=progress,
        )
    output.emit({"labels": [asdict(report) for report in reports]}, as_json=as_json, say=lambda _: _say(reports))


def _say(reports: list[PseudoReport]) -> None:
    out = output.out()
    if not reports:
        out.print("No label is both scarce and common enough to learn from.")
    for report in reports:
        if report.stopped is not None:
            out.print(f"{report.label}: nothing written: {report.stopped}", markup=False, soft_wrap=True)
        else:
            out.print(
                f"{report.label}: given to {report.written:,} of {counted(report.scored, 'text')}, "
                f"from threshold {report.cut:.3f} (held-out precision {report.precision:.3f} "
                f"[{report.precision_low:.3f}, {report.precision_high:.3f}], recall {report.recall:.3f}); "
                f"{report.in_review:,} queued for people",
                markup=False,
                soft_wrap=True,
            )
