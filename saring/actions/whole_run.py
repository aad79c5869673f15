"""All stages of the machines, once: from files to a measured classifier. Each stage continues after an interruption."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import NotEnoughLabels
from pipeline.llm.config import default_rater
from pipeline.measure.shown import bracketed
from pipeline.plural import counted
from pipeline.progress import Progress
from pipeline.vectors.encoders.make import space_name
from saring.actions.filtering import filter_by_centroid, filter_by_sentiment, pseudolabel, write_filter_page
from saring.actions.judging import embed, judge
from saring.actions.texts import ingest
from saring.actions.training import TrainOptions, train
from saring.context import Context


@dataclass(frozen=True, slots=True)
class StageSummary:
    """The summary of one stage, for the closing table."""

    stage: str
    seconds: float
    #: input, output, and notes such as rows that were left out
    taken: str
    given: str
    aside: str
    details: dict[str, Any]


def run_ingest(home: Context, paths: Sequence[str], source: str, progress: Progress) -> StageSummary:
    """Ingest files with the settings of this home."""
    began = time.monotonic()
    report = ingest(home, paths, source, progress=progress)
    aside = (
        f"{report.exact_duplicates:,} exact and {counted(report.near_duplicates, 'near-duplicate')}, "
        f"{report.out_of_scope:,} in other languages, {sum(report.rejected.values()):,} rejected"
    )
    if report.present:
        aside += f"; {report.present:,} already in the store"
    seconds = round(time.monotonic() - began, 2)
    rows, texts = counted(report.rows, "row"), counted(report.new - report.out_of_scope, "text")
    return StageSummary("ingest", seconds, rows, texts, aside, asdict(report))


def run_everything(
    home: Context,
    paths: Sequence[str],
    source: str | None,
    *,
    limit: int | None,
    report_dir: Path,
    progress: Progress,
) -> list[StageSummary]:
    """Ingest (if files are given), embed, judge, filter, pseudo-label, train and promote.

    Args:
        home: the home with settings, taxonomy and store.
        paths: files to read first; may be empty, to use only the texts of the store.
        source: the name of the files' source.
        limit: size of the random sample of texts to embed and judge; None: all.
        report_dir: the folder for the filter's page.
        progress: called as each stage advances.
    """
    rater = default_rater(home.settings)
    space = home.space
    wanted = space_name(home.settings.encoder)
    summaries: list[StageSummary] = []

    def stage(name: str, work: Callable[[], tuple[str, str, str, dict[str, Any]]]) -> None:
        began = time.monotonic()
        taken, given, aside, details = work()
        summaries.append(StageSummary(name, round(time.monotonic() - began, 2), taken, given, aside, details))

    def embed_stage() -> tuple[str, str, str, dict[str, Any]]:
        report = embed(home, space, limit=limit, progress=progress)
        aside = "" if space == wanted else f"encoder {space}; {wanted} is used after `saring embed`"
        texts = counted(report.embedded + report.present, "text")
        return texts, counted(report.embedded, "new vector"), aside, asdict(report)

    def judge_stage() -> tuple[str, str, str, dict[str, Any]]:
        report = judge(home, rater, limit=limit, progress=progress)
        texts, labels = report.judged + report.present, sum(report.asserted.values())
        aside = ", ".join(filter(None, (f"by {report.rater}", report.stopped)))
        return counted(texts, "text"), counted(labels, "label"), aside, asdict(report)

    def centroid_stage() -> tuple[str, str, str, dict[str, Any]]:
        report = filter_by_centroid(home, progress=progress)
        page = write_filter_page(home, report, report_dir)
        queued = sum(label.in_review for label in report.labels)
        return (*_filtered(report.kept, report.dropped, queued), asdict(report) | {"page": page})

    def sentiment_stage() -> tuple[str, str, str, dict[str, Any]]:
        report = filter_by_sentiment(home, progress=progress)
        kept, rejected, queued = (
            sum(getattr(label, name) for label in report.labels) for name in ("kept", "dropped", "in_review")
        )
        return (*_filtered(kept, rejected, queued), asdict(report))

    def pseudo_stage() -> tuple[str, str, str, dict[str, Any]]:
        reports = pseudolabel(home, limit=limit, progress=progress)
        written = sum(report.written for report in reports)
        unreached = [report.label for report in reports if report.stopped is not None]
        aside = f"nothing written for {', '.join(unreached)}" if unreached else ""
        details = {"labels": [asdict(report) for report in reports]}
        return counted(len(reports), "scarce label"), counted(written, "label"), aside, details

    def train_stage() -> tuple[str, str, str, dict[str, Any]]:
        try:
            trained = train(home, TrainOptions(limit=limit), progress=progress)
        except NotEnoughLabels as error:
            return "", "no model", str(error), {}
        given = say_measured(trained.metrics["macro_average_precision"])
        sizes = ", ".join(f"{count:,} {name}" for name, count in trained.splits.items())
        aside = f"{'champion' if trained.promoted else 'not promoted'}: {trained.reason}"
        if not trained.promoted:
            aside += f'. To use it anyway: saring models promote {trained.model} --reason "..."'
        if trained.left_out:
            left_out = "; ".join(f"{label} ({why})" for label, why in trained.left_out.items())
            aside += f". Not learnt: {left_out}"
        details = {
            "model": trained.model,
            "path": trained.path,
            "metrics": trained.metrics,
            "promoted": trained.promoted,
            "left_out": dict(trained.left_out),
            "snapshot": trained.data.get("snapshot"),
            "judged_by_people_or_data_sets": trained.data.get("judged_by_people_or_data_sets"),
        }
        return sizes, given, aside, details

    if paths:
        summaries.append(run_ingest(home, paths, source or "files", progress))
    stage("embed", embed_stage)
    stage("judge", judge_stage)
    stage("centroid filter", centroid_stage)
    stage("sentiment rules", sentiment_stage)
    stage("pseudo-labels", pseudo_stage)
    stage("train", train_stage)
    return summaries


def say_measured(macro: Mapping[str, float | None]) -> str:
    """The result of a training in words, by the macro average precision of its model with its interval."""
    if macro["value"] is None:
        return "a model that is not measured: too few texts have each answer in the test split"
    return f"macro average precision {bracketed(macro)}"


def _filtered(kept: int, rejected: int, queued: int) -> tuple[str, str, str]:
    aside = f"{rejected:,} rejected by the filter, {queued:,} of them queued for people"
    return counted(kept + rejected, "label"), f"{kept:,} kept", aside
