"""The commands of the registry: list, show, compare, promote and roll back models."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer
from rich.table import Table

from pipeline.models.purposes import shown_purpose
from saring.cli import output
from saring.cli.lazy import LazyGroup


class _Models(LazyGroup):
    """The commands that compare and share need what trains and measures, which takes seconds to import."""

    later = MappingProxyType(
        {
            "compare": "saring.cli.models_compare:compare_command",
            "export": "saring.cli.models_share:export_command",
            "push": "saring.cli.models_share:push_command",
            "field": "saring.cli.models_compare:field_command",
            "probe": "saring.cli.models_compare:probe_command",
            "quantise": "saring.cli.models_quantise:quantise_command",
            "shadow": "saring.cli.models_shadow:shadow_command",
        }
    )


models_app = typer.Typer(
    cls=_Models,
    add_completion=False,
    help="List, show, compare, promote, roll back and share models.",
    no_args_is_help=True,
)


@models_app.command("list")
def list_command(as_json: output.JsonFlag = False) -> None:
    """Show the registered models, newest first.

    Example: saring models list
    """
    from saring.actions.registry import list_models

    models = [
        {
            "version": model.version,
            "purpose": model.purpose,
            "state": model.state,
            "macro_average_precision": model.macro_average_precision,
            "test_set": model.test_set,
            "created_at": model.created_at.isoformat(timespec="seconds"),
            "labels": len(model.labels),
            "bytes": _bytes_in(Path(model.path)),
            "reason": model.reason,
            "path": model.path,
        }
        for model in list_models(output.home())
    ]
    output.emit({"models": models}, as_json=as_json, say=_say_models)


@models_app.command("show")
def show_command(
    version: Annotated[str, typer.Argument(metavar="VERSION|PATH")],
    reveal: Annotated[bool, typer.Option("--reveal", help="Show harsh sentences too.")] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Show a model's card, the gate's verdict, the path of its report, and differences on live texts in the shadow.

    If it got worse on a kind of probe pairs, they are shown; harsh sentences are hidden unless you give --reveal.

    Example: saring models show sfw-linear-20260101-0a1b2c3d
    """
    from pipeline.learning.gate.report import PAGE, read_gate
    from pipeline.models.artefact import read_manifest
    from pipeline.models.find import folder_of

    folder = folder_of(version, output.home().settings.models_dir)
    manifest = read_manifest(folder)
    report = read_gate(folder)
    gate = (
        {
            "verdict": report["verdict"],
            "by_hand": report["by_hand"],
            "harmful": report.get("harmful", True),
            "probes": report.get("probes"),
            "report": folder / PAGE,
        }
        if report is not None
        else None
    )
    shadow = _shadow(manifest.version)
    output.emit(
        {"path": folder, **manifest.model_dump(mode="json"), "gate": gate, "shadow": shadow},
        as_json=as_json,
        say=lambda _: _say_model(folder, gate, shadow, reveal),
    )


@models_app.command("promote")
def promote_command(
    version: Annotated[str, typer.Argument(metavar="VERSION")],
    reason: Annotated[str, typer.Option(help="The reason, which is stored with the model.")],
    as_json: output.JsonFlag = False,
) -> None:
    """Make a model the champion: the model that serves predictions.

    Example: saring models promote sfw-linear-20260101-0a1b2c3d --reason "better on rojak"
    """
    from saring.actions.registry import promote

    promotion = promote(output.home(), version, reason=reason)
    output.emit(asdict(promotion), as_json=as_json, say=_say_promotion)


@models_app.command("rollback")
def rollback_command(
    reason: Annotated[str, typer.Option(help="The reason, which is stored with the model.")],
    purpose: Annotated[str, typer.Option(help="The purpose: labels or sentiment.")] = "labels",
    as_json: output.JsonFlag = False,
) -> None:
    """Make the previous champion the champion again.

    Example: saring models rollback --reason "too many false alarms"
    """
    from saring.actions.registry import rollback

    promotion = rollback(output.home(), purpose, reason=reason)
    output.emit(asdict(promotion), as_json=as_json, say=_say_promotion)


def _shadow(version: str) -> list[dict[str, Any]] | None:
    """Differences from champions on live texts; None: the database cannot be reached, and the card is shown anyway."""
    from pipeline.errors import SaringError
    from saring.actions.shadow import shadow_reports

    try:
        return [report.to_dict() for report in shadow_reports(output.home(), version)]
    except SaringError as error:
        output.err.print(f"differences on live texts are not shown: {error}", markup=False, soft_wrap=True)
        return None


def _say_model(folder: Path, gate: dict[str, Any] | None, shadow: list[dict[str, Any]] | None, reveal: bool) -> None:
    from pipeline.learning.card import CARD
    from saring.cli.models_shadow import say_differences
    from saring.cli.probe_tables import say_changed_pairs

    out = output.out()
    out.print((folder / CARD).read_text(encoding="utf-8"), markup=False, soft_wrap=True)
    for report in shadow or ():
        say_differences(report)
    if gate is None:
        return
    verdict = gate["verdict"]
    if verdict is not None:
        out.print(
            f"gate: {'passed' if verdict['passed'] else 'not passed'}: {verdict['reason']}",
            markup=False,
            soft_wrap=True,
        )
    say_changed_pairs(gate, reveal=reveal)
    for note in gate["by_hand"]:
        out.print(f"promoted by hand, {note['at']}: {note['reason']}", markup=False, soft_wrap=True)
    out.print(f"gate report: {gate['report']}", markup=False, soft_wrap=True)


def _say_models(result: dict[str, Any]) -> None:
    if not result["models"]:
        output.out().print("No model is registered. `saring train` registers a model that is trained from the store,")
        output.out().print("`saring models promote VERSION` a model that was trained from files.")
        return
    table = Table(box=None)
    for column in ("version", "purpose", "state", "trained"):
        table.add_column(column, overflow="fold")
    for column in ("labels", "MB", "precision", "test set"):
        table.add_column(column, justify="right")
    for model in result["models"]:
        macro = model["macro_average_precision"]
        table.add_row(
            model["version"],
            shown_purpose(model["purpose"]),
            model["state"],
            model["created_at"][:10],
            f"{model['labels']:,}",
            "-" if model["bytes"] is None else f"{model['bytes'] / 1e6:,.1f}",
            "-" if not macro or macro["value"] is None else f"{macro['value']:.3f}",
            f"v{model['test_set']['version']}" if model["test_set"] else "-",
        )
    out = output.out(least_width=100)
    out.print(table)
    out.print("precision: macro average precision; `saring models show VERSION` has its interval", markup=False)
    for model in result["models"]:
        if model["reason"]:
            out.print(f"{model['version']}: {model['reason']}", markup=False, soft_wrap=True)


def _bytes_in(folder: Path) -> int | None:
    """Bytes of a model's files; None: its folder is not on this machine."""
    if not folder.is_dir():
        return None
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _say_promotion(result: dict[str, Any]) -> None:
    before = f", in place of {result['retired']}" if result["retired"] else ""
    output.out().print(f"{result['champion']} is the champion{before}", markup=False, soft_wrap=True)
