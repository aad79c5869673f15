"""The demo: plant problems, run all stages, and count the problems that were caught."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.judgement import RaterKind, RaterRef
from pipeline.progress import Progress
from pipeline.settings import Settings
from pipeline.store.session import open_session
from pipeline.texts.ingest import SourceInfo
from saring.actions.whole_run import StageSummary, run_everything, run_ingest
from saring.demo.plant import Planted, plant
from saring.home import Home

#: names of the demo's sources
SOURCE, AUTHORS = "demo", "demo-authors"


@dataclass(frozen=True, slots=True)
class Caught:
    """The counts for one kind of planted problem."""

    planted: str
    total: int
    caught: int
    by: str


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The results of the demo."""

    stages: list[StageSummary]
    caught: list[Caught]
    #: number of right labels that were rejected, and the share of wrong labels before and after the filters
    filters: dict[str, Any]
    paths: dict[str, Any]
    planted: Planted


def demo_settings(home: Path, label_studio_env: Path | None = None) -> Settings:
    """Settings for a demo in the folder `home`: the defaults, whatever the environment and other homes say.

    So its servers, which hold real work, are not touched, and the labels are those of the demo's corpus.

    Args:
        home: the demo's folder.
        label_studio_env: where Label Studio is installed, so that it is not installed twice; None: the default place.
    """
    # The demo itself decides when to retrain, not the scheduler.
    return Settings.model_construct(
        # All count as chosen, so that the processes that the demo starts have them too.
        set(Settings.model_fields),
        home=home.absolute(),
        label_studio_env=label_studio_env,
        retrain_labels=0,
        retrain_hours=0.0,
    )


def run_demo(settings: Settings, progress: Progress) -> DemoResult:
    """Run the pipeline on the demo corpus in a home of its own; a second call repeats no work.

    Args:
        settings: of the demo (`demo_settings`).
        progress: told of each step.
    """
    home, folder = Home(settings=settings), settings.home
    progress(0, None, "writing the demo's files")
    planted = plant(folder / "input", home.taxonomy, seed=settings.seed)
    source, authors = (SourceInfo(name, licence="Apache-2.0", redistributable=True) for name in (SOURCE, AUTHORS))
    reports = folder / "reports"
    stages = [run_ingest(home, [str(planted.raw)], SOURCE, progress)]
    for path, rater, origin in (
        (planted.llm, RaterRef(RaterKind.LLM, "stand-in"), source),
        # These rows have splits, so they need a source of their own.
        (planted.human, RaterRef(RaterKind.HUMAN, "authors"), authors),
    ):
        home.import_labelled(path, origin, kind=rater.kind, rater=rater.name, progress=progress)
    stages += run_everything(home, [], None, limit=None, report_dir=reports, progress=progress)
    with open_session(home.engine) as session:
        caught, filters = _count(session, planted, stages)
    details = {stage.stage: stage.details for stage in stages}
    paths = {"home": folder, "input": planted.raw.parent, "filter page": details["centroid filter"]["page"]}
    if "path" in details["train"]:
        paths["model card"] = details["train"]["path"] / "README.md"
    home.close()
    return DemoResult(stages, caught, filters, paths, planted)


def _count(session: Session, planted: Planted, stages: list[StageSummary]) -> tuple[list[Caught], dict[str, Any]]:
    seen, t, f = store.TextSource, store.Text, store.FilterDecision
    rows = session.execute(
        select(seen.external_id, t.id, t.duplicate_of, t.in_scope)
        .join(t, t.id == seen.text_id)
        .join(store.Source, store.Source.id == seen.source_id)
        .where(store.Source.name == SOURCE)
    ).all()
    by_id = {external_id: (text_id, duplicate_of, in_scope) for external_id, text_id, duplicate_of, in_scope in rows}
    sightings: dict[Any, int] = {}
    for _, text_id, _, _ in rows:
        sightings[text_id] = sightings.get(text_id, 0) + 1
    exact = sum(id_ in by_id and sightings[by_id[id_][0]] > 1 for id_ in planted.rows["exact"])
    near = sum(
        id_ in by_id and (by_id[id_][1] is not None or sightings[by_id[id_][0]] > 1) for id_ in planted.rows["near"]
    )
    foreign = sum(id_ in by_id and not by_id[id_][2] for id_ in planted.rows["foreign"])
    rejected = sum(stages[0].details["rejected"].values())

    demoted: dict[str, set[tuple[Any, str]]] = {}
    for stage, label, text_id in session.execute(select(f.stage, f.label, f.text_id).where(~f.kept)):
        demoted.setdefault(stage, set()).add((text_id, label))
    wrong = [(by_id[id_][0], label) for id_, label in planted.wrong if id_ in by_id]
    right = [(by_id[id_][0], label) for id_, label in planted.right if id_ in by_id]
    by_centroid, by_sentiment = demoted.get("filter-centroid", set()), demoted.get("filter-sentiment", set())
    either = by_centroid | by_sentiment
    wrong_caught, right_demoted = sum(pair in either for pair in wrong), sum(pair in either for pair in right)
    left = len(wrong) - wrong_caught
    caught = [
        Caught("exact duplicates", len(planted.rows["exact"]), exact, "ingest"),
        Caught("near-duplicates", len(planted.rows["near"]), near, "ingest"),
        Caught("texts in other languages", len(planted.rows["foreign"]), foreign, "ingest"),
        Caught("broken rows", planted.broken, rejected, "ingest"),
        Caught("wrong labels", len(wrong), sum(pair in by_centroid for pair in wrong), "centroid filter"),
        Caught("wrong labels", len(wrong), sum(pair in by_sentiment for pair in wrong), "sentiment rules"),
        Caught("wrong labels", len(wrong), wrong_caught, "both filters together"),
    ]
    filters = {
        "right": len(right),
        "right_demoted": right_demoted,
        "wrong_before": len(wrong) / max(1, len(wrong) + len(right)),
        "wrong_after": left / max(1, left + len(right) - right_demoted),
    }
    return caught, filters
