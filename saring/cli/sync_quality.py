"""`saring sync quality`: how volunteers do, and how they are treated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.markup import escape
from rich.table import Table

from pipeline.measure.intervals import Estimate
from pipeline.store.session import open_session
from saring.actions.label_studio import connect, current_projects
from saring.cli import output
from saring.cli.options import ProjectOption

if TYPE_CHECKING:
    from sync.quality.report import QualityReport, RaterQuality

_COLUMNS = ("answers", "skipped", "known right", "fits the others", "macro F1", "seconds", "ticks kept", "careless")


def quality_command(
    project: ProjectOption = None,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Keep to annotations made on this day or later.")
    ] = None,
    names: Annotated[bool, typer.Option("--names", help="Show people's addresses instead of numbers.")] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Show how raters agree, how each does, who may be careless, and how much harsh content each met.

    It reads what `saring sync pull` brought home. Volunteers are shown by the number of their account.

    Example: saring sync quality --since 2026-11-01
    """
    # statistics take seconds to import, which the other commands beside this one need not
    from sync.quality.report import quality_report

    ctx = output.home()
    ours = None
    called: Mapping[str, str] = {}
    if project is not None or names:
        with connect(ctx) as client:
            ours = current_projects(ctx, client, project)[0].id if project is not None else None
            called = {str(user.id): str(user.email) for user in client.users()} if names else {}
    with open_session(ctx.engine) as session:
        rng = np.random.default_rng(ctx.settings.seed)
        moment = since.astimezone() if since is not None else None
        report = quality_report(session, ctx.taxonomy, project=ours, since=moment, rng=rng)
    shown = asdict(report) | {"careless": report.careless, "names": dict(called)}
    output.emit(shown, as_json=as_json, say=lambda _: say_quality(report, called))


def say_quality(report: QualityReport, names: Mapping[str, str]) -> None:
    """Print the report for a person."""
    out = output.out(least_width=130)
    out.print(
        f"\n{report.answers:,} answers of {len(report.raters)} volunteers on {report.texts:,} texts", markup=False
    )
    if not report.answers:
        out.print("nothing to measure yet: run `saring sync pull`", markup=False)
        if report.days:
            _say_days(report, names)
        return
    out.print(_raters(report, names))
    for one in report.raters:
        if one.excluded is not None:
            out.print(f"{_name(one.rater, names)} is excluded: {one.excluded}", markup=False, soft_wrap=True)
        if one.care.careless:
            reasons = "; ".join(finding.words for finding in one.care.findings)
            out.print(f"{_name(one.rater, names)} may be careless: {reasons}", markup=False, soft_wrap=True)
    _say_agreement(report)
    _say_sway(report)
    _say_days(report, names)


def _raters(report: QualityReport, names: Mapping[str, str]) -> Table:
    table = Table(box=None)
    table.add_column("volunteer")
    for column in _COLUMNS:
        table.add_column(column, justify="right")
    for one in report.raters:
        table.add_row(escape(_name(one.rater, names)), *_cells(one))
    return table


def _cells(one: RaterQuality) -> list[str]:
    return [
        f"{one.annotations.get('submitted', 0):,}",
        f"{one.annotations.get('skipped', 0):,}",
        _share(one.known.exact),
        _share(one.others.exact),
        _number(one.others.macro_f1),
        "-" if one.pace.median is None else f"{one.pace.median:.1f}",
        _share(one.acceptance.kept_share),
        "excluded" if one.excluded is not None else "yes" if one.care.careless else "no",
    ]


def _say_agreement(report: QualityReport) -> None:
    out = output.out(least_width=130)
    fair = report.fair_agreement
    if fair is not None and fair.overall is not None:
        found, which = fair, "texts that a coin had two volunteers asked for"
    elif report.agreement is not None and report.agreement.overall is not None:
        found, which = report.agreement, "texts with two answers or more, mostly those on which raters disagree"
    else:
        out.print("agreement: too few texts with two answers", markup=False)
        return
    out.print(
        f"Krippendorff's alpha {_number(found.overall)} over {found.texts:,} {which}; "
        + ", ".join(f"{one.label} {one.alpha.value:.2f}" for one in found.labels if one.alpha is not None),
        markup=False,
        soft_wrap=True,
    )


def _say_sway(report: QualityReport) -> None:
    out = output.out(least_width=130)
    kept = report.acceptance
    out.print(
        f"ticks kept {kept.kept:,}, changed {kept.changed:,}; nothing was ticked for {kept.scratch:,} answers",
        markup=False,
    )
    contrast = report.sway.agreement if report.sway is not None else None
    if contrast is None or contrast.difference is None:
        out.print("automation bias: too few blind answers to tell", markup=False)
        return
    out.print(
        f"answers like the prediction: {_share(contrast.of_shown)} where it was shown, "
        f"{_share(contrast.of_blind)} where it was not; difference {_number(contrast.difference)}",
        markup=False,
        soft_wrap=True,
    )


def _say_days(report: QualityReport, names: Mapping[str, str]) -> None:
    table = Table(box=None, title="\nharsh content", title_justify="left")
    for column in ("day", "volunteer"):
        table.add_column(column)
    for column in ("tasks", "harsh", "minutes of harsh content", "cap"):
        table.add_column(column, justify="right")
    for one in report.days:
        style = "red" if one.over else None
        cells = (f"{one.tasks:,}", f"{one.harsh:,}", f"{one.harsh_minutes:.1f}", f"{one.cap:,}")
        table.add_row(one.day.isoformat(), escape(_name(one.rater, names)), *cells, style=style)
    output.out(least_width=130).print(table)


def _name(rater: str, names: Mapping[str, str]) -> str:
    return names.get(rater, f"#{rater}")


def _share(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.0%}"
    return f"{estimate.value:.0%} [{estimate.low:.0%}, {estimate.high:.0%}]"


def _number(estimate: Estimate | None) -> str:
    return "-" if estimate is None else output.bracketed(asdict(estimate))
