"""Rows of CSV. A row with a stray quote is rejected by itself: the rows below it are read as they are."""

from __future__ import annotations

import io
import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pipeline.texts.csv_fields import Dialect, FieldParser, State
from pipeline.texts.rejects import Reject

_DIGITS = re.compile(r"\d+")
#: values of the last column that are remembered, and the longest of them
_REMEMBERED, _SHORT = 200, 40


class _Line(NamedTuple):
    number: int
    #: with its line end; None: it is too long
    text: str | None
    size: int


class _Lines:
    """The lines of a file, of which some can be given back."""

    def __init__(self, stream: io.TextIOBase, longest: int) -> None:
        self._stream, self._longest = stream, longest
        self._returned: deque[_Line] = deque()
        self._number = 0

    def take(self) -> _Line | None:
        """The next line; None at the end. Of a line that is too long only the length is kept."""
        if self._returned:
            return self._returned.popleft()
        text = self._stream.readline(self._longest + 1)
        if not text:
            return None
        self._number += 1
        if len(text) <= self._longest or text.endswith(("\n", "\r")):
            return _Line(self._number, text, len(text))
        size = len(text)
        while not text.endswith(("\n", "\r")) and (text := self._stream.readline(self._longest)):
            size += len(text)
        return _Line(self._number, None, size)

    def give_back(self, lines: Sequence[_Line]) -> None:
        """Have these lines come again, in this order."""
        self._returned.extendleft(reversed(lines))


def csv_rows(
    path: str, stream: io.TextIOBase, dialect: Dialect, *, before: int, longest: int
) -> Iterator[tuple[int, dict[str, Any]] | Reject]:
    """The rows of a file with a header: number of the first line of each row, and its fields by column.

    Args:
        path: the file, for rejects.
        stream: its text, opened with ``newline=""``.
        dialect: its dialect.
        before: number of lines before the header.
        longest: longest line and longest row, in characters.
    """
    lines, parser = _Lines(stream, longest), FieldParser(dialect)
    for _ in range(before):
        lines.take()
    reader = _Reader(path, lines, parser, longest)
    header: list[str] | None = None
    while header is None:
        row = reader.next(None)
        if row is None:
            return
        if isinstance(row, Reject):
            yield row
        elif row[1] != [""]:
            header = [name.strip().removeprefix("\ufeff") for name in row[1]]
    while (row := reader.next(len(header))) is not None:
        if isinstance(row, Reject):
            yield row
            continue
        number, fields = row
        if fields == [""]:
            continue
        while len(fields) > len(header) and not fields[-1]:
            fields.pop()
        if len(fields) != len(header):
            yield Reject(path, number, "ragged row", f"{len(fields)} fields; the header has {len(header)}")
        else:
            reader.remember(fields[-1])
            yield number, dict(zip(header, fields, strict=True))


class _Reader:
    def __init__(self, path: str, lines: _Lines, parser: FieldParser, longest: int) -> None:
        self._path, self._lines, self._parser, self._longest = path, lines, parser, longest
        self._last: set[str] = set()

    def remember(self, value: str) -> None:
        """Remember a value of the last column."""
        if value and len(value) <= _SHORT and len(self._last) < _REMEMBERED:
            self._last.add(value)

    def next(self, width: int | None) -> tuple[int, list[str]] | Reject | None:
        """The next row: number of its first line, and its fields. None at the end of the file."""
        first = self._lines.take()
        if first is None:
            return None
        if first.text is None:
            return self._too_long(first)
        row = first.text.rstrip("\r\n")
        fields, state = self._parser.split(row)
        if state is State.CLOSED:
            return first.number, fields
        if state is State.STRAY:
            if any(field.startswith('"') and field.count('"') % 2 for field in fields):
                return self._damaged(first, "a quote without its partner")
            return first.number, fields
        return self._continued(first, width)

    def _continued(self, first: _Line, width: int | None) -> tuple[int, list[str]] | Reject:
        """The row that begins with `first`, whose last field goes on in the next lines."""
        assert first.text is not None
        more: list[_Line] = []
        parts, size = [first.text], len(first.text)
        problem = "a quote that is not closed"
        while (line := self._lines.take()) is not None:
            more.append(line)
            if line.text is None:
                break
            parts.append(line.text)
            size += len(line.text)
            if size > self._longest:
                break
            if '"' not in line.text:
                continue
            fields, state = self._parser.split("".join(parts).rstrip("\r\n"))
            if state is State.CLOSED and not (width is not None and self._is_glued(first, more, width)):
                return first.number, fields
            if state is not State.OPEN:
                problem = "a quote that is closed in another row"
                break
        self._lines.give_back(more)
        return self._damaged(first, problem)

    def _is_glued(self, first: _Line, more: Sequence[_Line], width: int) -> bool:
        """True where the lines that a quoted field goes on in are rows themselves: a stray quote glued them together.

        Lines of a post may hold as many delimiters by chance. So each line must also begin like the first one (with a
        number, say), or end with a value that the last column had before.
        """
        assert first.text is not None
        if width < 2:
            return False
        start = self._shape(first.text)
        *between, last = [line.text.rstrip("\r\n") for line in more if line.text is not None]
        between = [line for line in between if line.strip()]
        if between:
            return all(self._is_row(line, width, start) for line in between)
        return start != "" and self._shape(last) == start and len(self._parser.split(last)[0]) == width > 2

    def _is_row(self, line: str, width: int, start: str) -> bool:
        fields, _ = self._parser.split(line)
        return len(fields) == width and ((start != "" and self._shape(line) == start) or fields[-1] in self._last)

    def _shape(self, line: str) -> str:
        """The shape of a line's first field if it holds a digit, with each number as 0; else an empty string."""
        value = self._parser.split(line.rstrip("\r\n"))[0][:1]
        return _DIGITS.sub("0", value[0]) if value and _DIGITS.search(value[0]) else ""

    def _damaged(self, line: _Line, problem: str) -> Reject:
        return Reject(self._path, line.number, "not valid CSV", problem)

    def _too_long(self, line: _Line) -> Reject:
        return Reject(self._path, line.number, "line too long", f"{line.size} characters; at most {self._longest}")
