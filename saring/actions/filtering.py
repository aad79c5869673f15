"""Filter machine labels, and give pseudo-labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import UsageError
from pipeline.filters.centroid import FilterReport
from pipeline.filters.centroid_stage import CentroidParams, CentroidStage
from pipeline.filters.cuts import Cut
from pipeline.filters.report import write_report
from pipeline.filters.sentiment import SentimentReport
from pipeline.filters.sentiment_stage import SentimentParams, SentimentStage
from pipeline.learning.pseudolabel import PseudoConfig, PseudoReport, scarce_labels
from pipeline.learning.pseudolabel_stage import PseudolabelParams, PseudolabelStage
from pipeline.progress import Progress, silent
from pipeline.runs.executor import Executor, run
from pipeline.store.session import open_session
from saring.context import Context


@dataclass(frozen=True, slots=True)
class Filtered:
    """What the filters decided."""

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
    sentiment: bool = True,
    report: Path | None = None,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> Filtered:
    """Demote machine labels that lie far from their label's centroid or break its sentiment rule.

    Nothing is deleted, what people or data sets said is never touched, and a random sample of what was demoted is set
    aside for people.

    Args:
        home: whose store.
        labels: keys or names of labels; None: all. The sentiment rules apply only where all are filtered.
        cut: how the cuts are chosen; without it, by a mixture.
        anchored: whether the taxonomy's exemplars count for the centroids too.
        sentiment: apply the sentiment rules too.
        report: a folder for a page that shows what was cut.
        executor: who does it; without one, this process.
        progress: told as the work goes on.

    Raises:
        UsageError: there is no such label.
        NotEnoughVectors: a label that was named has too few vectors.
        RunConflict: a filter is at work already.
    """
    centroid = filter_by_centroid(home, labels, cut=cut, anchored=anchored, executor=executor, progress=progress)
    mood = filter_by_sentiment(home, executor=executor, progress=progress) if sentiment and labels is None else None
    page = write_filter_page(home, centroid, report) if report is not None else None
    return Filtered(centroid, mood, page)


def filter_by_centroid(
    home: Context,
    labels: Sequence[str] | None = None,
    *,
    cut: Cut | None = None,
    anchored: bool = False,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> FilterReport:
    """Run the centroid filter alone; see `filter_labels`."""
    keys = [require_label(home, label) for label in labels] if labels else None
    params = CentroidParams(keys, cut or Cut(), anchored)
    return run(CentroidStage(), home, params, executor=executor, progress=progress)


def filter_by_sentiment(
    home: Context, *, executor: Executor | None = None, progress: Progress = silent
) -> SentimentReport:
    """Run the sentiment filter alone; see `filter_labels`."""
    return run(SentimentStage(), home, SentimentParams(), executor=executor, progress=progress)


def write_filter_page(home: Context, centroid: FilterReport, folder: Path) -> Path:
    """Write the page that shows what the centroid filter cut; its path."""
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
    """Give scarce labels to texts where a classifier of that label alone is sure of it.

    Args:
        home: whose store.
        labels: keys or names of labels; None: each with fewer than half the texts that labels have on average.
        config: how sure to be.
        limit: keep to a random sample of so many texts.
        executor: who does it; without one, this process.
        progress: told as the work goes on.

    Raises:
        UsageError: there is no such label.
        RunConflict: the label is being given already.
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


def require_label(home: Context, name: str) -> str:
    """The key of the label of that name.

    Raises:
        UsageError: there is none.
    """
    key = home.taxonomy.canonical(name)
    if key is None:
        raise UsageError(f"no label is called {name!r}; the labels are {', '.join(home.taxonomy.keys)}")
    return key
