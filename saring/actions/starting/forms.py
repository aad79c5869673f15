"""Forms: typed fields with bounds and choices, and one function that reads what was typed. Pure.

Messages are sentences with places for values, such as "give %(least)s or more", so that a page can translate them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.errors import UsageError

#: `several`: any number of the choices; `words`: a short text
Kind = Literal["whole", "number", "choice", "several", "switch", "words"]
#: values of a form by field: numbers, texts, booleans, lists of texts; None: nothing was typed
Values = dict[str, Any]

_LONGEST = 300
_TRUE = ("1", "on", "true", "yes")


@dataclass(frozen=True, slots=True)
class Choice:
    """One value that a field can have."""

    value: str
    #: the words that a person sees
    title: str


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form."""

    name: str
    kind: Kind
    title: str
    help: str = ""
    default: Any = None
    choices: Sequence[Choice] = ()
    #: bounds of a number, which both belong to it
    least: float | None = None
    most: float | None = None
    #: True: it cannot be left empty
    needed: bool = False
    #: True: few people need it; a page may fold it away
    rare: bool = False

    @property
    def values(self) -> tuple[str, ...]:
        """The values of its choices."""
        return tuple(choice.value for choice in self.choices)


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a stage."""

    stage: str
    title: str
    what: str
    fields: Sequence[Field] = ()
    #: the reason why nothing can be started now, in a sentence with places for values; None: it can
    closed: str | None = None
    closed_values: Mapping[str, object] = field(default_factory=dict)

    @property
    def why_closed(self) -> str | None:
        """The reason why nothing can be started now, in English."""
        return None if self.closed is None else self.closed % self.closed_values


@dataclass(frozen=True, slots=True)
class Problem:
    """A value that cannot be used."""

    field: str
    #: sentence with places such as %(least)s
    message: str
    values: Mapping[str, object] = dataclasses.field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """The message in English."""
        return self.message % self.values


class FormError(UsageError):
    """The form has values that cannot be used."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("; ".join(f"{problem.field}: {problem.sentence}" for problem in self.problems))


#: every sentence that `read_form` may say
NOT_WHOLE = "give a whole number, such as 500"
NOT_NUMBER = "give a number, such as 0.95"
TOO_SMALL = "give %(least)s or more"
TOO_LARGE = "give %(most)s or less"
NOT_A_CHOICE = "choose one of the list"
NEEDED = "fill this in"
TOO_LONG = "give %(most)s characters or fewer"
UNSEEN = "leave out characters that cannot be seen"
NO_SUCH_FIELD = "there is no such field"
MESSAGES = (NOT_WHOLE, NOT_NUMBER, TOO_SMALL, TOO_LARGE, NOT_A_CHOICE, NEEDED, TOO_LONG, UNSEEN, NO_SUCH_FIELD)


def read_form(form: Form, given: Mapping[str, Any]) -> Values:
    """The typed values of all fields of a form.

    Args:
        form: the form.
        given: what was typed, by field: texts, lists of texts, or values that have their type already. A field that is
            missing has its default; an empty one is empty. A missing switch is off, and a missing list is empty,
            if the form was posted by a browser, which leaves both out: give them as "" and [] for that.

    Raises:
        FormError: a value cannot be used, with all problems.
    """
    problems: list[Problem] = []
    values: Values = {}
    known = {each.name for each in form.fields}
    problems += [Problem(name, NO_SUCH_FIELD) for name in given if name not in known]
    for each in form.fields:
        try:
            values[each.name] = _read(each, given[each.name]) if each.name in given else each.default
            if each.needed and values[each.name] in (None, "", []):
                problems.append(Problem(each.name, NEEDED))
        except _Bad as bad:
            problems.append(Problem(each.name, bad.message, bad.values))
    if problems:
        raise FormError(problems)
    return values


def as_posted(form: Form, posted: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The posted values of a browser, with the switches and lists that it leaves out when nothing is ticked.

    Args:
        form: the form.
        posted: every value of each field; other names, such as those of hidden fields, are left out.
    """
    given: dict[str, Any] = {}
    for each in form.fields:
        texts = list(posted.get(each.name, ()))
        if each.kind == "several":
            given[each.name] = texts
        elif texts or each.kind == "switch":
            given[each.name] = texts[-1] if texts else ""
    return given


def shown(form: Form, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values to put into the fields of a form: those that are given, and the defaults of the others."""
    return {each.name: values.get(each.name, each.default) for each in form.fields}


class _Bad(Exception):
    def __init__(self, message: str, **values: object) -> None:
        super().__init__(message)
        self.message, self.values = message, values


def _read(each: Field, given: Any) -> Any:
    if each.kind == "switch":
        return given if isinstance(given, bool) else str(given).strip().lower() in _TRUE
    if each.kind == "several":
        texts = [given] if isinstance(given, str) else [str(item) for item in given or ()]
        texts = [text for text in texts if text]
        if any(text not in each.values for text in texts):
            raise _Bad(NOT_A_CHOICE)
        return list(dict.fromkeys(texts))
    text = "" if given is None else str(given).strip()
    if not text:
        return None
    if each.kind in ("whole", "number"):
        return _number(each, text)
    if each.kind == "choice":
        if text not in each.values:
            raise _Bad(NOT_A_CHOICE)
        return text
    if len(text) > _LONGEST:
        raise _Bad(TOO_LONG, most=_LONGEST)
    if not text.isprintable():
        raise _Bad(UNSEEN)
    return text


def _number(each: Field, text: str) -> int | float:
    plain = text.replace(" ", "").replace("\N{NO-BREAK SPACE}", "")
    value: int | float
    try:
        # A comma separates thousands in English and Malay: 5,000.
        value = int(plain.replace(",", "")) if each.kind == "whole" else float(plain)
    except ValueError:
        raise _Bad(NOT_WHOLE if each.kind == "whole" else NOT_NUMBER) from None
    if not math.isfinite(value):
        raise _Bad(NOT_NUMBER)
    if each.least is not None and value < each.least:
        raise _Bad(TOO_SMALL, least=f"{each.least:,g}" if each.least < 1e6 else f"{each.least:,.0f}")
    if each.most is not None and value > each.most:
        raise _Bad(TOO_LARGE, most=f"{each.most:,g}" if each.most < 1e6 else f"{each.most:,.0f}")
    return value
