"""`saring sync quality`: the quality of volunteers' work, and the harsh content that they met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.measure.intervals import Estimate
from pipeline.measure.shown import bracketed
from pipeline.plural import counted
from saring.actions.projects import connect, current_projects
from saring.cli import output
from saring.cli.options import ProjectOption

if TYPE_CHECKING:
    from sync.quality.report import QualityReport, RaterQuality

_COLUMNS = (
    "answers",
    "skipped",
    "known answers right",
    "agrees with others",
    "macro F1",
    "seconds",
    "ticks kept",
    "careless",
)


def quality_command(
    project: ProjectOption = None,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Use only annotations from this day or later.")
    ] = None,
    names: Annotated[bool, typer.Option("--names", help="Show e-mail addresses in place of numbers.")] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Show the agreement of volunteers, the quality of each, signs of carelessness, and the harsh content each met.

    The figures are from annotations that `saring sync pull` has copied. Volunteers are shown by the number of their
    account.

    Example: saring sync quality --since 2026-11-01
    """
    # The statistics take seconds to import, and the other `saring sync` commands do not need them.
    from saring.actions.annotators import quality

    ctx = output.home()
    project_id = None
    emails: Mapping[str, str] = {}
    if project is not None or names:
        with connect(ctx) as client:
            project_id = current_projects(ctx, client, project)[0].id if project is not None else None
            emails = {str(user.id): str(user.email) for user in client.users()} if names else {}
    report = quality(ctx, project=project_id, since=since.astimezone() if since is not None else None)
    result = asdict(report) | {"careless": report.careless, "names": dict(emails)}
    output.emit(result, as_json=as_json, say=lambda _: say_quality(report, emails))


def say_quality(report: QualityReport, names: Mapping[str, str]) -> None:
    """Print the report for a person."""
    out = output.out(least_width=130)
    out.print(
        f"\n{counted(report.answers, 'answer')} of {counted(len(report.raters), 'volunteer')} "
        f"on {counted(report.texts, 'text')}",
        markup=False,
    )
    if not report.answers:
        out.print("There are no answers to measure yet: run `saring sync pull`.", markup=False)
        if report.days:
            _say_days(report, names)
        _say_interventions(report, names)
        return
    out.print(_raters(report, names))
    if report.checked_by_data_sets:
        out.print(
            f"known answers: {report.checked_by_data_sets:,} of {report.checked:,} rest on imported data sets alone, "
            "whose labels may be wrong",
            markup=False,
            soft_wrap=True,
        )
    for rater in report.raters:
        if rater.excluded is not None:
            out.print(f"{_name(rater.rater, names)} is excluded: {rater.excluded}", markup=False, soft_wrap=True)
        if rater.care.careless:
            reasons = "; ".join(finding.words for finding in rater.care.findings)
            out.print(f"{_name(rater.rater, names)} may be careless: {reasons}", markup=False, soft_wrap=True)
    _say_agreement(report)
    _say_acceptance(report)
    _say_days(report, names)
    _say_interventions(report, names)


def _say_interventions(report: QualityReport, names: Mapping[str, str]) -> None:
    out = output.out(least_width=130)
    for account in report.interventions:
        actor = "an account that is not known" if account.actor is None else _name(account.actor, names)
        changes = [
            f"{verb} {counted(number, 'annotation')} {whose}"
            for verb, number, whose in (
                ("wrote", account.written, "in the name of others"),
                ("changed", account.changed, "of others"),
                ("deleted", account.deleted, "of others"),
            )
            if number
        ]
        wait = f": {account.waiting:,} wait for you, see `saring sync deletions`" if account.waiting else ""
        out.print(f"{actor} {', '.join(changes)}{wait}", markup=False, soft_wrap=True)


def _raters(report: QualityReport, names: Mapping[str, str]) -> Table:
    table = Table(box=None)
    table.add_column("volunteer")
    for column in _COLUMNS:
        table.add_column(column, justify="right")
    for rater in report.raters:
        table.add_row(escape(_name(rater.rater, names)), *_cells(rater))
    return table


def _cells(rater: RaterQuality) -> list[str]:
    return [
        f"{rater.annotations.get('submitted', 0):,}",
        f"{rater.annotations.get('skipped', 0):,}",
        _share(rater.known.exact),
        _share(rater.others.exact),
        _number(rater.others.macro_f1),
        "-" if rater.pace.median is None else f"{rater.pace.median:.1f}",
        _share(rater.acceptance.kept_share),
        "excluded" if rater.excluded is not None else "yes" if rater.care.careless else "no",
    ]


def _say_agreement(report: QualityReport) -> None:
    out = output.out(least_width=130)
    fair = report.fair_agreement
    if fair is not None and fair.overall is not None:
        agreement, texts = fair, "randomly chosen texts with two volunteers"
    elif report.agreement is not None and report.agreement.overall is not None:
        agreement, texts = report.agreement, "texts with two or more answers, mostly texts on which raters disagree"
    else:
        out.print("agreement: too few texts with two answers", markup=False)
        return
    out.print(
        f"Krippendorff's alpha {_number(agreement.overall)} over {agreement.texts:,} {texts}; "
        + ", ".join(f"{label.label} {label.alpha.value:.2f}" for label in agreement.labels if label.alpha is not None),
        markup=False,
        soft_wrap=True,
    )


def _say_acceptance(report: QualityReport) -> None:
    out = output.out(least_width=130)
    kept = report.acceptance
    out.print(
        f"answers that kept the ticks {kept.kept:,}, changed them {kept.changed:,}; without ticks {kept.scratch:,}",
        markup=False,
    )
    contrast = report.sway.agreement if report.sway is not None else None
    if contrast is None or contrast.difference is None:
        out.print("automation bias: too few answers without ticks to measure it", markup=False)
        return
    out.print(
        f"automation bias: {_share(contrast.of_shown)} of answers agree with the prediction where it was shown, "
        f"{_share(contrast.of_blind)} where it was not; difference {_number(contrast.difference)}",
        markup=False,
        soft_wrap=True,
    )


def _say_days(report: QualityReport, names: Mapping[str, str]) -> None:
    if not any(day.harsh for day in report.days):
        return
    table = Table(box=None, title="\nharsh content", title_justify="left")
    for column in ("day", "volunteer"):
        table.add_column(column)
    for column in ("tasks", "harsh", "minutes of harsh content", "daily limit"):
        table.add_column(column, justify="right")
    for day in report.days:
        style = "red" if day.over else None
        cells = (f"{day.tasks:,}", f"{day.harsh:,}", f"{day.harsh_minutes:.1f}", f"{day.cap:,}")
        table.add_row(day.day.isoformat(), escape(_name(day.rater, names)), *cells, style=style)
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
    return "-" if estimate is None else bracketed(asdict(estimate))
