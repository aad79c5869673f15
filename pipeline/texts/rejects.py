"""Rejected rows: counted by reason and written to a file."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import orjson

from pipeline.atomic import make_folder, private


@dataclass(frozen=True, slots=True)
class Reject:
    """A rejected row and the reason. The row's text is not kept, because it may hold personal data."""

    file: str
    #: line or row number, from 1
    line: int
    #: a short fixed phrase, so that reasons can be counted
    reason: str
    #: the part of the row that is wrong, if that helps
    detail: str = ""


@dataclass(slots=True)
class RejectSink:
    """A counter of rejects that writes them as JSON lines to a file, which is made with the first reject."""

    path: Path | None = None
    counts: Counter[str] = field(default_factory=Counter)
    _file: IO[bytes] | None = None

    def add(self, reject: Reject) -> None:
        """Count and write one rejected row."""
        self.counts[reject.reason] += 1
        if self.path is None:
            return
        if self._file is None:
            make_folder(self.path.parent)
            self._file = open(self.path, "ab", opener=private)  # noqa: SIM115 - closed in close()
        row = {"file": reject.file, "line": reject.line, "reason": reject.reason, "detail": reject.detail}
        self._file.write(orjson.dumps(row) + b"\n")

    def flush(self) -> None:
        """Write all rejects out to the operating system."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Flush and close the file, if one was made."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> RejectSink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
