"""Whether a challenger may take the champion's place: rules on numbers, without side effects.

The rules are those of a test of non-inferiority (Piaggio et al. 2012, JAMA 308): what may get worse, by how much, and
how sure that must be, is said before anything is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.measure.intervals import Estimate
from pipeline.measure.metrics import rounded
from pipeline.measure.paired import Comparison, LabelDuel, MacroDuel
from pipeline.settings import Settings

MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Margins:
    """How much worse a challenger may be, and what it may cost."""

    #: of macro average precision
    macro: float = 0.02
    #: of a label's recall at the precision of the champion's threshold
    recall: float = 0.05
    #: of a language's macro average precision
    slice: float = 0.05
    #: milliseconds that 95 of 100 single texts may take at most
    latency_ms: float = 50.0
    #: of the model's folder
    size_mb: float = 500.0

    @classmethod
    def of(cls, settings: Settings) -> Margins:
        """Those that are set for this home."""
        return cls(
            macro=settings.gate_macro_margin,
            recall=settings.gate_recall_margin,
            slice=settings.gate_slice_margin,
            latency_ms=settings.gate_latency_ms,
            size_mb=settings.gate_size_mb,
        )


@dataclass(frozen=True, slots=True)
class Cost:
    """What a model takes."""

    #: milliseconds for one text: of the median text, and of the text that is slower than 95 of 100
    p50_ms: float
    p95_ms: float
    #: that were timed
    texts: int
    #: of its folder
    bytes: int


@dataclass(frozen=True, slots=True)
class Check:
    """One rule, and what came of it."""

    name: str
    passed: bool
    #: what was measured, with its interval where it has one
    value: float
    low: float | None
    high: float | None
    #: what it is held against
    margin: float
    #: in words
    says: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says."""

    passed: bool
    #: in words, in one line
    reason: str
    checks: Sequence[Check] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, numbers rounded to four places."""
        plain: dict[str, Any] = rounded(asdict(self))
        return plain


def judge_challenger(
    comparison: Comparison | None, cost: Cost, margins: Margins, *, challenger: str, champion: str | None
) -> Verdict:
    """Judge a model that would become the champion of its purpose.

    - Macro average precision passes if the whole interval of the difference lies above minus the margin; and also if
      the challenger looks better and nothing says that it is worse, however wide the interval.
    - A label fails if its recall drops by more than the margin and the interval of the drop lies above 0: on few
      positives, chance alone moves a recall by more than any margin. A language fails by the same rule.
    - A label that only the champion knows fails.
    - Latency and size fail above their budgets.

    The first model of a purpose is held to the budgets only. The champion, trained again, passes: it serves already.

    Args:
        comparison: on texts that neither learnt from; None if there is no champion, or no text to compare them on.
        cost: of the challenger.
        margins: how much worse it may be.
        challenger: its version.
        champion: the version of the champion, if there is one.
    """
    budgets = _budgets(cost, margins)
    if champion == challenger:
        return Verdict(True, f"{challenger} again", budgets)
    if champion is None:
        return _verdict("the first model of its purpose", budgets)
    if comparison is None or not comparison.labels:
        return Verdict(False, "it shares no measured label with the champion", budgets)
    macro = comparison.macro
    found = (
        f"macro average precision {macro.challenger.value:.3f}, champion {macro.champion.value:.3f} "
        f"({_signed(macro.difference)}), over {len(comparison.labels)} labels of the same {macro.texts:,} texts"
    )
    checks = [
        _macro(macro, margins.macro),
        *(_recall(label, duel, margins.recall) for label, duel in comparison.labels.items()),
        *(_slice(name, duel, margins.slice) for name, duel in comparison.slices.items()),
        *(_lost(label) for label in comparison.lost),
        *budgets,
    ]
    return _verdict(found, checks)


def _verdict(found: str, checks: Sequence[Check]) -> Verdict:
    failed = [check.says for check in checks if not check.passed]
    return Verdict(not failed, "; ".join([found, *failed]), tuple(checks))


def _macro(duel: MacroDuel, margin: float) -> Check:
    difference = duel.difference
    sure = difference.low >= -margin
    better = difference.value >= 0 and difference.high > 0
    if sure:
        says = f"macro average precision is not worse by {margin:g} ({_signed(difference)})"
    elif better:
        says = f"macro average precision looks better, on too few texts to be sure ({_signed(difference)})"
    else:
        says = f"macro average precision may be worse by more than {margin:g} ({_signed(difference)})"
    return Check(
        "macro average precision",
        sure or better,
        difference.value,
        difference.low,
        difference.high,
        margin,
        says,
    )


def _recall(label: str, duel: LabelDuel, margin: float) -> Check:
    drop = duel.drop
    fallen, passed = _fallen(drop, margin)
    at = f"recall of {label} at precision {duel.precision.value:.3f}"
    if duel.champion_recall.value == 0:
        says = f"{label}: the champion finds none, so there is no recall to lose"
    elif not passed:
        says = f"{at} falls by more than {margin:g} ({_signed(drop, turn=True)})"
    elif fallen:
        says = f"{at} falls, which may be chance on {duel.positives:,} positive texts ({_signed(drop, turn=True)})"
    else:
        says = f"{at} does not fall by more than {margin:g} ({_signed(drop, turn=True)})"
    return Check(f"recall of {label}", passed, drop.value, drop.low, drop.high, margin, says)


def _slice(name: str, duel: MacroDuel, margin: float) -> Check:
    gain = duel.difference
    drop = Estimate(0.0 - gain.value, 0.0 - gain.high, 0.0 - gain.low)
    fallen, passed = _fallen(drop, margin)
    at = f"macro average precision of language {name}"
    if not passed:
        says = f"{at} falls by more than {margin:g} ({_signed(gain)})"
    elif fallen:
        says = f"{at} falls, which may be chance on {duel.texts:,} texts ({_signed(gain)})"
    else:
        says = f"{at} does not fall by more than {margin:g} ({_signed(gain)})"
    return Check(f"language {name}", passed, drop.value, drop.low, drop.high, margin, says)


def _fallen(drop: Estimate, margin: float) -> tuple[bool, bool]:
    """Whether something fell by more than its margin, and whether it passes all the same."""
    fallen = drop.value > margin
    return fallen, not (fallen and drop.low > 0)


def _lost(label: str) -> Check:
    return Check(f"knows {label}", False, 1.0, None, None, 0.0, f"{label} is known to the champion only")


def _budgets(cost: Cost, margins: Margins) -> list[Check]:
    size, limit = cost.bytes / MEGABYTE, margins.size_mb
    slow, large = cost.p95_ms > margins.latency_ms, size > limit
    return [
        Check(
            "latency",
            not slow,
            cost.p95_ms,
            None,
            None,
            margins.latency_ms,
            f"one text takes {cost.p95_ms:.1f} ms at the 95th percentile, "
            f"{'more than' if slow else 'within'} the {margins.latency_ms:g} ms it may",
        ),
        Check(
            "size",
            not large,
            size,
            None,
            None,
            limit,
            f"the model is {size:.1f} MB, {'more than' if large else 'within'} the {limit:g} MB it may be",
        ),
    ]


def _signed(estimate: Estimate, *, turn: bool = False) -> str:
    """A change with its interval; turned round, a drop reads as the loss that it is."""
    value, low, high = estimate.value, estimate.low, estimate.high
    if turn:
        # taken from 0, so that no loss is not shown as -0
        value, low, high = 0.0 - value, 0.0 - high, 0.0 - low
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
