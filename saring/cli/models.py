"""The commands of the registry: list, show, compare, promote and roll back models."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer
from rich.table import Table

from pipeline.models.purposes import shown_purpose, stored_purpose
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
            "quantise": "saring.cli.models_quantise:quantise_command",
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
    from pipeline.learning import registry
    from pipeline.store.session import open_session

    ctx = output.home()
    with open_session(ctx.engine) as session:
        models = [
            {
                "version": model.version,
                "purpose": model.purpose,
                "state": str(model.state),
                "macro_average_precision": (model.metrics or {}).get("macro_average_precision"),
                "test_set": (model.metrics or {}).get("test_set"),
                "created_at": model.created_at.isoformat(timespec="seconds"),
                "labels": len(model.labels),
                "bytes": _bytes_in(Path(model.path)),
                "reason": model.reason,
                "path": model.path,
            }
            for model in registry.list_models(session)
        ]
    output.emit({"models": models}, as_json=as_json, say=_say_models)


@models_app.command("show")
def show_command(
    version: Annotated[str, typer.Argument(metavar="VERSION|PATH")], as_json: output.JsonFlag = False
) -> None:
    """Show a model's card, the gate's verdict on it, and the path of the gate's report.

    Example: saring models show sfw-linear-20260101-0a1b2c3d
    """
    from pipeline.learning.gate.report import PAGE, read_gate
    from pipeline.models.artefact import read_manifest
    from pipeline.models.find import folder_of

    folder = folder_of(version, output.home().settings.models_dir)
    manifest = read_manifest(folder)
    report = read_gate(folder)
    gate = (
        {"verdict": report["verdict"], "by_hand": report["by_hand"], "report": folder / PAGE}
        if report is not None
        else None
    )
    output.emit(
        {"path": folder, **manifest.model_dump(mode="json"), "gate": gate},
        as_json=as_json,
        say=lambda _: _say_model(folder, gate),
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
    from pipeline.learning import registry
    from pipeline.learning.gate.report import note_by_hand
    from pipeline.models.artefact import read_manifest
    from pipeline.models.find import folder_of

    ctx = output.home()
    folder = folder_of(version, ctx.settings.models_dir)
    manifest = read_manifest(folder)
    with ctx.begin() as session:
        registry.register(session, manifest, folder)
        promotion = registry.promote(session, manifest.version, reason=f"by hand: {reason}")
    if promotion.reason == f"by hand: {reason}":
        note_by_hand(folder, manifest.version, reason, now=datetime.now(UTC))
    output.emit(asdict(promotion), as_json=as_json, say=_say_promotion)


@models_app.command("rollback")
def rollback_command(
    reason: Annotated[str, typer.Option(help="The reason, which is stored with the model.")],
    purpose: Annotated[str, typer.Option(help="Which purpose: labels or sentiment.")] = "labels",
    as_json: output.JsonFlag = False,
) -> None:
    """Make the previous champion the champion again.

    Example: saring models rollback --reason "too many false alarms"
    """
    from pipeline.learning import registry

    ctx = output.home()
    with ctx.begin() as session:
        promotion = registry.rollback(session, stored_purpose(purpose), reason=f"by hand: {reason}")
    output.emit(asdict(promotion), as_json=as_json, say=_say_promotion)


def _say_model(folder: Path, gate: dict[str, Any] | None) -> None:
    from pipeline.learning.card import CARD

    out = output.out()
    out.print((folder / CARD).read_text(encoding="utf-8"), markup=False, soft_wrap=True)
    if gate is None:
        return
    verdict = gate["verdict"]
    if verdict is not None:
        out.print(
            f"gate: {'passed' if verdict['passed'] else 'not passed'}: {verdict['reason']}",
            markup=False,
            soft_wrap=True,
        )
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
