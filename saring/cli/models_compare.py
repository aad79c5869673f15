"""The commands that measure registered models: against each other, and on the stream of texts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from pipeline.errors import UsageError
from pipeline.learning.gate.report import write_gate
from pipeline.learning.gate.signs import shown_check
from pipeline.measure.shown import bracketed
from pipeline.plural import counted
from pipeline.texts.rejects import RejectSink
from saring.actions.registry import compare_models, probe_model, stream_figures
from saring.actions.training import tell_rejects
from saring.cli import output
from saring.cli.probe_tables import say_changed_pairs


def compare_command(
    first: Annotated[str, typer.Argument(metavar="VERSION|PATH", help="The champion, or the model in its place.")],
    second: Annotated[str, typer.Argument(metavar="VERSION|PATH", help="The challenger, which would replace it.")],
    more: Annotated[list[str] | None, typer.Argument(metavar="[FILE]...", help="More files for --on.")] = None,
    on: Annotated[
        list[str] | None,
        typer.Option("--on", metavar="FILE...", help="Labelled JSON lines or Parquet. Default: the test set."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write gate.html and gate.json to this folder.")
    ] = None,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show harsh sentences of probes too.")] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Compare two models on the same texts, by the rules of the gate. Nothing is promoted.

    On the newest test set, texts that either model was trained on are left out. On files, this is not checked. If the
    second is worse on a kind of probe pairs, they are shown; harsh sentences are hidden unless you give --reveal.

    Example: saring models compare sfw-linear-20260101-0a1b2c3d sfw-linear-20260201-9f8e7d6c --report out/
    """
    ctx = output.home()
    if more and not on:
        raise UsageError(f"name the files after --on: saring models compare {first} {second} --on {' '.join(more)}")
    rejects = RejectSink()
    files = [*on, *(more or ())] if on else None
    gate = compare_models(ctx, first, second, files=files, rejects=rejects)
    tell_rejects(rejects, output.warn)
    now = datetime.now(UTC)
    page = write_gate(gate, report, now=now) if report is not None else None
    # Only the page shows texts that people wrote, because it blurs them.
    result = gate.to_dict(now) | {"flips": _counts_of(gate.to_dict(now)["flips"]), "report": page}
    output.emit(result, as_json=as_json, say=lambda shown: _say_gate(shown, reveal))


def field_command(
    version: Annotated[str | None, typer.Argument(metavar="[VERSION]", help="Default: the champion.")] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Measure a model on the stream of texts, from queued texts that volunteers judged after its training.

    Each text has the weight 1 / inclusion probability. The table shows figures with and without these weights.

    Example: saring models field
    """
    output.emit(stream_figures(output.home(), version), as_json=as_json, say=_say_field)


def probe_command(
    version: Annotated[str | None, typer.Argument(metavar="[VERSION]", help="Default: the champion.")] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Try a model on the examples of the taxonomy: exemplars should get their label, near-misses should not.

    These are few, and show where a model is weak; they are no estimate of how good it is.

    Example: saring models probe
    """
    output.emit(probe_model(output.home(), version), as_json=as_json, say=_say_probes)


def _counts_of(flips: Sequence[dict[str, Any]]) -> dict[str, int]:
    right = sum(flip["right"] for flip in flips)
    return {"turned_right": right, "turned_wrong": len(flips) - right}


def _say_gate(result: dict[str, Any], reveal: bool) -> None:
    out = output.out(least_width=130)
    verdict = result["verdict"]
    out.print(
        f"{result['challenger']} {'passes' if verdict['passed'] else 'does not pass'}: {verdict['reason']}",
        markup=False,
        soft_wrap=True,
    )
    table = Table(box=None)
    table.add_column("check")
    for column in ("passed", "difference", "allowed"):
        table.add_column(column, justify="right")
    table.add_column("explanation", overflow="fold")
    for check in verdict["checks"]:
        table.add_row(
            check["name"],
            "yes" if check["passed"] else "no",
            shown_check(check),
            f"{check['margin']:g}",
            check["says"],
        )
    out.print(table)
    flips = result["flips"]
    out.print(
        f"changed answers: {flips['turned_right']:,} now right, {flips['turned_wrong']:,} now wrong; "
        f"measured on {counted(result['rows']['texts'], 'text')}: {result['rows']['origin']}",
        markup=False,
        soft_wrap=True,
    )
    say_changed_pairs(result, reveal=reveal)
    if result["report"] is not None:
        out.print(f"page: {result['report']}", markup=False, soft_wrap=True)


def _say_field(result: dict[str, Any]) -> None:
    metrics = result["metrics"]
    table = Table(box=None)
    table.add_column("label")
    for column in (
        "pos",
        "neg",
        "effective texts",
        "in the stream",
        "",
        "prevalence",
        "precision",
        "recall",
        "average precision",
    ):
        table.add_column(column, justify="right")
    for label, figures in metrics["labels"].items():
        ratios = [figures[name] for name in ("prevalence", "precision", "recall", "average_precision")]
        counts = (str(figures["positives"]), str(figures["negatives"]), f"{figures['effective_texts']:.0f}")
        table.add_row(
            label,
            *counts,
            f"{figures['total']['value']:,.0f}",
            "weighted",
            *(bracketed(ratio["weighted"]) for ratio in ratios),
        )
        table.add_row("", "", "", "", "", "unweighted", *(bracketed(ratio["unweighted"]) for ratio in ratios))
    out = output.out(least_width=170)
    out.print(
        f"{result['model']} on {counted(result['judged'], 'judged text')} "
        f"(effective number {metrics['effective_texts']:.0f})"
    )
    out.print(table)
    out.print(
        f"The texts are from {counted(result['builds'], 'queue build')}, which drew {result['drawn']:,} texts to "
        f"represent {metrics['total']['value']:,.0f}. Texts that are not judged yet are missing; "
        "texts with a high priority are judged first.",
        markup=False,
        soft_wrap=True,
    )
    left = result["left_out"]
    out.print(
        f"left out: {left['learnt']:,} that the model was trained on, "
        f"{left['drawn_before_training']:,} drawn before its training",
        markup=False,
        soft_wrap=True,
    )


def _say_probes(result: dict[str, Any]) -> None:
    out = output.out(least_width=90)
    table = Table(box=None)
    table.add_column("label")
    for column in ("exemplars found", "near-misses left alone"):
        table.add_column(column, justify="right")
    for label in result["labels"]:
        table.add_row(
            label["label"],
            f"{label['found']} of {label['exemplars']}",
            f"{label['left']} of {label['near_misses']}",
        )
    out.print(f"{result['model']} on the examples of the taxonomy", markup=False)
    out.print(table)
    if result["unknown"]:
        out.print(f"labels that the model does not know: {', '.join(result['unknown'])}", markup=False, soft_wrap=True)
