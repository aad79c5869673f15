"""The ledger over a real PostgreSQL: everything once, and nothing ever changed."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable

import pytest
from sqlalchemy import Engine, func, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.judgement import Judgement, RaterKind, RaterRef, Tier
from pipeline.ledger.book import NewJudgement, Recorded, judgements_by_text, rater_id, record
from pipeline.ledger.resolve import resolve
from pipeline.store import open_session
from pipeline.store.tables.core import RunState

_LLM = RaterRef(RaterKind.LLM, "model", "prompt 1")
_PERSON = RaterRef(RaterKind.HUMAN, "annotator", "17")


def text_id(number: int) -> uuid.UUID:
    return uuid.UUID(int=number)


def add_texts(session: Session, count: int) -> list[uuid.UUID]:
    ids = [text_id(number) for number in range(1, count + 1)]
    session.execute(insert(store.Text), [{"id": id_, "body": f"b{id_}", "masked": f"m{id_}"} for id_ in ids])
    session.commit()
    return ids


def say(session: Session, rater: RaterRef, verdicts: Iterable[NewJudgement]) -> Recorded:
    """Record and commit."""
    recorded = record(session, rater_id(session, rater), verdicts, taxonomy_version="t1")
    session.commit()
    return recorded


def verdict(number: int, yes: str = "", no: str = "", **more: object) -> NewJudgement:
    labels = [frozenset(part for part in said.split(",") if part) for said in (yes, no)]
    return NewJudgement(text_id(number), *labels, **more)  # type: ignore[arg-type]


def ledger(session: Session) -> dict[uuid.UUID, list[Judgement]]:
    return dict(judgements_by_text(session))


def rows(session: Session) -> int:
    return session.execute(select(func.count()).select_from(store.Judgement)).scalar_one()


def test_what_is_recorded_is_read_back(session: Session) -> None:
    add_texts(session, 2)
    first = verdict(1, "hate,racist", "porn", scores={"hate": 0.9}, explanation="sebab", external_ref="row 7")
    assert say(session, _LLM, [first, verdict(2, no="hate")]) == Recorded(new=2)
    read = ledger(session)
    assert list(read) == [text_id(1), text_id(2)]
    (one,) = read[text_id(1)]
    assert one.rater == _LLM
    assert one.asserted == {"hate", "racist"}
    assert one.denied == {"porn"}
    assert one.scores == {"hate": 0.9}
    assert (one.external_ref, one.revision, one.supersedes, one.withdrawn) == ("row 7", 0, None, False)
    assert resolve(read[text_id(2)])["hate"].value is False
    assert session.scalars(select(store.Judgement.explanation).order_by(store.Judgement.id)).all() == ["sebab", None]
    assert set(session.scalars(select(store.Judgement.taxonomy_version))) == {"t1"}


def test_saying_it_again_adds_nothing(session: Session) -> None:
    add_texts(session, 3)
    pile = [verdict(1, "hate", "porn"), verdict(2, "porn"), verdict(3)]
    assert say(session, _PERSON, pile) == Recorded(new=3)
    assert say(session, _PERSON, reversed(pile)) == Recorded(repeated=3)
    assert say(session, _PERSON, pile + pile) == Recorded(repeated=6)
    assert rows(session) == 3


def test_more_than_a_batch_is_recorded_once(session: Session) -> None:
    add_texts(session, 4_500)
    pile = [verdict(number, "hate") for number in range(1, 4_501)]
    assert say(session, _LLM, pile) == Recorded(new=4_500)
    assert say(session, _LLM, iter(pile)) == Recorded(repeated=4_500)
    assert len(ledger(session)) == 4_500


def test_a_changed_verdict_is_the_next_revision_and_supersedes_the_last(session: Session) -> None:
    add_texts(session, 1)
    say(session, _PERSON, [verdict(1, "hate", external_ref="9")])
    assert say(session, _PERSON, [verdict(1, "hate,racist", external_ref="9")]) == Recorded(revised=1)
    assert say(session, _PERSON, [verdict(1, "hate", external_ref="9")]) == Recorded(revised=1)
    history = ledger(session)[text_id(1)]
    assert [j.revision for j in history] == [0, 1, 2]
    assert [j.supersedes for j in history] == [None, history[0].id, history[1].id]
    assert [j.asserted for j in history] == [{"hate"}, {"hate", "racist"}, {"hate"}]
    assert set(resolve(history)) == {"hate"}


def test_two_verdicts_on_a_text_in_one_call_are_two_revisions(session: Session) -> None:
    add_texts(session, 1)
    pile = [verdict(1, "hate"), verdict(1, "porn"), verdict(1, "porn")]
    assert say(session, _PERSON, pile) == Recorded(new=1, revised=1, repeated=1)
    first, second = ledger(session)[text_id(1)]
    assert (second.revision, second.supersedes) == (1, first.id)
    assert set(resolve([first, second])) == {"porn"}


def test_verdicts_under_different_references_stand_side_by_side(session: Session) -> None:
    add_texts(session, 1)
    data_set = RaterRef(RaterKind.EXTERNAL, "corpus", "1.0")
    pile = [verdict(1, "hate", external_ref="1/a"), verdict(1, no="hate", external_ref="1/b")]
    assert say(session, data_set, pile) == Recorded(new=2)
    assert resolve(ledger(session)[text_id(1)])["hate"].tier is Tier.CONTESTED


def test_another_score_or_wording_of_the_same_verdict_is_no_revision(session: Session) -> None:
    add_texts(session, 1)
    say(session, _LLM, [verdict(1, "hate", scores={"hate": 0.9}, explanation="one")])
    again = [verdict(1, "hate", scores={"hate": 0.8}, explanation="two")]
    assert say(session, _LLM, again) == Recorded(repeated=1)


def test_a_judgement_can_be_taken_back_and_given_again(session: Session) -> None:
    add_texts(session, 1)
    say(session, _PERSON, [verdict(1, "hate", external_ref="9")])
    back = verdict(1, "hate", external_ref="9", withdrawn=True)
    assert say(session, _PERSON, [back]) == Recorded(revised=1)
    assert say(session, _PERSON, [back]) == Recorded(repeated=1)
    assert resolve(ledger(session)[text_id(1)]) == {}
    assert say(session, _PERSON, [verdict(1, "hate", external_ref="9")]) == Recorded(revised=1)
    assert resolve(ledger(session)[text_id(1)])["hate"].value is True
    assert rows(session) == 3


def test_what_was_never_said_cannot_be_taken_back(session: Session) -> None:
    add_texts(session, 1)
    assert say(session, _PERSON, [verdict(1, "hate", withdrawn=True)]) == Recorded()
    assert rows(session) == 0


def test_a_label_both_asserted_and_denied_counts_as_asserted(session: Session) -> None:
    add_texts(session, 1)
    both = verdict(1, "hate", "hate,porn")
    assert say(session, _LLM, [both]) == Recorded(new=1)
    assert say(session, _LLM, [both]) == Recorded(repeated=1)
    (one,) = ledger(session)[text_id(1)]
    assert one.asserted == {"hate"}
    assert one.denied == {"porn"}


def test_the_database_refuses_a_row_that_asserts_and_denies_a_label(session: Session) -> None:
    add_texts(session, 1)
    row = {"rater_id": rater_id(session, _LLM), "text_id": text_id(1), "taxonomy_version": "t1"}
    with pytest.raises(IntegrityError, match="ck_judgement_not_both"):
        session.execute(insert(store.Judgement).values(asserted=["hate", "porn"], denied=["porn"], **row))


def test_a_rater_is_introduced_once(session: Session) -> None:
    first = rater_id(session, _LLM, {"temperature": 0})
    assert rater_id(session, _LLM, {"temperature": 1}) == first
    assert rater_id(session, RaterRef(RaterKind.LLM, "model", "prompt 2")) != first
    assert rater_id(session, RaterRef(RaterKind.HUMAN, "model", "prompt 1")) != first
    assert session.scalar(select(store.Rater.details).where(store.Rater.id == first)) == {"temperature": 0}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE judgement SET denied = '{}'",
        "UPDATE judgement SET withdrawn = true WHERE id = 1",
        "UPDATE judgement SET asserted = '{}' WHERE false",
        "DELETE FROM judgement",
        "UPDATE judgement SET explanation = 'another'",
        "UPDATE judgement SET explanation = NULL",
        "DELETE FROM judgement WHERE id = 1",
        "TRUNCATE judgement",
        "TRUNCATE text CASCADE",
        "TRUNCATE rater CASCADE",
        "INSERT INTO judgement (rater_id, text_id, taxonomy_version) SELECT rater_id, text_id, 't2' FROM judgement "
        "ON CONFLICT (rater_id, text_id, external_ref, revision) DO UPDATE SET asserted = '{}'",
        "MERGE INTO judgement j USING rater r ON r.id = j.rater_id WHEN MATCHED THEN DELETE",
        "WITH gone AS (DELETE FROM judgement RETURNING id) SELECT count(*) FROM gone",
    ],
)
def test_the_database_itself_refuses_to_change_or_remove_a_judgement(session: Session, statement: str) -> None:
    add_texts(session, 1)
    say(session, _PERSON, [verdict(1, "hate")])
    before = ledger(session)
    session.rollback()
    with pytest.raises(DBAPIError, match=r"judgements are append-only: .* refused; record a new revision instead"):
        session.execute(text(statement))
    session.rollback()
    assert ledger(session) == before


def test_models_cannot_change_a_judgement_either(session: Session) -> None:
    add_texts(session, 1)
    say(session, _PERSON, [verdict(1, "hate")])
    row = session.scalars(select(store.Judgement)).one()
    row.asserted = ["porn"]
    with pytest.raises(DBAPIError, match="append-only"):
        session.flush()
    session.rollback()
    session.delete(session.scalars(select(store.Judgement)).one())
    with pytest.raises(DBAPIError, match="append-only"):
        session.flush()


def test_who_or_what_was_judged_cannot_be_removed_from_under_a_judgement(session: Session) -> None:
    add_texts(session, 1)
    say(session, _PERSON, [verdict(1, "hate")])
    for table in ("text", "rater"):
        with pytest.raises(IntegrityError, match="judgement"):
            session.execute(text(f"DELETE FROM {table}"))
        session.rollback()
    assert rows(session) == 1


def test_an_unknown_text_is_refused_and_nothing_is_half_recorded(session: Session) -> None:
    add_texts(session, 1)
    with pytest.raises(IntegrityError):
        say(session, _PERSON, [verdict(1, "hate"), verdict(2, "hate")])
    session.rollback()
    assert rows(session) == 0


def _demote(session: Session, number: int, label: str, *, kept: bool = False, stage: str = "centroid") -> None:
    run = store.Run(stage=stage, state=RunState.DONE)
    session.add(run)
    session.flush()
    decision = {"stage": stage, "label": label, "text_id": text_id(number), "kept": kept, "reason": "far"}
    session.execute(insert(store.FilterDecision).values(run_id=run.id, **decision))
    session.commit()


@pytest.mark.parametrize("kind", list(RaterKind))
def test_filters_demote_only_what_language_models_and_the_bootstrap_rater_asserted(
    session: Session, kind: RaterKind
) -> None:
    add_texts(session, 2)
    say(session, RaterRef(kind, "r"), [verdict(1, "hate,porn", "racist"), verdict(2, "hate")])
    _demote(session, 1, "hate")
    _demote(session, 1, "racist")
    _demote(session, 1, "porn", kept=True)
    read = ledger(session)
    filtered = kind in (RaterKind.LLM, RaterKind.BOOTSTRAP)
    assert read[text_id(1)][0].demoted == (frozenset({"hate"}) if filtered else frozenset())
    assert read[text_id(1)][0].asserted == {"hate", "porn"}
    assert read[text_id(2)][0].demoted == frozenset()


def test_one_filter_that_drops_is_enough(session: Session) -> None:
    add_texts(session, 1)
    say(session, _LLM, [verdict(1, "hate")])
    _demote(session, 1, "hate", kept=True, stage="centroid")
    _demote(session, 1, "hate", stage="sentiment")
    assert ledger(session)[text_id(1)][0].demoted == {"hate"}


def test_reading_keeps_to_the_texts_asked_for_and_their_order(session: Session) -> None:
    ids = add_texts(session, 4)
    say(session, _LLM, [verdict(number, "hate") for number in (4, 2, 1)])
    say(session, _PERSON, [verdict(number, "hate") for number in (2, 4)])
    few = select(store.Text.id).where(store.Text.id.in_(ids[1:]))
    found = list(judgements_by_text(session, texts=few))
    assert [id_ for id_, _ in found] == [text_id(2), text_id(4)]
    assert [[j.rater.kind for j in pile] for _, pile in found] == [[RaterKind.LLM, RaterKind.HUMAN]] * 2
    assert all(pile == sorted(pile, key=lambda j: j.id) for _, pile in found)


def test_nothing_judged_is_nothing_read(session: Session) -> None:
    add_texts(session, 1)
    assert ledger(session) == {}


class _Writer(threading.Thread):
    """Records the same verdicts from a session of its own."""

    def __init__(self, engine: Engine, rater: RaterRef, pile: list[NewJudgement]) -> None:
        super().__init__()
        self._engine, self._rater, self._pile = engine, rater, pile
        self.recorded: Recorded | None = None

    def run(self) -> None:
        with open_session(self._engine) as session:
            self.recorded = say(session, self._rater, self._pile)


def _wait_for_a_lock(session: Session) -> None:
    """Return when some other session of this database waits for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while not session.execute(text(waiting)).scalar_one():
        session.execute(text("SELECT pg_sleep(0.01)"))
        # else the same picture of the activity is shown until the transaction ends
        session.execute(text("SELECT pg_stat_clear_snapshot()"))


def test_a_second_writer_waits_for_the_first_and_adds_nothing(engine: Engine, session: Session) -> None:
    add_texts(session, 50)
    pile = [verdict(number, "hate") for number in range(1, 51)]
    who = rater_id(session, _LLM)
    session.commit()
    assert record(session, who, pile, taxonomy_version="t1") == Recorded(new=50)
    second = _Writer(engine, _LLM, pile)
    second.start()
    _wait_for_a_lock(session)
    session.commit()
    second.join()
    assert second.recorded == Recorded(repeated=50)
    assert rows(session) == 50


def test_any_number_of_writers_at_once_write_it_once(engine: Engine, session: Session) -> None:
    add_texts(session, 200)
    forth = [verdict(number, "hate") for number in range(1, 201)]
    writers = [_Writer(engine, _LLM, forth if n % 2 else forth[::-1]) for n in range(5)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    recorded = [writer.recorded for writer in writers]
    assert sorted(r.new for r in recorded if r) == [0, 0, 0, 0, 200]
    assert sum(r.repeated for r in recorded if r) == 800
    assert rows(session) == 200
