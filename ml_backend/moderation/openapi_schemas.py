"""The schemas of the OpenAPI document: what is asked, and what is answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_backend.moderation.config import ModerationLimits
from ml_backend.moderation.perspective_shape import ATTRIBUTES
from pipeline.texts.limits import MAX_COMMENT, MAX_ID

Schema = dict[str, Any]


def all_schemas(limits: ModerationLimits, labels: Mapping[str, str]) -> dict[str, Schema]:
    """The schemas by name.

    Args:
        limits: on requests.
        labels: definition of each label.
    """
    return {
        "Question": _question(limits),
        "Verdicts": _verdicts(labels),
        "AnalyzeRequest": _analyze_request(),
        "AnalyzeAnswer": _analyze_answer(),
        "NewReport": _new_report(labels),
        "Report": _report(),
        "Policies": _policies(),
        "Models": _models(),
        "Error": _error(),
        "GoogleError": _google_error(),
    }


def _question(limits: ModerationLimits) -> Schema:
    part = _object({"type": {"const": "text"}, "text": {"type": "string"}}, required=["type", "text"])
    texts = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": limits.texts}
    parts = {"type": "array", "items": part, "minItems": 1, "maxItems": limits.texts}
    words = "A text, or a list of texts. Of a text longer than 20,000 characters, the beginning is judged."
    return _object(
        {
            "input": {"description": words, "oneOf": [{"type": "string"}, texts, parts]},
            "model": _text("A version; leave it out for the champion.", 200),
            "policy": _text("Name of a policy, in place of the token's.", 200),
            "explain": {"type": "boolean", "description": "Tell which words mattered; for at most 32 texts."},
        },
        required=["input"],
    )


def _verdicts(labels: Mapping[str, str]) -> Schema:
    defined = {key: {"type": "boolean", "description": words} for key, words in labels.items()}
    given = "Labels by key, and OpenAI's categories: whether the text is given each."
    result = _object(
        {
            "flagged": {"type": "boolean", "description": "A harmful label reaches its threshold."},
            "categories": {**_map("boolean", given), "properties": defined},
            "category_scores": _map("number", "The calibrated probability of each."),
            "category_applied_input_types": {"type": "object", "description": "Always text."},
            "words": {"type": "object", "description": "The words that mattered, if they were asked for."},
        },
        required=["flagged", "categories", "category_scores"],
    )
    return _object(
        {
            "id": {"type": "string"},
            "model": {"type": "string", "description": "The version that judged."},
            "results": {"type": "array", "items": result},
            "policy": {"type": "string", "description": "The policy whose thresholds were used."},
            "thresholds": _map("number", "The threshold of each label."),
            "served": _texts("Labels that the model knows."),
            "not_served": _texts("OpenAI's categories that no label stands for."),
        },
        required=["id", "model", "results", "policy", "thresholds", "served", "not_served"],
    )


def _analyze_request() -> Schema:
    attributes = {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"enum": list(ATTRIBUTES)},
        "additionalProperties": {"type": "object"},
        "description": "Attributes by name, each with an empty object or a `scoreThreshold`.",
    }
    return _object(
        {
            "comment": _object({"text": {"type": "string", "minLength": 1}}, required=["text"]),
            "requestedAttributes": attributes,
            "languages": _texts("Given back as it came."),
            "doNotStore": {"type": "boolean", "description": "Do not keep the text, whatever the policy says."},
            "spanAnnotations": {"type": "boolean", "description": "Give each score with the span of the whole text."},
            "clientToken": {"type": "string", "description": "Given back as it came."},
        },
        required=["comment", "requestedAttributes"],
    )


def _analyze_answer() -> Schema:
    return _object(
        {
            "attributeScores": {
                "type": "object",
                "additionalProperties": {"type": "object"},
                "description": "The score of each attribute: the probability of the likeliest of its labels.",
            },
            "languages": _texts("Given back as it came."),
            "detectedLanguages": {"type": "array", "items": {"type": "string"}, "description": "Always empty."},
            "clientToken": {"type": "string", "description": "Given back as it came."},
        },
        required=["attributeScores", "languages"],
    )


def _new_report(labels: Mapping[str, str]) -> Schema:
    marks = {
        **_map("boolean", "true: the label is right; false: it is wrong."),
        "propertyNames": {"enum": list(labels)},
    }
    return _object(
        {
            "text": {"type": "string", "minLength": 1, "description": "The text that was judged."},
            "labels": marks,
            "reason": _text("Why the verdict was wrong, in a person's words.", MAX_COMMENT),
            "reference": _text("Your own name of the report; what is sent twice is kept once.", MAX_ID),
            "model": _text("The version whose verdict was wrong.", MAX_ID),
        },
        required=["text"],
    )


def _report() -> Schema:
    return _object(
        {
            "object": {"const": "report"},
            "id": {"type": "string"},
            "reference": {"type": "string"},
            "created": {"type": "integer", "description": "Seconds since 1970."},
            "status": {"enum": ["waiting", "settled"], "description": "waiting, or settled by people."},
            "labels": _map("boolean", "What people decided."),
        },
        required=["object", "id", "reference", "created", "status", "labels"],
    )


def _policies() -> Schema:
    threshold = _object(
        {
            "label": {"type": "string"},
            "threshold": {"type": "number"},
            "target": {"type": "string"},
            "precision": {"type": ["number", "null"]},
            "recall": {"type": ["number", "null"]},
            "reached": {"type": "boolean", "description": "The target was reached on the dev texts."},
        }
    )
    policy = _object(
        {
            "name": {"type": "string"},
            "default": {"type": ["string", "null"], "description": "The target of all other labels."},
            "labels": _map("string", "The target of each label."),
            "store_texts": {"type": "boolean", "description": "Texts are kept, masked."},
            "model": {"type": "string"},
            "thresholds": {"type": "array", "items": threshold},
        },
        required=["name", "store_texts", "thresholds"],
    )
    return _list(policy)


def _models() -> Schema:
    return _list(
        _object(
            {
                "id": {"type": "string", "description": "Its version."},
                "object": {"const": "model"},
                "created": {"type": "integer", "description": "Seconds since 1970."},
                "owned_by": {"type": "string"},
            },
            required=["id"],
        )
    )


def _error() -> Schema:
    error = _object(
        {
            "message": {"type": "string", "description": "What is wrong, and what to do."},
            "type": {"type": "string"},
            "param": {"type": ["string", "null"], "description": "The field that is meant."},
            "code": {"type": "string"},
        },
        required=["message", "type", "code"],
    )
    return _object({"error": error}, required=["error"])


def _google_error() -> Schema:
    error = _object(
        {
            "code": {"type": "integer"},
            "message": {"type": "string", "description": "What is wrong, and what to do."},
            "status": {"type": "string"},
        },
        required=["code", "message", "status"],
    )
    return _object({"error": error}, required=["error"])


def _object(properties: Mapping[str, Schema], *, required: list[str] | None = None) -> Schema:
    made: Schema = {"type": "object", "properties": dict(properties)}
    return {**made, "required": required} if required else made


def _list(item: Schema) -> Schema:
    return _object({"object": {"const": "list"}, "data": {"type": "array", "items": item}}, required=["data"])


def _map(kind: str, words: str) -> Schema:
    return {"type": "object", "additionalProperties": {"type": kind}, "description": words}


def _texts(words: str) -> Schema:
    return {"type": "array", "items": {"type": "string"}, "description": words}


def _text(words: str, most: int) -> Schema:
    return {"type": "string", "maxLength": most, "description": words}
