"""`saring evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from pipeline.atomic import make_folder
from pipeline.learning.card import write_card
from pipeline.measure.shown import bracketed
from pipeline.models.learnt import count_learnt
from pipeline.plural import counted
from pipeline.texts.rejects import RejectSink
from saring.actions.models import evaluate
from saring.actions.training import tell_rejects
from saring.cli import output
from saring.cli.options import ModelOption

#: texts of each answer below which the bootstrap says too little
FEW = 10


def evaluate_command(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Labelled JSON lines or Parquet.")],
    model: ModelOption = None,
    split: Annotated[Literal["train", "dev", "test"] | None, typer.Option(help="Use only rows of this split.")] = None,
    labels_field: Annotated[
        str | None, typer.Option("--labels-field", help="The field with the labels. Default: labels.")
    ] = None,
    card: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a card with plots of this evaluation to this folder.")
    ] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Measure a model on labelled files: per label, with bootstrap intervals, and by language.

    Figures are too good on texts that the model was trained on: with its own training data, use --split test.

    Example: saring evaluate held-out.jsonl --model labels-linear-20260101-0a1b2c3d
    """
    home = output.home()
    trained = home.model(model, tell=output.note)
    rejects = RejectSink()
    evaluation = evaluate(
        trained,
        files,
        split=split,
        labels_field=labels_field,
        taxonomy=home.taxonomy,
        seed=home.settings.seed,
        rejects=rejects,
    )
    tell_rejects(rejects, output.warn)
    if card is not None:
        make_folder(card)
        write_card(card, trained.manifest, evaluation, held_out=False)
    output.emit(
        {
            "model": trained.manifest.version,
            "files": files,
            "metrics": evaluation.to_dict(),
            "learnt": count_learnt(home.settings.learnt_dir, trained.manifest.version, evaluation.ids),
        },
        as_json=as_json,
        say=_say,
    )


def _say(result: dict[str, Any]) -> None:
    texts, learnt = result["metrics"]["texts"], result["learnt"]
    say_metrics(result["metrics"], held_out=learnt == 0)
    if learnt is None:
        sentence = "it is not known which of these texts the model was trained on"
    elif learnt:
        sentence = f"the model was trained on {learnt:,} of these {texts:,} texts: the figures are too good"
    else:
        sentence = f"the model was trained on none of these {texts:,} texts"
    output.out().print(sentence, markup=False, soft_wrap=True)


def say_metrics(metrics: dict[str, Any], *, held_out: bool = True) -> None:
    """Print the figures of each label, and those over all labels, and whether the texts were held out of training."""
    text = "held-out text" if held_out else "text"
    table = Table(box=None)
    table.add_column("label")
    for column in ("pos", "neg", "average precision", "precision", "recall", "F1", "ECE"):
        table.add_column(column, justify="right")
    for label, m in metrics["labels"].items():
        table.add_row(
            label,
            str(m["positives"]),
            str(m["negatives"]),
            *(bracketed(m[name]) for name in ("average_precision", "precision", "recall", "f1")),
            f"{m['calibration_error']:.3f}",
        )
    out = output.out(least_width=130)
    out.print(table)
    out.print(
        f"macro average precision {bracketed(metrics['macro_average_precision'])}, "
        f"micro {bracketed(metrics['micro_average_precision'])}; "
        f"macro F1 {bracketed(metrics['macro_f1'])}; {counted(metrics['texts'], text)}",
        markup=False,
        soft_wrap=True,
    )
    for name, language in metrics.get("languages", {}).items():
        macro = language["macro_average_precision"]
        if macro["value"] is not None:
            size = f"{counted(len(language['labels']), 'label')}, {counted(language['texts'], 'text')}"
            out.print(f"  {name}: {bracketed(macro)} over {size}", markup=False)
    few = [name for name, m in metrics["labels"].items() if min(m["positives"], m["negatives"]) < FEW]
    if few:
        told = f"a figure from fewer than {FEW} {text}s with the label, or without it, can be far off"
        out.print(f"{told}, whatever its interval: {', '.join(few)}", markup=False, soft_wrap=True)
    if metrics["unmeasured"]:
        out.print(f"not measured (too few {text}s): {', '.join(metrics['unmeasured'])}", markup=False)
