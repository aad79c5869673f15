"""`saring raters improve`."""

from __future__ import annotations

import math
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from pipeline.ledger.consensus.compare import Pair
from pipeline.measure.intervals import Estimate
from pipeline.plural import counted
from pipeline.raters.improve.improve import Forecast, Improvement, ImproveOptions
from saring.actions.judging import improve_rater
from saring.cli import output
from saring.cli.options import MaxCost, MaxTokens


def improve_command(
    name: Annotated[str, typer.Argument(help="A rater that is a language model: `llm`, or a name in raters.yaml.")],
    limit: Annotated[
        int, typer.Option(min=20, help="Largest number of texts to learn from, and of texts to measure on.")
    ] = 200,
    examples: Annotated[int, typer.Option(min=0, help="Largest number of worked examples.")] = 12,
    notes: Annotated[
        bool, typer.Option("--notes/--no-notes", help="Have the model write notes that sharpen definitions.")
    ] = True,
    max_tokens: MaxTokens = None,
    max_cost: MaxCost = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it may take; send nothing.")] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Propose a better prompt for a language model from what people judged, measured beside the present one.

    Half of the texts that people judged, the test set left out, show what the prompt gets wrong: worked examples are
    chosen from them. Both prompts are measured on the other half. The proposal is written to a file, and nothing uses
    it until you say so in raters.yaml. Replies are stored, so the same command goes on after a kill.

    Example: saring raters improve gemma --limit 300 --max-cost 1.50
    """
    options = ImproveOptions(limit, examples, notes, max_tokens, max_cost, dry_run)
    with output.progress_bar() as progress:
        result = improve_rater(output.home(), name, options, tell=_tell, progress=progress)
    output.emit(result.to_dict(), as_json=as_json, say=lambda _: _say(result))


def _tell(forecast: Forecast) -> None:
    cost = f", cost at most about {forecast.cost:,.4f}" if forecast.cost else ""
    output.note(
        f"{counted(forecast.lessons, 'text')} to learn from and {forecast.exam:,} to measure on: at most "
        f"{counted(forecast.requests, 'request')} and about {counted(forecast.tokens, 'token')}{cost}"
    )


def _say(result: Improvement) -> None:
    out = output.out(least_width=100)
    spent = result.spending
    cost = f", cost {spent.cost:,.4f}" if spent.cost else ""
    out.print(
        f"sent: {counted(spent.replies, 'reply', 'replies')}, {counted(spent.tokens, 'token')}{cost}; "
        f"{counted(spent.cached, 'judgement')} from stored replies",
        markup=False,
        soft_wrap=True,
    )
    if result.errors:
        table = Table(box=None, title="errors of the present prompt", title_justify="left")
        table.add_column("label")
        for column in ("wrongly given", "missed"):
            table.add_column(column, justify="right")
        for label, (wrong, missed) in result.errors.items():
            table.add_row(label, f"{wrong:,}", f"{missed:,}")
        out.print(table)
    for label, note in result.notes.items():
        out.print(Text(f"note on {label}: {note}"), soft_wrap=True)
    if result.comparison is not None:
        _say_comparison(result)
    if result.why is not None:
        out.print(f"no proposal: {result.why}", markup=False, soft_wrap=True)
    if result.file is not None:
        out.print(f"proposal: {result.file}", markup=False, soft_wrap=True)
        for line in ("To adopt it, read it, then write", *result.adopt):
            out.print(line, markup=False, soft_wrap=True)


def _say_comparison(result: Improvement) -> None:
    comparison = result.comparison
    assert comparison is not None
    out = output.out(least_width=100)
    table = Table(box=None, title=f"F1 on {counted(comparison.texts, 'text')} not learnt from", title_justify="left")
    table.add_column("label")
    for column in ("present", "proposed", "difference"):
        table.add_column(column, justify="right", no_wrap=True)
    for label, pair in [*comparison.f1.items(), ("all (macro)", comparison.macro_f1)]:
        table.add_row(label, *_cells(pair))
    out.print(table)
    for which, reasons in result.unanswered.items():
        if reasons:
            named = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))
            out.print(f"no verdict by the {which} prompt: {named}", markup=False, soft_wrap=True)
    difference = comparison.macro_f1.difference
    says = (
        "the proposed prompt is better"
        if difference.low > 0
        else "the proposed prompt is worse: do not adopt it"
        if difference.high < 0
        else "the difference may be chance: a larger --limit or more judged texts tell"
    )
    out.print(says, markup=False, soft_wrap=True)


def _cells(pair: Pair) -> list[str]:
    return [_interval(pair.first), _interval(pair.second), _interval(pair.difference, sign="+")]


def _interval(estimate: Estimate, sign: str = "") -> str:
    if not math.isfinite(estimate.value):
        return "-"
    return f"{estimate.value:{sign}.2f} [{estimate.low:{sign}.2f}, {estimate.high:{sign}.2f}]"
