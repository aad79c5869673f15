"""What a run left out, by reason, from any stage's report."""

from __future__ import annotations

from saring.actions.run_record import LeftOut, flat_record, left_out


def test_what_was_left_out_is_named_by_reason_most_first() -> None:
    result = {
        "rejected": {"empty text": 2, "not UTF-8": 40},
        "no_verdict": {"too long": 5},
        "parked": [{"text": "1", "reason": "no answer"}, {"text": "2", "reason": "no answer"}],
        "left_out": {"porn": "too few positives"},
        "labels": [{"label": "hate", "dropped": 7}, {"label": "racist", "dropped": 0}],
        "languages": {"ms": 900},
    }
    assert left_out({}, result) == [
        LeftOut("rejected", "not UTF-8", 40),
        LeftOut("dropped", "hate", 7),
        LeftOut("no_verdict", "too long", 5),
        LeftOut("rejected", "empty text", 2),
        LeftOut("parked", "no answer", 2),
        LeftOut("left_out", "porn: too few positives", None),
    ]


def test_before_a_run_has_a_result_its_counts_tell() -> None:
    assert left_out({"rejected": {"empty text": 3}, "rows": 10}, None) == [LeftOut("rejected", "empty text", 3)]
    assert left_out({"rejected": {"empty text": 3}}, {"rows": 10}) == []
    # the number of parked shards is no list of texts
    assert left_out({}, {"parked": 2, "labels": ["hate"]}) == []


def test_a_record_is_shown_flat() -> None:
    record = {"cut": {"method": "mixture", "z": 2.5}, "labels": None, "paths": ["a", "b"], "rows": [{"a": 1}]}
    assert flat_record(record) == [
        ("cut.method", "mixture"),
        ("cut.z", "2.5"),
        ("paths", "a, b"),
        ("rows", "1 entry"),
    ]
