"""JSON as programs write it: NaN, halves of characters, one big list, objects over several lines."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

from pipeline.errors import InputError
from pipeline.texts.rejects import Reject

_CHUNK = 1 << 16
#: longest object, in characters: a task of Label Studio may hold many annotations
_LONGEST = 1 << 24
#: half of a character at the end of a text that was cut
_CUT = re.compile(r"[\ud800-\udbff](?=\s*(?:…|\.\.\.)?\s*\Z)")
#: a list that holds objects
_LIST_OF_OBJECTS = re.compile(r"\s*\[\s*(?:\{|\]\s*\Z)")
_SEPARATORS = re.compile(r"[\s,]*")
#: an object whose first line is only its opening brace
_SPREAD = re.compile(r"\s*\{[ \t]*\r?\n")


def load_json(line: bytes | str) -> Any:
    """The value of one line of JSON; NaN, Infinity and halves of characters are allowed.

    Raises:
        orjson.JSONDecodeError: the line is damaged.
        UnicodeDecodeError: the line is not UTF-8.
    """
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        text = line.decode("utf-8") if isinstance(line, bytes) else line
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            pass
        # the words of the stricter reader
        raise


def dump_json(row: Any) -> bytes:
    """A value as JSON, without a newline; a half of a character is written as an escape, as it was read."""
    try:
        return orjson.dumps(row, default=str)
    except TypeError:
        return json.dumps(row, default=str, ensure_ascii=True).encode()


def whole_characters(text: str) -> str:
    """A text without the half of a character at its end, which is left where a text is cut within an emoji."""
    return text if text.isascii() else _CUT.sub("", text)


def lone_half(text: str) -> int | None:
    """The place of a half of a character; None: there is none."""
    if text.isascii():
        return None
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return error.start
    return None


def is_spread(head: str) -> bool:
    """True where a file of JSON is one list of objects, or has objects over several lines, by its first characters."""
    return _LIST_OF_OBJECTS.match(head) is not None or _SPREAD.match(head) is not None


def spread_objects(path: str, stream: io.TextIOBase) -> Iterator[tuple[int, dict[str, Any]] | Reject]:
    """The objects of one list, or of a file that has one object after the other; each with its number, from 1.

    They are read one by one. A value that is not an object is rejected.

    Raises:
        InputError: the file is damaged, and where; objects before the damage are given first.
    """
    decoder = json.JSONDecoder()
    buffer, at, ended, number = "", 0, False, 0
    opened: bool | None = None
    while True:
        start = _SEPARATORS.match(buffer, at)
        at = start.end() if start is not None else at
        if opened is None and at < len(buffer):
            opened = buffer[at] == "["
            at += opened
            continue
        if at < len(buffer) and opened and buffer[at] == "]":
            return
        value, after = _decoded(decoder, buffer, at)
        if after is not None and (after < len(buffer) or ended):
            number, at = number + 1, after
            if isinstance(value, dict):
                yield number, value
            else:
                yield Reject(path, number, "not a JSON object", type(value).__name__)
            continue
        if ended:
            if at >= len(buffer) and not opened:
                return
            raise InputError(f"{path}: the JSON is damaged or cut short after {number} objects")
        if len(buffer) - at > _LONGEST:
            raise InputError(f"{path}: object {number + 1} is damaged, or longer than {_LONGEST} characters")
        # Twice as much each time, so that a long object is not decoded too often.
        more = stream.read(max(_CHUNK, len(buffer) - at))
        ended = not more
        buffer, at = buffer[at:] + more, 0


def _decoded(decoder: json.JSONDecoder, buffer: str, at: int) -> tuple[Any, int | None]:
    if at >= len(buffer):
        return None, None
    try:
        return decoder.raw_decode(buffer, at)
    except (ValueError, RecursionError):
        return None, None
