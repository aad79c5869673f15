"""Parser of a model's reply: labels, a confidence and an explanation; or the reason why the reply cannot be used.

Damage is repaired where only the form is damaged. The meaning is never guessed: a label that does not exist, a
refusal, an incomplete list, and two different answers are recorded as such.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from pipeline.llm.answer import answer_of
from pipeline.llm.repairing import repaired_json
from pipeline.llm.replies import CUT
from pipeline.storable import storable
from pipeline.taxonomy import Taxonomy

#: characters of the explanation that are kept
_LONGEST_WHY = 300
#: characters of an answer that are read, without the thought before it; the expected answer is one line
_LONGEST = 20_000
#: names of the fields: the requested name first, then others that models use
_LABELS = ("labels", "label", "categories", "category", "label_list")
_CONFIDENCE = ("confidence", "keyakinan", "score", "probability")
_WHY = ("explanation", "penjelasan", "reason", "rationale", "alasan")
_FENCE = re.compile(r"```[a-zA-Z]*\s*\n?(.*?)```", re.DOTALL)
#: a complete list of labels
_WHOLE_LIST = re.compile(
    r"""["']?(?:labels?|categor(?:y|ies)|label_list)["']?\s*:\s*(?:\[[^\]]*\]|"[^"]*"|'[^']*')""", re.I
)
_OPENED = re.compile(r"""["']?(?:labels?|categor(?:y|ies)|label_list)["']?\s*:""", re.I)
_OPENED_FENCE = re.compile(r"^```[a-zA-Z]*\s*")
_LAST_COMMA = re.compile(r",\s*([}\]])")
#: beginnings of refusals, in the languages that models answer in
_REFUSAL = re.compile(
    r"(?:i['’]?\s?a?m (?:really |very )?sorry|sorry|i (?:can['’]?t|cannot|can not|won['’]?t|am unable|am not able)|"
    r"i['’]m (?:unable|not able)|as an ai|unfortunately|maaf|mohon maaf|saya (?:tidak|tak) (?:boleh|dapat)|"
    r"sebagai (?:sebuah )?(?:ai|model))\b",
    re.I,
)
_NONE = frozenset({"none", "tiada", "no label", "none of the above", "n/a"})


@dataclass(frozen=True, slots=True)
class ReplyVerdict:
    """The verdict of a model on a text."""

    labels: frozenset[str]
    #: from 0 to 1; None: there is none, or it is not a number
    confidence: float | None = None
    explanation: str | None = None
    #: names in its list that are not labels, as written
    invented: tuple[str, ...] = ()
    #: True: the form was repaired
    mended: bool = False


@dataclass(frozen=True, slots=True)
class Unusable:
    """A reply without a verdict."""

    #: a short fixed phrase, so that reasons can be counted
    reason: str
    invented: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelNames:
    """All spellings of the labels in a prompt."""

    asked: frozenset[str]
    #: key by folded spelling
    spelled: Mapping[str, str]
    excludes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    #: folded spellings of the taxonomy's other labels, which are not in the prompt
    others: frozenset[str] = frozenset()

    @classmethod
    def of(cls, taxonomy: Taxonomy, asked: Iterable[str] | None = None) -> LabelNames:
        """Spellings of a taxonomy's labels: keys, aliases, and names in both languages."""
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
        """The key of the label with that name; None: no label has it."""
        return self.spelled.get(name) or self.spelled.get(_fold(name))


def parse_reply(
    text: str, names: LabelNames, *, finish: str | None = None, refusal: str | None = None
) -> ReplyVerdict | Unusable:
    """Read a reply. It never raises, and never gives a label that is not in `names`.

    Args:
        text: the reply.
        names: the labels of the prompt in all spellings.
        finish: the reason why the model stopped, from the server.
        refusal: the model's refusal, where the server reports refusals separately.
    """
    if refusal or finish == "content_filter":
        return Unusable("refused")
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _parse_damaged(text, names, cut=finish in CUT)
    if type(document) is dict:
        return _verdict(document, names, mended=False)
    return _parse_damaged(text, names, cut=finish in CUT)


def _parse_damaged(text: str, names: LabelNames, *, cut: bool) -> ReplyVerdict | Unusable:
    answer = answer_of(text)
    if answer is None:
        return Unusable("cut off")
    text = answer[:_LONGEST]
    if not text:
        return Unusable("cut off" if cut else "empty reply")
    if cut and not _begins_with_object(text):
        # The server cut a text of which the beginning is no answer: an object in it may be a draft.
        return Unusable("refused" if _REFUSAL.match(text.lstrip("*\"' \n")) else "cut off")
    objects = _objects(text)
    if not objects:
        if _REFUSAL.match(text.lstrip("*\"' \n")):
            return Unusable("refused")
        return Unusable("cut off" if cut else "no JSON")
    answers = [_verdict(fields, names, mended=True) for fields in objects]
    first = next((answer for answer in answers if isinstance(answer, ReplyVerdict)), answers[0])
    if any(isinstance(answer, ReplyVerdict) and _meaning(answer) != _meaning(first) for answer in answers):
        return Unusable("several answers")
    return first


def _begins_with_object(text: str) -> bool:
    """True where a text that was cut is one object, perhaps without its end: nothing stands before or after it."""
    inside = _OPENED_FENCE.sub("", text).lstrip()
    if not inside.startswith("{"):
        return False
    pieces = _pieces(inside)
    rest = inside[len(pieces[0]) :] if pieces and inside.startswith(pieces[0]) else ""
    return not rest.strip("` \n\t\r")


def _meaning(answer: ReplyVerdict | Unusable) -> object:
    return (answer.labels, answer.invented) if isinstance(answer, ReplyVerdict) else answer.reason


def _objects(text: str) -> list[Mapping[str, Any]]:
    """All objects in a reply that have a list of labels, with any text around them."""
    fenced = _FENCE.findall(text)
    for part in (*fenced, text):
        start, end = part.find("{"), part.rfind("}")
        if start < 0:
            continue
        if end > start:
            try:
                document = orjson.loads(part[start : end + 1])
            except orjson.JSONDecodeError:
                pass
            else:
                if isinstance(document, dict):
                    return [document]
        several = [repaired for piece in _pieces(part[start:]) if (repaired := _repaired(piece)) is not None]
        if several:
            return several
    return []


def _pieces(text: str) -> list[str]:
    """Parts of a text that each end with an outermost object; only double quotes mark strings."""
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
    """The object in a damaged text; None if there is none. Its labels are None if their list is incomplete."""
    try:
        document = orjson.loads(piece)
    except orjson.JSONDecodeError:
        if _OPENED.search(piece) is None:
            return None
        if _WHOLE_LIST.search(piece) is None:
            # The end of the list is missing, so its labels are not known.
            return {"labels": None}
        document = _repaired_json(piece)
        if isinstance(document, list):
            document = next((part for part in document if isinstance(part, dict)), None)
    return document if isinstance(document, dict) else None


def _repaired_json(piece: str) -> Any:
    """The content of damaged JSON. Common damage is repaired here: json_repair takes a thousand times as long."""
    if '"' not in piece:
        piece = piece.replace("'", '"')
    piece = _LAST_COMMA.sub(r"\1", piece)
    for end in ("", "}", '"}'):
        try:
            return orjson.loads(piece + end)
        except orjson.JSONDecodeError:
            continue
    return repaired_json(piece)


def _verdict(fields_in: Mapping[str, Any], names: LabelNames, *, mended: bool) -> ReplyVerdict | Unusable:
    listed = fields_in.get("labels")
    if listed is None:
        fields = {str(name).casefold(): value for name, value in fields_in.items()}
        if "labels" in fields and fields["labels"] is None:
            return Unusable("cut off" if mended else "no list of labels")
        listed = _first(fields, _LABELS)
        if listed is None:
            return Unusable("no list of labels")
        confidence, why = _first(fields, _CONFIDENCE), _first(fields, _WHY)
    else:
        confidence = fields_in.get("confidence")
        why = fields_in.get("explanation")
    if isinstance(listed, str):
        listed = (
            [listed] if names.key(listed) is not None else [part for part in re.split(r"[,;|]", listed) if part.strip()]
        )
    elif isinstance(listed, dict):
        listed = _of_mapping(listed)
    if not isinstance(listed, list):
        return Unusable("no list of labels")
    labels, invented = _labels(listed, names)
    if labels is None:
        return Unusable("no list of labels")
    if invented and not labels:
        return Unusable("invented label", invented)
    for label in labels:
        if not labels.isdisjoint(names.excludes.get(label, ())):
            return Unusable("labels that exclude each other", invented)
    return ReplyVerdict(frozenset(labels), _confidence(confidence), _line(why), invented, mended)


def _labels(listed: Sequence[Any], names: LabelNames) -> tuple[set[str] | None, tuple[str, ...]]:
    labels: set[str] = set()
    invented: list[str] = []
    for name in listed:
        if isinstance(name, dict):
            name = _first({str(k).casefold(): v for k, v in name.items()}, ("label", "name", "key"))
        if not isinstance(name, str):
            return None, ()
        key = names.key(name)
        if key is not None:
            labels.add(key)
        elif _fold(name) not in _NONE and _fold(name) not in names.others and name.strip():
            invented.append(storable(name.strip(), 60))
    return labels, tuple(invented)


def _of_mapping(values: Mapping[str, Any]) -> list[str] | None:
    """The labels of `{"hate": true, "porn": false}`. Numbers are refused, because their threshold is not known."""
    if all(isinstance(value, bool) for value in values.values()):
        return [str(name) for name, value in values.items() if value]
    return None


def _first(fields: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def _confidence(value: Any) -> float | None:
    """A number from 0 to 1, or a percentage."""
    if isinstance(value, str):
        percent = value.strip().endswith("%")
        try:
            value = float(value.strip().rstrip("%").replace(",", "."))
        except ValueError:
            return None
        if percent:
            value /= 100
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        # A number that is none (NaN) is not in the range either.
        return None
    if 10 < value <= 100:
        # A smaller number may be on a scale of five or of ten.
        value /= 100
    return float(value) if value <= 1 else None


def _line(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    line = value if len(value) <= _LONGEST_WHY and value.isprintable() else " ".join(value.replace("\0", "").split())
    line = line.encode("utf-8", "ignore").decode()
    return line[:_LONGEST_WHY].strip() or None


def _fold(name: str) -> str:
    """Fold a name: without case, and with blanks in place of underscores and hyphens."""
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").strip(" .\"'`*#").split())
