"""The shape of OpenAI's moderation endpoint (platform.openai.com/docs/api-reference/moderations)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any

import orjson

from ml_backend.moderation.errors import BadRequest, Refused, Unprocessable
from ml_backend.moderation.verdicts import Judge, Verdict

#: names of models that clients of OpenAI's send when they mean whichever is current
CURRENT = frozenset({"omni-moderation-latest", "text-moderation-latest", "text-moderation-stable", "saring"})
#: OpenAI's categories that one of our labels stands for, where the label has another name
STAND_INS: Mapping[str, str] = {"sexual": "porn"}
#: all of OpenAI's categories, which clients expect to be there
CATEGORIES = (
    *("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent"),
    *("self-harm", "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors"),
    *("violence", "violence/graphic"),
)


@dataclass(frozen=True, slots=True)
class Question:
    """A request, read."""

    texts: Sequence[str]
    #: None: the one that serves
    model: str | None
    #: None: the token's
    policy: str | None
    #: tell which words mattered
    explain: bool


def read_question(payload: Any, *, most: int) -> Question:
    """Read a request.

    Raises:
        BadRequest: a field cannot be used; the message names it.
        Unprocessable: there are too many texts.
    """
    if not isinstance(payload, dict):
        raise BadRequest('the body is not a JSON object: send {"input": "a text"}')
    texts = _texts(payload.get("input"))
    if len(texts) > most:
        raise Unprocessable(f"`input` has {len(texts)} texts: send at most {most} at once", param="input")
    return Question(
        texts,
        _name(payload, "model"),
        _name(payload, "policy"),
        payload.get("explain") is True,
    )


def answer(
    verdicts: Sequence[Verdict],
    judge: Judge,
    version: str,
    words: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The answer to a request, in OpenAI's form, with our fields beside."""
    shape = _shape_of(tuple(judge.labels))
    results: list[dict[str, Any]] = []
    for i, verdict in enumerate(verdicts):
        result = {
            "flagged": verdict.flagged,
            "categories": dict(zip(shape.names, shape.pick([*verdict.marks, False]), strict=True)),
            "category_scores": dict(zip(shape.names, shape.pick([*verdict.values, 0.0]), strict=True)),
            "category_applied_input_types": shape.applied,
        }
        if words is not None:
            result["words"] = words[i]
        results.append(result)
    return {
        "id": f"modr-{secrets.token_hex(12)}",
        "model": version,
        "results": results,
        "policy": judge.policy.name,
        "thresholds": judge.cuts,
        "served": shape.served,
        "not_served": shape.not_served,
    }


@dataclass(frozen=True, slots=True)
class _Shape:
    """The parts of an answer that are the same for all texts."""

    #: names of the categories of a result
    names: Sequence[str]
    #: gives their values, from those of the labels with the value of what is not served behind them
    pick: Callable[[list[Any]], tuple[Any, ...]]
    applied: orjson.Fragment
    served: Sequence[str]
    not_served: Sequence[str]


@lru_cache(maxsize=32)
def _shape_of(labels: tuple[str, ...]) -> _Shape:
    """The parts that are the same for all texts of a model with these labels."""
    place = {label: i for i, label in enumerate(labels)}
    nowhere = len(labels)
    for category in CATEGORIES:
        place.setdefault(category, place.get(STAND_INS.get(category, ""), nowhere))
    return _Shape(
        tuple(place),
        itemgetter(*place.values()),
        orjson.Fragment(orjson.dumps({name: ["text"] for name in place})),
        labels,
        [category for category in CATEGORIES if place[category] == nowhere],
    )


def error_body(error: Refused) -> dict[str, Any]:
    """An error in OpenAI's form."""
    return {"error": {"message": str(error), "type": error.kind, "param": error.param, "code": error.code}}


def policy_body(judge: Judge, version: str) -> dict[str, Any]:
    """A policy with what to expect of it from the model that serves."""
    return {
        **judge.policy.to_dict(),
        "model": version,
        "thresholds": [asdict(threshold) for threshold in judge.thresholds.values()],
    }


def _texts(given: Any) -> list[str]:
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list):
        raise BadRequest("`input` is missing: send a text, or a list of texts", param="input")
    if not given:
        raise BadRequest("`input` is an empty list: send at least one text", param="input")
    if all(isinstance(item, str) for item in given):
        return list(given)
    return [_parts(given)]


def _parts(given: Sequence[Any]) -> str:
    """The text of OpenAI's list form, whose parts are one input together."""
    texts = []
    for i, part in enumerate(given):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind == "image_url":
            raise BadRequest(
                f"`input[{i}]` is an image, and only texts are judged here: leave the images out", param=f"input[{i}]"
            )
        else:
            raise BadRequest(
                f'`input[{i}]` is neither a text nor a part {{"type": "text", "text": ...}}: send texts only',
                param=f"input[{i}]",
            )
    return "\n".join(texts)


def _name(payload: Mapping[str, Any], field: str) -> str | None:
    value = payload.get(field)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        raise BadRequest(f"`{field}` is not a name", param=field)
    return value
