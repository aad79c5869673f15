"""Mistakes in a taxonomy file, in the words of the file."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.taxonomy.labels import SENTIMENTS, VARIETIES, Label, NearMiss

#: fields that are given in English and in Malay
_BILINGUAL = ("name", "definition")
_VARIETIES = ", ".join(VARIETIES)
#: by field, and whatever is wrong with the value
_FIELDS: Mapping[str, str] = {
    "colour": '`colour` is six hexadecimal digits after #, in quotes, as in "#1B5E20"',
    "hotkey": '`hotkey` is one character, as in "1"',
    "benign": "`benign` is true or false",
    "sentiment": f"`sentiment` is a list of any of {', '.join(SENTIMENTS)}",
}
#: by field that has lists of examples
_LISTS: Mapping[str, str] = {
    "exemplars": f"`exemplars` has a list of texts for each variety ({_VARIETIES}), as in "
    "`exemplars: {en: [a text]}`",
    "near_misses": f"`near_misses` has a list for each variety ({_VARIETIES}), of entries as in "
    "`{text: a text, why: the reason}`",
}
_EXAMPLES: Mapping[str, str] = {
    "definition": "`definition: {en: The bus was late, ms: Bas lewat}`",
    "name": "`name: {en: Late, ms: Lewat}`",
    "exemplars": "`exemplars: {en: [a text that has this label]}`",
    "hotkey": '`hotkey: "1"` (none is left to choose from)',
    "key": "`key: late`",
}


def words_of(error: Mapping[str, Any]) -> str:
    """The mistake that a validation error of a label stands for.

    Args:
        error: as pydantic lists it: `loc`, `type`, `msg`.
    """
    loc, kind = error["loc"], error["type"]
    field = str(loc[0]) if loc else ""
    if kind == "extra_forbidden":
        return _unknown(loc)
    if field in _BILINGUAL and _is_one_language(error):
        return f"`{field}` needs both languages, as in {_EXAMPLES[field]}"
    if kind == "missing" and len(loc) == 1:
        return (
            f"`{field}` is missing: write it, as in {_EXAMPLES[field]}"
            if field in _EXAMPLES
            else f"`{field}` is missing"
        )
    if kind == "missing":
        return f"{_place(loc[:-1])} lacks `{loc[-1]}`"
    if field in _FIELDS:
        return _FIELDS[field]
    if kind == "value_error":
        return str(error["msg"]).removeprefix("Value error, ")
    if field in _LISTS and (len(loc) <= 2 or kind in ("model_type", "model_attributes_type")):
        return f"{_place(loc)}: {_LISTS[field]}" if len(loc) > 1 else _LISTS[field]
    if kind == "string_too_short":
        return f"{_place(loc)} is empty"
    if kind == "string_type":
        return f"{_place(loc)} is no text: put it in quotes"
    if kind in ("tuple_type", "list_type"):
        return f"{_place(loc)} is a list, as in `{field}: [one, two]`"
    return f"{_place(loc)}: {error['msg']}"


def _is_one_language(error: Mapping[str, Any]) -> bool:
    """True where a value in two languages is plain words, or lacks a language."""
    loc = error["loc"]
    return error["type"] in ("model_type", "model_attributes_type") if len(loc) == 1 else error["type"] == "missing"


def _unknown(loc: Sequence[int | str]) -> str:
    """A field that nothing has, with the one that was probably meant."""
    name = str(loc[-1])
    if len(loc) == 1:
        known = list(Label.model_fields)
    else:
        known = ["en", "ms"] if loc[0] in _BILINGUAL else list(NearMiss.model_fields)
    near = difflib.get_close_matches(name, known, n=1)
    meant = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(known)}"
    inside = f" in {_place(loc[:-1])}" if len(loc) > 1 else ""
    return f"there is no field `{name}`{inside}: {meant}"


def _place(loc: Sequence[Any]) -> str:
    """A place in a label, as a person would find it: `exemplars.ms`, entry 2."""
    shown: list[str] = []
    names: list[str] = []
    for part in loc:
        if isinstance(part, int):
            shown += [f"`{'.'.join(names)}`"] if names else []
            shown.append(f"entry {part + 1}")
            names = []
        else:
            names.append(str(part))
    shown += [f"`{'.'.join(names)}`"] if names else []
    return ", ".join(shown)
