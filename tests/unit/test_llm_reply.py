"""Replies of language models: what is mended, and what is never guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.raters.llm.reply import Outcome, Reading, read_reply
from pipeline.taxonomy import load_taxonomy

TAXONOMY = load_taxonomy()
_WHOLE = '{"labels": ["hate", "racist"], "confidence": 0.8, "explanation": "x"}'


def read(content: str | None, **how: object) -> Reading:
    return read_reply(content, TAXONOMY, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "content",
    [
        _WHOLE,
        f"```json\n{_WHOLE}\n```",
        f"Here you are: {_WHOLE} Hope this helps!",
        "{'labels': ['hate', 'racist'], 'confidence': 0.8, 'explanation': 'x'}",
        '{"labels": ["hate", "racist",], "confidence": 0.8, "explanation": "x",}',
        '{"labels": ["hate", "racist"], "confidence": 0.8, "explanation": "x"',
        '{"Labels": ["HATE", " Racist "], "Confidence": "80%", "explanation": "x"}',
        '{"labels": "hate, racist", "confidence": 80, "explanation": "x"}',
        '{"labels": ["hate speech", "rasis"], "confidence": 0.8, "explanation": "x"}',
        '[{"label": "hate", "confidence": 0.9, "explanation": "x"}, {"label": "racist", "confidence": 0.8}]',
        '{"labels": {"hate": true, "racist": true, "porn": false}, "confidence": 0.8, "explanation": "x"}',
        '{"labels": ["safe for work"], "confidence": 0.3, "explanation": "a draft"}\n' + _WHOLE,
    ],
)
def test_what_is_malformed_is_mended(content: str) -> None:
    found = read(content)
    assert (found.outcome, found.asserted, found.confidence, found.explanation, found.whole) == (
        Outcome.VERDICT,
        {"hate", "racist"},
        pytest.approx(0.8),
        "x",
        True,
    )


@pytest.mark.parametrize(
    ("content", "outcome"),
    [
        (None, Outcome.EMPTY),
        ("  \n", Outcome.EMPTY),
        ("I'm sorry, I can't help with that.", Outcome.REFUSED),
        ("Maaf, saya tidak boleh melabel teks ini.", Outcome.REFUSED),
        ("The label is hate.", Outcome.NO_OBJECT),
        ("[]", Outcome.NO_OBJECT),
        ('{"answer": 42}', Outcome.NO_OBJECT),
        ('{"labels": [], "confidence": 0.9}', Outcome.NO_LABEL),
        ('{"labels": ["happiness"], "confidence": 0.9}', Outcome.INVENTED),
        ('{"labels": ["hate", "safe for work"], "confidence": 0.9}', Outcome.CONTRADICTION),
    ],
)
def test_what_is_no_verdict_is_called_by_its_name(content: str | None, outcome: Outcome) -> None:
    found = read(content)
    assert found.outcome is outcome
    assert not found.asserted


def test_a_refusal_of_the_servers_counts_whatever_is_written() -> None:
    assert read(_WHOLE, refusal="not this").outcome is Outcome.REFUSED


def test_a_label_that_does_not_exist_is_named_and_nothing_is_denied() -> None:
    found = read('{"labels": ["hate", "happiness"], "confidence": 0.9}')
    assert (found.asserted, found.invented, found.whole) == ({"hate"}, ("happiness",), False)


@pytest.mark.parametrize(
    ("content", "whole"),
    [
        ('{"labels": ["hate", "rac', False),
        ('{"labels": ["hate"', False),
        ('{"labels": ["hate"], "confidence": 0.9, "explanation": "it goes on and', True),
    ],
)
def test_of_a_reply_that_was_cut_the_list_counts_as_whole_once_it_was_closed(content: str, whole: bool) -> None:
    found = read(content, cut=True)
    assert (found.outcome, found.asserted, found.whole) == (Outcome.VERDICT, {"hate"}, whole)


@pytest.mark.parametrize("given_", ["NaN", "-1", '"sure"', "1e400", "true", "null", "101", "[1]"])
def test_a_confidence_that_is_none_is_left_out(given_: str) -> None:
    found = read(f'{{"labels": ["hate"], "confidence": {given_}}}')
    assert (found.asserted, found.confidence) == ({"hate"}, None)


_PIECES = ["{", "}", "[", "]", '"', "'", ",", ":", "```json", "```", "\n", "labels", "hate", "happiness", "0.5", "null"]


@given(st.lists(st.sampled_from(_PIECES) | st.text(max_size=8), max_size=24).map("".join), st.booleans())
def test_whatever_is_written_only_labels_that_exist_come_out(content: str, cut: bool) -> None:
    found = read(content, cut=cut)
    assert found.asserted <= set(TAXONOMY.keys)
    assert bool(found.asserted) == (found.outcome is Outcome.VERDICT)
    assert found.confidence is None or 0 <= found.confidence <= 1
    if found.whole:
        assert found.asserted and not found.invented
