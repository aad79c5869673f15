"""From what a model wrote to a verdict. What is malformed is mended; what is not there is never guessed.

Fences, prose around the object, single quotes, trailing commas and missing braces are mended by `json_repair`; most
replies are well formed and never get there. Of several objects one after the other the last counts, since models draft
before they settle; an array of objects counts as one answer, since some give an object a label.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from json_repair import repair_json

from pipeline.taxonomy import Taxonomy

#: what a reply is kept of as an explanation, in characters
_LONGEST_EXPLANATION = 500
#: characters of a reply that are looked through
_LONGEST_REPLY = 20_000
_LABELS = ("labels", "label", "label_kategori", "categories", "category", "kategori")
_REFUSALS = re.compile(
    r"\b(i(?:'|’)?m sorry|i am sorry|i can(?:no|'|’)?t|i(?:'|’)m (?:not able|unable)|"
    r"i (?:won(?:'|’)t|am unable)|as an ai|maaf|saya (?:tidak|tak) (?:boleh|dapat)|tidak dapat membantu)\b",
    re.IGNORECASE,
)
#: after this the list of labels was written to its end
_LIST_CLOSED = re.compile(
    r"[\"']?(?:labels?|categor\w+|kategori)[\"']?\s*:\s*(?:\[[^\[\]]*\]|\"[^\"]*\"|'[^']*')", re.I
)


class Outcome(enum.StrEnum):
    """What came of one reply."""

    VERDICT = "verdict"
    EMPTY = "empty reply"
    REFUSED = "refused"
    NO_OBJECT = "no object in the reply"
    NO_LABEL = "no label given"
    INVENTED = "only invented labels"
    CONTRADICTION = "labels that exclude each other"


@dataclass(frozen=True, slots=True)
class Reading:
    """A reply as it was understood."""

    outcome: Outcome
    asserted: frozenset[str] = frozenset()
    #: 0 to 1; None: none that can be used
    confidence: float | None = None
    explanation: str | None = None
    #: labels that are in no taxonomy
    invented: tuple[str, ...] = ()
    #: the list of labels is whole and all of it is known: labels that are not in it are denied
    whole: bool = False


def read_reply(content: str | None, taxonomy: Taxonomy, *, refusal: str | None = None, cut: bool = False) -> Reading:
    """Understand one reply.

    Args:
        content: what the model wrote.
        taxonomy: the labels that it was asked about.
        refusal: what the server says of a refusal.
        cut: it came to its greatest length, so its end is missing.
    """
    if refusal:
        return Reading(Outcome.REFUSED, explanation=_line(refusal))
    if content is None or not content.strip():
        return Reading(Outcome.EMPTY)
    written = content[:_LONGEST_REPLY]
    found = _answer(written)
    if found is None:
        refused = _REFUSALS.search(written) is not None
        return Reading(Outcome.REFUSED if refused else Outcome.NO_OBJECT, explanation=_line(written))
    given, confidence, explanation = found
    if given is None:
        return Reading(Outcome.NO_LABEL, confidence=confidence, explanation=explanation)
    keys = {name: taxonomy.canonical(name) for name in given}
    asserted = frozenset(key for key in keys.values() if key is not None)
    invented = tuple(name for name, key in keys.items() if key is None)
    if not asserted:
        outcome = Outcome.INVENTED if invented else Outcome.NO_LABEL
        return Reading(outcome, confidence=confidence, explanation=explanation, invented=invented)
    if any(set(taxonomy[key].excludes) & asserted for key in asserted):
        return Reading(Outcome.CONTRADICTION, confidence=confidence, explanation=explanation, invented=invented)
    whole = not invented and not (cut and _LIST_CLOSED.search(written) is None)
    return Reading(Outcome.VERDICT, asserted, confidence, explanation, invented, whole)


def _answer(written: str) -> tuple[list[str] | None, float | None, str | None] | None:
    """Labels as they are named, confidence and explanation; None: there is no object."""
    last = None
    for value in _values(written):
        objects = [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, Mapping)]
        read = [one for one in map(_fields, objects) if one is not None]
        if not read:
            continue
        names = [name for labels, _, _ in read if labels is not None for name in labels]
        sure = [one for _, one, _ in read if one is not None]
        said = next((words for _, _, words in read if words), None)
        last = (
            list(dict.fromkeys(names)) if any(labels is not None for labels, _, _ in read) else None,
            min(sure) if sure else None,
            said,
        )
    return last


def _values(written: str) -> Iterator[Any]:
    """The JSON values in a reply, in order."""
    stripped = written.strip()
    # well formed, as it stands or between fences and prose: mending takes a hundred times as long
    for whole in (stripped, stripped[stripped.find("{") : stripped.rfind("}") + 1]):
        if whole.startswith("{"):
            try:
                yield orjson.loads(whole)
            except orjson.JSONDecodeError:
                continue
            return
    first = min((at for at in (stripped.find("{"), stripped.find("[")) if at >= 0), default=-1)
    if first < 0:
        return
    mended = repair_json(stripped[first:] if "```" not in stripped else stripped, return_objects=True)
    # of several values one after the other it makes a list, which is not an array of objects that the model wrote
    if isinstance(mended, list) and not stripped[first:].startswith("["):
        yield from mended
    else:
        yield mended


def _fields(value: Mapping[Any, Any]) -> tuple[list[str] | None, float | None, str | None] | None:
    """What one object says; None if it is no answer at all."""
    fields = {str(key).strip().casefold(): one for key, one in value.items()}
    given = next((fields[name] for name in _LABELS if name in fields), None)
    if given is None and not {"confidence", "explanation"} & set(fields):
        return None
    explanation = next((fields[name] for name in ("explanation", "reason", "penjelasan") if name in fields), None)
    return _names(given), _share(fields.get("confidence")), _line(explanation) if isinstance(explanation, str) else None


def _names(given: Any) -> list[str] | None:
    if given is None:
        return None
    if isinstance(given, str):
        return [part for part in (one.strip() for one in re.split(r"[,;|/]", given)) if part]
    if isinstance(given, Mapping):
        # some say true or false of each
        return [str(name) for name, one in given.items() if one is True]
    if isinstance(given, list):
        return [name for name in (_name(one) for one in given) if name]
    return []


def _name(given: Any) -> str:
    if isinstance(given, Mapping):
        given = next((given[key] for key in ("label", "key", "name") if key in given), "")
    return str(given).strip().strip("\"'`.") if isinstance(given, str) else ""


def _share(given: Any) -> float | None:
    """A number from 0 to 1; percentages are taken for what they are."""
    if isinstance(given, bool):
        return None
    if isinstance(given, str):
        percent = given.strip().endswith("%")
        try:
            given = float(given.strip().rstrip("%")) / (100 if percent else 1)
        except ValueError:
            return None
    if not isinstance(given, int | float) or not math.isfinite(given):
        return None
    share = given / 100 if 1 < given <= 100 else float(given)
    return share if 0 <= share <= 1 else None


def _line(words: str) -> str | None:
    return " ".join(words.replace("\0", "").split())[:_LONGEST_EXPLANATION] or None
