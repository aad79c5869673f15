"""What a person thinks of a text after several judgements, some of them about one label only."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.ledger.one_label import Opinion, Word, opinion_of, reference
from tests.support.judgements import EXCLUDES, LABELS, label_sets

_said = st.tuples(st.sampled_from(LABELS), st.sampled_from([True, False, None]))


def whole(asserted: frozenset[str], denied: frozenset[str] = frozenset()) -> Word:
    return Word("ls:1", asserted, denied - asserted)


def about(label: str, said: bool | None) -> Word:
    own = frozenset({label})
    return Word(reference(label), own if said else frozenset(), own if said is False else frozenset())


def test_an_answer_about_one_label_leaves_the_others() -> None:
    before = whole(frozenset({"hate"}), frozenset({"porn"}))
    assert opinion_of([before, about("racist", True)], EXCLUDES) == Opinion(
        frozenset({"hate", "racist"}), frozenset({"porn"})
    )
    assert opinion_of([before, about("hate", False)], EXCLUDES) == Opinion(frozenset(), frozenset({"hate", "porn"}))
    assert opinion_of([before, about("hate", None)], EXCLUDES) == Opinion(frozenset(), frozenset({"porn"}))


def test_a_label_takes_the_place_of_one_that_it_excludes() -> None:
    before = whole(frozenset({"safe for work"}))
    assert opinion_of([before, about("hate", True)], EXCLUDES).asserted == {"hate"}
    assert opinion_of([before, about("hate", False)], EXCLUDES).asserted == {"safe for work"}


def test_a_judgement_of_the_whole_text_takes_the_place_of_answers_before_it() -> None:
    assert opinion_of([about("hate", True), whole(frozenset({"porn"}))], EXCLUDES) == Opinion(frozenset({"porn"}))


@given(label_sets, label_sets, st.lists(_said, max_size=6))
def test_the_last_answer_about_a_label_is_what_is_thought_of_it(
    asserted: frozenset[str], denied: frozenset[str], answers: list[tuple[str, bool | None]]
) -> None:
    opinion = opinion_of([whole(asserted, denied), *(about(*answer) for answer in answers)], {})
    said: dict[str, bool | None] = dict.fromkeys(denied, False) | dict.fromkeys(asserted, True) | dict(answers)
    assert opinion.asserted == {label for label, value in said.items() if value}
    assert opinion.denied == {label for label, value in said.items() if value is False}
    assert not opinion.asserted & opinion.denied
