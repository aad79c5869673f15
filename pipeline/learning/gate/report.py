"""The gate's report in the model's folder: `gate.json` for programs, `gate.html` for people.

The page is made from the file and from nothing else. Both hold masked texts only; the page blurs them until the
reader points at them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from pipeline.errors import ModelError
from pipeline.learning.gate.paired_comparison import Flip, PairedComparison
from pipeline.learning.gate.rules import Cost, Margins, Verdict
from pipeline.learning.gate.signs import shown_check
from pipeline.learning.probes.comparison import ProbeComparison
from pipeline.ledger.test_set import FrozenTest
from pipeline.measure.metrics import rounded
from pipeline.models.purposes import shown_purpose
from pipeline.pages.render import put_page, render
from pipeline.texts.labelled_files import clean
from pipeline.texts.normalise import text_id

REPORT, PAGE = "gate.json", "gate.html"
#: written again at each comparison, and no part of the model
REPORT_FILES = (REPORT, PAGE)


@dataclass(frozen=True, slots=True)
class Rows:
    """The texts that two models were compared on."""

    #: their origin, in words
    origin: str
    #: the version of the test set, if they come from there
    test_set: FrozenTest | None
    #: number of texts
    texts: int
    #: texts left out because one of the models was trained on them
    left_out_as_learnt: int = 0


@dataclass(frozen=True, slots=True)
class GateReport:
    """A verdict with all its reasons."""

    purpose: str
    #: texts may be harmful, so that the page blurs them
    harmful: bool
    challenger: str
    #: None: there was none
    champion: str | None
    verdict: Verdict
    margins: Margins
    rows: Rows
    #: of the challenger, and of the champion if there was one
    costs: Sequence[Cost]
    #: None: nothing was compared
    paired: PairedComparison | None
    #: None: no probe pair is of a label that both know
    probes: ProbeComparison | None = None

    def to_dict(self, made_at: datetime) -> dict[str, Any]:
        """Plain values, as `gate.json` holds them."""
        return {
            "purpose": self.purpose,
            "harmful": self.harmful,
            "challenger": self.challenger,
            "champion": self.champion,
            "made_at": made_at.isoformat(timespec="seconds"),
            "verdict": self.verdict.to_dict(),
            "margins": asdict(self.margins),
            "rows": asdict(self.rows),
            "costs": rounded(dict(zip(("challenger", "champion"), map(asdict, self.costs), strict=False))),
            "comparison": self.paired.comparison.to_dict() if self.paired is not None else None,
            "flips": [_plain(flip) for flip in self.paired.flips] if self.paired is not None else [],
            "probes": self.probes.to_dict(self.margins.probes) if self.probes is not None else None,
            "unknown_flips": self.paired.unknown_flips if self.paired is not None else 0,
        }


def write_gate(report: GateReport, folder: Path, *, now: datetime) -> Path:
    """Write both files into `folder` in place of older ones; notes of promotions by hand stay. Return the page's path.

    Raises:
        UsageError: the folder can't be made or written to.
    """
    before = read_gate(folder)
    return _write({**report.to_dict(now), "by_hand": before["by_hand"] if before is not None else []}, folder)


def note_by_hand(folder: Path, version: str, reason: str, *, now: datetime) -> Path:
    """Add a note of a promotion by hand to a model's report, which is made if need be; return the page's path.

    Raises:
        UsageError: the folder can't be written to.
    """
    document = read_gate(folder) or {"challenger": version, "verdict": None, "by_hand": []}
    verdict = document["verdict"]
    outcome = "never judged" if verdict is None else "passed" if verdict["passed"] else "rejected"
    note = {"at": now.isoformat(timespec="seconds"), "reason": reason, "gate": outcome}
    return _write({**document, "by_hand": [*document["by_hand"], note]}, folder)


def erase_in_gate(folder: Path, texts: Collection[str]) -> int:
    """Take the examples with these masked texts out of both files of a folder; the number of those that were there.

    Raises:
        ModelError: `gate.json` can't be read.
        UsageError: the folder can't be written to.
    """
    document = read_gate(folder)
    gone = {text_id(written) for text in texts for written in (text, clean(text))}
    flips = (document or {}).get("flips") or []
    kept = [flip for flip in flips if text_id(flip["text"]) not in gone]
    if document is not None and len(kept) < len(flips):
        _write({**document, "flips": kept}, folder)
    return len(flips) - len(kept)


def read_gate(folder: Path) -> dict[str, Any] | None:
    """Read `gate.json` of a folder; None if there is none.

    Raises:
        ModelError: it can't be read.
    """
    path = folder / REPORT
    if not path.is_file():
        return None
    try:
        document: dict[str, Any] = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise ModelError(
            f"{path}: this is not a report of the gate ({error.msg}): remove it and train again"
        ) from error
    return document


def _write(document: dict[str, Any], folder: Path) -> Path:
    put_page(folder, REPORT, orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    html = render(
        "pipeline.learning",
        "gate.html.j2",
        {"gate": document},
        filters={"number": _number, "bracketed": _bracketed, "purpose": shown_purpose, "shown_check": shown_check},
    )
    return put_page(folder, PAGE, html)


def _plain(flip: Flip) -> dict[str, Any]:
    plain: dict[str, Any] = rounded(asdict(flip))
    return {**plain, "right": flip.right}


def _number(value: float | None, places: int = 3, signed: bool = False) -> str:
    return "-" if value is None else f"{value:{'+' if signed else ''}.{places}f}"


def _bracketed(estimate: dict[str, float | None], signed: bool = False) -> str:
    if estimate["value"] is None:
        return "-"
    value, low, high = (_number(estimate[name], signed=signed) for name in ("value", "low", "high"))
    # The space within the brackets does not break: in a narrow column the whole interval goes to the next line.
    return value if estimate["low"] is None else f"{value} [{low},\N{NO-BREAK SPACE}{high}]"
