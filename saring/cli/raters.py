"""The commands of raters: list them, measure their quality and worth, and fit how their judgements are combined."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.errors import UsageError
from pipeline.ledger.consensus.compare import Pair
from pipeline.ledger.consensus.fit import Choice, Fit, fit_consensus
from pipeline.llm.cache import spending
from pipeline.measure.intervals import Estimate
from pipeline.plural import counted
from pipeline.raters.report import RaterReport, rater_report
from pipeline.raters.worth import RaterWorth
from pipeline.store.session import open_session
from saring.cli import output
from saring.cli.lazy import LazyGroup
from saring.context import Context


class _Raters(LazyGroup):
    """The command that asks a language model needs its client, which takes a while to import."""

    later = MappingProxyType({"improve": "saring.cli.raters_improve:improve_command"})


raters_app = typer.Typer(
    cls=_Raters,
    add_completion=False,
    help="""Show each rater: how many texts it judged, how well, and whether it is worth its price.

    Gold is the judgements of people. While there are too few, judgements of data sets count as gold too. Texts of the
    frozen test set never count. The worth of a rater is what the consensus loses without it.

    Example: saring raters --price gpt-oss=0.40
    """,
    invoke_without_command=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
PeopleFlag = Annotated[
    bool, typer.Option("--people", help="Show people too, by the number of their account; see `saring sync quality`.")
]
PriceOption = Annotated[
    list[str] | None,
    typer.Option("--price", metavar="NAME=COST", help="Cost of 1,000 texts for a rater. May be repeated."),
]


@raters_app.callback()
def list_command(
    context: typer.Context, people: PeopleFlag = False, price: PriceOption = None, as_json: output.JsonFlag = False
) -> None:
    """Show every rater, unless a subcommand follows."""
    if context.invoked_subcommand is None:
        report = measure(output.home(), people=people, prices=price or [])
        output.emit(report.to_dict(), as_json=as_json, say=lambda _: say_raters(report))


@raters_app.command("show")
def show_command(
    name: Annotated[str, typer.Argument(help="The rater's name, from `saring raters`.")],
    people: PeopleFlag = False,
    price: PriceOption = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Show a rater's sensitivity and specificity for each label, with intervals.

    Example: saring raters show gpt-oss
    """
    report = measure(output.home(), people=people, prices=price or [])
    chosen = [rater for rater in report.raters if rater.name == name]
    if not chosen:
        known = ", ".join(sorted({rater.name for rater in report.raters})) or "none yet"
        raise UsageError(f"no rater is called {name!r}; the raters are {known}")
    shown = replace(report, raters=chosen)
    output.emit(shown.to_dict(), as_json=as_json, say=lambda _: say_labels(shown))


@raters_app.command("fit")
def fit_command(
    method: Annotated[
        Choice | None,
        typer.Option(help="The way to combine judgements. Default: SARING_CONSENSUS, else auto."),
    ] = None,
    as_json: output.JsonFlag = False,
) -> None:
    """Fit the consensus: how the judgements of several machines are combined. `saring train` does this too.

    The methods are compared on gold. The Dawid-Skene model is used only if it is measurably better than a majority.

    Example: saring raters fit --method majority
    """
    ctx = output.home()
    with output.progress_bar() as progress:
        fit = fit_consensus(
            ctx.engine,
            ctx.taxonomy,
            choice=method or ctx.settings.consensus,
            seed=ctx.settings.seed,
            progress=progress,
        )
    output.emit(fit.to_dict(), as_json=as_json, say=lambda _: say_fit(fit))


def measure(ctx: Context, *, people: bool, prices: Sequence[str]) -> RaterReport:
    """The report on every rater of this home's store.

    Raises:
        UsageError: a price is not NAME=COST, or its rater has not judged.
    """
    costs = dict(map(_price, prices))
    with output.progress_bar() as progress, open_session(ctx.engine) as session:
        report = rater_report(
            session,
            ctx.taxonomy,
            people=people,
            prices=costs,
            spending=spending(session),
            seed=ctx.settings.seed,
            progress=progress,
        )
    unknown = costs.keys() - {rater.name for rater in report.raters}
    if unknown:
        raise UsageError(f"--price {min(unknown)}=...: no rater of this name has judged a text; see `saring raters`")
    return report


def _price(value: str) -> tuple[str, float]:
    match = re.fullmatch(r"(.+)=(\d+(?:\.\d+)?)", value)
    if match is None:
        raise UsageError(f"--price {value!r} cannot be read: write NAME=COST, for example gpt-oss=0.40")
    return match[1], float(match[2])


def say_raters(report: RaterReport) -> None:
    """Print the table of raters for a person."""
    out = output.out(least_width=100)
    if not report.raters:
        out.print("There are no judgements yet: run `saring judge` or `saring import`.")
        return
    table = Table(box=None)
    table.add_column("rater", overflow="fold")
    for column in ("texts", "gold", "sensitivity", "specificity", "agrees", "cost/1000"):
        table.add_column(column, justify="right", no_wrap=True)
    for rater in report.raters:
        table.add_row(escape(_name(rater)), *_cells(rater))
    out.print(table)
    for rater in report.raters:
        out.print(f"{_name(rater)}: {_worth(rater)}", markup=False, soft_wrap=True)
    _say_method(report)


def say_labels(report: RaterReport) -> None:
    """Print the figures of each rater, label by label."""
    out = output.out(least_width=100)
    for rater in report.raters:
        title = f"\n{escape(_name(rater))}: {counted(rater.judged, 'text')}"
        table = Table(box=None, title=title, title_justify="left")
        table.add_column("label")
        for column in ("with label", "sensitivity", "without", "specificity"):
            table.add_column(column, justify="right", no_wrap=True)
        for label, skill in rater.labels.items():
            table.add_row(
                label,
                f"{skill.positives:,}",
                _share(skill.sensitivity),
                f"{skill.negatives:,}",
                _share(skill.specificity),
            )
        out.print(table)
        for line in filter(None, (_worth(rater), _spent(rater))):
            out.print(line, markup=False, soft_wrap=True)
    _say_method(report)


def say_fit(fit: Fit) -> None:
    """Print the consensus that is used from now on."""
    out = output.out(least_width=100)
    consensus = fit.consensus
    out.print(f"used from now on: {consensus.method}, {consensus.version}: {fit.why}", markup=False, soft_wrap=True)
    for family in sorted(set(consensus.families.values())):
        out.print(f"counted as one rater: {family}", markup=False, soft_wrap=True)
    table = Table(box=None)
    table.add_column("label")
    for column in ("prevalence", "majority F1", "D-S F1", "difference"):
        table.add_column(column, justify="right", no_wrap=True)
    reasons: dict[str, list[str]] = {}
    for label, label_fit in fit.labels.items():
        if label_fit.model is None:
            reasons.setdefault(label_fit.fallback or "", []).append(label)
            continue
        pair = fit.contest.f1.get(label) if fit.contest is not None else None
        table.add_row(label, f"{label_fit.model.prevalence:.3f}", *_f1(pair))
    if table.rows:
        out.print(table)
    for reason, labels in reasons.items():
        out.print(f"by majority ({reason}): {', '.join(labels)}", markup=False, soft_wrap=True)


def _f1(pair: Pair | None) -> list[str]:
    if pair is None:
        return ["-", "-", "-"]
    gap = pair.difference
    return [
        f"{pair.first.value:.3f}",
        f"{pair.second.value:.3f}",
        f"{gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]",
    ]


def _cells(rater: RaterWorth) -> list[str]:
    price = rater.spent.per_thousand if rater.spent is not None else None
    return [
        f"{rater.judged:,}",
        f"{rater.gold:,}",
        *("-" if value is None else f"{value:.2f}" for value in (rater.macro_sensitivity, rater.macro_specificity)),
        "-" if rater.agreement is None else f"{rater.agreement.value:.0%}",
        # The cost is unknown, or nothing.
        f"{price:.2f}" if price else "-",
    ]


def _worth(rater: RaterWorth) -> str:
    return rater.words + (f"; makes the same mistakes as {', '.join(rater.together)}" if rater.together else "")


def _spent(rater: RaterWorth) -> str:
    tokens, cost = (rater.spent.tokens, rater.spent.cost) if rater.spent is not None else (None, None)
    parts = [counted(tokens, "token")] if tokens is not None else []
    parts += [f"cost {cost:,.2f}"] if cost else []
    return f"used so far: {', '.join(parts)}" if parts else ""


def _name(rater: RaterWorth) -> str:
    return f"{rater.kind} {rater.name}" + (f" ({rater.version})" if rater.version else "")


def _share(estimate: Estimate | None) -> str:
    return "-" if estimate is None else f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def _say_method(report: RaterReport) -> None:
    consensus = f"Consensus: {report.method} ({report.consensus}): {report.why}"
    if report.consensus is None:
        consensus = "No consensus model yet; the figures above use a majority vote."
    output.out(least_width=100).print(
        f"Gold: {report.gold:,} of {counted(report.texts, 'text')} ({report.gold_by}). {consensus}",
        markup=False,
        soft_wrap=True,
    )
