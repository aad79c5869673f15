"""An OpenAPI document as a page shows it: operations with their fields in rows."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saring.web.words import marked

_METHODS = ("get", "post")
#: kinds of values, as they are shown
_KINDS: Mapping[str, str] = {
    "string": marked("text"),
    "number": marked("number"),
    "integer": marked("whole number"),
    "boolean": marked("true or false"),
    "object": marked("object"),
    "null": marked("nothing"),
}
_LISTS: Mapping[str, str] = {"string": marked("list of texts"), "object": marked("list of objects")}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a request or of an answer."""

    #: with the names of the fields that it is in, for example `results[].flagged`
    name: str
    #: words for the kinds of value that it may have
    kinds: Sequence[str]
    required: bool
    words: str
    #: the only values that it may have, or that its names may have
    values: Sequence[str]


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that programs can ask for."""

    method: str
    path: str
    name: str
    words: str
    #: of the path
    parameters: Sequence[Field]
    asked: Sequence[Field]
    answered: Sequence[Field]
    #: statuses with what they mean
    statuses: Sequence[tuple[str, str]]
    #: a command that asks it
    example: str


def operations(document: Mapping[str, Any]) -> list[Operation]:
    """The operations of a document, in its order."""
    schemas = document["components"]["schemas"]
    server = document["servers"][0]["url"]
    return [
        _operation(path, method, given, schemas, server)
        for path, methods in document["paths"].items()
        for method, given in methods.items()
        if method in _METHODS
    ]


def _operation(path: str, method: str, given: Mapping[str, Any], schemas: Mapping[str, Any], server: str) -> Operation:
    content = next(iter(given.get("requestBody", {}).get("content", {}).values()), None)
    answers = given["responses"]
    good = next(answer for status, answer in answers.items() if status.startswith("2"))
    answer_schema = next(iter(good["content"].values()))["schema"]
    return Operation(
        method.upper(),
        path,
        given["operationId"],
        given["summary"],
        [
            Field(parameter["name"], _kinds(parameter["schema"]), True, parameter.get("description", ""), ())
            for parameter in given.get("parameters", ())
        ],
        list(_fields(content["schema"], schemas)) if content is not None else [],
        list(_fields(answer_schema, schemas)),
        [(status, answer["description"]) for status, answer in answers.items()],
        _command(server + path, content["example"] if content is not None else None),
    )


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any], inside: str = "") -> Iterator[Field]:
    """The fields of a schema and of what is in them. Fields whose names are data stay one row."""
    schema = _resolved(schema, schemas)
    required = schema.get("required", ())
    for name, given in schema.get("properties", {}).items():
        part = _resolved(given, schemas)
        values = part.get("enum") or part.get("propertyNames", {}).get("enum") or ()
        yield Field(inside + name, _kinds(part), name in required, part.get("description", ""), values)
        if "items" in part:
            yield from _fields(part["items"], schemas, f"{inside}{name}[].")
        elif "additionalProperties" not in part:
            yield from _fields(part, schemas, f"{inside}{name}.")


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    return schemas[reference.rpartition("/")[2]] if reference is not None else schema


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    if "oneOf" in schema:
        return [kind for part in schema["oneOf"] for kind in _kinds(part)]
    if "const" in schema or "enum" in schema:
        return [_KINDS["string"]]
    kind = schema["type"]
    if kind == "array":
        return [_LISTS[schema["items"].get("type", "object")]]
    return [_KINDS[name] for name in ([kind] if isinstance(kind, str) else kind)]


def _command(address: str, body: Any) -> str:
    parts = ["curl", "-s", address, "-H", "Authorization: Bearer saring_..."]
    if body is not None:
        parts += ["-H", "Content-Type: application/json", "-d", json.dumps(body, ensure_ascii=False)]
    return shlex.join(parts)
