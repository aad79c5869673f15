"""The fields of one row of CSV, and whether its quotes are in order."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """A form of CSV."""

    delimiter: str = ","
    #: True: a quote within quotes is written with a backslash before it, not twice
    escaped: bool = False


class State(enum.Enum):
    """The state of the quotes of a row."""

    CLOSED = "closed"
    #: the last field has an opening quote and no closing one: it may go on in the next line
    OPEN = "open"
    #: a field begins with a quote, and there is another one within it, followed by more text
    STRAY = "stray"


class FieldParser:
    """A parser of the rows of one dialect, after RFC 4180.

    A quote counts only at the beginning of a field, and there only if its partner stands before a delimiter or at the
    end of the row. Any other quote is part of the text.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._delimiter, self._escaped = dialect.delimiter, dialect.escaped
        inner = r'[^"\\]|\\(?:.|\Z)|""' if dialect.escaped else r'[^"]|""'
        end = re.escape(dialect.delimiter)
        self._quoted = re.compile(rf'"((?:{inner})*+)"[ \t]*?(?={end}|\Z)', re.DOTALL)
        self._open = re.compile(rf'"(?:{inner})*+', re.DOTALL)

    def split(self, row: str) -> tuple[list[str], State]:
        """The fields of a row without its line end, and the state of its quotes.

        Of a row in the state `STRAY` the damaged fields are as they are written, up to the next delimiter. Of one in
        the state `OPEN` the fields before the open one are returned.
        """
        if '"' not in row:
            return row.split(self._delimiter), State.CLOSED
        fields: list[str] = []
        state, at = State.CLOSED, 0
        while True:
            if row.startswith('"', at):
                quoted = self._quoted.match(row, at)
                if quoted is not None:
                    fields.append(self._unquoted(quoted[1]))
                    at = quoted.end()
                    if at == len(row):
                        return fields, state
                    at += 1
                    continue
                opened = self._open.match(row, at)
                if opened is not None and opened.end() == len(row):
                    return fields, State.OPEN
                state = State.STRAY
            end = row.find(self._delimiter, at)
            fields.append(row[at:] if end < 0 else row[at:end])
            if end < 0:
                return fields, state
            at = end + 1

    def _unquoted(self, inner: str) -> str:
        if self._escaped:
            inner = inner.replace("\\\\", "\0").replace('\\"', '"').replace("\0", "\\")
        return inner.replace('""', '"') if '""' in inner else inner
