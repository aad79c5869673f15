"""A check and its result."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verdict(enum.StrEnum):
    """The result of a check."""

    OK = "ok"
    WARN = "warn"  # works, but not well or not yet
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    #: what was found, versions included
    found: str
    #: what to do about it; empty when all is well, or when `found` says it
    mend: str = ""
