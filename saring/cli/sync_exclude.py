"""`saring sync exclude` and `saring sync include`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from saring.cli import output
from sync.quality.exclusion import Exclusion, exclude, include

Volunteer = Annotated[str, typer.Argument(metavar="NUMBER", help="The volunteer's number in `saring sync quality`.")]


def exclude_command(
    volunteer: Volunteer,
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    as_json: output.JsonFlag = False,
) -> None:
    """Leave what a volunteer said, and will say, out of what is believed and learnt.

    The ledger keeps it, and `saring sync include` takes it in again. Tasks that only they did go to somebody else with
    the next `saring sync pull`.

    Example: saring sync exclude 7 --reason "answers in a second; spoke with them"
    """
    done = exclude(output.home().engine, _number(volunteer), why=reason, now=datetime.now(UTC))
    output.emit(asdict(done), as_json=as_json, say=lambda _: _say(done))


def include_command(volunteer: Volunteer, as_json: output.JsonFlag = False) -> None:
    """Take in again what an excluded volunteer said, and will say.

    Example: saring sync include 7
    """
    done = include(output.home().engine, _number(volunteer))
    output.emit(asdict(done), as_json=as_json, say=lambda _: _say(done))


def _number(volunteer: str) -> str:
    return volunteer.removeprefix("#")


def _say(done: Exclusion) -> None:
    what = "left out" if done.excluded else "counts"
    already = "" if done.changed else ", as before"
    line = f"what volunteer #{done.rater} said on {done.texts:,} texts {what}{already}"
    output.out().print(line, markup=False)
    if done.changed:
        output.out().print("`saring train` learns from what is believed now", markup=False)
