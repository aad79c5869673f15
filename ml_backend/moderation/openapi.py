"""The OpenAPI document of the moderation endpoint.

The dashboard shows it to people, in their language: `saring/web/api_words.py` has each of its sentences.
"""

from __future__ import annotations

from typing import Any

from ml_backend.moderation.config import ModerationLimits
from ml_backend.moderation.openapi_schemas import all_schemas

_JSON = "application/json"
_FAILURES = {
    "400": "A field cannot be used; `param` names it.",
    "401": "The API token is not known.",
    "404": "There is no such model or report.",
    "413": "The request has too many bytes.",
    "422": "There are too many texts, or one is too long.",
    "429": "The token's requests of this minute are used up; `Retry-After` says when.",
    "503": "There is no champion yet, or the database is away; try again.",
}
#: statuses that only some operations answer with
_OF_A_BODY, _OF_A_NAME = {"400", "413", "422"}, {"404"}


def document(server: str, limits: ModerationLimits, labels: dict[str, str]) -> dict[str, Any]:
    """The document, in OpenAPI 3.1.

    Args:
        server: address of this server.
        limits: on requests.
        labels: definition of each label.
    """
    paths = {
        "/v1/moderations": _post(
            "moderate",
            "Judge texts, in the shape of OpenAI's endpoint",
            ("Question", {"input": "bodoh betul kau ni"}),
            ("200", "The verdicts, in order.", "Verdicts"),
            named=True,
        ),
        "/v1alpha1/comments:analyze": _post(
            "analyze",
            "Judge a text, in the shape of Perspective's endpoint; scores are approximate",
            ("AnalyzeRequest", {"comment": {"text": "bodoh betul kau ni"}, "requestedAttributes": {"TOXICITY": {}}}),
            ("200", "The scores.", "AnalyzeAnswer"),
            error="GoogleError",
        ),
        "/v1/reports": _post(
            "report",
            "Report that a verdict was wrong; the text is kept, masked, for people to look at",
            ("NewReport", {"text": "bunuh lampu sebelum tidur", "labels": {"violence": False}}),
            ("201", "The report.", "Report"),
        ),
        "/v1/reports/{report}": _get(
            "reportState",
            "The state of a report: waiting, or settled with the labels that people decided",
            ("The report.", "Report"),
            parameter=("report", "The id of the report."),
        ),
        "/v1/policies": _get(
            "policies",
            "The policies, with the precision and recall to expect of each",
            ("The policies.", "Policies"),
        ),
        "/v1/models": _get("models", "The model that serves", ("The model.", "Models")),
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Saring moderation",
            "version": "1",
            "description": "Verdicts on texts. Texts are stored only where the policy says so.",
        },
        "servers": [{"url": server.rstrip("/")}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": all_schemas(limits, labels),
        },
    }


def _post(
    operation: str,
    summary: str,
    request: tuple[str, dict[str, Any]],
    answer: tuple[str, str, str],
    *,
    named: bool = False,
    error: str = "Error",
) -> dict[str, Any]:
    """An operation with a body: the schema and an example of the request; status, words and schema of the answer."""
    schema, example = request
    status, words, answered = answer
    left_out = set() if named else _OF_A_NAME
    return {
        "post": {
            "operationId": operation,
            "summary": summary,
            "requestBody": {"required": True, "content": {_JSON: {"schema": _named(schema), "example": example}}},
            "responses": {status: _response(words, answered), **_failures(error, left_out)},
        }
    }


def _get(
    operation: str, summary: str, answer: tuple[str, str], *, parameter: tuple[str, str] | None = None
) -> dict[str, Any]:
    """An operation without a body: words and schema of the answer; name and words of what its path names."""
    left_out = _OF_A_BODY if parameter is not None else _OF_A_BODY | _OF_A_NAME
    made: dict[str, Any] = {
        "operationId": operation,
        "summary": summary,
        "responses": {"200": _response(*answer), **_failures("Error", left_out)},
    }
    if parameter is not None:
        name, words = parameter
        made["parameters"] = [
            {"name": name, "in": "path", "required": True, "description": words, "schema": {"type": "string"}}
        ]
    return {"get": made}


def _failures(schema: str, left_out: set[str]) -> dict[str, Any]:
    return {status: _response(words, schema) for status, words in _FAILURES.items() if status not in left_out}


def _response(words: str, schema: str) -> dict[str, Any]:
    return {"description": words, "content": {_JSON: {"schema": _named(schema)}}}


def _named(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}
