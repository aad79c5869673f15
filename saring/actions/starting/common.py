"""Fields that several stages have, and the choices that a home offers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from pipeline import store
from pipeline.store.tables.human_loop import ProjectState
from saring.actions.starting.forms import Choice, Field, Form, Kind, Values
from saring.context import Context

#: a stage's name with its parameters
Start = tuple[str, Any]
_MOST_TEXTS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Startable:
    """A stage that can be started from a form."""

    name: str
    #: gives the form, with the choices of a home
    form: Callable[[Context], Form]
    #: makes the parameters of one or more runs from the form's values
    starts: Callable[[Context, Values], Sequence[Start]]
    #: queue whose workers cut the work: `io` where that is quick, because `cpu` may be busy for hours
    queue: str = "io"


def limit_field(what: str = "texts") -> Field:
    """The field of a limit."""
    return Field(
        "limit",
        "whole",
        f"At most so many {what}",
        "A random sample of this size, the same for every stage. Leave it empty for all.",
        least=1,
        most=_MOST_TEXTS,
    )


def rare_number(name: str, kind: Kind, title: str, meaning: str, default: float, *, least: float, most: float) -> Field:
    """The field of a number that few people change; it cannot be left empty."""
    return Field(name, kind, title, meaning, default, least=least, most=most, needed=True, rare=True)


MOST_TOKENS = Field(
    "most_tokens",
    "whole",
    "Most tokens",
    "The run stops before a language model uses more. Leave it empty for no limit.",
    least=1,
    most=10**15,
    rare=True,
)
MOST_COST = Field(
    "most_cost",
    "number",
    "Most cost",
    "The run stops before it costs more, in the currency of the price in raters.yaml. Leave it empty for no limit.",
    least=0,
    most=1_000_000_000,
    rare=True,
)
SEED = Field(
    "seed",
    "whole",
    "Seed",
    "The start of all random choices. Leave it empty for the one of the settings.",
    least=0,
    most=2**31 - 1,
    rare=True,
)


def label_choices(home: Context, *, name: str = "en") -> list[Choice]:
    """The labels of the taxonomy."""
    return [Choice(key, str(getattr(home.taxonomy[key].name, name))) for key in home.taxonomy.keys]


def source_choices(home: Context) -> list[Choice]:
    """The sources of the store."""
    with home.begin() as session:
        names = session.scalars(select(store.Source.name).order_by(store.Source.name)).all()
    return [Choice(name, name) for name in names]


def project_field(home: Context) -> tuple[Field, int]:
    """The field of the Label Studio project, and the number of open projects."""
    p = store.Project
    with home.begin() as session:
        rows = session.execute(
            select(p.label_studio_id, p.title, p.volunteer).where(p.state == ProjectState.OPEN).order_by(p.id)
        ).all()
    choices = [
        Choice(str(number), f"{number} {title}" + (f" (account {volunteer})" if volunteer else ""))
        for number, title, volunteer in rows
    ]
    field = Field(
        "project", "choice", "Project", "Leave it empty for all open projects.", choices=choices, rare=len(choices) < 2
    )
    return field, len(choices)


def as_number(value: Any) -> int | None:
    """The number of a choice; None: none was chosen."""
    return None if value is None else int(value)
