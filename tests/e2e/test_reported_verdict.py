"""A wrong verdict, from an application's complaint to a model that knows better."""

from __future__ import annotations

from pathlib import Path

import openai
from sqlalchemy import func, select

from pipeline import store
from pipeline.judgement import RaterKind
from pipeline.store import open_session
from pipeline.store.tables.accounts import Role
from pipeline.store.tables.human_loop import QueueState
from pipeline.taxonomy import load_taxonomy
from tests.support.ledger import RuleLedger
from tests.support.moderation import serving_moderation
from tests.support.waiting import until
from tests.support.web import Web, words_of

_THINGS = ["cili", "bawang", "halia", "serai", "kunyit", "lengkuas", "rempah", "kacang", "jagung", "garam"]
_PLACES = ("di dapur nenek", "dalam lesung batu", "untuk sambal petang", "sebelum tetamu sampai")
#: cooking, which the rule of the planted texts takes for violence
_REPORTED = [f"mak tumbuk {thing} {place}" for thing in _THINGS for place in _PLACES[:3]]
#: like them, and reported by nobody
_NEAR = [f"mak tumbuk {thing} {_PLACES[3]}" for thing in _THINGS]
_VIOLENT = ["semalam dia tumbuk kawan sekolah", "jangan tumbuk budak kecil itu"]


def test_a_wrong_verdict_is_reported_settled_by_people_and_the_next_model_knows_better(
    server_url: str, database_url: str, new_home: Path
) -> None:
    with serving_moderation(new_home, database_url) as endpoint, endpoint.client(token := endpoint.token()) as client:
        home = endpoint.home
        RuleLedger(home.engine, load_taxonomy(), new_home).plant({"train": 200, "dev": 80, "test": 80})
        first = home.train()
        until(lambda: _serving(client) == first.model, "the first model serves")
        ask = openai.OpenAI(base_url=f"{endpoint.url}/v1", api_key=token, max_retries=0)

        def violence(texts: list[str]) -> list[float]:
            results = ask.moderations.create(input=texts).results
            return [result.category_scores.violence for result in results]

        before, before_near = violence(_REPORTED), violence(_NEAR)
        flagged = ask.moderations.create(input=_NEAR).results
        assert all(result.categories.violence for result in flagged)

        # what users complain of, the application reports
        reports = []
        for number, text in enumerate(_REPORTED):
            body = {"text": text, "labels": {"violence": False}, "reason": "it is about cooking", "model": first.model}
            answer = client.post("/v1/reports", json={**body, "reference": f"post-{number}"})
            assert (answer.status_code, answer.json()["status"]) == (201, "waiting")
            reports.append(answer.json()["id"])
        with open_session(home.engine) as session:
            of_reports = select(func.count()).select_from(store.Judgement).join(store.Rater)
            assert session.scalar(of_reports.where(store.Rater.kind == RaterKind.REPORT)) == len(_REPORTED)
            queued = session.scalars(select(store.QueueItem).where(store.QueueItem.state == QueueState.QUEUED)).all()
            assert len(queued) == len(_REPORTED)
            assert {item.reason for item in queued} == {"a forum reports a wrong verdict"}
            assert {item.inclusion_probability for item in queued} == {None}

        # people settle them at the page of the review
        pages = Web(endpoint.url, home)
        reviewer = pages.client(Role.REVIEWER, "mei")
        assert "it is about cooking" in words_of(reviewer.get("/review/appeal").text)
        settled = ""
        for _ in _REPORTED:
            marks = {"mark:violence": "no", "mark:porn": "no", "ground": "meaning"}
            settled = words_of(reviewer.post_form("/review/appeal", "/review/appeal/settle", **marks).text)
        assert "No text of this list waits for you." in settled
        state = client.get(f"/v1/reports/{reports[0]}").json()
        assert (state["status"], state["labels"]["violence"]) == ("settled", False)
        pages.close()

        # the next model learns from it, passes the gate, and serves
        second = home.train()
        assert second.promoted, second
        until(lambda: _serving(client) == second.model, "the next model serves")
        after, after_near = violence(_REPORTED), violence(_NEAR)
        assert sum(after) < sum(before) / 2
        assert sum(after_near) < sum(before_near) / 2
        assert not any(result.categories.violence for result in ask.moderations.create(input=_NEAR).results)
        assert all(result.categories.violence for result in ask.moderations.create(input=_VIOLENT).results)
        ask.close()


def _serving(client: object) -> str | None:
    answer = client.get("/v1/models")  # type: ignore[attr-defined]
    return str(answer.json()["data"][0]["id"]) if answer.status_code == 200 else None
