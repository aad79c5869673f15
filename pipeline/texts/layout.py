"""The layout of a text file: its encoding, and for CSV its delimiter and its quotes, as its first bytes show them."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from pipeline.errors import UsageError
from pipeline.texts.csv_fields import Dialect, FieldParser, State

#: delimiters that are looked for, most usual first
_DELIMITERS = (",", ";", "\t", "|")
_NAMED = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
#: lines of the head that are compared
_LINES = 50
#: Excel's note of the delimiter, in a line before the header
_SEP_LINE = re.compile(r"\ufeff?sep=(.)\r?\n?\Z", re.IGNORECASE)
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: bytes that no text in Windows-1252 has, or hardly any: not assigned, and two letters of Icelandic and old French
_NOT_WINDOWS = re.compile(rb"[\x81\x8d\x8f\x90\x9d\xfe\xff]")
#: a letter of two or more bytes in UTF-8
_WIDE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")


#: the beginning of such a letter at the end of the bytes, and bytes from which on more may follow
_CUT_LETTER = re.compile(rb"[\xc2-\xf4][\x80-\xbf]{0,2}\Z")
_LONG = 4096


@dataclass(frozen=True, slots=True)
class Layout:
    """A file's layout as a caller says it; None: as the first bytes show.

    Raises:
        UsageError: the delimiter is not one character, or the encoding is not known.
    """

    #: of CSV: one character, or `tab`, `comma`, `semicolon`, `pipe`
    delimiter: str | None = None
    #: a name that Python knows, such as `utf-8`, `cp1252`, `utf-16`
    encoding: str | None = None

    def __post_init__(self) -> None:
        if self.delimiter is not None:
            delimiter = _NAMED.get(self.delimiter.lower(), self.delimiter)
            if len(delimiter) != 1 or delimiter in '"\r\n':
                raise UsageError(f"--delimiter {self.delimiter!r}: give one character, or tab")
            object.__setattr__(self, "delimiter", delimiter)
        if self.encoding is not None:
            try:
                known = codecs.lookup(self.encoding)
            except LookupError as error:
                raise UsageError(
                    f"--encoding {self.encoding!r} is not known: give for example utf-8, cp1252 or utf-16"
                ) from error
            object.__setattr__(self, "encoding", known.name)


def encoding_of(head: bytes) -> str:
    """The encoding of a text file by its first bytes.

    UTF-8, unless there is a mark of another encoding, or every second byte is zero (UTF-16), or there are bytes that
    are not UTF-8 and none that are a letter of UTF-8 (then it is Windows-1252, as spreadsheets save it).
    """
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    pairs = len(head) // 2
    if pairs:
        even, odd = head[: 2 * pairs : 2].count(0), head[1 : 2 * pairs : 2].count(0)
        for zeros, others, name in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
            if zeros > 0.6 * pairs and others < 0.01 * pairs:
                return name
    if len(head) >= _LONG:
        # The last letter may be cut.
        head = _CUT_LETTER.sub(b"", head)
    if head.isascii() or _WIDE.search(head) is not None or _NOT_WINDOWS.search(head) is not None:
        return "utf-8"
    return "cp1252"


def dialect_of(head: str, *, whole: bool, delimiter: str | None = None) -> tuple[Dialect, int]:
    """The dialect of CSV by its first characters, and the number of lines before the header.

    Args:
        head: the beginning of the file.
        whole: True: the file has nothing more, so the last line is complete.
        delimiter: the delimiter, if the caller says it.
    """
    lines = head.splitlines(keepends=True)
    before = 0
    if lines and (note := _SEP_LINE.match(lines[0])) is not None:
        before, delimiter = 1, delimiter or note[1]
    sample = [line.rstrip("\r\n") for line in lines[before:]]
    if not whole and len(sample) > 1:
        sample.pop()
    sample = [line for line in sample if line.strip()][:_LINES]
    if not sample:
        return Dialect(delimiter or ","), before
    chosen = delimiter or max(_DELIMITERS, key=lambda character: _fits(sample, Dialect(character)))
    plain, escaped = Dialect(chosen), Dialect(chosen, escaped=True)
    return (escaped if _fits(sample, escaped) > _fits(sample, plain) else plain), before


def _fits(lines: list[str], dialect: Dialect) -> tuple[bool, int, int]:
    """The fit of lines to a dialect: there are several columns, rows with all of them, number of columns."""
    parser = FieldParser(dialect)
    header, _ = parser.split(lines[0])
    if len(header) < 2:
        return False, 0, 0
    rows = [parser.split(line) for line in lines[1:]]
    fitting = sum(state is State.CLOSED and len(fields) == len(header) for fields, state in rows)
    return True, fitting, len(header)
