"""The values that one cell of a table spells: a list, a JSON object, a number, a truth value, or words."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from pipeline.texts.class_names import ClassName
from pipeline.texts.json_values import load_json

#: longest cell that is read as a list or an object, in characters
_LONGEST = 20_000
#: separators that are tried where none is given
SEPARATORS = (",", ";", "|", "\n", "/")
_WHOLE = re.compile(r"([+-]?\d+)\.0+")
#: a list as numpy prints it: no commas between the strings
_NO_COMMAS = re.compile(r"""(['"])\s+(?=['"])""")
#: fields of an object that is one label, likeliest first
_NAMING = ("choices", "labels", "label", "taxonomy", "value", "name", "id", "text")


class Spelled(NamedTuple):
    """A value that a cell spells."""

    value: str
    #: False: the cell says that the value is not so
    true: bool = True


def read_cell(given: Any, separator: str | None = None) -> list[Spelled]:
    """The values that a cell spells, in order; empty where it says nothing.

    Lists and objects may be written as JSON or as Python writes them. In an object, a key with a true value (true, 1)
    is a value, one with a false value (false, 0) is one that does not hold.

    Args:
        given: the cell, of any type.
        separator: what stands between the values of a string; None: a string is one value.
    """
    if isinstance(given, str) and not isinstance(given, ClassName):
        literal = _literal(given)
        if literal is not None:
            return read_cell(literal, separator)
        parts = [given] if separator is None else given.split(separator)
        return [Spelled(part.strip()) for part in parts if part.strip()]
    if isinstance(given, Mapping):
        return _of_object(given, separator)
    if isinstance(given, (list, tuple, set, frozenset)):
        items: Iterable[Any] = sorted(given, key=str) if isinstance(given, (set, frozenset)) else given
        return [spelled for item in items for spelled in read_cell(item, separator)]
    if given is None or (isinstance(given, float) and math.isnan(given)):
        return []
    return [Spelled(spelled_out(given))]


def labels_in(cell: Any, canonical: Callable[[str], str | None]) -> tuple[frozenset[str], frozenset[str]]:
    """The labels that a cell gives, and those that it says do not hold.

    Args:
        cell: the cell, of any type.
        canonical: the key of a label by any of its names; None: no label has it. Such a name is given as it is.
    """
    asserted, denied = set[str](), set[str]()
    for value, true in read_cell(cell):
        several = () if canonical(value) else parts_of(value)
        parts = next((parts for parts in several if parts and all(map(canonical, parts))), [value])
        (asserted if true else denied).update(canonical(part) or part for part in parts)
    return frozenset(asserted), frozenset(denied)


def spelled_out(value: Any) -> str:
    """One value as a string: whole numbers without a fraction, true and false in lower case."""
    if isinstance(value, ClassName):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def same_spelling(value: str) -> str:
    """The spelling under which numbers and truth values are compared: 1.0 is 1, and TRUE is true."""
    if (number := _WHOLE.fullmatch(value)) is not None:
        return str(int(number[1]))
    return lowered if (lowered := value.lower()) in ("true", "false") else value


def parts_of(value: str) -> Iterable[list[str]]:
    """The ways to take a string for several values, each by another separator."""
    for separator in SEPARATORS:
        if separator in value:
            parts = [part.strip() for part in value.split(separator)]
            yield [part for part in parts if part]


def _literal(text: str) -> Any:
    """The list or object that a string spells; None: it spells none."""
    text = text.strip()
    if len(text) > _LONGEST or text[:1] + text[-1:] not in ("[]", "{}", "()"):
        return None
    try:
        value = load_json(text)
    except orjson.JSONDecodeError:
        value = _python_literal(_NO_COMMAS.sub(r"\1, ", text) if text[0] == "[" else text)
    # In brackets, without a comma, Python sees one string.
    return value if isinstance(value, (list, tuple, set, dict)) else None


def _python_literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _of_object(given: Mapping[Any, Any], separator: str | None) -> list[Spelled]:
    if given and all(isinstance(value, (bool, int, float)) or value is None for value in given.values()):
        known = {str(key).strip(): value for key, value in given.items() if value in (True, False)}
        # A score between the two says neither; it is left to be reported.
        scores = [Spelled(f"{key}={value}") for key, value in given.items() if value is not None and key not in known]
        return [*(Spelled(key, bool(value)) for key, value in known.items()), *scores]
    for name in _NAMING:
        if name in given:
            inner = given[name]
            # A path in a tree of choices stands for its last part.
            paths = name == "taxonomy" and isinstance(inner, list)
            return read_cell([path[-1] for path in inner if path] if paths else inner, separator)
    return [Spelled(key) for key in map(str, given)]
