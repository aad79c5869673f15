"""What a model's reply says: labels, a confidence, a line of why; or why it says nothing that can be used.

Damage is mended where only the form is damaged. What was meant is never guessed at: a label that does not exist, a
refusal, a list that breaks off, two answers that differ are recorded as what they are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import json_repair
import orjson

from pipeline.taxonomy import Taxonomy

#: characters of the explanation that are kept
_LONGEST_WHY = 300
#: characters of a reply that are looked at: what is asked for is one line
_LONGEST = 20_000
#: names that models give to the fields, beside the ones that they are asked for
_LABELS = ("labels", "label", "categories", "category", "label_list")
_CONFIDENCE = ("confidence", "keyakinan", "score", "probability")
_WHY = ("explanation", "penjelasan", "reason", "rationale", "alasan")
_FENCE = re.compile(r"```[a-zA-Z]*\s*\n?(.*?)```", re.DOTALL)
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
#: the list of labels, opened and closed
_WHOLE_LIST = re.compile(
    r"""["']?(?:labels?|categor(?:y|ies)|label_list)["']?\s*:\s*(?:\[[^\]]*\]|"[^"]*"|'[^']*')""", re.I
)
_OPENED = re.compile(r"""["']?(?:labels?|categor(?:y|ies)|label_list)["']?\s*:""", re.I)
_LAST_COMMA = re.compile(r",\s*([}\]])")
#: how refusals begin, in the languages that models answer in
_REFUSAL = re.compile(
    r"(?:i['’]?\s?a?m (?:really |very )?sorry|sorry|i (?:can['’]?t|cannot|can not|won['’]?t|am unable|am not able)|"
    r"i['’]m (?:unable|not able)|as an ai|unfortunately|maaf|mohon maaf|saya (?:tidak|tak) (?:boleh|dapat)|"
    r"sebagai (?:sebuah )?(?:ai|model))\b",
    re.I,
)
_NONE = frozenset({"none", "tiada", "no label", "none of the above", "n/a"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the model said of a text."""

    labels: frozenset[str]
    #: from 0 to 1; None: it gave none that is a number
    confidence: float | None = None
    explanation: str | None = None
    #: names in its list that are no labels, as it wrote them
    invented: tuple[str, ...] = ()
    #: whether the form had to be mended
    mended: bool = False


@dataclass(frozen=True, slots=True)
class Unusable:
    """The reply gives no verdict, and why, in a short fixed phrase."""

    reason: str
    invented: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelNames:
    """Every spelling of the labels that a model is asked about."""

    asked: frozenset[str]
    #: folded spelling to key
    spelled: Mapping[str, str]
    excludes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    #: folded spellings of the taxonomy's other labels, which the model was not asked about
    others: frozenset[str] = frozenset()

    @classmethod
    def of(cls, taxonomy: Taxonomy, asked: Iterable[str] | None = None) -> LabelNames:
        """The labels of a taxonomy with their keys, aliases, and names in both languages."""
        keys = frozenset(asked) if asked is not None else frozenset(taxonomy.keys)
        spelled: dict[str, str] = {}
        for label in taxonomy:
            for name in (label.name.en, label.name.ms, *label.aliases):
                spelled.setdefault(_fold(name), label.key)
        spelled |= {_fold(key): key for key in taxonomy.keys}
        return cls(
            keys,
            {name: key for name, key in spelled.items() if key in keys},
            {key: frozenset(taxonomy[key].excludes) for key in keys},
            frozenset(name for name, key in spelled.items() if key not in keys),
        )

    def key(self, name: str) -> str | None:
        """The label that a model means by a name; None: none."""
        return self.spelled.get(name) or self.spelled.get(_fold(name))


def parse_reply(
    text: str, names: LabelNames, *, finish: str | None = None, refusal: str | None = None
) -> Verdict | Unusable:
    """Read a reply. Never raises, and never gives a label that is not one of `names`.

    Args:
        text: what the model wrote.
        names: the labels there are, in all spellings.
        finish: why it stopped, as the server says.
        refusal: what it said instead, where the server tells refusals apart.
    """
    if refusal or finish == "content_filter":
        return Unusable("refused")
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _mend(text, names, cut=finish == "length")
    if type(found) is dict:
        return _verdict(found, names, mended=False)
    return _mend(text, names, cut=finish == "length")


def _mend(text: str, names: LabelNames, *, cut: bool) -> Verdict | Unusable:
    text = _THOUGHT.sub("", text[:_LONGEST]).strip()
    if not text:
        return Unusable("cut off" if cut else "empty reply")
    objects = _objects(text)
    if not objects:
        if _REFUSAL.match(text.lstrip("*\"' \n")):
            return Unusable("refused")
        return Unusable("cut off" if cut else "no JSON")
    read = [_verdict(one, names, mended=True) for one in objects]
    first = next((one for one in read if isinstance(one, Verdict)), read[0])
    if any(isinstance(one, Verdict) and _said(one) != _said(first) for one in read):
        return Unusable("several answers")
    return first


def _said(one: Verdict | Unusable) -> object:
    return (one.labels, one.invented) if isinstance(one, Verdict) else one.reason


def _objects(text: str) -> list[Mapping[str, Any]]:
    """Every object in a reply that has a list of labels, whatever stands around it."""
    fenced = _FENCE.findall(text)
    for part in (*fenced, text):
        start, end = part.find("{"), part.rfind("}")
        if start < 0:
            continue
        if end > start:
            try:
                found = orjson.loads(part[start : end + 1])
            except orjson.JSONDecodeError:
                pass
            else:
                if isinstance(found, dict):
                    return [found]
        several = [one for piece in _pieces(part[start:]) if (one := _repaired(piece)) is not None]
        if several:
            return several
    return []


def _pieces(text: str) -> list[str]:
    """A text cut where an outermost object ends; braces in strings are told apart by double quotes only."""
    pieces, depth, begin, quoted, escaped = [], 0, 0, False, False
    for i, c in enumerate(text):
        if escaped:
            escaped = False
        elif c == "\\":
            escaped = quoted
        elif c == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif c == "{":
            if depth == 0:
                begin = i
            depth += 1
        elif c == "}" and depth:
            depth -= 1
            if depth == 0:
                pieces.append(text[begin : i + 1])
    if depth:
        pieces.append(text[begin:])
    return pieces


def _repaired(piece: str) -> Mapping[str, Any] | None:
    """An object whose form is mended; None if there is none, or if its list of labels does not end."""
    try:
        found = orjson.loads(piece)
    except orjson.JSONDecodeError:
        if _OPENED.search(piece) is None:
            return None
        if _WHOLE_LIST.search(piece) is None:
            # where it would have ended is not known
            return {"labels": None}
        found = _mended(piece)
        if isinstance(found, list):
            found = next((one for one in found if isinstance(one, dict)), None)
    return found if isinstance(found, dict) else None


def _mended(piece: str) -> Any:
    """What a damaged object says. The usual damage is mended by hand, as json_repair takes a thousand times as long."""
    if '"' not in piece:
        piece = piece.replace("'", '"')
    piece = _LAST_COMMA.sub(r"\1", piece)
    for end in ("", "}", '"}'):
        try:
            return orjson.loads(piece + end)
        except orjson.JSONDecodeError:
            continue
    try:
        return json_repair.loads(piece, skip_json_loads=True)
    except (ValueError, RecursionError, IndexError, TypeError, AttributeError, KeyError):
        return None


def _verdict(found: Mapping[str, Any], names: LabelNames, *, mended: bool) -> Verdict | Unusable:
    said = found.get("labels")
    if said is None:
        fields = {str(name).casefold(): value for name, value in found.items()}
        if "labels" in fields and fields["labels"] is None:
            return Unusable("cut off" if mended else "no list of labels")
        said = _first(fields, _LABELS)
        if said is None:
            return Unusable("no list of labels")
        confidence, why = _first(fields, _CONFIDENCE), _first(fields, _WHY)
    else:
        confidence = found.get("confidence")
        why = found.get("explanation")
    if isinstance(said, str):
        said = [said] if names.key(said) is not None else [part for part in re.split(r"[,;|]", said) if part.strip()]
    elif isinstance(said, dict):
        said = _of_mapping(said)
    if not isinstance(said, list):
        return Unusable("no list of labels")
    labels, invented = _labels(said, names)
    if labels is None:
        return Unusable("no list of labels")
    if invented and not labels:
        return Unusable("invented label", invented)
    for label in labels:
        if not labels.isdisjoint(names.excludes.get(label, ())):
            return Unusable("labels that exclude each other", invented)
    return Verdict(frozenset(labels), _confidence(confidence), _line(why), invented, mended)


def _labels(said: Sequence[Any], names: LabelNames) -> tuple[set[str] | None, tuple[str, ...]]:
    labels: set[str] = set()
    invented: list[str] = []
    for one in said:
        if isinstance(one, dict):
            one = _first({str(k).casefold(): v for k, v in one.items()}, ("label", "name", "key"))
        if not isinstance(one, str):
            return None, ()
        key = names.key(one)
        if key is not None:
            labels.add(key)
        elif _fold(one) not in _NONE and _fold(one) not in names.others and one.strip():
            invented.append(one.strip()[:60])
    return labels, tuple(invented)


def _of_mapping(said: Mapping[str, Any]) -> list[str] | None:
    """The labels of `{"hate": true, "porn": false}`; numbers would have to be cut somewhere, which is a guess."""
    if all(isinstance(value, bool) for value in said.values()):
        return [str(name) for name, value in said.items() if value]
    return None


def _first(fields: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def _confidence(said: Any) -> float | None:
    """A number from 0 to 1, or a percentage."""
    if isinstance(said, str):
        percent = said.strip().endswith("%")
        try:
            said = float(said.strip().rstrip("%").replace(",", "."))
        except ValueError:
            return None
        if percent:
            said /= 100
    if isinstance(said, bool) or not isinstance(said, int | float) or not math.isfinite(said):
        return None
    if 10 < said <= 100:
        # below that it may be out of five or of ten
        said /= 100
    return float(said) if 0 <= said <= 1 else None


def _line(said: Any) -> str | None:
    if not isinstance(said, str):
        return None
    line = said if len(said) <= _LONGEST_WHY and said.isprintable() else " ".join(said.replace("\0", "").split())
    line = line.encode("utf-8", "ignore").decode()
    return line[:_LONGEST_WHY].strip() or None


def _fold(name: str) -> str:
    """A label's spelling without case, and with blanks for what models write instead."""
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").strip(" .\"'`*#").split())
