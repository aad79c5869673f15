"""The commands of raters: who judges, how well, who is worth paying for, and how their words are combined."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.errors import UsageError
from pipeline.ledger.consensus.compare import Pair
from pipeline.ledger.consensus.fit import Choice, Fit, fit_consensus
from pipeline.llm.cache import spending
from pipeline.measure.intervals import Estimate
from pipeline.raters.report import RaterReport, rater_report
from pipeline.raters.worth import RaterWorth
from pipeline.store.session import open_session
from saring.cli import output
from saring.context import Context

raters_app = typer.Typer(
    add_completion=False,
    help="""Show each rater: how much it judged, how well, and whether it is worth paying for.

    Gold is what people decided, and while that is too little, what data sets say too, but never a text of the frozen
    test set. Worth is what the consensus loses without the rater.

    Example: saring raters --price gpt-oss=0.40
    """,
    invoke_without_command=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
PeopleFlag = Annotated[
    bool, typer.Option("--people", help="Show people as well, by the number of their account; see `sync quality`.")
]
PriceOption = Annotated[
    list[str] | None,
    typer.Option("--price", metavar="NAME=COST", help="What 1,000 texts of a rater cost. May be repeated."),
]


@raters_app.callback()
def list_command(
    context: typer.Context, people: PeopleFlag = False, price: PriceOption = None, as_json: output.JsonFlag = False
) -> None:
    """Every rater, unless a command of its own follows."""
    if context.invoked_subcommand is None:
        found = measure(output.home(), people=people, prices=price or [])
        output.emit(found.to_dict(), as_json=as_json, say=lambda _: say_raters(found))


@raters_app.command("show")
def show_command(
    name: Annotated[str, typer.Argument(help="As `saring raters` gives it.")],
    people: PeopleFlag = False,
    price: PriceOption = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Show one rater label by label: sensitivity and specificity, each with its interval.

    Example: saring raters show gpt-oss
    """
    found = measure(output.home(), people=people, prices=price or [])
    chosen = [one for one in found.raters if one.name == name]
    if not chosen:
        known = ", ".join(sorted({one.name for one in found.raters})) or "none yet"
        raise UsageError(f"no rater is called {name!r}; the raters are {known}")
    shown = replace(found, raters=chosen)
    output.emit(shown.to_dict(), as_json=as_json, say=lambda _: say_labels(shown))


@raters_app.command("fit")
def fit_command(
    method: Annotated[
        Choice | None, typer.Option(help="How words are combined. Default: that of the settings, `auto` unless set.")
    ] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Fit how the words of several machines are combined, and put it in force. `saring train` does so by itself.

    The methods are compared on gold, and Dawid and Skene's model is taken only if it is measurably better.

    Example: saring raters fit --method majority
    """
    ctx = output.home()
    with output.progress_bar() as progress:
        done = fit_consensus(
            ctx.engine,
            ctx.taxonomy,
            choice=method or ctx.settings.consensus,
            seed=ctx.settings.seed,
            progress=progress,
        )
    output.emit(done.to_dict(), as_json=as_json, say=lambda _: say_fit(done))


def measure(ctx: Context, *, people: bool, prices: Sequence[str]) -> RaterReport:
    """Every rater of this home's store."""
    given = dict(map(_price, prices))
    with output.progress_bar() as progress, open_session(ctx.engine) as session:
        found = rater_report(
            session,
            ctx.taxonomy,
            people=people,
            prices=given,
            spending=spending(session),
            seed=ctx.settings.seed,
            progress=progress,
        )
    unknown = given.keys() - {one.name for one in found.raters}
    if unknown:
        raise UsageError(f"--price {min(unknown)}=...: nobody of that name has judged anything; see `saring raters`")
    return found


def _price(given: str) -> tuple[str, float]:
    found = re.fullmatch(r"(.+)=(\d+(?:\.\d+)?)", given)
    if found is None:
        raise UsageError(f"--price {given!r} cannot be used: write NAME=COST, for example gpt-oss=0.40")
    return found[1], float(found[2])


def say_raters(report: RaterReport) -> None:
    """Print the table for a person."""
    out = output.out(least_width=100)
    if not report.raters:
        out.print("nobody has judged anything yet: run `saring judge` or `saring import`")
        return
    table = Table(box=None)
    table.add_column("rater", overflow="fold")
    for column in ("texts", "gold", "sens.", "spec.", "agrees", "cost/1000"):
        table.add_column(column, justify="right", no_wrap=True)
    for one in report.raters:
        table.add_row(escape(_name(one)), *_cells(one))
    out.print(table)
    for one in report.raters:
        out.print(f"{_name(one)}: {_words(one)}", markup=False, soft_wrap=True)
    _say_method(report)


def say_labels(report: RaterReport) -> None:
    """Print raters label by label."""
    out = output.out(least_width=100)
    for one in report.raters:
        table = Table(box=None, title=f"\n{escape(_name(one))}: {one.judged:,} texts", title_justify="left")
        table.add_column("label")
        for column in ("with it", "sensitivity", "without", "specificity"):
            table.add_column(column, justify="right", no_wrap=True)
        for label, skill in one.labels.items():
            table.add_row(
                label,
                f"{skill.positives:,}",
                _share(skill.sensitivity),
                f"{skill.negatives:,}",
                _share(skill.specificity),
            )
        out.print(table)
        for words in filter(None, (_words(one), _spent(one))):
            out.print(words, markup=False, soft_wrap=True)
    _say_method(report)


def say_fit(done: Fit) -> None:
    """Print what was put in force."""
    out = output.out(least_width=100)
    out.print(f"in force: {done.consensus.method}, {done.consensus.version}: {done.why}", markup=False, soft_wrap=True)
    for family in sorted(set(done.consensus.families.values())):
        out.print(f"one voice together: {family}", markup=False, soft_wrap=True)
    table = Table(box=None)
    table.add_column("label")
    for column in ("prevalence", "majority F1", "D-S F1", "difference"):
        table.add_column(column, justify="right", no_wrap=True)
    reasons: dict[str, list[str]] = {}
    for label, fit in done.labels.items():
        if fit.model is None:
            reasons.setdefault(fit.fallback or "", []).append(label)
            continue
        pair = done.contest.f1.get(label) if done.contest is not None else None
        table.add_row(label, f"{fit.model.prevalence:.3f}", *_f1(pair))
    if table.rows:
        out.print(table)
    for reason, labels in reasons.items():
        out.print(f"by majority, for {reason}: {', '.join(labels)}", markup=False, soft_wrap=True)


def _f1(pair: Pair | None) -> list[str]:
    if pair is None:
        return ["-", "-", "-"]
    gap = pair.difference
    return [
        f"{pair.first.value:.3f}",
        f"{pair.second.value:.3f}",
        f"{gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]",
    ]


def _cells(one: RaterWorth) -> list[str]:
    price = one.spent.per_thousand if one.spent is not None else None
    return [
        f"{one.judged:,}",
        f"{one.gold:,}",
        *("-" if value is None else f"{value:.2f}" for value in (one.macro_sensitivity, one.macro_specificity)),
        "-" if one.agreement is None else f"{one.agreement.value:.0%}",
        # nobody said what it costs, or it costs nothing
        f"{price:.2f}" if price else "-",
    ]


def _words(one: RaterWorth) -> str:
    return one.words + (f"; errs together with {', '.join(one.together)}" if one.together else "")


def _spent(one: RaterWorth) -> str:
    tokens, cost = (one.spent.tokens, one.spent.cost) if one.spent is not None else (None, None)
    parts = [f"{tokens:,} tokens"] if tokens is not None else []
    parts += [f"{cost:,.2f} in all"] if cost else []
    return f"it took {' and '.join(parts)}" if parts else ""


def _name(one: RaterWorth) -> str:
    return f"{one.kind} {one.name}" + (f" ({one.version})" if one.version else "")


def _share(estimate: Estimate | None) -> str:
    return "-" if estimate is None else f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def _say_method(report: RaterReport) -> None:
    said = f"{report.method} ({report.consensus}): {report.why}"
    if report.consensus is None:
        said = "none was fitted yet, so machines must agree; these figures are what a majority would give"
    output.out(least_width=100).print(
        f"{report.gold:,} of {report.texts:,} texts have gold ({report.gold_by}); consensus: {said}",
        markup=False,
        soft_wrap=True,
    )
