"""Mappings from the values of a data set to labels of the taxonomy. A mapping is checked before anything is read.

A mapping is YAML. `values` is about the labels field: for each value of it, the labels that it asserts and denies.
`fields` does the same for further fields of a row. `only_if` names the rows that count, `deny_if` those whose labels
were rejected: what such a row would assert, it denies::

    values:
      hateful: {assert: [hate], deny: [safe for work]}
      normal: {deny: [hate]}
    fields:
      HS_Race:
        "1": {assert: [racist]}
        "0": {deny: [racist]}
    only_if: {answer: [accept, reject]}
    deny_if: {answer: reject}

A value that is mapped to nothing (``{}``) is known and has no meaning.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.errors import UsageError, first_line
from pipeline.raters.answers import Answer, Preset
from pipeline.taxonomy import Taxonomy
from pipeline.texts.cells import parts_of, read_cell, same_spelling, spelled_out
from pipeline.texts.class_names import ClassName
from pipeline.texts.fields import find

_PARTS = {"values", "fields", "only_if", "deny_if"}


@dataclass(frozen=True, slots=True)
class MappedRow:
    """Labels that a value or a row asserts and denies."""

    asserted: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Voice:
    """The verdict of one rater in a row."""

    verdict: MappedRow
    #: the rater that the row names; None: it names none
    rater: str | None = None


@dataclass(slots=True)
class LabelMapping:
    """A mapping that reads labels from a row's fields, and counts the values that it does not know."""

    taxonomy: Taxonomy
    labels_field: str
    denied_field: str = "not_labels"
    values: Mapping[str, MappedRow] | None = None
    fields: Mapping[str, Mapping[str, MappedRow]] = field(default_factory=dict)
    #: values that are not known, with the number of rows that have them
    unknown: Counter[str] = field(default_factory=Counter)
    #: what stands between several values of a string; None: a string is one value, or several that are all known
    separator: str | None = None
    #: for each field, the values of the rows that count, and of those whose labels were rejected
    only_if: Mapping[str, frozenset[str]] = field(default_factory=dict)
    deny_if: Mapping[str, frozenset[str]] = field(default_factory=dict)
    #: the field that names the rater; None: all rows are of one rater
    rater_field: str | None = None
    #: the tool whose export this is; None: a plain table
    preset: Preset | None = None

    @property
    def read(self) -> tuple[str, ...]:
        """The fields that the mapping reads."""
        more = [*self.only_if, *self.deny_if, *((self.rater_field,) if self.rater_field else ())]
        tool = self.preset.read if self.preset is not None else ()
        return tuple(dict.fromkeys((self.labels_field, self.denied_field, *self.fields, *more, *tool)))

    def reads_state_of_tool(self) -> bool:
        """True where the mapping gives a meaning to a field in which the tool says whether an answer counts."""
        state = set(self.preset.state) if self.preset is not None else set[str]()
        return not state.isdisjoint((self.labels_field, *self.fields, *self.only_if, *self.deny_if))

    def fingerprint(self) -> str:
        """A hash that changes where the mapping gives any row other labels or another rater."""
        fields = {name: _plain(meanings) for name, meanings in self.fields.items()}
        values = _plain(self.values) if self.values is not None else None
        whole: list[Any] = [self.taxonomy.version, self.labels_field, self.denied_field, values, fields]
        conditions = [
            {name: sorted(values) for name, values in condition.items()} for condition in (self.only_if, self.deny_if)
        ]
        tool = self.preset.name if self.preset is not None else None
        more = [self.separator, *conditions, self.rater_field, tool]
        # A mapping without these keeps the hash that it had before they were known.
        whole += more if any(more) else []
        return hashlib.blake2b(orjson.dumps(whole, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()

    def verdict(self, row: Mapping[str, Any]) -> MappedRow:
        """Read the labels of a row; a label that it both asserts and denies is left unknown."""
        return self._verdict(row, Answer(find(row, self.labels_field), find(row, self.denied_field)))

    def voices(self, row: Mapping[str, Any]) -> list[Voice]:
        """Read what each rater says in a row: one voice, unless the export of a tool holds several answers."""
        by_field = find(row, self.rater_field) if self.rater_field is not None else None
        own = spelled_out(by_field) if by_field is not None else None
        if self.preset is None:
            return [Voice(self.verdict(row), own or None)]
        return [
            Voice(self._verdict(row, answer), own or answer.rater)
            for answer in self.preset.answers(row, self.labels_field)
        ] or [Voice(MappedRow())]

    def _verdict(self, row: Mapping[str, Any], answer: Answer) -> MappedRow:
        if not answer.counts or not all(_meets(row, *condition) for condition in self.only_if.items()):
            return MappedRow()
        asserted, denied = set[str](), set[str]()
        for value, meaning, true in self._meanings(answer.labels):
            if meaning is None:
                self._count(value)
            elif true:
                asserted |= meaning.asserted
                denied |= meaning.denied
            elif self.values is None:
                denied |= meaning.asserted
        if self.values is not None:
            # of two values in one cell, each says of the other's label that it is there
            denied -= asserted
        if self.values is None or self.preset is not None:
            for value, meaning, true in self._meanings(answer.not_labels):
                if meaning is None:
                    self._count(value)
                elif true:
                    denied |= meaning.asserted
        for name, meanings in self.fields.items():
            for spelled in read_cell(find(row, name)):
                meaning = _look_up(meanings, spelled.value)
                if meaning is None:
                    self._count(f"{name}={spelled.value[:60]}", 200)
                    continue
                asserted |= meaning.asserted
                denied |= meaning.denied
        if answer.denies or any(_meets(row, *condition) for condition in self.deny_if.items()):
            asserted, denied = set[str](), asserted
        return MappedRow(frozenset(asserted - denied), frozenset(denied - asserted))

    def _meanings(self, cell: Any) -> Iterator[tuple[str, MappedRow | None, bool]]:
        """The values in a cell, the meaning of each (None: not known), and whether it holds."""
        for value, true in read_cell(cell, self.separator):
            meaning = self._meaning(value)
            if meaning is None and self.separator is None:
                several = next((parts for parts in parts_of(value) if parts and all(map(self._meaning, parts))), None)
                if several is not None:
                    yield from ((part, self._meaning(part), true) for part in several)
                    continue
            yield value, meaning, true

    def _count(self, value: str, longest: int = 60) -> None:
        # A half of a character cannot be written anywhere.
        self.unknown[value[:longest].encode("utf-8", "replace").decode()] += 1

    def _meaning(self, value: str) -> MappedRow | None:
        if self.values is not None:
            return _look_up(self.values, value)
        key = self.taxonomy.canonical(value)
        return MappedRow(frozenset({key})) if key is not None else None


def load_mapping(
    path: Path | None,
    taxonomy: Taxonomy,
    labels_field: str,
    *,
    separator: str | None = None,
    rater_field: str | None = None,
    preset: Preset | None = None,
) -> LabelMapping:
    """Read a mapping file. Without a file, values are labels of the taxonomy (or aliases); `not_labels` are denied.

    Args:
        path: the file; None: there is none.
        taxonomy: the labels.
        labels_field: the field with the labels.
        separator: what stands between several values of one cell; None: see `LabelMapping`.
        rater_field: the field with the rater's name, if any.
        preset: the tool whose export is read, if any.

    Raises:
        UsageError: the file cannot be read, or names a label that is not in the taxonomy.
    """
    if path is None:
        return LabelMapping(taxonomy, labels_field, separator=separator, rater_field=rater_field, preset=preset)
    try:
        document: Any = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, YAMLError, RecursionError) as error:  # ValueError: not UTF-8, or an impossible date
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise UsageError(f"{path}{line}: not a mapping file ({first_line(error)})") from error
    if not isinstance(document, dict) or not set(document) <= _PARTS or not document:
        raise UsageError(
            f"{path}: a mapping file has `values` or `fields`, and perhaps `only_if` and `deny_if` (see docs/texts.md)"
        )
    fields = document.get("fields") or {}
    if not isinstance(fields, dict):
        raise UsageError(f"{path}: `fields` must map names of fields to their values")
    # With conditions only, the labels field holds labels of the taxonomy.
    named = bool({"values", "fields"} & set(document))
    only_if, deny_if = (_conditions(document.get(name) or {}, f"{path}: `{name}`") for name in ("only_if", "deny_if"))
    return LabelMapping(
        taxonomy,
        labels_field,
        values=_verdicts(document.get("values") or {}, taxonomy, f"{path}: values") if named else None,
        fields={str(name): _verdicts(meanings, taxonomy, f"{path}: {name}") for name, meanings in fields.items()},
        separator=separator,
        only_if=only_if,
        deny_if=deny_if,
        rater_field=rater_field,
        preset=preset,
    )


def _look_up(meanings: Mapping[str, MappedRow], value: str) -> MappedRow | None:
    """The meaning of a value as it is written, by the number of its class, or as the number that it spells.

    Where only capitals differ, the value means what the one name means that it may be; nothing, where there are two.
    """
    if value in meanings:
        return meanings[value]
    if isinstance(value, ClassName) and str(value.number) in meanings:
        return meanings[str(value.number)]
    alike = same_spelling(value)
    if alike in meanings:
        return meanings[alike]
    spelled = next((meaning for name, meaning in meanings.items() if same_spelling(name) == alike), None)
    if spelled is not None:
        return spelled
    folded = [meaning for name, meaning in meanings.items() if name.casefold() == value.casefold()]
    return folded[0] if len(folded) == 1 else None


def _meets(row: Mapping[str, Any], name: str, values: frozenset[str]) -> bool:
    return any(same_spelling(spelled.value) in values for spelled in read_cell(find(row, name)) if spelled.true)


def _conditions(given: object, where: str) -> dict[str, frozenset[str]]:
    """Conditions on rows: for each field the values that meet it."""
    if not isinstance(given, dict):
        raise UsageError(f"{where} must map names of fields to a value or a list of values")
    conditions = {}
    for name, values in given.items():
        listed = values if isinstance(values, list) else [values]
        if not listed or any(isinstance(value, (dict, list)) or value is None for value in listed):
            raise UsageError(f"{where}: {name!r} needs a value or a list of values")
        conditions[str(name)] = frozenset(same_spelling(spelled_out(value)) for value in listed)
    return conditions


def _plain(meanings: Mapping[str, MappedRow]) -> dict[str, list[list[str]]]:
    return {value: [sorted(meaning.asserted), sorted(meaning.denied)] for value, meaning in meanings.items()}


def _verdicts(given: object, taxonomy: Taxonomy, where: str) -> dict[str, MappedRow]:
    if not isinstance(given, dict):
        raise UsageError(f"{where}: expected a mapping from values to `assert` and `deny`")
    mapped = {}
    for value, meaning in given.items():
        meaning = meaning or {}
        if not isinstance(meaning, dict) or not set(meaning) <= {"assert", "deny"}:
            raise UsageError(f"{where}: {value!r} may have `assert` and `deny` only")
        mapped[spelled_out(value)] = MappedRow(
            *(_keys(meaning.get(word) or [], taxonomy, f"{where}: {value!r}") for word in ("assert", "deny"))
        )
    return mapped


def _keys(names: object, taxonomy: Taxonomy, where: str) -> frozenset[str]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{where}: labels must be a list of names")
    keys = {name: taxonomy.canonical(name) for name in names}
    for name, key in keys.items():
        if key is None:
            raise UsageError(f"{where}: {name!r} is not a label of the taxonomy ({', '.join(taxonomy.keys)})")
    return frozenset(key for key in keys.values() if key is not None)
