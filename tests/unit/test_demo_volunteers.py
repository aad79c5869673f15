"""What the demo's simulated volunteers send: always what the page could have sent."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from saring.demo.volunteers import PERSONAS, answer

LABELS = ("hate", "porn", "sexist", "safe for work")
_labels = st.sets(st.sampled_from(LABELS))


def task_with(ticked: set[str] | None) -> dict[str, Any]:
    """A task as the server would show it; None: nothing was predicted."""
    if ticked is None:
        return {"id": 1, "data": {}, "predictions": []}
    region = {"from_name": "labels", "value": {"choices": sorted(ticked)}}
    return {"id": 1, "data": {}, "predictions": [{"id": 7, "result": [region]}]}


@given(persona=st.sampled_from(PERSONAS), ticked=st.none() | _labels, true=_labels, seed=st.integers(min_value=0))
def test_an_answer_is_one_that_the_page_would_take(
    persona: Any, ticked: set[str] | None, true: set[str], seed: int
) -> None:
    sent = answer(persona, task_with(ticked), true, LABELS, random.Random(seed))
    [region] = sent["result"]
    assert region["value"]["choices"]
    assert sent["lead_time"] > 0
    assert (sent["parent_prediction"] == 7) is bool(ticked)
    if region["from_name"] == "labels":
        chosen = set(region["value"]["choices"])
        assert chosen <= set(LABELS)
        assert (region["origin"] == "prediction") is (bool(ticked) and chosen == ticked)
        assert (region["origin"] == "manual") is not bool(ticked)


@given(ticked=st.none() | _labels, seed=st.integers(min_value=0))
def test_who_finds_no_label_true_says_so_or_took_the_ticks_unread(ticked: set[str] | None, seed: int) -> None:
    careful = PERSONAS[0]
    [region] = answer(careful, task_with(ticked), (), LABELS, random.Random(seed))["result"]
    assert region["from_name"] == "undecided" or set(region["value"]["choices"]) == ticked
