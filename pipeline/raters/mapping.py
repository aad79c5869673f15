"""Mappings from the values of a data set to labels of the taxonomy. A mapping is checked before anything is read.

A mapping is YAML. `values` is about the labels field: for each value of it, the labels that it asserts and denies.
`fields` does the same for further fields of a row::

    values:
      hateful: {assert: [hate], deny: [safe for work]}
      normal: {deny: [hate]}
    fields:
      HS_Race:
        "1": {assert: [racist]}
        "0": {deny: [racist]}

A value that is mapped to nothing (``{}``) is known and has no meaning.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.errors import UsageError, first_line
from pipeline.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class MappedRow:
    """Labels that a value or a row asserts and denies."""

    asserted: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()


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

    @property
    def read(self) -> tuple[str, ...]:
        """The fields that the mapping reads."""
        return tuple(dict.fromkeys((self.labels_field, self.denied_field, *self.fields)))

    def fingerprint(self) -> str:
        """A hash that changes where the mapping gives any row other labels."""
        fields = {name: _plain(meanings) for name, meanings in self.fields.items()}
        values = _plain(self.values) if self.values is not None else None
        whole = [self.taxonomy.version, self.labels_field, self.denied_field, values, fields]
        return hashlib.blake2b(orjson.dumps(whole, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()

    def verdict(self, row: Mapping[str, Any]) -> MappedRow:
        """Read the labels of a row; a label that it both asserts and denies is left unknown."""
        asserted, denied = set[str](), set[str]()
        for value in _values(row.get(self.labels_field)):
            meaning = self._meaning(value)
            if meaning is None:
                self.unknown[value[:60]] += 1
                continue
            asserted |= meaning.asserted
            denied |= meaning.denied
        if self.values is None:
            for value in _values(row.get(self.denied_field)):
                key = self.taxonomy.canonical(value)
                if key is None:
                    self.unknown[value[:60]] += 1
                else:
                    denied.add(key)
        for name, meanings in self.fields.items():
            for value in _values(row.get(name)):
                meaning = meanings.get(value)
                if meaning is None:
                    self.unknown[f"{name}={value[:60]}"] += 1
                    continue
                asserted |= meaning.asserted
                denied |= meaning.denied
        return MappedRow(frozenset(asserted - denied), frozenset(denied - asserted))

    def _meaning(self, value: str) -> MappedRow | None:
        if self.values is not None:
            return self.values.get(value)
        key = self.taxonomy.canonical(value)
        return MappedRow(frozenset({key})) if key is not None else None


def load_mapping(path: Path | None, taxonomy: Taxonomy, labels_field: str) -> LabelMapping:
    """Read a mapping file. Without a file, values are labels of the taxonomy (or aliases); `not_labels` are denied.

    Raises:
        UsageError: the file cannot be read, or names a label that is not in the taxonomy.
    """
    if path is None:
        return LabelMapping(taxonomy, labels_field)
    try:
        document: Any = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, YAMLError, RecursionError) as error:  # ValueError: not UTF-8, or an impossible date
        raise UsageError(f"{path}: not a mapping file ({first_line(error)})") from error
    if not isinstance(document, dict) or not set(document) <= {"values", "fields"} or not document:
        raise UsageError(f"{path}: a mapping file has `values`, `fields`, or both (see docs/texts.md)")
    fields = document.get("fields") or {}
    if not isinstance(fields, dict):
        raise UsageError(f"{path}: `fields` must map names of fields to their values")
    return LabelMapping(
        taxonomy,
        labels_field,
        values=_verdicts(document.get("values") or {}, taxonomy, f"{path}: values"),
        fields={str(name): _verdicts(meanings, taxonomy, f"{path}: {name}") for name, meanings in fields.items()},
    )


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
        mapped[_spelled(value)] = MappedRow(
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


def _values(given: object) -> list[str]:
    """A field's value as a list of strings; empty where there is no value."""
    if given is None or given == "":
        return []
    if isinstance(given, (list, tuple)):
        return [_spelled(value) for value in given if value is not None]
    return [_spelled(given)]


def _spelled(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
