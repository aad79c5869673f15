"""The commands of the stages behind judging: filter, pseudolabel, and training from the store."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from rich.table import Table

from pipeline.classifiers.artefact import TrainedModel, load_model
from pipeline.classifiers.linear import LinearConfig
from pipeline.errors import ModelError, UsageError
from pipeline.filters.centroid import FilterReport, centroid_filter
from pipeline.filters.cuts import Cut
from pipeline.filters.report import write_report
from pipeline.filters.sentiment import SentimentReport, sentiment_filter
from pipeline.filters.sentiment_model import PURPOSE, seed_rows, train_sentiment
from pipeline.learning.find import newest
from pipeline.learning.pseudolabel import PseudoConfig, PseudoReport, pseudolabel, scarce_labels
from pipeline.learning.retrain import Retrained, retrain
from pipeline.learning.snapshot import SnapshotPolicy
from pipeline.learning.train import TrainConfig
from pipeline.progress import Progress
from pipeline.store.session import open_session
from pipeline.vectors.encoders import make_encoder
from saring.champion import encode_of, load_folder
from saring.cli import common
from saring.cli.data import Limit

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
    as_json: common.JsonFlag = False,
) -> None:
    """Demote machine labels that lie far from their label's centre or break its sentiment rule.

    Nothing is deleted, what people or data sets said is never touched, and a random sample of what was dropped is set
    aside for people.

    Example: saring filter --report out/
    """
    ctx = common.context()
    cut = Cut(method=method, quantile=quantile, z=z)
    with common.progress_bar() as progress:
        done = run_centroid(ctx, cut, labels=label, anchored=anchors, progress=progress)
        mood = run_sentiment(ctx, progress=progress) if sentiment and label is None else None
        page = None
        if report is not None:
            page = write_report(ctx.engine, done, ctx.taxonomy, report, encoder=ctx.settings.encoder, rng=_rng(ctx))
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
    as_json: common.JsonFlag = False,
) -> None:
    """Give a scarce label to texts where a classifier of that label alone is sure of it.

    Sure means: right on at least the target share of the held-out texts above the cut. If no cut is, nothing is
    written. Without --label, each label with less than half the texts that labels have on average.

    Example: saring pseudolabel --label porn --target-precision 0.97
    """
    ctx = common.context()
    config = PseudoConfig(target_precision=target_precision)
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
        encoder = make_encoder(ctx.settings)
        anchors = {label.key: encoder.encode(label.all_exemplars()) for label in ctx.taxonomy}
    return centroid_filter(
        ctx.engine,
        ctx.taxonomy,
        encoder=ctx.settings.encoder,
        labels=known,
        cut=cut,
        anchors=anchors,
        seed=ctx.settings.seed,
        progress=progress,
    )


def run_sentiment(ctx: common.Context, *, progress: Progress) -> SentimentReport:
    """The sentiment filter with this home's newest sentiment model, which is trained if there is none."""
    return sentiment_filter(
        ctx.engine, ctx.taxonomy, sentiment_model(ctx, progress), seed=ctx.settings.seed, progress=progress
    )


def sentiment_model(ctx: common.Context, progress: Progress) -> TrainedModel:
    """The newest sentiment model of this home; the first is trained from the lines that come along."""
    try:
        folder, _ = newest(ctx.settings.models_dir, PURPOSE)
    except ModelError:
        report = train_sentiment(seed_rows(), ctx.settings.models_dir, seed=ctx.settings.seed, progress=progress)
        return report.model
    return load_model(folder)


def run_pseudolabel(
    ctx: common.Context, config: PseudoConfig, *, labels: list[str] | None, limit: int | None, progress: Progress
) -> list[PseudoReport]:
    """Pseudo-labels for the labels that were named, or for the scarce ones."""
    if labels:
        keys = [_canonical(ctx, label) for label in labels]
    else:
        with open_session(ctx.engine) as session:
            keys = scarce_labels(session, ctx.taxonomy, limit=limit, config=config)
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
        for key in keys
    ]


def train_from_store(
    ctx: common.Context,
    config: TrainConfig,
    out: Path | None,
    *,
    without: frozenset[str] = frozenset(),
    limit: int | None = None,
    progress: Progress,
) -> Retrained:
    """Train on what the ledger says now, and promote the model if it is not worse than the champion."""
    return retrain(
        ctx.engine,
        ctx.taxonomy,
        config,
        SnapshotPolicy(limit=limit, without=tuple(sorted(without))),
        models_dir=out or ctx.settings.models_dir,
        snapshots_dir=ctx.settings.snapshots_dir,
        load=lambda folder: load_folder(folder, ctx.settings),
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
