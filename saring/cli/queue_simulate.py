"""The command `saring queue simulate`: how many labels each way of choosing texts needs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from pipeline.errors import UsageError
from pipeline.plural import counted
from pipeline.queue.replay import ENOUGH, ReplayConfig
from pipeline.queue.replay_plot import plot
from saring.cli import output
from saring.cli.options import LabelOption, parse_mix

_DEFAULT = ReplayConfig()
#: forms of a picture
_FORMS = (".png", ".svg")


def simulate_command(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", help="Labelled files. Default: the gold of the home.")
    ] = None,
    rules: Annotated[
        str, typer.Option(metavar="NAME,...", help="Rules: random, margin, spread, seek, coverage and others.")
    ] = "random,margin,spread,seek",
    mix: Annotated[
        str | None, typer.Option(metavar="NAME=SHARE,...", help="Replay a mix of the queue's strategies too.")
    ] = None,
    label: LabelOption = None,
    labels_field: Annotated[str | None, typer.Option(help="Field of the files with the labels.")] = None,
    start: Annotated[int, typer.Option(min=1, help="Labels at the beginning.")] = _DEFAULT.start,
    batch: Annotated[int, typer.Option(min=1, help="Labels of a batch.")] = _DEFAULT.batch,
    budget: Annotated[int, typer.Option(min=1, help="Labels that are bought in all.")] = 2_000,
    seeds: Annotated[int, typer.Option(min=1, help="Repetitions.")] = _DEFAULT.seeds,
    spread_start: Annotated[
        bool, typer.Option("--spread-start", help="Spread the first texts over the space, not at random.")
    ] = False,
    picture: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Write the curves as a .png or .svg picture.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the first repetition. Default: SARING_SEED.")] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Replay a labelled set: how good is a model after each batch of labels, by the rule that chose the texts?

    Example: saring queue simulate labelled.jsonl --label hate --plot curves.svg
    """
    if picture is not None and picture.suffix.lower() not in _FORMS:
        raise UsageError(f"{picture}: name a file that ends in {' or '.join(_FORMS)}")
    home = output.home()
    from saring.actions.simulation import simulate

    with output.progress_bar() as progress:
        replayed = simulate(
            home,
            files or (),
            rules=[name.strip() for name in rules.split(",") if name.strip()],
            mix=parse_mix(mix) if mix is not None else None,
            labels=label or (),
            labels_field=labels_field,
            config=ReplayConfig(start, batch, budget, seeds, spread_start=spread_start),
            seed=seed,
            tell=output.warn,
            progress=progress,
        )
    if picture is not None:
        plot(replayed, picture)
    result = asdict(replayed) | {"plot": None if picture is None else str(picture)}
    output.emit(result, as_json=as_json, say=_say)


def _say(result: dict[str, Any]) -> None:
    output.out().print(
        f"{result['texts']:,} texts, {counted(len(result['labels']), 'label')}; with all of their labels a model has "
        f"macro-F1 {result['full_macro_f1']:.3f}, average precision {result['full_average_precision']:.3f}",
        markup=False,
    )
    table = Table(box=None)
    enough = f"labels to {ENOUGH:.0%}"
    columns = ("macro-F1", enough, "average precision", enough, "would stop at", "of full macro-F1")
    for column in ("rule", *columns):
        table.add_column(column, justify="left" if column == "rule" else "right")
    for name, curve in result["curves"].items():
        table.add_row(
            name,
            _last(curve["macro_f1"]),
            _number(curve["enough"]),
            _last(curve["average_precision"]),
            _number(curve["enough_precision"]),
            _number(curve["stop"]),
            "-" if curve["stop_share"] is None else f"{curve['stop_share']:.1%}",
        )
    output.out(least_width=110).print(table)
    if result["plot"]:
        output.note(f"the curves are in {result['plot']}")


def _last(values: list[dict[str, float]]) -> str:
    last = values[-1]
    return f"{last['mean']:.3f} [{last['low']:.3f}, {last['high']:.3f}]"


def _number(labels: float | None) -> str:
    return "-" if labels is None else f"{labels:,.0f}"
