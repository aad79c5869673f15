"""The commands of the registry: list, show, promote and roll back models."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from pipeline.classifiers.artefact import read_manifest
from pipeline.learning import registry
from pipeline.learning.card import CARD
from pipeline.learning.find import folder_of
from pipeline.store.session import open_session
from saring.cli import common

models_app = typer.Typer(add_completion=False, help="List, show, promote and roll back models.", no_args_is_help=True)


@models_app.command("list")
def list_command(as_json: common.JsonFlag = False) -> None:
    """Show the registered models, newest first.

    Example: saring models list
    """
    ctx = common.context()
    with open_session(ctx.engine) as session:
        found = [
            {
                "version": model.version,
                "purpose": model.purpose,
                "state": str(model.state),
                "macro_average_precision": (model.metrics or {}).get("macro_average_precision"),
                "created_at": model.created_at.isoformat(timespec="seconds"),
                "reason": model.reason,
                "path": model.path,
            }
            for model in registry.list_models(session)
        ]
    common.emit({"models": found}, as_json=as_json, say=_say_models)


@models_app.command("show")
def show_command(
    version: Annotated[str, typer.Argument(metavar="VERSION|PATH")], as_json: common.JsonFlag = False
) -> None:
    """Show a model's card.

    Example: saring models show sfw-linear-20260101-0a1b2c3d
    """
    folder = folder_of(version, common.context().settings.models_dir)
    manifest = read_manifest(folder)
    common.emit(
        {"path": folder, **manifest.model_dump(mode="json")},
        as_json=as_json,
        say=lambda _: common.out().print((folder / CARD).read_text(encoding="utf-8"), markup=False, soft_wrap=True),
    )


@models_app.command("promote")
def promote_command(
    version: Annotated[str, typer.Argument(metavar="VERSION")],
    reason: Annotated[str, typer.Option(help="Why; it is kept with the model.")],
    as_json: common.JsonFlag = False,
) -> None:
    """Make a model the champion of its purpose.

    Example: saring models promote sfw-linear-20260101-0a1b2c3d --reason "better on rojak"
    """
    ctx = common.context()
    folder = folder_of(version, ctx.settings.models_dir)
    manifest = read_manifest(folder)
    with open_session(ctx.engine) as session, session.begin():
        registry.register(session, manifest, folder)
        done = registry.promote(session, manifest.version, reason=f"by hand: {reason}")
    common.emit(asdict(done), as_json=as_json, say=_say_promotion)


@models_app.command("rollback")
def rollback_command(
    reason: Annotated[str, typer.Option(help="Why; it is kept with the model.")],
    purpose: Annotated[str, typer.Option(help="Of which purpose.")] = "sfw",
    as_json: common.JsonFlag = False,
) -> None:
    """Bring back the champion before the present one.

    Example: saring models rollback --reason "too many false alarms"
    """
    ctx = common.context()
    with open_session(ctx.engine) as session, session.begin():
        done = registry.rollback(session, purpose, reason=f"by hand: {reason}")
    common.emit(asdict(done), as_json=as_json, say=_say_promotion)


def _say_models(result: dict[str, Any]) -> None:
    if not result["models"]:
        common.out().print("no model is registered: `saring train` registers what it learns from the store,")
        common.out().print("`saring models promote VERSION` what was trained from files")
        return
    table = Table(box=None)
    for column in ("version", "purpose", "state", "macro average precision", "why"):
        table.add_column(column, overflow="fold")
    for model in result["models"]:
        macro = model["macro_average_precision"]
        table.add_row(
            model["version"],
            model["purpose"],
            model["state"],
            common.bracketed(macro) if macro else "-",
            model["reason"] or "",
        )
    common.out(least_width=130).print(table)


def _say_promotion(result: dict[str, Any]) -> None:
    after = f", in place of {result['retired']}" if result["retired"] else ""
    common.out().print(f"{result['champion']} is the champion{after}", markup=False, soft_wrap=True)
