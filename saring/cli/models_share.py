"""The commands that share a model: as a folder, or on the Hugging Face Hub."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.models.artefact import Manifest, read_manifest
from pipeline.models.find import folder_of
from pipeline.sharing.hub import push_folder
from pipeline.sharing.maintainer_words import load_words
from pipeline.sharing.model_folder import About, export_model
from pipeline.sharing.model_sources import SourceFact, sources_of
from pipeline.store.migrate import current_and_head
from pipeline.store.session import make_engine, open_session
from saring.cli import output
from saring.context import Context
from saring.services import ensure_database, service_status

Version = Annotated[str, typer.Argument(metavar="VERSION|PATH", help="The model.")]
Licence = Annotated[
    str | None, typer.Option("--licence", help="Licence of the model, by the Hub's name for it: apache-2.0, ...")
]


def export_command(
    version: Version,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="The folder to write.")],
    licence: Licence = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Write a model to a folder that others can use without Saring.

    A transformer can be loaded by the package transformers; a linear model comes with a small program. The card says
    what the model is for, how good it is, and which sources it was trained on.

    Example: saring models export sfw-linear-20260101-0a1b2c3d --out shared/sfw
    """
    ctx = output.home()
    folder = folder_of(version, ctx.settings.models_dir)
    exported = export_model(folder, out, _about(ctx, read_manifest(folder), licence))
    output.emit(
        asdict(exported),
        as_json=as_json,
        say=lambda result: output.out().print(
            f"{result['model']} is in {result['path']}: {', '.join(result['files'])}", markup=False, soft_wrap=True
        ),
    )


def push_command(
    version: Version,
    repo: Annotated[str, typer.Option(metavar="NAME", help="The repository: OWNER/NAME.")],
    private: Annotated[bool, typer.Option("--private", help="Let only its owner see it.")] = False,
    licence: Licence = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Send a model to the Hugging Face Hub, with the token in HF_TOKEN.

    It sends the files that `saring models export` writes. A missing repository is created. With --private, nothing is
    sent to a repository that is public.

    Example: saring models push sfw-linear-20260101-0a1b2c3d --repo OWNER/sfw --private
    """
    ctx = output.home()
    folder = folder_of(version, ctx.settings.models_dir)
    about = _about(ctx, read_manifest(folder), licence, name=repo)
    with tempfile.TemporaryDirectory(prefix="saring-push-") as building:
        exported = export_model(folder, Path(building) / "model", about)
        pushed = push_folder(
            exported.path,
            repo,
            "model",
            private,
            ctx.settings.hf_token,
            endpoint=ctx.settings.hf_endpoint,
            message=exported.model,
        )
    output.emit({"model": exported.model, **asdict(pushed)}, as_json=as_json, say=_say_pushed)


def _about(ctx: Context, manifest: Manifest, licence: str | None, name: str = ".") -> About:
    return About(ctx.taxonomy, _sources(ctx, manifest), licence, name, load_words(ctx.settings.home))


def _sources(ctx: Context, manifest: Manifest) -> list[SourceFact]:
    """The model's sources, with their licences if the store is running; it is not started for this."""
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
    access = "private" if result["private"] else "public"
    output.out().print(f"{result['model']} is at {result['url']} ({access})", markup=False, soft_wrap=True)
