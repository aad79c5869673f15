"""From what a data set calls things to what the taxonomy does: a mapping file, checked before anything is read.

A mapping is YAML. `values` speaks of the labels field: for each value of it, the labels that it asserts and denies.
`fields` does the same for further fields of a row::

    values:
      hateful: {assert: [hate], deny: [safe for work]}
      normal: {deny: [hate]}
    fields:
      HS_Race:
        "1": {assert: [racist]}
        "0": {deny: [racist]}

A value that is mapped to nothing (``{}``) is known and says nothing.
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
class Verdict:
    """Labels that a value asserts and denies."""

    asserted: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()


@dataclass(slots=True)
class LabelMapping:
    """Reads the verdict out of a row's fields; counts the values that it doesn't know."""

    taxonomy: Taxonomy
    labels_field: str
    denied_field: str = "not_labels"
    values: Mapping[str, Verdict] | None = None
    fields: Mapping[str, Mapping[str, Verdict]] = field(default_factory=dict)
    #: values of the labels field that mean nothing, by how many rows have them
    unknown: Counter[str] = field(default_factory=Counter)

    @property
    def read(self) -> tuple[str, ...]:
        """The fields that it wants to see."""
        return tuple(dict.fromkeys((self.labels_field, self.denied_field, *self.fields)))

    def fingerprint(self) -> str:
        """Changes with what the mapping makes of any row."""
        told = {name: _told(meanings) for name, meanings in self.fields.items()}
        values = _told(self.values) if self.values is not None else None
        whole = [self.taxonomy.version, self.labels_field, self.denied_field, values, told]
        return hashlib.blake2b(orjson.dumps(whole, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()

    def verdict(self, row: Mapping[str, Any]) -> Verdict:
        """What a row says; a label that it both asserts and denies is left unknown."""
        asserted, denied = set[str](), set[str]()
        for value in _values(row.get(self.labels_field)):
            found = self._meaning(value)
            if found is None:
                self.unknown[value[:60]] += 1
                continue
            asserted |= found.asserted
            denied |= found.denied
        if self.values is None:
            for value in _values(row.get(self.denied_field)):
                key = self.taxonomy.canonical(value)
                if key is None:
                    self.unknown[value[:60]] += 1
                else:
                    denied.add(key)
        for name, meanings in self.fields.items():
            for value in _values(row.get(name)):
                found = meanings.get(value)
                if found is None:
                    self.unknown[f"{name}={value[:60]}"] += 1
                    continue
                asserted |= found.asserted
                denied |= found.denied
        return Verdict(frozenset(asserted - denied), frozenset(denied - asserted))

    def _meaning(self, value: str) -> Verdict | None:
        if self.values is not None:
            return self.values.get(value)
        key = self.taxonomy.canonical(value)
        return Verdict(frozenset({key})) if key is not None else None


def load_mapping(path: Path | None, taxonomy: Taxonomy, labels_field: str) -> LabelMapping:
    """Read a mapping file; without one, values are taken to be labels of the taxonomy (or their aliases), and a field
    `not_labels` to deny.

    Raises:
        UsageError: the file can't be read, or maps to a label that the taxonomy lacks.
    """
    if path is None:
        return LabelMapping(taxonomy, labels_field)
    try:
        document: Any = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, YAMLError) as error:  # a ValueError: not UTF-8, or a date that there is not
        raise UsageError(f"{path}: not a mapping file ({first_line(error)})") from error
    if not isinstance(document, dict) or not set(document) <= {"values", "fields"} or not document:
        raise UsageError(f"{path}: a mapping file has `values`, `fields`, or both (see docs/texts.md)")
    fields = document.get("fields") or {}
    if not isinstance(fields, dict):
        raise UsageError(f"{path}: `fields` maps names of fields to their values")
    return LabelMapping(
        taxonomy,
        labels_field,
        values=_verdicts(document.get("values") or {}, taxonomy, f"{path}: values"),
        fields={str(name): _verdicts(meanings, taxonomy, f"{path}: {name}") for name, meanings in fields.items()},
    )


def _told(meanings: Mapping[str, Verdict]) -> dict[str, list[list[str]]]:
    return {value: [sorted(one.asserted), sorted(one.denied)] for value, one in meanings.items()}


def _verdicts(given: object, taxonomy: Taxonomy, where: str) -> dict[str, Verdict]:
    if not isinstance(given, dict):
        raise UsageError(f"{where}: expected a mapping of values to assert and deny")
    found = {}
    for value, meaning in given.items():
        meaning = meaning or {}
        if not isinstance(meaning, dict) or not set(meaning) <= {"assert", "deny"}:
            raise UsageError(f"{where}: {value!r} has something else than `assert` and `deny`")
        found[_spelled(value)] = Verdict(
            *(_keys(meaning.get(word) or [], taxonomy, f"{where}: {value!r}") for word in ("assert", "deny"))
        )
    return found


def _keys(names: object, taxonomy: Taxonomy, where: str) -> frozenset[str]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{where}: labels come as a list of names")
    keys = {name: taxonomy.canonical(name) for name in names}
    for name, key in keys.items():
        if key is None:
            raise UsageError(f"{where}: {name!r} is not a label of the taxonomy ({', '.join(taxonomy.keys)})")
    return frozenset(key for key in keys.values() if key is not None)


def _values(given: object) -> list[str]:
    """A field's value as a list of strings: a list as it is, nothing as none."""
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
