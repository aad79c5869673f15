"""The review sample of what a filter rejected: the next text, answers, undo, and the precision that they give."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import pytest
from sqlalchemy import Engine, insert, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import UsageError
from pipeline.filters.centroid import REVIEW_REASON, STAGE
from pipeline.filters.review_sample import Answer, Standing
from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.book import judgements_by_text
from pipeline.ledger.resolve import resolve
from pipeline.measure.intervals import wilson
from pipeline.measure.survey import weighted_share
from pipeline.queue.people import what_people_decided
from pipeline.taxonomy import load_taxonomy
from saring.actions.filter_review import Answered, SamplePage, answer_sample, filter_precision, sample_page, undo_sample
from saring.context import Context
from tests.support.filtered import LLM
from tests.support.stages import StageHome

AISYAH, BADRUL = (RaterRef(RaterKind.HUMAN, "saring", number) for number in ("1", "2"))
VOLUNTEER = RaterRef(RaterKind.HUMAN, "label-studio", "7")


class Sample:
    """A store with decisions and a review sample that are planted, and people who answer."""

    def __init__(self, engine: Engine) -> None:
        self.ctx: Context = StageHome(engine, taxonomy=load_taxonomy())
        with self.ctx.begin() as session:
            row = store.Run(stage=STAGE, state="done")
            session.add(row)
            session.flush()
            self.run = row.id

    def reject(self, label: str, chances: Sequence[float], *, kept: bool = False, seed: int = 0) -> list[uuid.UUID]:
        """Texts that the filter rejected, and that were drawn with these chances; in order of id."""
        ids = [uuid.UUID(int=(seed << 100) + (place << 64)) for place in range(1, len(chances) + 1)]
        with self.ctx.begin() as session:
            known = set(session.scalars(select(store.Text.id).where(store.Text.id.in_(ids))))
            for text_id in ids:
                if text_id not in known:
                    session.add(store.Text(id=text_id, body="rahsia", masked=f"kucing {text_id}"))
            session.flush()
            common = {"label": label, "run_id": self.run}
            session.execute(
                insert(store.FilterDecision),
                [
                    {"stage": STAGE, "text_id": i, "kept": kept, "score": 0.3, "cut": 0.4, "reason": "far", **common}
                    for i in ids
                ],
            )
            session.execute(
                insert(store.Review),
                [
                    {"text_id": i, "reason": REVIEW_REASON, "inclusion_probability": chance, **common}
                    for i, chance in zip(ids, chances, strict=True)
                ],
            )
        return ids

    def say(self, who: RaterRef, text_id: uuid.UUID, asserted: set[str], denied: set[str]) -> None:
        """Have a person judge the whole text, as Label Studio does."""
        from pipeline.ledger.book import NewJudgement, rater_id, record

        with self.ctx.begin() as session:
            said = NewJudgement(text_id, frozenset(asserted), frozenset(denied), external_ref="ls:1")
            record(session, rater_id(session, who), [said], taxonomy_version="t")

    def page(self, who: RaterRef = AISYAH, label: str = "hate") -> SamplePage:
        return sample_page(self.ctx, label, who)

    def answer(self, text_id: uuid.UUID, answer: str, who: RaterRef = AISYAH, label: str = "hate") -> Answered:
        return answer_sample(self.ctx, label, text_id, Answer(answer), who)

    def believed(self, text_id: uuid.UUID) -> dict[str, bool | None]:
        with Session(self.ctx.engine) as session:
            chosen = select(store.Text.id).where(store.Text.id == text_id)
            for _, judgements in judgements_by_text(session, texts=chosen):
                return {key: decision.value for key, decision in resolve(judgements).items()}
        return {}

    def rows(self) -> int:
        with Session(self.ctx.engine) as session:
            return len(session.scalars(select(store.Judgement.id)).all())


@pytest.fixture
def sample(engine: Engine) -> Sample:
    return Sample(engine)


def test_the_sample_is_worked_through_text_by_text_to_a_precision(sample: Sample) -> None:
    ids = sample.reject("hate", [0.2] * 6)
    seen: list[uuid.UUID] = []
    answers = ["rightly", "rightly", "wrongly", "rightly", "unsure", "rightly"]
    for said in answers:
        page = sample.page()
        assert page.text is not None
        assert (page.text.text, page.text.inclusion_probability) == (
            f"kucing {page.text.text_id}",
            pytest.approx(0.2),
        )
        assert page.precision.answered + page.precision.unsure == len(seen)
        seen.append(page.text.text_id)
        assert sample.answer(page.text.text_id, said).before is None
    assert sorted(seen) == ids
    done = sample.page()
    assert done.text is None
    assert done.last == seen[-1]
    told = done.precision
    assert (told.sampled, told.rightly, told.wrongly, told.unsure, told.open) == (6, 4, 1, 1, 0)
    assert told.share == wilson(4, 5)
    assert not told.weighted
    assert sample.believed(seen[0]) == {"hate": False}
    assert sample.believed(seen[2]) == {"hate": True}
    assert sample.believed(seen[4]) == {}


def test_texts_that_were_drawn_with_different_chances_count_differently(sample: Sample) -> None:
    ids = sample.reject("hate", [0.5, 0.5, 0.05, 0.05])
    for text_id, said in zip(ids, ["rightly", "rightly", "wrongly", "rightly"], strict=True):
        sample.answer(text_id, said)
    told = sample.page().precision
    assert told.weighted
    assert told.share == weighted_share([True, True, False, True], [0.5, 0.5, 0.05, 0.05])
    assert told.share is not None
    assert told.share.value == pytest.approx((2 + 2 + 20) / 44)
    assert filter_precision(sample.ctx) == {("centroid", "hate"): told}


def test_an_undo_withdraws_the_last_answer_and_leaves_every_row(sample: Sample) -> None:
    first, second, _ = sample.reject("hate", [0.2] * 3)
    sample.answer(first, "wrongly")
    sample.answer(second, "rightly")
    before = sample.rows()
    assert undo_sample(sample.ctx, "hate", AISYAH) == second
    assert sample.believed(second) == {}
    assert sample.believed(first) == {"hate": True}
    assert sample.rows() == before + 1
    assert undo_sample(sample.ctx, "hate", AISYAH) == first
    assert sample.page().precision.answered == 0
    with pytest.raises(UsageError, match="no answer of yours"):
        undo_sample(sample.ctx, "hate", AISYAH)
    sample.answer(second, "rightly")
    assert sample.believed(second) == {"hate": False}


def test_an_answer_leaves_what_the_reviewer_said_of_other_labels(sample: Sample) -> None:
    [text_id] = sample.reject("hate", [1.0])
    sample.reject("violence", [1.0])
    sample.say(AISYAH, text_id, {"sexist"}, {"porn"})
    sample.answer(text_id, "wrongly")
    sample.answer(text_id, "rightly", label="violence")
    assert sample.believed(text_id) == {"sexist": True, "porn": False, "hate": True, "violence": False}
    sample.answer(text_id, "rightly")
    assert sample.believed(text_id)["hate"] is False
    assert sample.believed(text_id)["violence"] is False
    # The answer on one label goes, also where a later answer on another was recorded with it.
    sample.answer(text_id, "wrongly", label="violence")
    undo_sample(sample.ctx, "hate", AISYAH)
    assert sample.believed(text_id) == {"sexist": True, "porn": False, "violence": True}
    undo_sample(sample.ctx, "violence", AISYAH)
    assert sample.believed(text_id) == {"sexist": True, "porn": False}


def test_an_answer_counts_again_after_another_judgement_of_the_same_person(sample: Sample) -> None:
    [text_id] = sample.reject("hate", [1.0])
    sample.answer(text_id, "wrongly")
    sample.say(AISYAH, text_id, set(), {"hate"})
    assert sample.believed(text_id) == {"hate": False}
    sample.answer(text_id, "wrongly")
    assert sample.believed(text_id) == {"hate": True}


def test_the_same_answer_twice_changes_nothing(sample: Sample) -> None:
    [text_id] = sample.reject("hate", [1.0])
    for said in ("rightly", "unsure"):
        sample.answer(text_id, said)
        before = sample.rows()
        sample.answer(text_id, said)
        assert sample.rows() == before


def test_answers_from_label_studio_count_and_need_not_be_given_again(sample: Sample) -> None:
    ids = sample.reject("hate", [0.2] * 3)
    sample.say(VOLUNTEER, ids[0], set(), {"hate"})
    sample.say(VOLUNTEER, ids[1], {"hate"}, set())
    page = sample.page()
    assert (page.precision.rightly, page.precision.wrongly) == (1, 1)
    assert page.text is not None
    assert page.text.text_id == ids[2]


def test_a_label_that_excludes_the_rejected_one_settles_it(sample: Sample) -> None:
    [text_id] = sample.reject("hate", [1.0])
    benign = next(key for key in sample.ctx.taxonomy.keys if "hate" in sample.ctx.taxonomy.excludes.get(key, ()))
    sample.say(VOLUNTEER, text_id, {benign}, set())
    assert sample.page().precision.rightly == 1


def test_a_second_reviewer_is_told_and_a_dispute_does_not_count(sample: Sample) -> None:
    first, second = sample.reject("hate", [0.5] * 2)
    sample.answer(first, "rightly")
    told = sample.answer(first, "wrongly", BADRUL)
    assert (told.before, told.now) == (Standing.RIGHTLY, Standing.DISPUTED)
    precision = sample.page().precision
    assert (precision.disputed, precision.answered, precision.share) == (1, 0, None)
    for who in (AISYAH, BADRUL):
        shown = sample.page(who).text
        assert shown is not None
        assert shown.text_id == second


def test_what_one_reviewer_cannot_say_goes_to_another(sample: Sample) -> None:
    [text_id] = sample.reject("hate", [1.0])
    sample.answer(text_id, "unsure")
    assert sample.page().text is None
    other = sample.page(BADRUL).text
    assert other is not None
    assert (other.text_id, other.standing) == (text_id, Standing.UNSURE)
    sample.answer(text_id, "rightly", BADRUL)
    precision = sample.page().precision
    assert (precision.rightly, precision.unsure) == (1, 0)


def test_texts_that_the_filter_keeps_by_now_do_not_count(sample: Sample) -> None:
    kept = sample.reject("hate", [0.2] * 3, kept=True, seed=1)
    ids = sample.reject("hate", [0.2] * 2)
    sample.answer(kept[0], "wrongly")
    sample.answer(ids[0], "rightly")
    precision = sample.page().precision
    assert (precision.sampled, precision.rightly, precision.wrongly) == (2, 1, 0)


def test_one_persons_answer_does_not_make_a_text_that_measures_others(sample: Sample) -> None:
    [text_id] = sample.reject("hate", [1.0])
    sample.answer(text_id, "wrongly")
    with Session(sample.ctx.engine) as session:
        decided = what_people_decided(session, sample.ctx.taxonomy)
        assert (decided.gold["hate"], decided.known) == (1, [])
    sample.answer(text_id, "wrongly", BADRUL)
    with Session(sample.ctx.engine) as session:
        assert [known.id for known in what_people_decided(session, sample.ctx.taxonomy).known] == [text_id]


def test_a_text_that_was_not_drawn_is_refused(sample: Sample) -> None:
    ids = sample.reject("hate", [0.2])
    with pytest.raises(UsageError, match="not in the review sample of 'violence'"):
        sample.answer(ids[0], "rightly", label="violence")
    with pytest.raises(UsageError, match="no label is called 'haet'"):
        sample.page(label="haet")
    assert sample.rows() == 0


def test_machines_do_not_answer_the_sample(sample: Sample) -> None:
    [text_id] = sample.reject("hate", [0.2])
    sample.say(LLM, text_id, {"hate"}, set())
    page = sample.page()
    assert page.precision.open == 1
    assert page.text is not None
    assert page.text.harsh


def test_two_reviewers_begin_at_different_texts(sample: Sample) -> None:
    # The places at which reviewers begin are spread over all ids.
    with sample.ctx.begin() as session:
        from pipeline.ledger.book import rater_id

        for who in (AISYAH, BADRUL):
            rater_id(session, who)
    ids = [uuid.UUID(int=place << 120) for place in range(1, 200)]
    with sample.ctx.begin() as session:
        session.execute(insert(store.Text), [{"id": i, "body": "a", "masked": "a"} for i in ids])
        common = {"label": "hate", "run_id": sample.run}
        session.execute(
            insert(store.FilterDecision),
            [{"stage": STAGE, "text_id": i, "kept": False, "reason": "far", **common} for i in ids],
        )
        session.execute(
            insert(store.Review),
            [{"text_id": i, "reason": REVIEW_REASON, "inclusion_probability": 0.1, **common} for i in ids],
        )
    first, second = (sample.page(who).text for who in (AISYAH, BADRUL))
    assert first is not None and second is not None
    assert first.text_id != second.text_id
