"""The commands that give a model to others: as a folder, or on the Hugging Face Hub."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.models.artefact import Manifest, read_manifest
from pipeline.models.find import folder_of
from pipeline.sharing.hub import push_folder
from pipeline.sharing.model_folder import About, export_model
from pipeline.sharing.model_sources import SourceFact, sources_of
from pipeline.store.migrate import current_and_head
from pipeline.store.session import make_engine, open_session
from saring.cli import output
from saring.context import Context
from saring.services import ensure_database, service_status

Which = Annotated[str, typer.Argument(metavar="VERSION|PATH", help="Which model.")]
Licence = Annotated[str | None, typer.Option("--licence", help="The model's, as the Hub names it: apache-2.0, ...")]


def export_command(
    version: Which,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where it goes.")],
    licence: Licence = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Write a model as a folder that others can use without Saring.

    A transformer becomes what plain transformers loads; a linear model comes with a small program. The card tells what
    the model is for, how good it is and what it was made of.

    Example: saring models export sfw-linear-20260101-0a1b2c3d --out shared/sfw
    """
    ctx = output.home()
    folder = folder_of(version, ctx.settings.models_dir)
    done = export_model(folder, out, _about(ctx, read_manifest(folder), licence))
    output.emit(
        asdict(done),
        as_json=as_json,
        say=lambda result: output.out().print(
            f"{result['model']} is in {result['path']}: {', '.join(result['files'])}", markup=False, soft_wrap=True
        ),
    )


def push_command(
    version: Which,
    repo: Annotated[str, typer.Option(metavar="NAME", help="The repository: OWNER/NAME.")],
    private: Annotated[bool, typer.Option("--private", help="Only its owner may see it.")] = False,
    licence: Licence = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Send a model to the Hugging Face Hub, with the token in HF_TOKEN.

    What is sent is what `saring models export` writes. A repository that is not there yet is made; what is to be
    private never goes to a public one.

    Example: saring models push sfw-linear-20260101-0a1b2c3d --repo OWNER/sfw --private
    """
    ctx = output.home()
    folder = folder_of(version, ctx.settings.models_dir)
    about = _about(ctx, read_manifest(folder), licence, name=repo)
    with tempfile.TemporaryDirectory(prefix="saring-push-") as building:
        done = export_model(folder, Path(building) / "model", about)
        pushed = push_folder(
            done.path,
            repo,
            "model",
            private,
            ctx.settings.hf_token,
            endpoint=ctx.settings.hf_endpoint,
            message=done.model,
        )
    output.emit({"model": done.model, **asdict(pushed)}, as_json=as_json, say=_say_pushed)


def _about(ctx: Context, manifest: Manifest, licence: str | None, name: str = ".") -> About:
    return About(ctx.taxonomy, _sources(ctx, manifest), licence, name)


def _sources(ctx: Context, manifest: Manifest) -> list[SourceFact]:
    """With licences, if the store is up; it isn't started for that."""
    if service_status(ctx.settings)[0].state != "ready":
        return sources_of(manifest, None)
    engine = make_engine(ensure_database(ctx.settings))
    try:
        current, head = current_and_head(engine)
        if current != head:
            return sources_of(manifest, None)
        with open_session(engine) as session:
            return sources_of(manifest, session)
    finally:
        engine.dispose()


def _say_pushed(result: dict[str, Any]) -> None:
    who = "for its owner alone" if result["private"] else "for everyone"
    output.out().print(f"{result['model']} is at {result['url']}, {who}", markup=False, soft_wrap=True)
