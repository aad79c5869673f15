"""`saring judge`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.raters.judge import JudgeReport
from saring.cli import output
from saring.cli.options import Limit, MaxCost, MaxTokens


def judge_command(
    rater: Annotated[
        str | None,
        typer.Option("--rater", help="Who judges. Default: the language model, if one is set up, else bootstrap."),
    ] = None,
    limit: Limit = None,
    max_tokens: MaxTokens = None,
    max_cost: MaxCost = None,
    on_workers: output.AsyncFlag = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Have a rater judge the texts that it has not judged yet.

    Language models are set up with SARING_LLM_URL, or by name in raters.yaml in the home folder. What one was asked
    before is never asked or paid for again. The bootstrap rater knows nothing but the taxonomy's exemplars; it
    stands in until an LLM or people judge.

    Example: saring judge --rater bootstrap --limit 10000

    Example: saring judge --rater llm --max-cost 2.50
    """
    with output.progress_bar() as progress:
        report = output.home().judge(
            rater,
            limit=limit,
            most_tokens=max_tokens,
            most_cost=max_cost,
            executor=output.executor(on_workers),
            progress=progress,
        )
    output.emit(asdict(report), as_json=as_json, say=lambda _: _say(report))


def _say(report: JudgeReport) -> None:
    out = output.out()
    out.print(f"{report.judged:,} texts judged by {report.rater}; {report.present:,} were before")
    if report.replies or report.cached:
        cost = f", {report.cost:,.4f} spent" if report.cost else ""
        known = f"; {report.cached:,} verdicts from replies that were there" if report.cached else ""
        out.print(f"{report.replies:,} replies, {report.tokens:,} tokens{cost}{known}")
    output.say_counts("label", report.asserted, "asserted")
    output.say_counts("no verdict", report.no_verdict, "texts")
    output.say_counts("not a label", report.invented, "times given")
    if report.stopped is not None:
        out.print(f"stopped: {report.stopped}; given more, the same command goes on", markup=False)
