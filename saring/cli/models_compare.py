"""The commands that measure registered models: side by side, and on the stream."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from pipeline.errors import InputError, ModelError, UsageError
from pipeline.learning import registry
from pipeline.learning.gate.decide import Contender, compare_with_champion
from pipeline.learning.gate.report import write_gate
from pipeline.learning.gate.rules import Margins
from pipeline.learning.stream_rows import measure_stream, stream_rows
from pipeline.models.find import folder_of
from pipeline.store.session import open_session
from pipeline.texts.rejects import RejectSink
from saring.actions.models import examples_to_compare, load_folder
from saring.actions.training import tell_rejects
from saring.cli import output


def compare_command(
    first: Annotated[str, typer.Argument(metavar="VERSION|PATH", help="The model that serves, or might.")],
    second: Annotated[str, typer.Argument(metavar="VERSION|PATH", help="The model that would take its place.")],
    more: Annotated[list[str] | None, typer.Argument(metavar="[FILE]...", help="Further files after --on.")] = None,
    on: Annotated[
        list[str] | None,
        typer.Option("--on", metavar="FILE...", help="Labelled JSON lines or Parquet; without it, the test set."),
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="DIR", help="Write gate.html and gate.json there.")] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Hold one model against another on the same texts, by the rules of the gate. Nothing is promoted.

    On the newest test set, without what either learnt from. On files, nobody looks whether a model learnt from them.

    Example: saring models compare sfw-linear-20260101-0a1b2c3d sfw-linear-20260201-9f8e7d6c --report out/
    """
    ctx = output.home()
    if more and not on:
        raise UsageError(f"name the files after --on: saring models compare {first} {second} --on {' '.join(more)}")
    folders = [folder_of(name, ctx.settings.models_dir) for name in (first, second)]
    champion, challenger = (Contender(load_folder(folder, ctx.settings), folder) for folder in folders)
    labels = list(dict.fromkeys([*champion.model.labels, *challenger.model.labels]))
    files = [*on, *(more or ())] if on else None
    rejects = RejectSink()
    examples, rows = examples_to_compare(ctx, files, labels, [champion.version, challenger.version], rejects)
    tell_rejects(rejects, output.warn)
    gate = compare_with_champion(champion, challenger, examples, rows, Margins.of(ctx.settings), seed=ctx.settings.seed)
    if gate.paired is None and champion.version != challenger.version:
        raise InputError(f"nothing to compare: {rows.origin} says nothing of a label that both models know")
    now = datetime.now(UTC)
    page = write_gate(gate, report, now=now) if report is not None else None
    # texts are for the page, which blurs them
    result = gate.to_dict(now) | {"flips": _counted(gate.to_dict(now)["flips"]), "report": page}
    output.emit(result, as_json=as_json, say=_say_gate)


def field_command(
    version: Annotated[str | None, typer.Argument(metavar="[VERSION]", help="Default: the champion.")] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Measure a model on the stream it works on, from the texts that volunteers judged because the queue drew them.

    Each counts by the inverse of the chance that it was drawn with. Beside it stands what the texts give unweighted.

    Example: saring models field
    """
    ctx = output.home()
    with open_session(ctx.engine) as session:
        if version is None:
            champion = registry.champion(session, "sfw")
            if champion is None:
                raise ModelError("there is no champion yet: name a model, or train one with `saring train`")
            folder = Path(champion.path)
        else:
            folder = folder_of(version, ctx.settings.models_dir)
        model = load_folder(folder, ctx.settings)
        found = stream_rows(session, ctx.taxonomy, model.manifest.version)
    metrics = measure_stream(model, found, rng=np.random.default_rng(ctx.settings.seed))
    output.emit(
        {
            "model": model.manifest.version,
            "builds": found.builds,
            "drawn": found.drawn,
            "judged": len(found.rows),
            "left_out": {"learnt": found.learnt, "drawn_before_training": found.earlier},
            "metrics": metrics.to_dict(),
        },
        as_json=as_json,
        say=_say_field,
    )


def _counted(flips: Sequence[dict[str, Any]]) -> dict[str, int]:
    right = sum(flip["right"] for flip in flips)
    return {"turned_right": right, "turned_wrong": len(flips) - right}


def _say_gate(result: dict[str, Any]) -> None:
    out = output.out(least_width=130)
    verdict = result["verdict"]
    out.print(
        f"{result['challenger']} {'passes' if verdict['passed'] else 'does not pass'}: {verdict['reason']}",
        markup=False,
        soft_wrap=True,
    )
    table = Table(box=None)
    table.add_column("check")
    for column in ("passed", "measured", "margin"):
        table.add_column(column, justify="right")
    table.add_column("in words", overflow="fold")
    for check in verdict["checks"]:
        table.add_row(
            check["name"],
            "yes" if check["passed"] else "no",
            output.bracketed(check),
            f"{check['margin']:g}",
            check["says"],
        )
    out.print(table)
    flips = result["flips"]
    out.print(
        f"{flips['turned_right']} examples turned right, {flips['turned_wrong']} wrong; "
        f"{result['rows']['texts']:,} texts: {result['rows']['origin']}",
        markup=False,
        soft_wrap=True,
    )
    if result["report"] is not None:
        out.print(f"the page: {result['report']}", markup=False, soft_wrap=True)


def _say_field(result: dict[str, Any]) -> None:
    metrics = result["metrics"]
    table = Table(box=None)
    table.add_column("label")
    for column in (
        "pos",
        "neg",
        "worth",
        "in the stream",
        "",
        "prevalence",
        "precision",
        "recall",
        "average precision",
    ):
        table.add_column(column, justify="right")
    for label, one in metrics["labels"].items():
        ratios = [one[name] for name in ("prevalence", "precision", "recall", "average_precision")]
        counts = (str(one["positives"]), str(one["negatives"]), f"{one['effective_texts']:.0f}")
        table.add_row(
            label,
            *counts,
            f"{one['total']['value']:,.0f}",
            "weighted",
            *(output.bracketed(ratio["weighted"]) for ratio in ratios),
        )
        table.add_row("", "", "", "", "", "unweighted", *(output.bracketed(ratio["unweighted"]) for ratio in ratios))
    out = output.out(least_width=170)
    out.print(f"{result['model']} on {result['judged']:,} judged texts, worth {metrics['effective_texts']:.0f}")
    out.print(table)
    out.print(
        f"from {result['builds']} builds of the queue, which drew {result['drawn']:,} texts and speak for "
        f"{metrics['total']['value']:,.0f}; what is not judged yet is missing, and the most wanted is served first",
        markup=False,
        soft_wrap=True,
    )
    left = result["left_out"]
    out.print(
        f"left out: {left['learnt']:,} that the model learnt from, "
        f"{left['drawn_before_training']:,} drawn before it was trained",
        markup=False,
        soft_wrap=True,
    )
