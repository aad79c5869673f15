"""The command that makes a transformer model small and fast on a CPU, and measures the loss of quality."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from sqlalchemy import select

from pipeline import store
from pipeline.errors import UsageError
from pipeline.learning import registry
from pipeline.learning.gate.decide import Contender, compare_with_champion
from pipeline.learning.gate.report import GateReport, write_gate
from pipeline.learning.gate.rules import MEGABYTE, Margins
from pipeline.learning.probes.reading import load_probes
from pipeline.learning.quantise import quantise_model
from pipeline.measure.shown import bracketed
from pipeline.models.find import folder_of
from pipeline.plural import counted
from pipeline.store.session import open_session
from pipeline.texts.rejects import RejectSink
from saring.actions.models import examples_to_compare, load_folder
from saring.actions.training import tell_rejects
from saring.cli import output
from saring.context import Context


def quantise_command(
    version: Annotated[str, typer.Argument(metavar="VERSION|PATH", help="A model of the backend transformers.")],
    more: Annotated[list[str] | None, typer.Argument(metavar="[FILE]...", help="More files for --on.")] = None,
    on: Annotated[
        list[str] | None,
        typer.Option("--on", metavar="FILE...", help="Labelled JSON lines or Parquet. Default: the test set."),
    ] = None,
    promote: Annotated[
        bool, typer.Option("--promote", help="Make it the champion if it passes the gate against the present one.")
    ] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Make the 8-bit form of a transformer model, and compare both on the same texts.

    The result is a new model with the same calibration and thresholds; the original stays. If it is measured on the
    newest test set, it is registered as a candidate.

    Example: saring models quantise sfw-transformers-20260101-0a1b2c3d --promote
    """
    ctx = output.home()
    if more and not on:
        raise UsageError(f"name the files after --on: saring models quantise {version} --on {' '.join(more)}")
    if on and promote:
        raise UsageError("--promote needs the test set: leave out --on")
    folder = folder_of(version, ctx.settings.models_dir)
    before = Contender(load_folder(folder, ctx.settings), folder)
    files = [*on, *(more or ())] if on else None
    rejects = RejectSink()
    examples, rows = examples_to_compare(ctx, files, list(before.model.labels), [before.version], rejects)
    tell_rejects(rejects, output.warn)
    after = quantise_model(before.model, examples, folder.parent, seed=ctx.settings.seed)
    margins = Margins.of(ctx.settings)
    probes = load_probes(ctx.taxonomy, ctx.settings.probes_file)
    gate = compare_with_champion(before, after, examples, rows, margins, seed=ctx.settings.seed, probes=probes)
    write_gate(gate, after.folder, now=datetime.now(UTC))
    promoted = _register(ctx, before, after, gate, promote=promote) if on is None else None
    result = _result(before, after, gate) | {"promoted": promoted}
    output.emit(result, as_json=as_json, say=_say)


def _register(ctx: Context, before: Contender, after: Contender, gate: GateReport, *, promote: bool) -> str | None:
    """Register the small model; the reason of the promotion, or None if it was not promoted."""
    m = store.Model
    with open_session(ctx.engine) as session:
        champion = registry.champion(session, after.model.manifest.purpose)
        # The small model has learnt from the same snapshot as the model that it is made from.
        snapshot = session.scalar(select(m.snapshot_id).where(m.version == before.version))
        serving = Path(champion.path) if champion is not None else None
        name = champion.version if champion is not None else None
    if promote and serving is not None and name not in (before.version, after.version):
        opponent = Contender(load_folder(serving, ctx.settings), serving)
        examples, rows = examples_to_compare(ctx, None, list(after.model.labels), [opponent.version, before.version])
        gate = compare_with_champion(
            opponent,
            after,
            examples,
            rows,
            Margins.of(ctx.settings),
            seed=ctx.settings.seed,
            probes=load_probes(ctx.taxonomy, ctx.settings.probes_file),
        )
        write_gate(gate, after.folder, now=datetime.now(UTC))
    with open_session(ctx.engine) as session, session.begin():
        registry.register(session, after.model.manifest, after.folder, snapshot_id=snapshot)
        if not (promote and gate.verdict.passed):
            return None
        reason = f"8-bit form of {before.version}: {gate.verdict.reason}"
        return registry.promote(session, after.version, reason=reason).reason


def _result(before: Contender, after: Contender, gate: GateReport) -> dict[str, Any]:
    document = gate.to_dict(datetime.now(UTC))
    macro = document["comparison"]["macro"] if document["comparison"] is not None else None
    costs = document["costs"]
    return {
        "model": after.version,
        "path": str(after.folder),
        "quantised_from": before.version,
        "rows": document["rows"],
        "macro_average_precision": macro,
        "before": costs.get("champion"),
        "after": costs["challenger"],
        "verdict": document["verdict"],
    }


def _say(result: dict[str, Any]) -> None:
    out = output.out(least_width=110)
    macro = result["macro_average_precision"]
    table = Table(box=None)
    table.add_column("")
    for column in ("macro average precision", "p50 ms", "p95 ms", "MB"):
        table.add_column(column, justify="right")
    for name, cost, key in (("before", result["before"], "champion"), ("after", result["after"], "challenger")):
        if cost is not None:
            shown = bracketed(macro[key]) if macro is not None else "-"
            size = f"{cost['bytes'] / MEGABYTE:.1f}"
            table.add_row(name, shown, f"{cost['p50_ms']:.2f}", f"{cost['p95_ms']:.2f}", size)
    out.print(f"{result['model']}, made from {result['quantised_from']}", markup=False, soft_wrap=True)
    out.print(table)
    if macro is not None:
        out.print(
            f"difference {bracketed(macro['difference'])}, on {counted(result['rows']['texts'], 'text')}",
            markup=False,
        )
    verdict = result["verdict"]
    outcome = "passes" if verdict["passed"] else "does not pass"
    out.print(f"It {outcome} the gate against the original: {verdict['reason']}", markup=False, soft_wrap=True)
    if result["promoted"] is not None:
        out.print(f"promoted: {result['promoted']}", markup=False, soft_wrap=True)
    out.print(f"folder: {result['path']}", markup=False, soft_wrap=True)
