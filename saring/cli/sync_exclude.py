"""`saring sync exclude` and `saring sync include`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.plural import counted
from saring.actions.annotators import exclude, include
from saring.cli import output
from sync.quality.exclusion import Exclusion

Volunteer = Annotated[str, typer.Argument(metavar="NUMBER", help="The volunteer's number in `saring sync quality`.")]


def exclude_command(
    volunteer: Volunteer,
    reason: Annotated[str, typer.Option(help="The reason, which is stored.")],
    as_json: output.JsonFlag = False,
) -> None:
    """Exclude a volunteer: their past and future judgements are not used.

    The ledger keeps the judgements, and `saring sync include` uses them again. Tasks that nobody else has annotated go
    to another volunteer with the next `saring sync pull`.

    Example: saring sync exclude 7 --reason "answers in a second; spoke with them"
    """
    exclusion = exclude(output.home(), _number(volunteer), reason=reason)
    output.emit(asdict(exclusion), as_json=as_json, say=lambda _: _say(exclusion))


def include_command(
    volunteer: Volunteer,
    reason: Annotated[str, typer.Option(help="The reason, which is stored.")] = "",
    as_json: output.JsonFlag = False,
) -> None:
    """Use the judgements of an excluded volunteer again, past and future.

    Example: saring sync include 7
    """
    exclusion = include(output.home(), _number(volunteer), reason=reason)
    output.emit(asdict(exclusion), as_json=as_json, say=lambda _: _say(exclusion))


def _number(volunteer: str) -> str:
    return volunteer.removeprefix("#")


def _say(exclusion: Exclusion) -> None:
    already = "" if exclusion.changed else "already "
    state = "excluded" if exclusion.excluded else "included"
    effect = "not used" if exclusion.excluded else "used"
    texts = counted(exclusion.texts, "text")
    line = f"Volunteer #{exclusion.rater} is {already}{state}; their judgements of {texts} are {effect}."
    output.out().print(line, markup=False, soft_wrap=True)
    if exclusion.changed:
        output.out().print("The next `saring train` takes this into account.", markup=False)
