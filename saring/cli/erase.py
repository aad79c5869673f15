"""`saring erase`: erase the words of texts on request."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.errors import UsageError
from pipeline.plural import counted
from saring.actions.erasing import ErasePlan, Erasure, erase_texts, plan_erasure
from saring.cli import output


def erase_command(
    texts: Annotated[list[str], typer.Argument(metavar="TEXT_ID...", help="Ids of texts, as `saring search` shows.")],
    why: Annotated[str, typer.Option(help="The reason, which is kept; without personal data.")],
    with_near_duplicates: Annotated[
        bool, typer.Option("--with-near-duplicates", help="Erase texts with almost the same words too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")] = False,
    as_json: output.JsonFlag = False,
) -> None:
    """Erase the words of texts permanently, for a person who asks for it: here, in snapshots and in Label Studio.

    The labels that were given stay in the ledger, under an id that tells nobody the words. The texts go out of scope,
    and a file that has them is read without them. Backups, exported data sets and files that you imported are not
    touched, and a model that learnt from them stays as it is: train again.

    Example: saring erase 0f9c2a4e-7d1b-4a53-9c0e-2b6f1d3e8a77 --why "request of 1 December"
    """
    home = output.home()
    plan = plan_erasure(home, texts, with_near_duplicates=with_near_duplicates)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("nobody can be asked whether to erase the texts: add --yes")
        output.note("\n".join(_planned(plan)))
        # On standard error, so that standard output holds the result alone.
        typer.confirm("Erase permanently?", abort=True, err=True)
    with output.progress_bar() as progress:
        erased = erase_texts(home, plan, why=why, progress=progress)
    output.emit(asdict(erased), as_json=as_json, say=lambda _: _say(erased))


def _planned(plan: ErasePlan) -> list[str]:
    before = f"; {plan.erased:,} erased before" if plan.erased else ""
    return [
        f"{counted(len(plan.texts), 'text')} to erase{before}; {counted(plan.tasks, 'task')} in Label Studio to remove",
        *_stay(plan.near_duplicates),
    ]


def _stay(near_duplicates: Sequence[str]) -> list[str]:
    if not near_duplicates:
        return []
    stay = "stays" if len(near_duplicates) == 1 else "stay"
    return [
        f"{counted(len(near_duplicates), 'near-duplicate')} with almost the same words {stay}, unless you add "
        f"--with-near-duplicates: {', '.join(near_duplicates)}"
    ]


def _say(erased: Erasure) -> None:
    lines = [
        f"{counted(erased.texts, 'text')} erased in run {erased.run_id}, with "
        f"{counted(erased.explanations, 'explanation')}, {counted(erased.comments, 'comment')} and "
        f"{counted(erased.replies, 'reply', 'replies')} of language models",
        f"{counted(erased.tasks, 'task')} removed from Label Studio",
        *_stay(erased.near_duplicates),
    ]
    if erased.tasks_left:
        lines.append(
            f"{counted(erased.tasks_left, 'task')} in projects that this Label Studio does not have: remove them there"
        )
    if erased.models:
        lines.append(f"{', '.join(erased.models)} learnt from them: run `saring train`, and use the new model")
    if erased.pages:
        where = ", ".join(erased.pages)
        lines.append(f"these files quote them still or cannot be read, so make them again or remove them: {where}")
    lines.append("Not touched: backups, exported data sets, files that you imported.")
    for line in lines:
        output.out().print(line, markup=False, soft_wrap=True)
