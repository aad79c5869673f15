"""Commands for the taxonomy: a file to begin with, a check that names every mistake, and a page of its labels."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.errors import TaxonomyError, UsageError
from pipeline.plural import counted
from pipeline.settings import Settings, load_settings
from pipeline.taxonomy import Taxonomy, example_taxonomy, load_taxonomy
from saring.cli import output
from saring.cli.lazy import LazyGroup


class _Taxonomy(LazyGroup):
    """The commands on versions need the store, which the others do not."""

    later = MappingProxyType(
        {
            "versions": "saring.cli.taxonomy_versions:versions_command",
            "changes": "saring.cli.taxonomy_versions:changes_command",
        }
    )


taxonomy_app = typer.Typer(
    cls=_Taxonomy,
    help="Make, check and show the taxonomy: the labels of the project.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_BUILT_IN = "built in"
#: exemplars of a label below which the machines that start from them are poor
_FEW = 6
FileArgument = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", help="The taxonomy file. Default: SARING_TAXONOMY, else the built-in one."),
]


@taxonomy_app.command("init")
def init_command(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="File to write. Default: taxonomy.yaml in this folder.")
    ] = None,
    built_in: Annotated[
        bool, typer.Option("--built-in", help="Copy Saring's own labels instead of the example.")
    ] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Write a taxonomy file to begin with: three labels of an example, to be changed into yours.

    A file that exists is never overwritten.

    Example: saring taxonomy init buses.yaml
    """
    path = (file or Path("taxonomy.yaml")).expanduser().absolute()
    content = files("pipeline").joinpath("taxonomy.yaml").read_bytes() if built_in else example_taxonomy()
    try:
        with path.open("xb") as opened:
            opened.write(content)
    except FileExistsError as error:
        raise UsageError(f"{path} exists already: name another file, or remove it first") from error
    except FileNotFoundError as error:
        raise UsageError(f"{path.parent} is no folder: make it first") from error
    output.emit({"path": str(path)}, as_json=as_json, say=_say_written)


def _say_written(result: dict[str, Any]) -> None:
    path = result["path"]
    for line in (
        f"Wrote {path}. Put your own labels into it, then:",
        f"  saring taxonomy check {path}",
        f"  export SARING_TAXONOMY={path}      (or write that line, without `export`, into saring.env in the home)",
        "  saring sync setup                   once Label Studio runs: makes the labelling page",
    ):
        output.out().print(line, markup=False, soft_wrap=True)


@taxonomy_app.command("check")
def check_command(file: FileArgument = None, as_json: output.JsonFlag = False) -> None:
    """Check a taxonomy file, and name every mistake with its line.

    Exit status 1 if there is one. Notes are no mistakes: they say what would make the machines better.

    Example: saring taxonomy check buses.yaml
    """
    where = _file(file, load_settings())
    problems: tuple[str, ...] = ()
    notes: list[str] = []
    labels = 0
    try:
        taxonomy = load_taxonomy(where)
        labels = len(taxonomy.labels)
        notes = _notes(taxonomy)
        _check_page(taxonomy)
    except TaxonomyError as error:
        problems = error.problems or (str(error),)
    result = {"file": str(where or _BUILT_IN), "labels": labels, "problems": problems, "notes": notes}
    output.emit(result, as_json=as_json, say=_say_checked)
    if problems:
        raise typer.Exit(1)


def _check_page(taxonomy: Taxonomy) -> None:
    from sync.project.label_config import label_config

    label_config(taxonomy)


def _notes(taxonomy: Taxonomy) -> list[str]:
    notes = []
    for label in taxonomy:
        if (count := len(label.all_exemplars())) < _FEW:
            notes.append(f"label {label.key!r} has {counted(count, 'exemplar')}: a dozen in each variety is better")
    return notes


def _say_checked(result: dict[str, Any]) -> None:
    out = output.out()
    for problem in result["problems"]:
        out.print(problem, markup=False, soft_wrap=True, style="red")
    for note in result["notes"]:
        out.print(f"note: {note}", markup=False, soft_wrap=True)
    mistakes = len(result["problems"])
    verdict = counted(mistakes, "mistake") if mistakes else f"{counted(result['labels'], 'label')}, no mistake"
    out.print(f"{result['file']}: {verdict}", markup=False, soft_wrap=True)


@taxonomy_app.command("guides")
def guides_command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder that the two files are written to.")],
    pictures: Annotated[
        str | None,
        typer.Option(metavar="FOLDER|URL", help="The place of the pictures of the labelling page. Default: none."),
    ] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Write the guides for volunteers, in English and in Malay, from the taxonomy. Files that are there are replaced.

    Example: saring taxonomy guides docs
    """
    from pipeline.pages.render import put_page
    from sync.project.guides import guides

    taxonomy = load_taxonomy(load_settings().taxonomy_file)
    written = [put_page(folder, name, content) for name, content in guides(taxonomy, pictures).items()]
    output.emit(
        {"files": [str(path) for path in written]},
        as_json=as_json,
        say=lambda result: output.out().print("\n".join(result["files"]), markup=False, soft_wrap=True),
    )


@taxonomy_app.command("show")
def show_command(file: FileArgument = None, as_json: output.JsonFlag = False) -> None:
    """Show the labels of the taxonomy, with what each has by default.

    Example: saring taxonomy show
    """
    where = _file(file, load_settings())
    taxonomy = load_taxonomy(where)
    result = {
        "file": str(where or _BUILT_IN),
        "version": taxonomy.version,
        "labels": [label.model_dump(mode="json") for label in taxonomy],
    }
    output.emit(result, as_json=as_json, say=lambda shown: _say_labels(shown, taxonomy))


def _say_labels(result: dict[str, Any], taxonomy: Taxonomy) -> None:
    out = output.out(least_width=100)
    out.print(f"{result['file']}, version {result['version']}", markup=False, soft_wrap=True)
    table = Table(box=None)
    for column in ("key", "name", "Malay", "hotkey", "colour", "harmful", "never with", "other names"):
        table.add_column(column, overflow="fold")
    table.add_column("examples", justify="right")
    for label in taxonomy:
        table.add_row(
            escape(label.key),
            escape(label.name.en),
            escape(label.name.ms),
            escape(label.hotkey),
            label.colour,
            "no" if label.benign else "yes",
            escape(", ".join(label.excludes)),
            escape(", ".join(label.aliases)),
            str(len(label.all_exemplars())),
        )
    out.print(table)


def _file(given: Path | None, settings: Settings) -> Path | None:
    """The file that is meant; None: the built-in one."""
    return given or settings.taxonomy_file
