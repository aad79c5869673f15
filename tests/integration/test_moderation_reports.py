"""Reports of applications: kept once, shown to people, settled, and learnt from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from pipeline import store
from pipeline.judgement import RaterKind
from pipeline.ledger.decisions import decided_texts
from pipeline.store import make_engine, open_session
from pipeline.store.tables.accounts import Report, Role
from pipeline.store.tables.human_loop import QueueState
from pipeline.store.tables.review import DisputeKind
from saring.accounts.people import add_account
from tests.support.backend import promote, train_model
from tests.support.moderation import Endpoint, serving_moderation
from tests.support.store import new_database

_REPORT = {
    "text": "Semalam kami tengok filem lucah di kedai, hubungi 012-3456789 untuk tiket",
    "labels": {"porn": False, "violence": False},
    "reason": "itu nama filem, kata ali@example.org",
    "reference": "post-17",
    "model": "sfw-1",
}


@pytest.fixture
def endpoint(server_url: str, template: str, new_home: Path, tmp_path: Path) -> Iterator[Endpoint]:
    with new_database(server_url, template) as url:
        engine = make_engine(url)
        promote(engine, train_model(tmp_path))
        engine.dispose()
        with serving_moderation(new_home, url) as endpoint:
            yield endpoint


def test_a_wrong_verdict_is_reported_comes_before_people_is_settled_and_is_learnt_from(endpoint: Endpoint) -> None:
    with endpoint.client() as client:
        first = client.post("/v1/reports", json=_REPORT)
        assert first.status_code == 201
        report = first.json()
        assert (report["status"], report["labels"], report["reference"]) == ("waiting", {}, "post-17")
        # the answer was lost, so it is sent again
        assert client.post("/v1/reports", json=_REPORT).json()["id"] == report["id"]
        assert client.get(f"/v1/reports/{report['id']}").json() == report

        with open_session(endpoint.home.engine) as session:
            [text] = session.scalars(select(store.Text)).all()
            assert "012" not in text.masked
            [judgement] = session.scalars(select(store.Judgement)).all()
            assert sorted(judgement.denied) == ["porn", "violence"]
            assert "example.org" not in (judgement.explanation or "")
            [queued] = session.scalars(select(store.QueueItem)).all()
            assert (queued.state, queued.inclusion_probability) == (QueueState.QUEUED, None)
            assert "a forum reports" in queued.reason
            # what an application says decides nothing
            decisions = [text.decisions for text in decided_texts(session, endpoint.home.taxonomy)]
            assert all(decision.value is None for decided in decisions for decision in decided.values())

        [waiting] = endpoint.home.review.show(DisputeKind.APPEAL)
        assert {why.code for why in waiting.why} == {"reported-no"}
        assert "a forum" in waiting.why[0].sentence
        with endpoint.home.begin() as session:
            aina = add_account(session, "aina", Role.REVIEWER).id
        reviewer = endpoint.home.review.reviewer(aina)
        endpoint.home.review.settle(waiting.text_id, reviewer, no=["porn"], ground="meaning")
        assert not endpoint.home.review.show(DisputeKind.APPEAL)
        settled = client.get(f"/v1/reports/{report['id']}").json()
        assert (settled["status"], settled["labels"]) == ("settled", {"porn": False})
    with open_session(endpoint.home.engine) as session:
        [text] = decided_texts(session, endpoint.home.taxonomy)
        assert text.decisions["porn"].value is False
        assert "porn" in text.trusted
        kinds = session.execute(
            select(store.Rater.kind, func.count()).join(store.Judgement).group_by(store.Rater.kind)
        ).all()
    assert dict(kinds) == {RaterKind.REPORT: 1, RaterKind.HUMAN: 1}


def test_reports_that_cannot_be_kept_are_told_why_and_leave_nothing(endpoint: Endpoint) -> None:
    wrong = [
        ({}, 400, "text"),
        ({"text": " "}, 400, "text"),
        ({"text": "!!!"}, 400, "text"),
        ({"text": "a", "labels": {"no such label": True}}, 400, "labels"),
        ({"text": "a", "labels": {"porn": "yes"}}, 400, "labels"),
        ({"text": "a", "labels": 3}, 400, "labels"),
        ({"text": "x" * 100_000}, 422, "text"),
        ({"text": "ayat biasa", "reason": "x" * 3_000}, 422, "reason"),
    ]
    with endpoint.client() as client:
        for body, status, param in wrong:
            answer = client.post("/v1/reports", json=body)
            assert (answer.status_code, answer.json()["error"]["param"]) == (status, param), body
        assert client.get("/v1/reports/not-an-id").status_code == 404
    with open_session(endpoint.home.engine) as session:
        for table in (Report, store.Judgement, store.Text):
            assert session.scalar(select(func.count()).select_from(table)) == 0


def test_a_reference_names_one_text_and_reports_of_one_text_wait_together(endpoint: Endpoint) -> None:
    with endpoint.client() as client:
        assert client.post("/v1/reports", json=_REPORT).status_code == 201
        other = {**_REPORT, "text": "Ayat lain sama sekali tentang cuaca pagi di pekan"}
        refused = client.post("/v1/reports", json=other)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "reference")
        again = {**_REPORT, "reference": "post-18", "labels": ["sexist"]}
        assert client.post("/v1/reports", json=again).status_code == 201
    [waiting] = endpoint.home.review.show(DisputeKind.APPEAL)
    assert sorted(why.code for why in waiting.why) == ["reported-no", "reported-no", "reported-yes"]
    with endpoint.client(endpoint.token("another")) as client:
        assert client.post("/v1/reports", json={"text": "Selamat pagi semua kawan"}).status_code == 201
