"""Servers that speak OpenAI's protocol: clients that send them nothing but what they are told, and their errors.

The dialects are many. An error is a status of its own or comes with status 200; its message is in `error.message`, in
`error`, in `message` or in `detail`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import openai
import orjson

#: sent in place of a key to a server that needs none
NO_KEY = "none"
#: characters of a server's message that are quoted
_LONGEST = 300
#: ends of addresses that the client adds itself
_ADDED = ("/chat/completions", "/completions", "/embeddings", "/models")
_VERSION = re.compile(r"/v\d+\w*(?:/|$)")
#: words of a message about a failure that will pass
_PASSING = re.compile(
    r"rate.?limit|too many requests|overload|capacity|try again|temporar|time[d-]?.?out|unavailable|busy", re.I
)
_BUSY, _FAILED = 429, 500


@dataclass(frozen=True, slots=True)
class ServerError:
    """The error that a server answered with."""

    #: HTTP status, or the one that stands in an answer with status 200
    status: int
    #: its message, on one line; empty if it gave none
    message: str = ""
    #: names of the request's fields that the answer calls wrong, in a field for that
    fields: tuple[str, ...] = ()

    @property
    def quoted(self) -> str:
        """The message for a sentence: in quotation marks, or the status."""
        return f'"{self.message}"' if self.message else f"status {self.status}"


def _headers(api_key: str) -> Mapping[str, str]:
    """Headers that hold nothing of the environment.

    The client would send an organisation, a project and headers that the environment names, which are meant for
    OpenAI, to any server.
    """
    named = (line.partition(":")[0].strip() for line in os.environ.get("OPENAI_CUSTOM_HEADERS", "").splitlines())
    left_out = {name: openai.Omit() for name in (*named, "OpenAI-Organization", "OpenAI-Project") if name}
    kept = {name: value for name, value in left_out.items() if name.casefold() != "authorization"}
    return cast(Mapping[str, str], kept | {"Authorization": f"Bearer {api_key}"})


def make_client(url: str, api_key: str | None, *, timeout: float, retries: int) -> openai.OpenAI:
    """A client of a server. It takes nothing but proxies from the environment.

    Args:
        url: the address that ends before `/chat/completions`.
        api_key: the key; None: the server needs none.
        timeout: seconds to wait for an answer.
        retries: attempts after the first one that fails.
    """
    key = api_key or NO_KEY
    return openai.OpenAI(
        base_url=url,
        api_key=key,
        organization="",
        project="",
        timeout=timeout,
        max_retries=retries,
        default_headers=_headers(key),
    )


def make_async_client(url: str, api_key: str | None, *, timeout: float, retries: int) -> openai.AsyncOpenAI:
    """See `make_client`; for an event loop."""
    key = api_key or NO_KEY
    return openai.AsyncOpenAI(
        base_url=url,
        api_key=key,
        organization="",
        project="",
        timeout=timeout,
        max_retries=retries,
        default_headers=_headers(key),
    )


def hint(url: str) -> str:
    """The likely address where the given one has no such service, as the end of a message; empty if it looks right."""
    plain = url.rstrip("/")
    for end in _ADDED:
        if plain.endswith(end):
            return f": did you mean {plain.removesuffix(end)}?"
    if _VERSION.search(urlsplit(plain).path) is None:
        return f": did you mean {plain}/v1?"
    return ""


def read_json(content: bytes) -> Any:
    """The value of a JSON document, read as leniently as possible: lone surrogates, NaN and bad UTF-8 are allowed.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        try:
            return json.loads(content.decode("utf-8-sig", "replace"))
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def error_of_status(error: openai.APIStatusError, *hidden: str) -> ServerError:
    """The server's error in a response with a status for errors.

    Args:
        error: the client's error.
        hidden: secrets and texts that the message may repeat; they are shown as ***.
    """
    try:
        body = read_json(error.response.content)
    except ValueError:
        # A page of HTML says nothing to a reader of messages.
        plain = error.response.headers.get("content-type", "").startswith("text/plain")
        body = error.response.text if plain else None
    return ServerError(error.status_code, _message(body, hidden), tuple(dict.fromkeys(_fields(body))))


def error_in(document: object, *hidden: str) -> ServerError | None:
    """The server's error in a response with status 200; None if it holds none.

    Its status is the code that stands in it, or one by the words of its message.
    """
    if not isinstance(document, dict):
        return None
    error = document.get("error")
    if not error and document.get("object") != "error":
        return None
    inner = error if isinstance(error, dict) else document
    message = _message(document, hidden)
    codes = (_status(inner.get(name)) for name in ("code", "status", "status_code"))
    status = next((code for code in codes if code is not None), None)
    if status is None:
        status = _BUSY if _PASSING.search(f"{message} {inner.get('code')} {inner.get('type')}") else _FAILED
    return ServerError(status, message, tuple(dict.fromkeys(_fields(document))))


def _status(code: object) -> int | None:
    if isinstance(code, str) and len(code) == 3 and code.isascii() and code.isdigit():
        code = int(code)
    return code if isinstance(code, int) and 400 <= code < 600 else None


def _message(body: object, hidden: tuple[str, ...]) -> str:
    """The first message in an error's body, on one line, without what is hidden."""
    text = next((message for message in _messages(body) if message.strip()), "")
    for secret in hidden:
        if secret:
            text = text.replace(secret, "***")
    line = " ".join(text.replace("\0", "").encode("utf-8", "replace").decode().split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _messages(body: object, depth: int = 0) -> Iterator[str]:
    if isinstance(body, str):
        yield body
    elif depth < 4 and isinstance(body, dict):
        for name in ("error", "message", "msg", "detail", "details", "errors"):
            yield from _messages(body.get(name), depth + 1)
    elif depth < 4 and isinstance(body, list):
        for part in body:
            yield from _messages(part, depth + 1)


def _fields(body: object, depth: int = 0) -> Iterator[str]:
    """Names in an error's `param` (OpenAI) and `loc` (FastAPI)."""
    if depth > 4:
        return
    if isinstance(body, dict):
        if isinstance(param := body.get("param"), str) and param:
            yield param.partition(".")[0]
        if isinstance(place := body.get("loc"), list):
            yield from (part for part in place if isinstance(part, str) and part != "body")
        for name in ("error", "detail", "errors"):
            yield from _fields(body.get(name), depth + 1)
    elif isinstance(body, list):
        for part in body:
            yield from _fields(part, depth + 1)
