"""`saring judge`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.plural import counted
from pipeline.raters.judge import JudgeReport
from saring.cli import output
from saring.cli.options import Limit, MaxCost, MaxTokens


def judge_command(
    rater: Annotated[
        str | None,
        typer.Option("--rater", help="The rater. Default: the language model, if one is set up, else bootstrap."),
    ] = None,
    limit: Limit = None,
    max_tokens: MaxTokens = None,
    max_cost: MaxCost = None,
    on_workers: output.AsyncFlag = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Have a rater judge the texts that it has not judged yet.

    Set up a language model with SARING_LLM_URL, or several by name in raters.yaml in the home folder. Each reply is
    stored, so no question is asked or paid for twice. The bootstrap rater knows only the taxonomy's exemplars; use it
    until a language model or people judge.

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
    out.print(f"{counted(report.judged, 'text')} judged by {report.rater}; {report.present:,} already judged")
    if report.replies or report.cached:
        cost = f", cost {report.cost:,.4f}" if report.cost else ""
        known = f"; {counted(report.cached, 'judgement')} from stored replies" if report.cached else ""
        replies = counted(report.replies, "reply", "replies")
        about = "about " if report.estimated else ""
        out.print(f"{replies}, {about}{counted(report.tokens, 'token')}{cost}{known}")
    if report.estimated:
        out.print(f"the server does not say what {counted(report.estimated, 'reply', 'replies')} took: estimated")
    output.say_counts("label", report.asserted, "asserted")
    output.say_counts("no judgement", report.no_verdict, "texts")
    output.say_counts("the server refuses", report.adapted, "processes")
    output.say_counts("not a label", report.invented, "times given")
    if report.stopped is not None:
        out.print(f"stopped: {report.stopped}; raise the limit and run the same command to continue", markup=False)
