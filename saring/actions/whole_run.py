"""The whole machine side of the loop, once: from files to a measured classifier. Each stage resumes by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import NotEnoughLabels
from pipeline.llm.config import default_rater
from pipeline.progress import Progress
from pipeline.vectors.encoders.make import space_name
from saring.actions.filtering import filter_by_centroid, filter_by_sentiment, pseudolabel, write_filter_page
from saring.actions.judging import embed, judge
from saring.actions.texts import ingest
from saring.actions.training import TrainOptions, train
from saring.context import Context


@dataclass(frozen=True, slots=True)
class StageSummary:
    """What one stage did, for the closing table."""

    stage: str
    seconds: float
    #: what went in, what came out, and what was left aside
    taken: str
    given: str
    aside: str
    details: dict[str, Any]


def run_ingest(home: Context, paths: Sequence[str], source: str, progress: Progress) -> StageSummary:
    """Ingest files with the settings of this home."""
    began = time.monotonic()
    got = ingest(home, paths, source, progress=progress)
    aside = (
        f"{got.exact_duplicates:,} exact and {got.near_duplicates:,} near-duplicates, "
        f"{got.out_of_scope:,} in other languages, {sum(got.rejected.values()):,} broken"
    )
    if got.present:
        aside += f"; {got.present:,} seen before"
    seconds = round(time.monotonic() - began, 2)
    return StageSummary(
        "ingest", seconds, f"{got.rows:,} rows", f"{got.new - got.out_of_scope:,} texts", aside, asdict(got)
    )


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
        home: settings, taxonomy and store.
        paths: files to read first; none to go on with what the store has.
        source: what to call where they come from.
        limit: embed and judge a random sample of so many texts.
        report_dir: where the filter's page goes.
        progress: told of every stage.
    """
    rater = default_rater(home.settings)
    space = home.space
    wanted = space_name(home.settings.encoder)
    done: list[StageSummary] = []

    def stage(name: str, work: Callable[[], tuple[str, str, str, dict[str, Any]]]) -> None:
        began = time.monotonic()
        taken, given, aside, details = work()
        done.append(StageSummary(name, round(time.monotonic() - began, 2), taken, given, aside, details))

    def embed_stage() -> tuple[str, str, str, dict[str, Any]]:
        got = embed(home, space, limit=limit, progress=progress)
        aside = "" if space == wanted else f"of {space}: {wanted} is used once `saring embed` has filled it"
        return f"{got.embedded + got.present:,} texts", f"{got.embedded:,} new vectors", aside, asdict(got)

    def judge_stage() -> tuple[str, str, str, dict[str, Any]]:
        got = judge(home, rater, limit=limit, progress=progress)
        asserted = sum(got.asserted.values())
        return (
            f"{got.judged + got.present:,} texts",
            f"{asserted:,} labels",
            ", ".join(f for f in (f"by {got.rater}", got.stopped) if f),
            asdict(got),
        )

    def centroid_stage() -> tuple[str, str, str, dict[str, Any]]:
        got = filter_by_centroid(home, progress=progress)
        page = write_filter_page(home, got, report_dir)
        people = sum(one.in_review for one in got.labels)
        aside = f"{got.dropped:,} demoted, {people:,} of them to people"
        return f"{got.kept + got.dropped:,} labels", f"{got.kept:,} kept", aside, asdict(got) | {"page": page}

    def sentiment_stage() -> tuple[str, str, str, dict[str, Any]]:
        got = filter_by_sentiment(home, progress=progress)
        kept, dropped, people = (
            sum(getattr(one, name) for one in got.labels) for name in ("kept", "dropped", "in_review")
        )
        aside = f"{dropped:,} demoted, {people:,} of them to people"
        return f"{kept + dropped:,} labels", f"{kept:,} kept", aside, asdict(got)

    def pseudo_stage() -> tuple[str, str, str, dict[str, Any]]:
        got = pseudolabel(home, limit=limit, progress=progress)
        written = sum(one.written for one in got)
        unreached = [one.label for one in got if one.stopped is not None]
        aside = f"target not reached: {', '.join(unreached)}" if unreached else ""
        return f"{len(got)} scarce labels", f"{written:,} labels", aside, {"labels": [asdict(one) for one in got]}

    def train_stage() -> tuple[str, str, str, dict[str, Any]]:
        try:
            got = train(home, TrainOptions(limit=limit), progress=progress)
        except NotEnoughLabels as error:
            return "", "no model", str(error), {}
        macro = got.metrics["macro_average_precision"]
        given = f"macro average precision {macro['value']:.3f} [{macro['low']:.3f}, {macro['high']:.3f}]"
        sizes = ", ".join(f"{count:,} {name}" for name, count in got.splits.items())
        aside = f"{'champion' if got.promoted else 'rejected'}: {got.reason}"
        details = {
            "model": got.model,
            "path": got.path,
            "metrics": got.metrics,
            "promoted": got.promoted,
            "snapshot": got.data.get("snapshot"),
            "judged_by_people_or_data_sets": got.data.get("judged_by_people_or_data_sets"),
        }
        return sizes, given, aside, details

    if paths:
        done.append(run_ingest(home, paths, source or "files", progress))
    stage("embed", embed_stage)
    stage("judge", judge_stage)
    stage("centroid filter", centroid_stage)
    stage("sentiment rules", sentiment_stage)
    stage("pseudo-labels", pseudo_stage)
    stage("train", train_stage)
    return done
