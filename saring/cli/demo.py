"""`saring demo`: the whole loop on the demo corpus, and its results."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from pipeline.errors import UsageError
from pipeline.measure.shown import bracketed
from pipeline.plural import counted
from pipeline.settings import home_folder, load_settings
from saring.cli import output
from saring.cli.demo_words import goodbye, start_of
from saring.cli.run import say_stages
from saring.cli.sync_quality import say_quality
from saring.demo.loop import LoopResult, run_loop
from saring.demo.show import DemoResult, demo_settings, run_demo
from saring.home import Home
from saring.services import stop_services


def demo_command(
    home: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the demo. Default: the folder `demo` in the home.")
    ] = None,
    people: Annotated[
        bool, typer.Option("--people/--no-people", help="Include the part with simulated volunteers.")
    ] = True,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running, so that you can look at it.")] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Run the whole loop on the demo corpus, with simulated volunteers in a real Label Studio.

    First the machines: duplicates, near-duplicates, other languages, broken rows and wrong labels are planted in the
    input, and the demo counts how many of them each stage catches. Then the people: a queue is drawn and pushed to
    Label Studio, five simulated volunteers annotate over its HTTP interface, their annotations are pulled, and a new
    model is trained and measured. Your own store is not changed, and your own settings and taxonomy are not used. The
    first time, Label Studio is installed, which
    takes some minutes and 1 GB.

    Example: saring demo --keep
    """
    settings = demo_settings(home or home_folder() / "demo", _installed_label_studio())
    ctx = Home(settings=settings)
    loop: LoopResult | None = None
    try:
        with output.progress_bar() as progress:
            result = run_demo(settings, progress)
            if people:
                loop = run_loop(ctx, result.planted, progress=progress)
                ctx.close()
    finally:
        if not keep:
            stop_services(ctx.settings)
    shown = {name: value for name, value in asdict(result).items() if name != "planted"}
    shown |= {"loop": asdict(loop) if loop is not None else None, "kept": keep}
    output.emit(shown, as_json=as_json, say=lambda _: _say(result, loop, keep, settings.label_studio_env))


def _installed_label_studio() -> Path | None:
    """The folder of Label Studio's environment that is in force; None: the default one, also if settings are wrong."""
    try:
        return load_settings().label_studio_env
    except UsageError:
        return None


def _say(result: DemoResult, loop: LoopResult | None, keep: bool, label_studio_env: Path | None) -> None:
    start = start_of(result.paths["home"], os.environ, label_studio_env)
    _say_machines(result, start)
    if loop is not None:
        _say_loop(loop)
    _say_paths(result.paths)
    _say_goodbye(start, loop, keep)


def _say_machines(result: DemoResult, start: str) -> None:
    out = output.out(least_width=130)
    # A command that a stage advises is for the demo's home too.
    say_stages([replace(stage, aside=stage.aside.replace(": saring ", f": {start} ")) for stage in result.stages])
    table = Table(box=None, title="\nplanted problems, and how many were caught", title_justify="left")
    table.add_column("planted")
    table.add_column("count", justify="right")
    table.add_column("caught", justify="right")
    table.add_column("by")
    for row in result.caught:
        table.add_row(row.planted, f"{row.total:,}", f"{row.caught:,} ({row.caught / max(1, row.total):.0%})", row.by)
    out.print(table)
    filters = result.filters
    out.print(
        f"\nThe filters rejected {filters['right_demoted']:,} of {filters['right']:,} right labels "
        f"({filters['right_demoted'] / max(1, filters['right']):.1%}). "
        f"Share of wrong labels: {filters['wrong_before']:.1%} before the filters, {filters['wrong_after']:.1%} after."
    )


def _say_loop(loop: LoopResult) -> None:
    out = output.out(least_width=130)
    out.print("\nvolunteers, over Label Studio's own HTTP interface", style="italic")
    lines = [
        f"queue: {loop.queued['drawn']:,} of {loop.queued['eligible']:,} texts drawn "
        f"({', '.join(f'{count} {name}' for name, count in loop.queued['by_strategy'].items())})",
        f"pushed: {counted(loop.pushed['sent'], 'task')}, {loop.pushed['blind']:,} of them without ticks (blind); "
        f"{loop.pushed['harsh']:,} harsh",
        f"annotated: {loop.annotated:,}; pulled: {loop.home:,}, {loop.home_by_webhook:,} of them by webhooks; "
        f"repaired after a full comparison: {loop.repaired:,}",
        f"excluded as careless: {', '.join(_named(loop)[user] for user in loop.excluded) or 'nobody'}",
        f"tasks sent to another volunteer, because of disagreement or an excluded rater: {loop.reviews:,}",
    ]
    for line in lines:
        out.print(f"  {line}", markup=False, soft_wrap=True)
    say_quality(loop.quality, _named(loop))
    planted = ", ".join(volunteer["name"] for volunteer in loop.volunteers if volunteer["careless"])
    out.print(f"planted as careless: {planted}", markup=False)
    _say_before_and_after(loop)


def _named(loop: LoopResult) -> dict[str, str]:
    return {str(volunteer["user"]): volunteer["name"] for volunteer in loop.volunteers}


def _say_before_and_after(loop: LoopResult) -> None:
    out = output.out(least_width=130)
    tiers = sorted(set(loop.tiers_before) | set(loop.tiers_after))
    table = Table(box=None, title="\nbefore and after", title_justify="left")
    for column in ("", "before", "after"):
        table.add_column(column)
    for tier in tiers:
        table.add_row(f"texts {tier}", f"{loop.tiers_before.get(tier, 0):,}", f"{loop.tiers_after.get(tier, 0):,}")
    both = (loop.before, loop.after)
    macro = (bracketed(metrics["macro_average_precision"]) if metrics else "-" for metrics in both)
    table.add_row("macro average precision", *macro)
    for label in sorted(set().union(*(metrics.get("labels", {}) for metrics in both))):
        cells = (metrics.get("labels", {}).get(label) for metrics in both)
        table.add_row(f"  {label}", *(bracketed(cell["average_precision"]) if cell else "-" for cell in cells))
    out.print(table)
    texts = loop.after.get("texts") or loop.before.get("texts") or 0
    out.print(
        f"average precision with its interval, on {counted(texts, 'test text')} that no model was trained on; "
        f"{loop.verdict}",
        markup=False,
        soft_wrap=True,
    )


def _say_goodbye(start: str, loop: LoopResult | None, keep: bool) -> None:
    out = output.out()
    out.print()
    for line in goodbye(start, loop, keep=keep):
        out.print(line, markup=False, soft_wrap=True)


def _say_paths(paths: dict[str, Any]) -> None:
    out = output.out()
    out.print()
    for name, path in paths.items():
        out.print(f"{name}: {path}", markup=False, soft_wrap=True)
