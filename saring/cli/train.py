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
    on_workers: output.AsyncFlag = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Train a classifier on labelled texts, measure it on held-out ones, and write it with its card.

    Rows may say which split they are in; what they don't say is drawn, near-duplicates kept together. A training of a
    transformer that was interrupted goes on when the same command is given again.

    Example: saring train --data labelled.jsonl more.jsonl.gz --objective precision=0.9
    """
    files = [*(data or ()), *(more or ())]
    if more and not data:
        raise UsageError(f"name the files after --data: saring train --data {' '.join(more)}")
    if sentiment and not files:
        raise UsageError("--sentiment trains from files: name them after --data")
    if on_workers and (files or out):
        raise UsageError("--async trains from the store: leave out --data, --sentiment and --out")
    transformer = {
        "base": absolute_base(base),
        "epochs": epochs,
        "batch_size": batch_size,
        "accumulate": accumulate,
        "learning_rate": learning_rate,
        "max_length": max_length,
    }
    # The sentiment classifier is always linear.
    options = TrainOptions(
        backend="linear" if sentiment and backend is None else backend,
        objective=objective,
        vectors=vectors,
        transformer=transformer,
        without=sorted(without or ()),
        out=out,
    )
    if sentiment and options.backend != "linear":
        raise UsageError("--sentiment trains a linear classifier: leave out --backend")
    home = output.home()
    if (note := note_on_base(home, options)) is not None:
        output.warn(note)
    with output.progress_bar() as progress:
        if sentiment:
            trained = train_sentiment_from_files(home, files, out, tell=output.warn, progress=progress)
        elif files:
            trained = train_from_files(home, files, options, tell=output.warn, progress=progress)
        else:
            trained = train(home, options, executor=output.executor(on_workers), progress=progress)
    result = {name: value for name, value in asdict(trained).items() if value is not None}
    output.emit(result, as_json=as_json, say=_say)


def _say(result: dict[str, Any]) -> None:
    out = output.out()
    sizes = ", ".join(f"{count:,} {name}" for name, count in result["splits"].items())
    out.print(f"{result['model']}  ({sizes})", markup=False, soft_wrap=True)
    for label, why in result["left_out"].items():
        out.print(f"not learnt: {label} ({why})", markup=False, soft_wrap=True)
    say_metrics(result["metrics"])
    if "verdict" in result:
        out.print(result["verdict"], markup=False, soft_wrap=True)
        out.print(f"the gate's report: {result['gate']}", markup=False, soft_wrap=True)
    out.print(f"card and plots: {Path(result['path']) / 'README.md'}", markup=False, soft_wrap=True)
