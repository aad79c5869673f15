"""The commands about models: train, evaluate, predict, and the registry."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import orjson
import typer
from rich.table import Table

from pipeline.errors import InputError, UsageError
from pipeline.filters.sentiment_model import train_sentiment
from pipeline.learning import registry
from pipeline.learning.card import write_card
from pipeline.learning.evaluate import evaluate_examples
from pipeline.learning.predict import predict
from pipeline.learning.sets.examples import Examples, gather
from pipeline.learning.train import TrainReport, train
from pipeline.models.artefact import TrainedModel
from pipeline.models.find import folder_of, newest
from pipeline.progress import Progress
from pipeline.settings import Settings
from pipeline.store.migrate import current_and_head
from pipeline.store.session import make_engine, open_session
from pipeline.texts.labelled import LabelledText
from pipeline.texts.labelled_files import parse_line, read_labelled, unknown_labels
from pipeline.texts.rejects import RejectSink
from pipeline.vectors.encoders.make import space_name
from saring.actions.serving import encode_of, load_folder
from saring.actions.training_options import absolute_base, said_of_base, training_config
from saring.cli import common
from saring.cli.on_workers import on_the_workers
from saring.cli.stages import train_from_store
from saring.services import ensure_database, service_status
from saring.workers.reports import retrained, trained

ModelOption = Annotated[
    str | None,
    typer.Option("--model", metavar="VERSION|PATH", help="Which model. Default: the champion, else the newest."),
]


def train_command(
    more: Annotated[list[str] | None, typer.Argument(metavar="[FILE]...", help="Further files after --data.")] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="FILE...", help="Labelled JSON lines or Parquet; without it, the store."),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(help="What to train: linear or transformers. Default: SARING_TRAIN_BACKEND, else linear."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(metavar="NAME|DIR", help="For transformers: what to start from. Default: SARING_BASE_MODEL."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="For transformers: at most so many.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="For transformers: texts a batch.")] = None,
    accumulate: Annotated[int | None, typer.Option(min=1, help="For transformers: batches a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(min=1e-9, help="For transformers: the highest.")] = None,
    max_length: Annotated[
        int | None, typer.Option(min=4, help="For transformers: tokens, longer texts are cut.")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option("--without", metavar="SOURCE", help="Leave out a source. May be repeated.")
    ] = None,
    objective: Annotated[str, typer.Option(help="What thresholds are chosen for: f1, precision=P or recall=R.")] = "f1",
    vectors: Annotated[bool, typer.Option("--vectors", help="Use the encoder's vectors beside n-grams.")] = False,
    sentiment: Annotated[
        bool, typer.Option("--sentiment", help="Train the sentiment classifier, from the rows' `sentiment`.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Where the model's folder goes. Default: the home's models.")] = None,
    on_workers: common.AsyncFlag = False,
    as_json: common.JsonFlag = False,
) -> None:
    """Train a classifier on labelled texts, measure it on held-out ones, and write it with its card.

    Rows may say which split they are in; what they don't say is drawn, near-duplicates kept together. A training of a
    transformer that was interrupted goes on when the same command is given again.

    Example: saring train --data labelled.jsonl more.jsonl.gz --objective precision=0.9
    """
    ctx = common.context()
    files = [*(data or ()), *(more or ())]
    if more and not data:
        raise UsageError(f"name the files after --data: saring train --data {' '.join(more)}")
    transformer = {
        "base": absolute_base(base),
        "epochs": epochs,
        "batch_size": batch_size,
        "accumulate": accumulate,
        "learning_rate": learning_rate,
        "max_length": max_length,
    }
    config = training_config(
        ctx,
        # moods have a linear classifier always
        backend="linear" if sentiment and backend is None else backend,
        objective=objective,
        vectors=vectors,
        transformer=transformer,
        # files are read without the store, which says what is in use
        encoder=space_name(ctx.settings.encoder) if files or sentiment else None,
    )
    if sentiment and config.transformer is not None:
        raise UsageError("--sentiment trains a linear classifier: leave out --backend")
    if (note := said_of_base(config)) is not None:
        common.err.print(note, style="yellow", markup=False, soft_wrap=True)
    if on_workers:
        if files or sentiment or out:
            raise UsageError("--async trains from the store: leave out --data, --sentiment and --out")
        params = {
            "objective": objective,
            "vectors": vectors,
            "without": sorted(without or ()),
            "backend": backend,
            "transformer": transformer,
        }
        common.emit(on_the_workers(ctx, "train", params), as_json=as_json, say=_say_trained)
        return
    with common.progress_bar() as progress:
        progress(0, None, "reading")
        if sentiment:
            if not files:
                raise UsageError("--sentiment trains from files: name them after --data")
            report = _train_sentiment(files, out or ctx.settings.models_dir, ctx.settings.seed, progress)
        elif files:
            examples, about = _from_files(files, frozenset(without or ()), ctx.taxonomy.keys)
            encode = encode_of(ctx.settings, config.linear.encoder)
            report = train(
                examples, config, out or ctx.settings.models_dir, encode=encode, about=about, progress=progress
            )
        else:
            done = train_from_store(ctx, config, out, without=frozenset(without or ()), progress=progress)
            common.emit(retrained(done), as_json=as_json, say=_say_trained)
            return
    common.emit(trained(report), as_json=as_json, say=_say_trained)


def evaluate_command(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Labelled JSON lines or Parquet.")],
    model: ModelOption = None,
    split: Annotated[Literal["train", "dev", "test"] | None, typer.Option(help="Only rows of one split.")] = None,
    card: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a card with plots of this evaluation.")
    ] = None,
    as_json: common.JsonFlag = False,
) -> None:
    """Measure a model on labelled files: per label, with bootstrap intervals, and by language.

    Rows whose text was in the model's own training data flatter it: use --split on data that it was trained from.

    Example: saring evaluate held-out.jsonl --model sfw-linear-20260101-0a1b2c3d
    """
    ctx = common.context()
    trained = load_model_by(model, ctx.settings)
    rejects = RejectSink()
    rows = (row for row in read_labelled(files, rejects) if split is None or row.split == split)
    examples = gather(rows, trained.labels)
    evaluation = evaluate_examples(trained, examples, rng=np.random.default_rng(ctx.settings.seed))
    warn_rejects(rejects)
    if card is not None:
        card.mkdir(parents=True, exist_ok=True)
        write_card(card, trained.manifest, evaluation, held_out=False)
    common.emit(
        {"model": trained.manifest.version, "files": files, "metrics": evaluation.to_dict()},
        as_json=as_json,
        say=lambda result: _say_metrics(result["metrics"]),
    )


def predict_command(
    file: Annotated[
        str, typer.Argument(metavar="[FILE|-]", help="JSON lines with a `text`; - is standard input.")
    ] = "-",
    model: ModelOption = None,
    out: Annotated[Path | None, typer.Option(help="Write there instead of on standard output.")] = None,
) -> None:
    """Give labels and probabilities to texts: JSON lines in, JSON lines out, in the same order.

    Rows that can't be used are counted on standard error.

    Example: saring predict posts.jsonl --out labelled.jsonl
    """
    trained = load_model_by(model, common.context().settings)
    rejects = RejectSink()
    rows = _stdin(rejects) if file == "-" else read_labelled([file], rejects, keep_extra=True)
    with contextlib.ExitStack() as stack:
        stream = sys.stdout.buffer if out is None else stack.enter_context(out.open("wb"))
        for row in predict(trained, rows):
            stream.write(orjson.dumps(row, default=str) + b"\n")
        stream.flush()
    warn_rejects(rejects)


def load_model_by(name: str | None, settings: Settings, purpose: str = "sfw") -> TrainedModel:
    """The model that a person named; without a name the champion if the store is up, else the newest.

    Which one was taken without being named is said on standard error.

    Raises:
        ModelError: there is none.
    """
    if name is not None:
        folder = folder_of(name, settings.models_dir)
    elif (found := _champion_folder(settings, purpose)) is not None:
        folder = found
        common.err.print(f"using the champion, {folder.name}", style="dim")
    else:
        folder, manifest = newest(settings.models_dir, purpose)
        common.err.print(f"no champion is known; using the newest model, {manifest.version}", style="dim")
    return load_folder(folder, settings)


def _champion_folder(settings: Settings, purpose: str) -> Path | None:
    if service_status(settings)[0].state != "ready":
        return None
    engine = make_engine(ensure_database(settings))
    try:
        current, head = current_and_head(engine)
        if current != head:
            return None
        with open_session(engine) as session:
            found = registry.champion(session, purpose)
            return Path(found.path) if found is not None else None
    finally:
        engine.dispose()


def _train_sentiment(files: list[str], models_dir: Path, seed: int, progress: Progress) -> TrainReport:
    rejects = RejectSink()
    about: dict[str, object] = {"files": [Path(path).name for path in files]}
    rows = read_labelled(files, rejects)
    report = train_sentiment(rows, models_dir, seed=seed, about=about, progress=progress)
    warn_rejects(rejects)
    return report


def _from_files(files: list[str], without: frozenset[str], labels: tuple[str, ...]) -> tuple[Examples, dict[str, Any]]:
    rejects = RejectSink()
    sources: Counter[str] = Counter()
    unknown: Counter[str] = Counter()

    def wanted(rows: Iterable[LabelledText]) -> Iterator[LabelledText]:
        for row in rows:
            unknown.update(unknown_labels([row], labels))
            if row.source in without:
                continue
            sources[row.source or "unnamed"] += 1
            yield row

    examples = gather(wanted(read_labelled(files, rejects)), labels)
    warn_rejects(rejects)
    if unknown:
        named = ", ".join(f"{label} ({count} rows)" for label, count in unknown.most_common())
        common.err.print(f"labels outside the taxonomy were left out: {named}", style="yellow", markup=False)
    if not len(examples):
        raise InputError(f"{', '.join(files)}: no row asserts or denies a label of the taxonomy")
    return examples, {
        "files": [Path(path).name for path in files],
        "sources": dict(sources.most_common()),
        "excluded": sorted(without),
        "labels_outside_taxonomy": dict(unknown),
        "rejected": dict(rejects.counts),
    }


def _stdin(rejects: RejectSink) -> Iterator[LabelledText]:
    for number, line in enumerate(sys.stdin.buffer, start=1):
        if line.strip():
            yield from parse_line(line, "standard input", number, rejects)


def warn_rejects(rejects: RejectSink) -> None:
    """Say on standard error which rows of files were left out, and why."""
    if rejects.counts:
        named = ", ".join(f"{count} {reason}" for reason, count in rejects.counts.most_common())
        common.err.print(f"rows left out: {named}", style="yellow", markup=False)


def _say_trained(result: dict[str, Any]) -> None:
    out = common.out()
    sizes = ", ".join(f"{count:,} {name}" for name, count in result["splits"].items())
    out.print(f"{result['model']}  ({sizes})", markup=False, soft_wrap=True)
    for label, why in result["left_out"].items():
        out.print(f"not learnt: {label} ({why})", markup=False, soft_wrap=True)
    _say_metrics(result["metrics"])
    if "verdict" in result:
        out.print(result["verdict"], markup=False, soft_wrap=True)
        out.print(f"the gate's report: {result['gate']}", markup=False, soft_wrap=True)
    out.print(f"card and plots: {Path(result['path']) / 'README.md'}", markup=False, soft_wrap=True)


def _say_metrics(metrics: dict[str, Any]) -> None:
    table = Table(box=None)
    table.add_column("label")
    for column in ("pos", "neg", "average precision", "precision", "recall", "F1", "ECE"):
        table.add_column(column, justify="right")
    for label, m in metrics["labels"].items():
        table.add_row(
            label,
            str(m["positives"]),
            str(m["negatives"]),
            *(common.bracketed(m[name]) for name in ("average_precision", "precision", "recall", "f1")),
            f"{m['calibration_error']:.3f}",
        )
    out = common.out(least_width=130)
    out.print(table)
    out.print(
        f"macro average precision {common.bracketed(metrics['macro_average_precision'])}, "
        f"micro {common.bracketed(metrics['micro_average_precision'])}; "
        f"macro F1 {common.bracketed(metrics['macro_f1'])}; {metrics['texts']:,} held-out texts",
        markup=False,
        soft_wrap=True,
    )
    for name, one in metrics.get("languages", {}).items():
        macro = one["macro_average_precision"]
        if macro["value"] is not None:
            count = len(one["labels"])
            out.print(f"  {name}: {common.bracketed(macro)} over {count} labels, {one['texts']:,} texts", markup=False)
    if metrics["unmeasured"]:
        out.print(f"not measured (too few held-out texts): {', '.join(metrics['unmeasured'])}", markup=False)
