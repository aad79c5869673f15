"""The checks of the chaos test: one that had nothing to check is a violation, since it shows nothing."""

from __future__ import annotations

from tests.support.chaos_verdict import Verdict


def test_a_check_without_anything_to_check_is_a_violation() -> None:
    verdict = Verdict()
    verdict.check("answers", 3, [])
    verdict.check("versions", 0, [], needed=False)
    assert verdict.violations == []
    verdict.check("reports", 0, [])
    verdict.check("texts", 2, ["a text is lost"])
    assert verdict.violations == ["reports: there was nothing to check", "texts: a text is lost"]
    assert verdict.checked == {"answers": 3, "versions": 0, "reports": 0, "texts": 2}
