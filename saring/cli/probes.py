"""The commands of probe pairs: check the files, list the pairs, and try a model on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from pipeline.errors import ProbeError, UsageError
from pipeline.learning.probes.reading import load_probes
from pipeline.plural import counted
from pipeline.settings import load_settings
from pipeline.taxonomy import VARIETIES, load_taxonomy
from saring.cli import output
from saring.cli.probe_tables import HIDDEN, kinds_table

probes_app = typer.Typer(
    add_completion=False,
    help="""Check and list probe pairs, and try a model on them.

    A probe is a pair of sentences that look alike: one has a label, the other does not. The gate rejects a challenger
    that gets worse on a kind of them, such as negation. docs/probes.md says how to add your own.
    """,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
RevealFlag = Annotated[bool, typer.Option("--reveal", help="Show harsh sentences too.")]
#: figures of a model, by the key of the list and the heading of its table
_TABLES = {"functions": "function", "labels": "label", "varieties": "variety"}


@probes_app.command("check")
def check_command(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Default: SARING_PROBES, else probes.yaml in the home.")
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data", metavar="FILE", help="Labelled file to look at; repeatable. Default: the newest training set."
        ),
    ] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Check a file of probe pairs, name every mistake with its line, and report texts that nearly repeat a sentence.

    Exit status 1 if there is a mistake. Training leaves out texts that nearly repeat a sentence.

    Example: saring probes check probes.yaml --data posts.jsonl
    """
    from dataclasses import asdict

    from saring.actions.probes import check_probes

    settings = load_settings()
    try:
        checked = check_probes(settings, load_taxonomy(settings.taxonomy_file), file, data or ())
    except ProbeError as error:
        problems = error.problems or (str(error),)
        named = str(file or settings.probes_file)
        output.emit({"file": named, "problems": problems}, as_json=as_json, say=_say_problems)
        raise typer.Exit(1) from error
    output.emit({**asdict(checked), "problems": []}, as_json=as_json, say=_say_checked)


@probes_app.command("list")
def list_command(
    label: Annotated[str | None, typer.Option(help="Only pairs of this label.")] = None,
    function: Annotated[str | None, typer.Option(help="Only pairs of this function, such as negation.")] = None,
    reveal: RevealFlag = False,
    as_json: output.JsonFlag = False,
) -> None:
    """List the probe pairs, each with its file and line. Those of harmful labels are hidden unless you give --reveal.

    Example: saring probes list --label hate --function negation --reveal
    """
    settings = load_settings()
    taxonomy = load_taxonomy(settings.taxonomy_file)
    probes = load_probes(taxonomy, settings.probes_file)
    key = None if label is None else taxonomy.canonical(label)
    if label is not None and key is None:
        raise UsageError(f"no label is called {label!r}; the labels are {', '.join(taxonomy.keys)}")
    if function is not None and function not in probes.functions:
        raise UsageError(f"no function is called {function!r}; the functions are {', '.join(probes.functions)}")
    rows = [
        {
            "label": pair.label,
            "function": pair.function,
            "variety": pair.variety,
            "has": None if (hidden := not reveal and not taxonomy[pair.label].benign) else pair.has,
            "lacks": None if hidden else pair.lacks,
            "file": pair.file,
            "line": pair.line,
        }
        for pair in probes.pairs
        if key in (None, pair.label) and function in (None, pair.function)
    ]
    output.emit({"version": probes.version, "pairs": rows}, as_json=as_json, say=_say_pairs)


@probes_app.command("run")
def run_command(
    version: Annotated[str | None, typer.Argument(metavar="[VERSION]", help="Default: the champion.")] = None,
    reveal: RevealFlag = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Try a model on the probe pairs: how many it gets right, by function, label and variety.

    A pair is right if the sentence with the label has the higher probability. With --reveal, the wrong pairs are shown.

    Example: saring probes run
    """
    from saring.actions.probes import run_probes

    result = run_probes(output.home(), version)
    if not reveal:
        result["wrong"] = [{**pair, "has": None, "lacks": None} for pair in result["wrong"]]
    output.emit(result, as_json=as_json, say=_say_figures)


def _say_problems(result: dict[str, Any]) -> None:
    out = output.out()
    for problem in result["problems"]:
        out.print(problem, markup=False, soft_wrap=True, style="red")
    out.print(f"{result['file']}: {counted(len(result['problems']), 'mistake')}", markup=False, soft_wrap=True)


def _say_checked(result: dict[str, Any]) -> None:
    out = output.out(least_width=80)
    table = Table(box=None)
    table.add_column("label")
    for column in VARIETIES:
        table.add_column(column, justify="right")
    for label, by_variety in result["labels"].items():
        table.add_row(label, *(f"{by_variety.get(variety, 0)}" for variety in VARIETIES))
    out.print(table)
    if result["without"]:
        out.print(f"note: no pair is of {', '.join(result['without'])}", markup=False, soft_wrap=True)
    for repeat in result["repeats"]:
        out.print(
            f"{repeat['data']}: {counted(repeat['texts'], 'text')} nearly the same as a sentence of {repeat['probe']} "
            f"({repeat['label']}, {repeat['function']})",
            markup=False,
            soft_wrap=True,
        )
    if result["data"] and not result["repeats"]:
        out.print(f"no text of {', '.join(result['data'])} repeats a sentence", markup=False, soft_wrap=True)
    of_files = ", ".join(f"{name}: {counted(count, 'pair')}" for name, count in result["files"].items())
    out.print(f"{of_files}; no mistake", markup=False, soft_wrap=True)


def _say_pairs(result: dict[str, Any]) -> None:
    table = Table(box=None)
    for column in ("label", "function", "variety", "has it", "lacks it", "file"):
        table.add_column(column, overflow="fold")
    for pair in result["pairs"]:
        cells = (pair["label"], pair["function"], pair["variety"], pair["has"] or HIDDEN, pair["lacks"] or HIDDEN)
        table.add_row(*map(Text, (*cells, f"{pair['file']}:{pair['line']}")))
    out = output.out(least_width=130)
    out.print(table)
    out.print(counted(len(result["pairs"]), "pair"))


def _say_figures(result: dict[str, Any]) -> None:
    out = output.out(least_width=100)
    out.print(f"{result['model']} on probe pairs (version {result['probes']})", markup=False)
    for key, heading in _TABLES.items():
        out.print(kinds_table(heading, result[key]))
    _say_wrong(result["wrong"])
    if result["unknown"]:
        out.print(f"labels that the model does not know: {', '.join(result['unknown'])}", markup=False, soft_wrap=True)


def _say_wrong(wrong: Sequence[Mapping[str, Any]]) -> None:
    out = output.out(least_width=130)
    if not any(pair["has"] for pair in wrong):
        out.print(f"{counted(len(wrong), 'pair')} wrong; --reveal shows them", markup=False)
        return
    table = Table(box=None, title="wrong pairs", title_justify="left")
    for column in ("label", "function", "has it", "lacks it"):
        table.add_column(column, overflow="fold")
    table.add_column("probabilities", justify="right", no_wrap=True)
    for pair in wrong:
        has, lacks = pair["probabilities"]
        cells = map(Text, (pair["label"], pair["function"], pair["has"], pair["lacks"]))
        table.add_row(*cells, f"{has:.2f} {lacks:.2f}")
    out.print(table)
