"""The commands of the stages behind judging: filter, pseudolabel, and training from the store."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from rich.table import Table

from pipeline.errors import UsageError
from pipeline.filters.centroid import STAGE as CENTROID_STAGE
from pipeline.filters.centroid import FilterReport, LabelFilter, centroid_filter
from pipeline.filters.cuts import Cut
from pipeline.filters.report import write_report
from pipeline.filters.sentiment import STAGE as SENTIMENT_STAGE
from pipeline.filters.sentiment import SentimentLabel, SentimentReport, sentiment_filter
from pipeline.filters.sentiment_model import make_sentiment_model
from pipeline.learning.gate.rules import Margins
from pipeline.learning.pseudolabel import STAGE as PSEUDO_STAGE
from pipeline.learning.pseudolabel import PseudoConfig, PseudoReport, pseudolabel, scarce_labels
from pipeline.learning.retrain import Retrained, retrain
from pipeline.learning.sets.snapshot import SnapshotPolicy
from pipeline.learning.train import TrainConfig
from pipeline.ledger.consensus.fit import fit_consensus, several_speak
from pipeline.models.linear import LinearConfig
from pipeline.progress import Progress
from pipeline.store.session import open_session
from saring.actions.serving import encode_of, load_folder
from saring.cli import common
from saring.cli.data import Limit
from saring.cli.on_workers import on_the_workers

LabelOption = Annotated[list[str] | None, typer.Option("--label", help="Only this label. May be repeated.")]


def filter_command(
    label: LabelOption = None,
    method: Annotated[
        Literal["mixture", "robust-z", "quantile"], typer.Option(help="How the cut is chosen from the similarities.")
    ] = "mixture",
    quantile: Annotated[float, typer.Option(help="For quantile: the share that is dropped.")] = 0.10,
    z: Annotated[float, typer.Option(help="For robust-z: robust standard deviations below the median.")] = 2.5,
    anchors: Annotated[
        bool, typer.Option("--anchors/--no-anchors", help="Let the taxonomy's exemplars speak for the centres too.")
    ] = False,
    sentiment: Annotated[
        bool, typer.Option("--sentiment/--no-sentiment", help="Apply the taxonomy's sentiment rules too.")
    ] = True,
    report: Annotated[Path | None, typer.Option(metavar="DIR", help="Write a page that shows what was cut.")] = None,
    on_workers: common.AsyncFlag = False,
    as_json: common.JsonFlag = False,
) -> None:
    """Demote machine labels that lie far from their label's centre or break its sentiment rule.

    Nothing is deleted, what people or data sets said is never touched, and a random sample of what was dropped is set
    aside for people.

    Example: saring filter --report out/
    """
    ctx = common.context()
    cut = Cut(method=method, quantile=quantile, z=z)
    with_mood = sentiment and label is None
    if on_workers:
        done = _centroid_on_workers(ctx, cut, label, anchors)
        mood = _sentiment_on_workers(ctx) if with_mood else None
    else:
        with common.progress_bar() as progress:
            done = run_centroid(ctx, cut, labels=label, anchored=anchors, progress=progress)
            mood = run_sentiment(ctx, progress=progress) if with_mood else None
    page = None
    if report is not None:
        with common.progress_bar():
            page = write_report(ctx.engine, done, ctx.taxonomy, report, encoder=done.encoder, rng=_rng(ctx))
    result = {
        "centroid": asdict(done),
        "sentiment": asdict(mood) if mood is not None else None,
        "report": page,
    }
    common.emit(result, as_json=as_json, say=lambda _: _say_filtered(done, mood, page))


def pseudolabel_command(
    label: LabelOption = None,
    target_precision: Annotated[float, typer.Option(min=0.5, max=0.999, help="How sure to be.")] = 0.95,
    limit: Limit = None,
    on_workers: common.AsyncFlag = False,
    as_json: common.JsonFlag = False,
) -> None:
    """Give a scarce label to texts where a classifier of that label alone is sure of it.

    Sure means: right on at least the target share of the held-out texts above the cut. If no cut is, nothing is
    written. Without --label, each label with less than half the texts that labels have on average.

    Example: saring pseudolabel --label porn --target-precision 0.97
    """
    ctx = common.context()
    config = PseudoConfig(target_precision=target_precision)
    if on_workers:
        done = [
            PseudoReport(**on_the_workers(ctx, PSEUDO_STAGE, {"label": key, "config": asdict(config), "limit": limit}))
            for key in _labels_to_learn(ctx, config, label, limit)
        ]
    else:
        with common.progress_bar() as progress:
            done = run_pseudolabel(ctx, config, labels=label, limit=limit, progress=progress)
    common.emit({"labels": [asdict(one) for one in done]}, as_json=as_json, say=lambda _: _say_pseudo(done))


def run_centroid(
    ctx: common.Context, cut: Cut, *, labels: list[str] | None, anchored: bool, progress: Progress
) -> FilterReport:
    """The centroid filter with the settings of this home."""
    known = [_canonical(ctx, label) for label in labels] if labels else None
    anchors = None
    if anchored:
        encoder = ctx.encoder()
        anchors = {label.key: encoder.encode(label.all_exemplars()) for label in ctx.taxonomy}
    return centroid_filter(
        ctx.engine,
        ctx.taxonomy,
        encoder=ctx.space,
        labels=known,
        cut=cut,
        anchors=anchors,
        seed=ctx.settings.seed,
        progress=progress,
    )


def run_sentiment(ctx: common.Context, *, progress: Progress) -> SentimentReport:
    """The sentiment filter with this home's newest sentiment model, which is trained if there is none."""
    model = make_sentiment_model(ctx.settings.models_dir, ctx.settings.seed, progress)
    return sentiment_filter(ctx.engine, ctx.taxonomy, model, seed=ctx.settings.seed, progress=progress)


def run_pseudolabel(
    ctx: common.Context, config: PseudoConfig, *, labels: list[str] | None, limit: int | None, progress: Progress
) -> list[PseudoReport]:
    """Pseudo-labels for the labels that were named, or for the scarce ones."""
    return [
        pseudolabel(
            ctx.engine,
            ctx.taxonomy,
            key,
            ctx.settings.models_dir,
            config=config,
            linear=LinearConfig(),
            limit=limit,
            seed=ctx.settings.seed,
            progress=progress,
        )
        for key in _labels_to_learn(ctx, config, labels, limit)
    ]


def _labels_to_learn(
    ctx: common.Context, config: PseudoConfig, labels: list[str] | None, limit: int | None
) -> list[str]:
    if labels:
        return [_canonical(ctx, label) for label in labels]
    with open_session(ctx.engine) as session:
        return scarce_labels(session, ctx.taxonomy, limit=limit, config=config)


def _centroid_on_workers(ctx: common.Context, cut: Cut, labels: list[str] | None, anchored: bool) -> FilterReport:
    known = [_canonical(ctx, label) for label in labels] if labels else None
    found = on_the_workers(
        ctx, CENTROID_STAGE, {"labels": known, "cut": asdict(cut), "anchored": anchored, "seed": ctx.settings.seed}
    )
    decided = tuple(LabelFilter(**one) for one in found["labels"])
    return FilterReport(found["run_id"], found["encoder"], decided)


def _sentiment_on_workers(ctx: common.Context) -> SentimentReport:
    found = on_the_workers(ctx, SENTIMENT_STAGE, {"seed": ctx.settings.seed})
    decided = tuple(SentimentLabel(**one | {"allowed": tuple(one["allowed"])}) for one in found["labels"])
    return SentimentReport(found["run_id"], found["model"], found["scored"], decided)


def train_from_store(
    ctx: common.Context,
    config: TrainConfig,
    out: Path | None,
    *,
    without: frozenset[str] = frozenset(),
    limit: int | None = None,
    progress: Progress,
) -> Retrained:
    """Train on what the ledger says now, and promote the model if it passes the gate.

    Where several machines of one kind have judged, how their words are combined is fitted first.
    """
    with open_session(ctx.engine) as session:
        combine = several_speak(session)
    if combine:
        fit_consensus(
            ctx.engine, ctx.taxonomy, choice=ctx.settings.consensus, seed=ctx.settings.seed, progress=progress
        )
    return retrain(
        ctx.engine,
        ctx.taxonomy,
        config,
        SnapshotPolicy(limit=limit, without=tuple(sorted(without)), increment=ctx.settings.test_set_increment),
        models_dir=out or ctx.settings.models_dir,
        snapshots_dir=ctx.settings.snapshots_dir,
        load=lambda folder: load_folder(folder, ctx.settings),
        margins=Margins.of(ctx.settings),
        encode=encode_of(ctx.settings, config.linear.encoder),
        progress=progress,
    )


def _canonical(ctx: common.Context, name: str) -> str:
    key = ctx.taxonomy.canonical(name)
    if key is None:
        raise UsageError(f"no label is called {name!r}; the labels are {', '.join(ctx.taxonomy.keys)}")
    return key


def _rng(ctx: common.Context) -> np.random.Generator:
    return np.random.default_rng(ctx.settings.seed)


def _say_filtered(done: FilterReport, mood: SentimentReport | None, page: Path | None) -> None:
    table = Table(box=None, title="by distance from the label's centre", title_justify="left")
    table.add_column("label")
    for column in ("kept", "dropped", "to people", "centres", "cut"):
        table.add_column(column, justify="right")
    table.add_column("why")
    for one in done.labels:
        if one.skipped is not None:
            table.add_row(one.label, "-", "-", "-", "-", "-", f"not filtered: {one.skipped}")
        else:
            shown = f"{one.cut:.3f}" if one.cut is not None else "-"
            counts = (one.kept, one.dropped, one.in_review, one.prototypes)
            table.add_row(one.label, *map(str, counts), shown, one.reason)
    out = common.out(least_width=130)
    out.print(table)
    if mood is not None:
        table = Table(box=None, title=f"by sentiment ({mood.model})", title_justify="left")
        table.add_column("label")
        for column in ("kept", "dropped", "to people"):
            table.add_column(column, justify="right")
        table.add_column("allowed")
        for rule in mood.labels:
            table.add_row(rule.label, str(rule.kept), str(rule.dropped), str(rule.in_review), " or ".join(rule.allowed))
        out.print(table)
    if page is not None:
        out.print(f"the page: {page}", markup=False, soft_wrap=True)


def _say_pseudo(done: list[PseudoReport]) -> None:
    out = common.out()
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
