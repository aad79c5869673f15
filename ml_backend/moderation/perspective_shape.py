"""The shape of Perspective's comment analyzer (developers.perspectiveapi.com), for applications made for it.

Its attributes are approximated by our labels: they were defined by other guidelines, so a score is not the same
number. The score of an attribute is the probability of the likeliest of its labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml_backend.moderation.errors import BadRequest, Refused
from ml_backend.moderation.verdicts import Verdict

#: labels that stand for an attribute; the likeliest of those that the model has gives the score
ATTRIBUTES: Mapping[str, Sequence[str]] = {
    "TOXICITY": ("hate", "harassment", "racist", "religion insult", "sexist", "violence", "porn"),
    "SEVERE_TOXICITY": ("hate", "violence", "racist"),
    "IDENTITY_ATTACK": ("hate", "racist", "religion insult", "sexist"),
    "INSULT": ("harassment",),
    "THREAT": ("violence",),
    "SEXUALLY_EXPLICIT": ("porn",),
}
_EXPERIMENTAL = "_EXPERIMENTAL"


@dataclass(frozen=True, slots=True)
class Analysis:
    """A request, read."""

    text: str
    #: attributes by the name that was asked for, each with the least score that is wanted
    attributes: Mapping[str, float]
    languages: Sequence[str]
    #: give a span with each score
    spans: bool
    #: do not keep the text, whatever the policy says
    do_not_store: bool
    client_token: str | None


def read_analysis(payload: Any, labels: Sequence[str]) -> Analysis:
    """Read a request.

    Args:
        payload: what was sent.
        labels: of the model that serves.

    Raises:
        BadRequest: a field cannot be used; the message names it.
    """
    if not isinstance(payload, dict):
        raise BadRequest("the body is not a JSON object")
    comment = payload.get("comment")
    text = comment.get("text") if isinstance(comment, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise BadRequest("Comment must be non-empty: send comment.text", param="comment.text")
    wanted = payload.get("requestedAttributes")
    if not isinstance(wanted, dict) or not wanted:
        known = ", ".join(ATTRIBUTES)
        raise BadRequest(f"requestedAttributes is missing: name any of {known}", param="requestedAttributes")
    languages = payload.get("languages")
    token = payload.get("clientToken")
    return Analysis(
        text,
        {name: _least(name, settings, labels) for name, settings in wanted.items()},
        [language for language in languages if isinstance(language, str)] if isinstance(languages, list) else [],
        payload.get("spanAnnotations") is True,
        payload.get("doNotStore") is True,
        token if isinstance(token, str) else None,
    )


def analysis_answer(analysis: Analysis, verdict: Verdict) -> dict[str, Any]:
    """The answer to a request, in Perspective's form."""
    scores: dict[str, dict[str, Any]] = {}
    for name, least in analysis.attributes.items():
        value = max(verdict.scores[label] for label in _labels(name, verdict.scores))
        if value < least:
            continue
        score = {"value": value, "type": "PROBABILITY"}
        scores[name] = {"summaryScore": score}
        if analysis.spans:
            scores[name] = {
                "spanScores": [{"begin": 0, "end": len(analysis.text), "score": score}],
                "summaryScore": score,
            }
    answer: dict[str, Any] = {
        "attributeScores": scores,
        "languages": list(analysis.languages),
        "detectedLanguages": [],
    }
    if analysis.client_token is not None:
        answer["clientToken"] = analysis.client_token
    return answer


def google_error(error: Refused) -> dict[str, Any]:
    """An error in Google's form."""
    return {"error": {"code": error.status, "message": str(error), "status": error.google}}


def discovery(root: str) -> dict[str, Any]:
    """The discovery document, from which Google's client libraries make their methods.

    Args:
        root: address of this server, with a slash at its end.
    """
    text_entry = {"text": {"type": "string"}, "type": {"type": "string"}}
    score = {"value": {"type": "number", "format": "float"}, "type": {"type": "string"}}
    span = {"begin": {"type": "integer"}, "end": {"type": "integer"}, "score": {"$ref": "Score"}}
    schemas = {
        "TextEntry": text_entry,
        "AttributeParameters": {
            "scoreType": {"type": "string"},
            "scoreThreshold": {"type": "number", "format": "float"},
        },
        "Score": score,
        "SpanScore": span,
        "AttributeScores": {
            "summaryScore": {"$ref": "Score"},
            "spanScores": {"type": "array", "items": {"$ref": "SpanScore"}},
        },
        "AnalyzeCommentRequest": {
            "comment": {"$ref": "TextEntry"},
            "requestedAttributes": {"type": "object", "additionalProperties": {"$ref": "AttributeParameters"}},
            "languages": {"type": "array", "items": {"type": "string"}},
            "doNotStore": {"type": "boolean"},
            "spanAnnotations": {"type": "boolean"},
            "clientToken": {"type": "string"},
            "sessionId": {"type": "string"},
            "communityId": {"type": "string"},
        },
        "AnalyzeCommentResponse": {
            "attributeScores": {"type": "object", "additionalProperties": {"$ref": "AttributeScores"}},
            "languages": {"type": "array", "items": {"type": "string"}},
            "detectedLanguages": {"type": "array", "items": {"type": "string"}},
            "clientToken": {"type": "string"},
        },
    }
    return {
        "kind": "discovery#restDescription",
        "discoveryVersion": "v1",
        "id": "commentanalyzer:v1alpha1",
        "name": "commentanalyzer",
        "version": "v1alpha1",
        "title": "Saring, in the shape of the Perspective Comment Analyzer",
        "protocol": "rest",
        "rootUrl": root,
        "servicePath": "",
        "baseUrl": root,
        "batchPath": "batch",
        "parameters": {
            "key": {"type": "string", "location": "query", "description": "An API token of Saring."},
            "alt": {"type": "string", "location": "query", "default": "json"},
        },
        "schemas": {name: {"id": name, "type": "object", "properties": fields} for name, fields in schemas.items()},
        "resources": {
            "comments": {
                "methods": {
                    "analyze": {
                        "id": "commentanalyzer.comments.analyze",
                        "path": "v1alpha1/comments:analyze",
                        "flatPath": "v1alpha1/comments:analyze",
                        "httpMethod": "POST",
                        "parameters": {},
                        "parameterOrder": [],
                        "request": {"$ref": "AnalyzeCommentRequest"},
                        "response": {"$ref": "AnalyzeCommentResponse"},
                    }
                }
            }
        },
    }


def _labels(name: str, labels: Mapping[str, float] | Sequence[str]) -> list[str]:
    return [label for label in ATTRIBUTES[name.removesuffix(_EXPERIMENTAL)] if label in labels]


def _least(name: str, settings: Any, labels: Sequence[str]) -> float:
    plain = name.removesuffix(_EXPERIMENTAL)
    if plain not in ATTRIBUTES or not _labels(name, labels):
        served = ", ".join(known for known in ATTRIBUTES if _labels(known, labels))
        instead = f"the model that serves has {served}" if served else "the model has none: use /v1/moderations"
        raise BadRequest(f"Attribute {name[:60]} is not supported: {instead}", param="requestedAttributes")
    least = settings.get("scoreThreshold", 0.0) if isinstance(settings, dict) else 0.0
    return float(least) if isinstance(least, int | float) and not isinstance(least, bool) else 0.0
