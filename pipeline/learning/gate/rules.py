"""Rules of the gate: from figures to the verdict on a challenger, without side effects.

The rules are those of a test of non-inferiority (Piaggio et al. 2012, JAMA 308): the figures that may get worse, the
margins and the certainty are fixed before anything is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.learning.probes.comparison import KindComparison
from pipeline.measure.intervals import Estimate
from pipeline.measure.metrics import rounded
from pipeline.measure.paired import Comparison, LabelComparison, MacroComparison
from pipeline.plural import counted
from pipeline.settings import Settings

MEGABYTE = 1_000_000


#: beginning of the verdict on a training that ended in the champion itself
NOTHING_NEW = "nothing new to learn"


@dataclass(frozen=True, slots=True)
class Margins:
    """Margins of the gate: how much worse a challenger may be, and how much it may cost."""

    #: of macro average precision
    macro: float = 0.02
    #: of a label's recall at the precision of the champion's threshold
    recall: float = 0.05
    #: of a language's macro average precision
    slice: float = 0.05
    #: share of the probe pairs of a kind that may be lost on balance
    probes: float = 0.1
    #: milliseconds that 95 of 100 single texts may take at most
    latency_ms: float = 100.0
    #: of the model's folder
    size_mb: float = 500.0

    @classmethod
    def of(cls, settings: Settings) -> Margins:
        """The margins from the settings of this home."""
        return cls(
            macro=settings.gate_macro_margin,
            recall=settings.gate_recall_margin,
            slice=settings.gate_slice_margin,
            probes=settings.gate_probe_margin,
            latency_ms=settings.gate_latency_ms,
            size_mb=settings.gate_size_mb,
        )


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of a model."""

    #: milliseconds for one text: of the median text, and of the text that is slower than 95 of 100
    p50_ms: float
    p95_ms: float
    #: number of texts that were timed
    texts: int
    #: of its folder
    bytes: int


@dataclass(frozen=True, slots=True)
class Check:
    """One rule, and its result."""

    name: str
    passed: bool
    #: the measured value, with its interval where it has one
    value: float
    low: float | None
    high: float | None
    #: the limit
    margin: float
    #: the result in words
    says: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Decision of the gate."""

    passed: bool
    #: in words, on one line
    reason: str
    checks: Sequence[Check] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, numbers rounded to four places."""
        plain: dict[str, Any] = rounded(asdict(self))
        return plain


def judge_challenger(
    comparison: Comparison | None,
    cost: Cost,
    margins: Margins,
    *,
    challenger: str,
    champion: str | None,
    kinds: Sequence[KindComparison] = (),
) -> Verdict:
    """Judge a model that would become the champion of its purpose.

    - Macro average precision passes if the whole interval of the difference is above minus the margin. It also passes
      if the challenger looks better and the interval reaches above 0, however wide the interval is.
    - A label fails if its recall drops by more than the margin and the interval of the drop is above 0: with few
      positives, chance alone changes a recall by more than any margin. A language fails by the same rule.
    - A label that only the champion knows fails.
    - A kind of probe pairs fails if the challenger loses more of them than the margin allows, and than chance explains.
    - Latency and size fail above their budgets.

    The first model of a purpose must meet the budgets only. The champion, trained again, passes.

    Args:
        comparison: on texts that neither was trained on; None if there is no champion, or no text to compare them on.
        cost: of the challenger.
        margins: how much worse it may be.
        challenger: its version.
        champion: the version of the champion, if there is one.
        kinds: both models on probe pairs; kinds with too few pairs are passed over.
    """
    budgets = _budgets(cost, margins)
    if champion == challenger:
        return Verdict(True, f"{NOTHING_NEW}: {challenger} stays champion", budgets)
    if champion is None:
        return _verdict("the first model of its purpose", budgets)
    if comparison is None or not comparison.labels:
        return Verdict(False, "no label could be compared with the champion", budgets)
    macro = comparison.macro
    figures = (
        f"on {counted(macro.texts, 'test text')} it scores {macro.challenger.value:.3f} and the champion "
        f"{macro.champion.value:.3f} (macro average precision of {counted(len(comparison.labels), 'label')}; "
        f"difference {_signed(macro.difference)})"
    )
    checks = [
        _macro(macro, margins.macro),
        *(_recall(label, paired, margins.recall) for label, paired in comparison.labels.items()),
        *(_slice(name, paired, margins.slice) for name, paired in comparison.slices.items()),
        *(_lost(label) for label in comparison.lost),
        *(_probes(kind, margins.probes) for kind in kinds if kind.tested),
        *budgets,
    ]
    return _verdict(figures, checks)


def _verdict(figures: str, checks: Sequence[Check]) -> Verdict:
    failed = [check.says for check in checks if not check.passed]
    return Verdict(not failed, "; ".join([figures, *failed]), tuple(checks))


def _macro(paired: MacroComparison, margin: float) -> Check:
    difference = paired.difference
    sure = difference.low >= -margin
    better = difference.value >= 0 and difference.high > 0
    if sure:
        says = f"macro average precision is not worse by more than the {margin:g} allowed"
    elif better:
        says = "macro average precision looks better; there are too few texts to be sure"
    else:
        says = f"macro average precision may be worse by more than the {margin:g} allowed"
        if difference.value >= -margin:
            # what was measured is within the margin; only the interval is not
            says += f"; {counted(paired.texts, 'test text')} {'is' if paired.texts == 1 else 'are'} too few to tell"
    return Check(
        "macro average precision",
        sure or better,
        difference.value,
        difference.low,
        difference.high,
        margin,
        says,
    )


def _recall(label: str, paired: LabelComparison, margin: float) -> Check:
    drop = paired.drop
    dropped, passed = _dropped(drop, margin)
    at = f"recall of {label} at precision {paired.precision.value:.3f}"
    if paired.champion_recall.value == 0:
        says = f"{label}: the champion finds none of its texts, so recall cannot drop"
    elif not passed:
        says = f"{at} drops by more than the {margin:g} allowed ({_signed(drop, turn=True)})"
    elif dropped:
        few = counted(paired.positives, "positive text")
        says = f"{at} drops, which may be chance with {few} ({_signed(drop, turn=True)})"
    else:
        says = f"{at} does not drop by more than the {margin:g} allowed ({_signed(drop, turn=True)})"
    return Check(f"recall of {label}", passed, drop.value, drop.low, drop.high, margin, says)


def _slice(name: str, paired: MacroComparison, margin: float) -> Check:
    gain = paired.difference
    drop = Estimate(0.0 - gain.value, 0.0 - gain.high, 0.0 - gain.low)
    dropped, passed = _dropped(drop, margin)
    at = f"macro average precision of language {name}"
    if not passed:
        says = f"{at} drops by more than the {margin:g} allowed ({_signed(gain)})"
    elif dropped:
        says = f"{at} drops, which may be chance with {counted(paired.texts, 'text')} ({_signed(gain)})"
    else:
        says = f"{at} does not drop by more than the {margin:g} allowed ({_signed(gain)})"
    return Check(f"language {name}", passed, drop.value, drop.low, drop.high, margin, says)


def _dropped(drop: Estimate, margin: float) -> tuple[bool, bool]:
    """Two flags: the drop is above the margin, and the check passes."""
    dropped = drop.value > margin
    return dropped, not (dropped and drop.low > 0)


def _lost(label: str) -> Check:
    return Check(f"knows {label}", False, 1.0, None, None, 0.0, f"only the champion knows {label}")


def _probes(kind: KindComparison, margin: float) -> Check:
    worse = kind.worse(margin)
    turned = f"of {counted(kind.pairs, 'pair')} {kind.lost:,} turned wrong and {kind.won:,} turned right"
    if worse:
        says = f"probes of {kind.name}: {turned}, which is more than the {margin:g} allowed and more than chance"
    elif kind.drop > margin:
        says = f"probes of {kind.name}: {turned}, which may be chance"
    else:
        says = f"probes of {kind.name}: {turned}"
    return Check(f"probes of {kind.name}", not worse, kind.drop, None, None, margin, says)


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
            f"{'more than' if slow else 'within'} the {margins.latency_ms:g} ms allowed",
        ),
        Check(
            "size",
            not large,
            size,
            None,
            None,
            limit,
            f"the model has {size:.1f} MB, {'more than' if large else 'within'} the {limit:g} MB allowed",
        ),
    ]


def _signed(estimate: Estimate, *, turn: bool = False) -> str:
    """A change with its interval; with `turn`, a drop has a minus sign."""
    value, low, high = estimate.value, estimate.low, estimate.high
    if turn:
        # Subtracting from 0 avoids -0.
        value, low, high = 0.0 - value, 0.0 - high, 0.0 - low
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
