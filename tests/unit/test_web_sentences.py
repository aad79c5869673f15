"""Reasons that the pipeline stores in English, in Malay."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import product

import numpy as np
import pytest

from pipeline.filters.cuts import Cut, choose_cut
from pipeline.learning.due import News
from pipeline.learning.gate.rules import Cost, Margins, judge_challenger
from pipeline.learning.probes.comparison import KindComparison
from pipeline.measure.intervals import Estimate
from pipeline.measure.paired import Comparison, LabelComparison, MacroComparison
from saring.actions.outlook import next_training
from saring.web.sentences import PATTERNS, in_words
from saring.web.words import all_words

MALAY = all_words()["ms"]
#: words that no Malay sentence has
_ENGLISH = re.compile(r"\b(the|that|champion|allowed|drops?|texts?|than|is|are|of|by|below|few|lower)\b")
_SOME = Estimate(0.8, 0.75, 0.85)
_CHANGES = [Estimate(0.0, -0.01, 0.01), Estimate(0.2, 0.1, 0.3), Estimate(0.2, -0.01, 0.4), Estimate(-0.2, -0.3, -0.1)]


def malay(text: str) -> str:
    return in_words(MALAY, text, lambda key: "kebencian" if key == "hate" else key)


def reasons_of_the_gate() -> set[str]:
    """Every sentence that the gate can say, with figures made for it."""
    said = set()
    for macro, drop, recall, texts, cost in product(_CHANGES, _CHANGES, (0.0, 0.7), (1, 500), (2.0, 900.0)):
        whole = MacroComparison(texts, ["hate"], _SOME, _SOME, macro)
        found = Estimate(recall, recall, recall)
        label = LabelComparison(texts, 400, _SOME, _SOME, _SOME, found, found, drop)
        part = MacroComparison(texts, ["hate"], _SOME, _SOME, macro)
        compared = Comparison(whole, {"hate": label}, {"ms": part}, (), ("hate",))
        kinds = [
            KindComparison("negation", "hate", 20, 20, 5, lost, 1, p) for lost, p in ((15, 0.01), (15, 0.5), (0, 1))
        ]
        verdict = judge_challenger(
            compared, Cost(1, cost, 100, int(cost * 1e6)), Margins(), challenger="b", champion="a", kinds=kinds
        )
        said |= {verdict.reason, *(check.says for check in verdict.checks)}
    cheap = Cost(1, 2, 100, 1_000_000)
    for champion in (None, "a", "b"):
        said.add(judge_challenger(None, cheap, Margins(), challenger="b", champion=champion).reason)
    return said


def test_everything_that_the_gate_says_has_its_malay() -> None:
    said = reasons_of_the_gate()
    assert len(said) > 30
    for text in said:
        shown = malay(text)
        # the kind of a probe pair is a name
        assert not _ENGLISH.search(shown.replace("negation of", "")), (text, shown)
        assert sorted(re.findall(r"\d[\d.]*", shown)) == sorted(re.findall(r"\d[\d.]*", text)), shown


def test_everything_that_a_cut_says_has_its_malay() -> None:
    rng = np.random.default_rng(3)
    two = np.concatenate([rng.normal(0.77, 0.01, 100), rng.normal(0.86, 0.01, 900)])
    samples = [two, two[:5], np.full(50, 0.5), rng.normal(0.8, 0.02, 800), rng.uniform(0, 1, 300)]
    for values, method in product(samples, ("mixture", "robust-z", "quantile")):
        reason = choose_cut(values, Cut(method=method)).reason
        shown = malay(f"similarity below 0.812 ({reason})")
        assert shown.startswith("keserupaan di bawah 0.812 (")
        assert shown.endswith(")")
        assert not _ENGLISH.search(shown), (reason, shown)


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("hate needs more gold texts and is likely here (0.71)", "kebencian memerlukan lebih banyak teks emas"),
        ("hate rejected at 0.790, close to the filter's cut 0.801", "kebencian ditolak pada 0.790, dekat dengan"),
        (
            "2026-11-29T10:11:12Z: not promoted: on 1 test text it scores 0.5 and the champion 0.6 (macro average "
            "precision of 1 label; difference -0.1 [-0.2, +0.1]); only the champion knows hate",
            "2026-11-29T10:11:12Z: tidak dinaikkan: pada 1 teks ujian markahnya 0.5",
        ),
        (
            "of the texts left, one that the champion is less sure of: hate 0.50, safe for work 0.40",
            "antara teks yang tinggal, satu yang juara kurang pasti: kebencian 0.50, safe for work 0.40",
        ),
        ("sentiment can be negative or neutral", "sentimen boleh jadi negatif atau neutral"),
        ("sentiment is hardly negative (below 0.12, the default)", "sentimen hampir tidak negatif (di bawah 0.12"),
        ("by hand: kata orang; tidak diubah", "oleh orang: kata orang; tidak diubah"),
        ("set by hand: too strict; see the meeting", "ditetapkan oleh orang: too strict; see the meeting"),
        ("words of a reviewer; drawn", "words of a reviewer; drawn"),
        ("", ""),
    ],
)
def test_a_stored_reason_is_shown_in_malay_and_own_words_stay(stored: str, shown: str) -> None:
    assert malay(stored).startswith(shown)


@pytest.mark.parametrize("message", PATTERNS)
def test_no_pattern_hides_another(message: str) -> None:
    values = {name: f"9{number}" for number, name in enumerate(re.findall(r"%\((\w+)\)s", message))}
    if "scored" in values:
        values["scored"] = "91 0.5"
    assert malay(message.replace("(s)", "s") % values) == MALAY.gettext(message) % values


def test_when_the_next_training_is_due_has_its_malay() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    told = {
        next_training(News(answers, trained, first, None), labels=labels, hours=hours, now=now)
        for answers, first, trained in product((0, 1, 150), (None, now - timedelta(hours=5)), (None, now))
        for labels, hours in product((0, 200), (0.0, 24.0))
    }
    assert len(told) > 6
    for text in told:
        shown = malay(text)
        assert not re.search(r"\b(at|after|or|only|by|due|now|more|answers?|first|the|hand)\b", shown), (text, shown)
        assert re.findall(r"\d[\d.:-]*", shown) == re.findall(r"\d[\d.:-]*", text)
