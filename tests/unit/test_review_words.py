"""The words and keys of the review."""

from __future__ import annotations

import re

import pytest

from pipeline.errors import UsageError
from pipeline.judgement import Decision, Judgement, RaterKind, Tier
from pipeline.ledger.resolve import resolve
from pipeline.review import reasons
from pipeline.review.disputes import disputes_of, fingerprint, uncertainty
from pipeline.review.reasons import Reason, Why
from pipeline.review.resolution import why_decided
from pipeline.review.state import TextState
from pipeline.store.tables.review import DisputeKind
from pipeline.taxonomy import load_taxonomy
from pipeline.texts.normalise import text_id
from saring.web import review_words
from saring.web.review_view import keys_of
from tests.support.judgements import EXCLUDES, said

_TEXT = text_id("satu teks")


def test_pages_say_what_the_command_line_says() -> None:
    assert review_words.SENTENCES == reasons.SENTENCES
    assert review_words.GROUNDS == reasons.GROUNDS
    assert set(review_words.KINDS) == set(review_words.ABOUT) == set(DisputeKind)


@pytest.mark.parametrize(
    ("ground", "words", "explanation"),
    [
        ("meaning", "", "meaning"),
        ("meaning", "  satu\n petikan ", "meaning: satu petikan"),
        ("", "kerana ia laporan", "other: kerana ia laporan"),
        ("other", "a: b", "other: a: b"),
    ],
)
def test_a_reason_is_kept_by_its_code(ground: str, words: str, explanation: str) -> None:
    reason = Reason.given(ground, words)
    assert reason.explanation == explanation
    assert Reason.of_explanation(explanation) == reason


@pytest.mark.parametrize(
    ("ground", "words", "message"),
    [
        (None, "  ", "nothing is settled without a reason"),
        ("other", "", "needs your own words"),
        ("mood", "", "there is no reason 'mood'"),
        ("slip", "x" * 1001, "at most 1,000"),
    ],
)
def test_a_settlement_needs_a_reason(ground: str | None, words: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Reason.given(ground, words)


def test_what_others_wrote_is_no_reason() -> None:
    assert Reason.of_explanation("it says: slip") is None
    assert Reason.of_explanation(None) is None


def test_every_label_and_act_has_a_key_of_its_own() -> None:
    taxonomy = load_taxonomy()
    keys = keys_of(taxonomy)
    assert {label.key: label.hotkey for label in taxonomy} == dict(keys.labels)
    everything = [*keys.labels.values(), *keys.grounds.values(), keys.undo, keys.skip, keys.show]
    assert len(set(everything)) == len(everything)
    assert not {"g", "/", "?", ""} & set(everything)
    # a taxonomy that takes our keys keeps its own
    odd = taxonomy.model_copy(
        update={
            "labels": tuple(
                label.model_copy(update={"hotkey": key})
                for label, key in zip(taxonomy.labels, "usghzSx?123", strict=True)
            )
        }
    )
    found = keys_of(odd)
    everything = [*found.labels.values(), *found.grounds.values(), found.undo, found.skip, found.show]
    assert len(set(everything)) == len(everything)
    assert (found.labels["hate"], found.labels["violence"]) == ("u", "s")
    assert not {"g", "/", "?", ""} & set(everything)


def state(pile: list[Judgement], undecided: int = 0) -> TextState:
    return TextState(_TEXT, pile, resolve(pile, excludes=EXCLUDES), undecided, fingerprint(pile))


@pytest.mark.parametrize(
    ("pile", "sentence"),
    [
        ([said(RaterKind.HUMAN, 1, yes="hate")], "people agree (1)"),
        (
            [said(RaterKind.HUMAN, n, yes="hate", version=str(n)) for n in (1, 2)]
            + [said(RaterKind.HUMAN, 3, no="hate")],
            "two thirds or more of the people agree: 2 yes, 1 no",
        ),
        (
            [said(RaterKind.HUMAN, 1, yes="hate"), said(RaterKind.HUMAN, 2, yes="safe for work", name="b")],
            "people disagree on hate: 1 yes, 1 no",
        ),
        ([said(RaterKind.EXTERNAL, 1, yes="hate")], "data sets agree (1), and no person judged it"),
        ([said(RaterKind.LLM, 1, yes="hate")], "language models agree (1), and no person or data set judged it"),
        (
            [said(RaterKind.LLM, 1, yes="hate"), said(RaterKind.LLM, 2, no="hate", name="b")],
            "machines disagree on hate, and no rule decides: 1 yes, 1 no",
        ),
        ([said(RaterKind.BOOTSTRAP, 1, yes="hate")], "the bootstrap rater decides, as nobody else judged it (1)"),
        ([said(RaterKind.PSEUDO, 1, yes="hate")], "a classifier was very sure, and nobody else judged it"),
        (
            [said(RaterKind.LLM, 1, yes="hate", demoted=frozenset({"hate"}))],
            "filters rejected what machines said, so nothing is known",
        ),
        ([said(RaterKind.CLASSIFIER, 1, yes="hate")], "no judgement that counts speaks of it"),
        (
            [said(RaterKind.HUMAN, 1, no="hate"), said(RaterKind.HUMAN, 2, yes="hate", name="adjudication")],
            "a reviewer settled it (1)",
        ),
        (
            [
                said(RaterKind.HUMAN, 1, no="hate", name="adjudication", version="1"),
                said(RaterKind.HUMAN, 2, yes="hate", name="adjudication", version="2"),
            ],
            "reviewers settled it differently, and the newest counts",
        ),
    ],
)
def test_every_decision_can_be_explained_in_a_sentence(pile: list[Judgement], sentence: str) -> None:
    decided = state(pile)
    why = why_decided("hate", decided.decisions["hate"], decided, EXCLUDES)
    assert why.sentence == sentence
    assert Why.of_stored(why.stored()).sentence == sentence


def test_every_sentence_can_be_filled_in() -> None:
    for sentence in reasons.SENTENCES.values():
        values = dict.fromkeys(re.findall(r"%\((\w+)\)s", sentence), "1")
        assert "%(" not in (sentence % values)


def test_even_votes_are_worth_more_than_uneven_ones() -> None:
    assert uncertainty(1, 1) == 1
    assert 0 < uncertainty(1, 3) < uncertainty(2, 3) < 1
    assert uncertainty(0, 4) == uncertainty(0, 0) == 0


def test_people_come_before_machines_in_the_order_of_what_to_settle() -> None:
    def value(kind: RaterKind) -> float:
        pile = [said(kind, 1, yes="hate"), said(kind, 2, no="hate", name="b")]
        now = state(pile)
        [found] = disputes_of(_TEXT, pile, now.decisions, EXCLUDES)
        return found.value

    assert value(RaterKind.HUMAN) > value(RaterKind.EXTERNAL) > value(RaterKind.LLM) > 0


def test_who_could_not_decide_matters_until_two_others_did() -> None:
    one = [said(RaterKind.HUMAN, 1, yes="hate")]
    two = [*one, said(RaterKind.HUMAN, 2, yes="hate", name="b")]
    assert [found.kind for found in disputes_of(_TEXT, one, state(one).decisions, EXCLUDES, undecided=1)] == [
        DisputeKind.UNDECIDED
    ]
    assert disputes_of(_TEXT, two, state(two).decisions, EXCLUDES, undecided=1) == []
    settled = [said(RaterKind.HUMAN, 1, yes="hate", name="adjudication")]
    assert disputes_of(_TEXT, settled, state(settled).decisions, EXCLUDES, undecided=1) == []


def test_a_fingerprint_changes_with_the_votes_that_count_and_with_nothing_else() -> None:
    first, second = said(RaterKind.HUMAN, 1, yes="hate"), said(RaterKind.LLM, 2, yes="hate")
    assert fingerprint([first, second]) == fingerprint([second, first])
    assert fingerprint([first]) != fingerprint([first, second])
    rejected = said(RaterKind.LLM, 2, yes="hate", demoted=frozenset({"hate"}))
    assert fingerprint([first, rejected]) != fingerprint([first, second])
    revised = said(RaterKind.HUMAN, 3, no="hate", revision=1, supersedes=1)
    back = said(RaterKind.HUMAN, 4, revision=2, supersedes=3, withdrawn=True)
    assert fingerprint([first, revised]) != fingerprint([first])
    assert fingerprint([first, revised, back]) == fingerprint([])
    assert Decision(True, Tier.GOLD, (1,)) == state([first]).decisions["hate"]
