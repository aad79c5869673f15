"""Reject machine labels that are probably wrong, and give pseudo-labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import UsageError
from pipeline.filters.centroid import FilterReport
from pipeline.filters.centroid_stage import CentroidParams, CentroidStage
from pipeline.filters.cuts import Cut
from pipeline.filters.names import By
from pipeline.filters.report import write_report
from pipeline.filters.saved_cuts import score_in_use
from pipeline.filters.sentiment import SentimentReport
from pipeline.filters.sentiment_stage import SentimentParams, SentimentStage
from pipeline.learning.pseudolabel import PseudoConfig, PseudoReport, scarce_labels
from pipeline.learning.pseudolabel_stage import PseudolabelParams, PseudolabelStage
from pipeline.progress import Progress, silent
from pipeline.runs.executor import Executor, run
from pipeline.store.session import open_session
from saring.actions.labels import require_label
from saring.context import Context


@dataclass(frozen=True, slots=True)
class Filtered:
    """The reports of the filters."""

    centroid: FilterReport
    #: None where the sentiment rules were left out
    sentiment: SentimentReport | None
    #: the page about the centroid filter, where one was asked for
    page: Path | None = None


def filter_labels(
    home: Context,
    labels: Sequence[str] | None = None,
    *,
    cut: Cut | None = None,
    anchored: bool = False,
    by: By | None = None,
    sentiment: bool = True,
    report: Path | None = None,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> Filtered:
    """Reject machine labels that a text's neighbours do not have, or that break the label's sentiment rule.

    Nothing is deleted. Judgements of people and data sets are never rejected. A random sample of the rejected labels
    is queued for people.

    Args:
        home: the home with the store.
        labels: keys or names of labels; None: all. The sentiment rules apply only if all labels are filtered.
        cut: the method that chooses the cuts; None: a mixture.
        anchored: use the taxonomy's exemplars for the prototypes too.
        by: score by the labels of `neighbours` or by `similarity` to the nearest centre; None: see `score_in_use`.
        sentiment: apply the sentiment rules too.
        report: a folder for a page with the rejected labels; None: no page.
        executor: the place where the stages run; None: this process.
        progress: called as the work advances.

    Raises:
        UsageError: there is no such label, or exemplars are used with a score that has no centres.
        NotEnoughVectors: a label that was named has too few vectors.
        RunConflict: a filter is running already.
    """
    centroid = filter_by_centroid(home, labels, cut=cut, anchored=anchored, by=by, executor=executor, progress=progress)
    rules = filter_by_sentiment(home, executor=executor, progress=progress) if sentiment and labels is None else None
    page = write_filter_page(home, centroid, report) if report is not None else None
    return Filtered(centroid, rules, page)


def filter_by_centroid(
    home: Context,
    labels: Sequence[str] | None = None,
    *,
    cut: Cut | None = None,
    anchored: bool = False,
    by: By | None = None,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> FilterReport:
    """Run the centroid filter alone; see `filter_labels`."""
    if anchored and (by or score_in_use(home.engine, home.settings)) != "similarity":
        raise UsageError(
            "--anchors moves the centres of labels, which a score by neighbours does not use: add --by similarity"
        )
    keys = [require_label(home, label) for label in labels] if labels else None
    params = CentroidParams(keys, cut or Cut(), anchored, by=by)
    return run(CentroidStage(), home, params, executor=executor, progress=progress)


def filter_by_sentiment(
    home: Context, *, executor: Executor | None = None, progress: Progress = silent
) -> SentimentReport:
    """Run the sentiment filter alone; see `filter_labels`."""
    return run(SentimentStage(), home, SentimentParams(), executor=executor, progress=progress)


def write_filter_page(home: Context, centroid: FilterReport, folder: Path) -> Path:
    """Write the page with the labels that the centroid filter rejected; its path."""
    rng = np.random.default_rng(home.settings.seed)
    return write_report(home.engine, centroid, home.taxonomy, folder, encoder=centroid.encoder, rng=rng)


def pseudolabel(
    home: Context,
    labels: Sequence[str] | None = None,
    *,
    config: PseudoConfig | None = None,
    limit: int | None = None,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> list[PseudoReport]:
    """Give scarce labels to texts for which a classifier of this label is sure.

    Args:
        home: the home with the store.
        labels: keys or names of labels; None: each label with less than half the average number of texts.
        config: the target precision and the other limits.
        limit: size of the random sample of texts to use; None: all.
        executor: the place where the stage runs; None: this process.
        progress: called as the work advances.

    Raises:
        UsageError: there is no such label.
        RunConflict: the stage is running for this label already.
    """
    settings = config or PseudoConfig()
    if labels:
        keys = [require_label(home, label) for label in labels]
    else:
        with open_session(home.engine) as session:
            keys = scarce_labels(session, home.taxonomy, limit=limit, config=settings)
    return [
        run(PseudolabelStage(), home, PseudolabelParams(key, settings, limit), executor=executor, progress=progress)
        for key in keys
    ]
