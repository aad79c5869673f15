"""Differences between two versions of the taxonomy, label by label and word by word. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.taxonomy.labels import Label, Taxonomy

Kind = Literal["same", "removed", "added"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Words that stand in both versions, or in one of them."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class WordChange:
    """A field whose words changed."""

    #: `name`, `definition`, or `why` of a near-miss
    field: str
    #: `en` or `ms`; of a near-miss its text
    of: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class ListChange:
    """A list that gained or lost entries; a single value is a list of one."""

    #: `exemplars`, `near_misses`, `excludes`, `aliases`, `sentiment`, `benign`, `colour`, `hotkey`
    field: str
    #: the variety of examples: `ms`, `manglish`, `en`; empty for the other fields
    of: str
    added: tuple[str, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LabelChange:
    """The changes of one label."""

    key: str
    words: tuple[WordChange, ...]
    lists: tuple[ListChange, ...]


@dataclass(frozen=True, slots=True)
class TaxonomyChange:
    """The differences between two versions."""

    before: str
    after: str
    #: keys, in the order of the version that has them
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[LabelChange, ...]
    #: True: the labels that both have stand in another order
    reordered: bool

    @property
    def is_empty(self) -> bool:
        """True where nothing that is read differs: the files differ in comments or layout only."""
        return not (self.added or self.removed or self.changed or self.reordered)


def compare_taxonomies(before: Taxonomy, after: Taxonomy) -> TaxonomyChange:
    """The differences from one version to another. A label is the same label if its key is."""
    common = [key for key in after.keys if key in before]
    changes = (_label_change(before[key], after[key]) for key in common)
    return TaxonomyChange(
        before=before.version,
        after=after.version,
        added=tuple(key for key in after.keys if key not in before),
        removed=tuple(key for key in before.keys if key not in after),
        changed=tuple(change for change in changes if change.words or change.lists),
        reordered=common != [key for key in before.keys if key in after],
    )


def word_changes(before: str, after: str) -> tuple[Piece, ...]:
    """The words of two texts, in one row: those of both, those that went and those that came.

    What is not `added` is the first text, and what is not `removed` the second, white space aside.
    """
    old, new = _words(before), _words(after)
    pieces: list[Piece] = []
    for tag, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            pieces.append(Piece("same", " ".join(old[a:b])))
            continue
        if b > a:
            pieces.append(Piece("removed", " ".join(old[a:b])))
        if d > c:
            pieces.append(Piece("added", " ".join(new[c:d])))
    return tuple(pieces)


def _words(text: str) -> list[str]:
    return re.findall(r"\S+", text)


def _label_change(before: Label, after: Label) -> LabelChange:
    words = [
        WordChange(field, language, word_changes(old, new))
        for field in ("name", "definition")
        for language in ("en", "ms")
        if (old := getattr(getattr(before, field), language)) != (new := getattr(getattr(after, field), language))
    ]
    lists = [
        *_examples("exemplars", before.exemplars, after.exemplars),
        *_examples("near_misses", _texts(before), _texts(after)),
    ]
    old_whys, new_whys = _whys(before), _whys(after)
    words += [
        WordChange("why", text, word_changes(old_whys[text], why))
        for text, why in new_whys.items()
        if text in old_whys and old_whys[text] != why
    ]
    for field in ("excludes", "aliases", "sentiment"):
        lists += _list_change(field, "", getattr(before, field) or (), getattr(after, field) or ())
    for field in ("benign", "colour", "hotkey"):
        old, new = str(getattr(before, field)).lower(), str(getattr(after, field)).lower()
        lists += _list_change(field, "", (old,), (new,))
    return LabelChange(after.key, tuple(words), tuple(lists))


def _texts(label: Label) -> dict[str, list[str]]:
    return {variety: [miss.text for miss in misses] for variety, misses in label.near_misses.items()}


def _whys(label: Label) -> dict[str, str]:
    return {miss.text: miss.why for miss in label.all_near_misses()}


def _examples(
    field: str, before: Mapping[str, Sequence[str]], after: Mapping[str, Sequence[str]]
) -> Iterable[ListChange]:
    for variety in dict.fromkeys([*before, *after]):
        yield from _list_change(field, variety, before.get(variety, ()), after.get(variety, ()))


def _list_change(field: str, of: str, before: Sequence[str], after: Sequence[str]) -> Iterable[ListChange]:
    """The change of a list, if it has other entries now; their order says nothing."""
    added = tuple(entry for entry in after if entry not in before)
    removed = tuple(entry for entry in before if entry not in after)
    if added or removed:
        yield ListChange(field, of, added, removed)
