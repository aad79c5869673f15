"""`saring demo`: the whole loop on the demo corpus, and what it came to."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from saring.cli import output
from saring.cli.run import say_stages
from saring.cli.sync_quality import say_quality
from saring.demo.loop import LoopResult, run_loop
from saring.demo.show import DemoResult, demo_settings, run_demo
from saring.home import Home
from saring.services import stop_services


def demo_command(
    home: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the demo lives. Default: a demo folder in the home.")
    ] = None,
    people: Annotated[bool, typer.Option("--people/--no-people", help="Whether volunteers take part.")] = True,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running, to look around.")] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Run the whole loop on the demo corpus, with simulated volunteers in a real Label Studio.

    First the machines: repeats, near-duplicates, other languages, broken rows and wrong labels are planted, so that
    what the stages catch can be counted. Then the people: a queue is drawn and pushed to Label Studio, five simulated
    volunteers annotate over its HTTP interface, their corrections come home, and a new model is trained and measured.
    Your own store is not touched. The first time, Label Studio is installed, which takes some minutes and 1 GB.

    Example: saring demo --keep
    """
    settings = output.home().settings
    ctx = Home(settings=demo_settings(settings, home or settings.home / "demo"))
    loop: LoopResult | None = None
    try:
        with output.progress_bar() as progress:
            result = run_demo(settings, ctx.settings.home, progress)
            if people:
                loop = run_loop(ctx, result.planted, progress=progress)
                ctx.close()
    finally:
        if not keep:
            stop_services(ctx.settings)
    shown = {name: value for name, value in asdict(result).items() if name != "planted"}
    shown |= {"loop": asdict(loop) if loop is not None else None, "kept": keep}
    output.emit(shown, as_json=as_json, say=lambda _: _say(result, loop, keep))


def _say(result: DemoResult, loop: LoopResult | None, keep: bool) -> None:
    _say_machines(result)
    if loop is not None:
        _say_loop(loop)
    _say_paths(result.paths)
    _say_goodbye(result.paths["home"], loop, keep)


def _say_machines(result: DemoResult) -> None:
    out = output.out(least_width=130)
    say_stages(result.stages)
    table = Table(box=None, title="\nwhat was planted, and what became of it", title_justify="left")
    table.add_column("planted")
    table.add_column("how many", justify="right")
    table.add_column("caught", justify="right")
    table.add_column("by")
    for row in result.caught:
        table.add_row(row.planted, f"{row.total:,}", f"{row.caught:,} ({row.caught / max(1, row.total):.0%})", row.by)
    out.print(table)
    wrong = result.filters
    out.print(
        f"\nOf {wrong['right']:,} right labels the filters demoted {wrong['right_demoted']:,} "
        f"({wrong['right_demoted'] / max(1, wrong['right']):.1%}); "
        f"labels wrong before the filters {wrong['wrong_before']:.1%}, after {wrong['wrong_after']:.1%}."
    )


def _say_loop(loop: LoopResult) -> None:
    out = output.out(least_width=130)
    out.print("\nthe people's side, over Label Studio's own HTTP interface", style="italic")
    lines = [
        f"queue: {loop.queued['drawn']:,} of {loop.queued['eligible']:,} texts drawn "
        f"({', '.join(f'{count} {name}' for name, count in loop.queued['by_strategy'].items())})",
        f"pushed: {loop.pushed['sent']:,} tasks, ticked ahead but for {loop.pushed['blind']:,} blind ones; "
        f"{loop.pushed['harsh']:,} harsh",
        f"annotated: {loop.annotated:,}; {loop.home_by_webhook:,} came home by webhooks, {loop.home:,} in all; "
        f"a full comparison found {loop.repaired:,} to repair",
        f"excluded as careless: {', '.join(_named(loop)[one] for one in loop.excluded) or 'nobody'}",
        f"tasks that went to another volunteer, for disagreement or an excluded rater: {loop.reviews:,}",
    ]
    for line in lines:
        out.print(f"  {line}", markup=False, soft_wrap=True)
    say_quality(loop.quality, _named(loop))
    planted = ", ".join(one["name"] for one in loop.volunteers if one["careless"])
    out.print(f"planted as careless: {planted}", markup=False)
    _say_before_and_after(loop)


def _named(loop: LoopResult) -> dict[str, str]:
    return {str(one["user"]): one["name"] for one in loop.volunteers}


def _say_before_and_after(loop: LoopResult) -> None:
    out = output.out(least_width=130)
    tiers = sorted(set(loop.tiers_before) | set(loop.tiers_after))
    table = Table(box=None, title="\nbefore and after", title_justify="left")
    for column in ("", "before", "after"):
        table.add_column(column)
    for tier in tiers:
        table.add_row(f"texts {tier}", f"{loop.tiers_before.get(tier, 0):,}", f"{loop.tiers_after.get(tier, 0):,}")
    found = (loop.before, loop.after)
    macro = (output.bracketed(one["macro_average_precision"]) if one else "-" for one in found)
    table.add_row("macro average precision", *macro)
    for label in sorted(set().union(*(one.get("labels", {}) for one in found))):
        cells = (one.get("labels", {}).get(label) for one in found)
        table.add_row(f"  {label}", *(output.bracketed(one["average_precision"]) if one else "-" for one in cells))
    out.print(table)
    texts = loop.after.get("texts") or loop.before.get("texts") or 0
    out.print(
        f"average precision with its interval, on the {texts:,} texts kept for testing, which nobody trained on; "
        f"{loop.verdict}",
        markup=False,
        soft_wrap=True,
    )


def _say_goodbye(home: Path, loop: LoopResult | None, keep: bool) -> None:
    out = output.out()
    start = f"SARING_HOME={home} saring"
    lines = []
    if loop is not None:
        if not keep:
            lines.append(f"Everything is stopped again. To look around: {start} up")
        lines += [
            f"Label Studio: {loop.url}, as {loop.email}; the password is in {loop.password_file}",
            f"Open {loop.project_url} and click *Label All Tasks*: labels are ticked already, and *Why these labels?* "
            "says why.",
            f"{start} sync quality      how the volunteers did",
            f"{start} sync why TASK     why a task shows what it shows",
        ]
    if keep or loop is None:
        lines.append(f"{start} down              stops what is running")
    out.print()
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)


def _say_paths(paths: dict[str, Any]) -> None:
    out = output.out()
    out.print()
    for what, path in paths.items():
        out.print(f"{what}: {path}", markup=False, soft_wrap=True)
