"""The moderation endpoint, as applications ask it: OpenAI's client unchanged, Perspective's shape, policies, limits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from sqlalchemy import text

from pipeline.errors import UsageError
from pipeline.store import make_engine, open_session
from saring.accounts.api_tokens import all_tokens, revoke_token
from saring.actions.moderation import policy_figures, remove_policy, set_policy
from saring.actions.shadow import set_shadow, shadow_reports
from tests.support.backend import promote, train_model
from tests.support.moderation import Endpoint, serving_champion, serving_moderation
from tests.support.store import new_database
from tests.support.waiting import until

_IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
_PORN, _PLAIN = "semalam kami lucah besar", "semalam kami pergi kedai bola"


@pytest.fixture(scope="module")
def endpoint(
    server_url: str, template: str, module_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Endpoint]:
    """An endpoint whose champion knows one label, `porn`."""
    with serving_champion(module_home, server_url, template, tmp_path_factory.mktemp("models")) as endpoint:
        yield endpoint


def _serving(endpoint: Endpoint) -> str | None:
    with endpoint.client() as client:
        answer = client.get("/v1/models")
    return str(answer.json()["data"][0]["id"]) if answer.status_code == 200 else None


def test_openai_s_client_runs_unchanged(endpoint: Endpoint) -> None:
    client = openai.OpenAI(base_url=f"{endpoint.url}/v1", api_key=endpoint.token(), max_retries=0)
    answer = client.moderations.create(model="omni-moderation-latest", input=[_PORN, _PLAIN])
    assert answer.model == _serving(endpoint)
    first, second = answer.results
    assert (first.flagged, second.flagged) == (True, False)
    # the name that applications know, and ours
    assert first.categories.sexual
    assert first.categories.to_dict()["porn"]
    assert first.category_scores.sexual > 0.5 > second.category_scores.sexual
    assert first.categories.hate is False
    assert client.moderations.create(input=_PORN).results[0].flagged
    parts: Any = [{"type": "text", "text": "semalam kami"}, {"type": "text", "text": "lucah besar"}]
    assert [result.flagged for result in client.moderations.create(input=parts).results] == [True]
    assert [model.id for model in client.models.list()] == [_serving(endpoint)]
    client.close()


def test_the_words_that_mattered_are_told_on_request(endpoint: Endpoint) -> None:
    first, second = endpoint.moderate([_PORN, _PLAIN], explain=True).json()["results"]
    words = first["words"]["labels"]["porn"]
    assert first["words"]["exact"]
    assert (words[0]["word"], words[0]["weight"] > 0) == ("lucah", True)
    assert second["words"]["labels"]["porn"][0]["weight"] != 0
    assert "words" not in endpoint.moderate(_PORN).json()["results"][0]
    assert endpoint.moderate(["a"] * 33, explain=True).status_code == 422


def test_what_is_not_judged_is_said(endpoint: Endpoint) -> None:
    answer = endpoint.moderate(_PORN).json()
    assert answer["served"] == ["porn"]
    assert "hate" in answer["not_served"]
    assert "sexual" not in answer["not_served"]
    assert answer["policy"] == "balanced"
    assert answer["thresholds"].keys() == {"porn"}


@pytest.mark.parametrize(
    ("body", "status", "param", "word"),
    [
        ({}, 400, "input", "missing"),
        ({"input": []}, 400, "input", "empty"),
        ({"input": 7}, 400, "input", "list of texts"),
        ({"input": ["a", 7]}, 400, "input[0]", "texts only"),
        ({"input": [{"type": "text", "text": "a"}, _IMAGE]}, 400, "input[1]", "image"),
        ({"input": "a", "model": "gpt-4"}, 404, "model", "serves"),
        ({"input": "a", "policy": "none"}, 400, "policy", "balanced"),
        ({"input": ["a"] * 1_001}, 422, "input", "1000"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_answered_is_told_why(
    endpoint: Endpoint, body: dict[str, Any], status: int, param: str, word: str
) -> None:
    with endpoint.client() as client:
        answer = client.post("/v1/moderations", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (status, param)
    assert word in error["message"]
    assert "\n" not in error["message"]


def test_broken_bodies_and_letters_are_no_fault_of_ours(endpoint: Endpoint) -> None:
    with endpoint.client() as client:
        for content in (b"", b"{", b"[]", b'"a"', b"\xff\xfe", b"[" * 50_000):
            assert client.post("/v1/moderations", content=content).status_code == 400
        for given in ("\0", "a\0b", "\\ud800", " ", "😀" * 50):
            content = f'{{"input": ["{given}", "a"]}}'.replace("\0", "\\u0000").encode()
            assert client.post("/v1/moderations", content=content).status_code == 200
            fields = f'"text": "kata {given}"}}'.replace("\0", "\\u0000")
            analysis = f'{{"comment": {{{fields}, "requestedAttributes": {{"TOXICITY": {{}}}}}}'.encode()
            assert client.post("/v1alpha1/comments:analyze", content=analysis).status_code == 200
            assert client.post("/v1/reports", content=f"{{{fields}".encode()).status_code in (201, 400)
        assert client.post("/v1/moderations", json={"input": _PORN + " kata" * 200_000}).json()["results"][0]["flagged"]
        large = client.post("/v1/moderations", json={"input": "x" * (4 << 20)})
        assert large.status_code == 413
        many = client.post("/v1/moderations", json={"input": [_PORN, _PLAIN] * 500}).json()["results"]
        assert [result["flagged"] for result in many] == [True, False] * 500


def test_only_a_token_that_is_in_use_opens_it_and_only_as_often_as_it_may(endpoint: Endpoint) -> None:
    body = {"input": _PLAIN}
    for headers in ({}, {"Authorization": "Bearer saring_none"}, {"Authorization": "Basic eDp5"}):
        refused = httpx.post(f"{endpoint.url}/v1/moderations", json=body, headers=headers, trust_env=False)
        assert refused.status_code == 401
        assert refused.json()["error"]["code"] == "invalid_api_key"
    secret = endpoint.token("slow", per_minute=2)
    with endpoint.client(secret) as client:
        answers = [client.post("/v1/moderations", json=body) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert 0 < int(answers[-1].headers["retry-after"]) <= 60
    revoked = endpoint.token("gone")
    with endpoint.client(revoked) as client:
        assert client.post("/v1/moderations", json=body).status_code == 200
        with endpoint.home.begin() as session:
            revoke_token(session, next(token.id for token in all_tokens(session) if token.name == "gone"))
        until(lambda: client.post("/v1/moderations", json=body).status_code == 401, "the token is refused")


def test_a_policy_changes_the_thresholds_and_says_what_to_expect(endpoint: Endpoint) -> None:
    set_policy(endpoint.home, "forum", "precision=0.95", {"porn": "recall=0.99"})
    with endpoint.client() as client:
        until(lambda: "forum" in {p["name"] for p in client.get("/v1/policies").json()["data"]}, "it is known")
        listed = {policy["name"]: policy for policy in client.get("/v1/policies").json()["data"]}
        [row] = listed["forum"]["thresholds"]
        assert (row["label"], row["target"]) == ("porn", "recall=0.99")
        assert row["recall"] >= 0.99
        assert row["reached"]
        answer = client.post("/v1/moderations", json={"input": _PORN, "policy": "forum"}).json()
        assert answer["policy"] == "forum"
        assert answer["thresholds"]["porn"] == row["threshold"]
    with endpoint.client(endpoint.token("its own", policy="forum")) as client:
        assert client.post("/v1/moderations", json={"input": _PORN}).json()["policy"] == "forum"
    with pytest.raises(UsageError, match="its own"):
        remove_policy(endpoint.home, "forum")
    assert {figures.policy.name for figures in policy_figures(endpoint.home)} == {
        *("balanced", "strict", "lenient", "forum")
    }


def test_perspective_s_shape_is_answered(endpoint: Endpoint) -> None:
    key, url = endpoint.token(), f"{endpoint.url}/v1alpha1/comments:analyze"
    body = {
        "comment": {"text": _PORN},
        "requestedAttributes": {"TOXICITY": {}, "SEXUALLY_EXPLICIT": {}},
        "languages": ["ms"],
        "spanAnnotations": True,
        "clientToken": "7",
    }
    answer = httpx.post(url, params={"key": key}, json=body, trust_env=False).json()
    score = answer["attributeScores"]["SEXUALLY_EXPLICIT"]
    assert score["summaryScore"]["type"] == "PROBABILITY"
    assert score["summaryScore"]["value"] > 0.5
    assert (score["spanScores"][0]["begin"], score["spanScores"][0]["end"]) == (0, len(_PORN))
    assert (answer["languages"], answer["clientToken"]) == (["ms"], "7")
    wrong = {"comment": {"text": _PORN}, "requestedAttributes": {"FLIRTATION": {}}}
    refused = httpx.post(url, params={"key": key}, json=wrong, trust_env=False)
    assert refused.status_code == 400
    assert refused.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert "SEXUALLY_EXPLICIT" in refused.json()["error"]["message"]
    assert httpx.post(url, json=body, trust_env=False).json()["error"]["code"] == 401
    # from it Google's client libraries make their methods
    document = httpx.get(f"{endpoint.url}/$discovery/rest", params={"key": key}, trust_env=False).json()
    method = document["resources"]["comments"]["methods"]["analyze"]
    assert document["rootUrl"] + method["path"] == url
    assert method["request"]["$ref"] in document["schemas"]


def test_requests_that_come_together_get_the_answers_that_they_would_get_alone(endpoint: Endpoint) -> None:
    texts = [f"semalam kami {'lucah' if i % 3 else 'bola'} nombor {i}" for i in range(60)]
    alone = [endpoint.moderate(given).json()["results"][0]["category_scores"]["porn"] for given in texts[:6]]
    together: dict[int, float] = {}

    def ask(i: int, client: httpx.Client) -> None:
        answer = client.post("/v1/moderations", json={"input": texts[i]})
        together[i] = answer.json()["results"][0]["category_scores"]["porn"]

    with endpoint.client() as client:
        threads = [threading.Thread(target=ask, args=(i, client)) for i in range(len(texts))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [together[i] for i in range(6)] == pytest.approx(alone, abs=1e-6)
    assert len(together) == 60


def test_a_new_champion_takes_over_between_two_answers(
    server_url: str, template: str, new_home: Path, tmp_path: Path
) -> None:
    with (
        new_database(server_url, template) as url,
        serving_moderation(new_home, url) as endpoint,
        endpoint.client() as client,
    ):
        none = client.post("/v1/moderations", json={"input": _PORN})
        assert none.status_code == 503
        assert "saring train" in none.json()["error"]["message"]
        body = {"comment": {"text": _PORN}, "requestedAttributes": {"SEXUALLY_EXPLICIT": {}}}
        assert client.post("/v1alpha1/comments:analyze", json=body).json()["error"]["status"] == "UNAVAILABLE"
        assert client.get("/v1/policies").status_code == 503
        versions = [promote(endpoint.home.engine, train_model(tmp_path))]
        until(lambda: _serving(endpoint) == versions[0], "it serves")
        answers: list[httpx.Response] = []
        over = threading.Event()

        def ask() -> None:
            # large, so that the champion changes between its pieces
            while not over.is_set():
                answers.append(client.post("/v1/moderations", json={"input": [_PLAIN + " kata" * 50] * 100}))

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            until(lambda: len(answers) >= 2, "the first champion answers")
            versions.append(promote(endpoint.home.engine, train_model(tmp_path, "bola", extra=1)))
            until(lambda: answers[-1].json()["model"] == versions[1], "the second champion answers")
        finally:
            over.set()
            asking.join()
        by_model: dict[str, set[float]] = {version: set() for version in versions}
        for answer in answers:
            assert answer.status_code == 200
            scores = {result["category_scores"]["porn"] for result in answer.json()["results"]}
            # a list is answered by one model, whichever it is
            assert len(scores) == 1
            by_model[answer.json()["model"]] |= scores
        assert all(len(scores) == 1 for scores in by_model.values())


def test_it_goes_on_answering_while_the_database_is_away(
    server_url: str, template: str, new_home: Path, tmp_path: Path
) -> None:
    with new_database(server_url, template) as url:
        engine = make_engine(url)
        promote(engine, train_model(tmp_path))
        with serving_moderation(new_home, url) as endpoint:
            secret, other = endpoint.token(), endpoint.token("not seen yet")
            with endpoint.client(secret) as client, endpoint.client(other) as stranger:
                assert client.post("/v1/moderations", json={"input": _PORN}).status_code == 200
                _allow(server_url, url, False)
                until(lambda: stranger.post("/v1/moderations", json={"input": "a"}).status_code == 503, "it is away")
                away = client.post("/v1/reports", json={"text": _PORN})
                assert (away.status_code, away.headers["retry-after"]) == (503, "5")
                body = {"comment": {"text": _PORN}, "requestedAttributes": {"SEXUALLY_EXPLICIT": {}}}
                assert client.post("/v1alpha1/comments:analyze", json=body).status_code == 200
                for _ in range(3):
                    assert client.post("/v1/moderations", json={"input": _PORN}).json()["results"][0]["flagged"]
                _allow(server_url, url, True)
                until(lambda: stranger.post("/v1/moderations", json={"input": "a"}).status_code == 200, "it is back")
        engine.dispose()


def test_a_challenger_in_the_shadow_scores_live_texts_and_is_compared_by_label(
    server_url: str, template: str, new_home: Path, tmp_path: Path
) -> None:
    with (
        new_database(server_url, template) as url,
        serving_moderation(new_home, url) as endpoint,
        endpoint.client() as client,
    ):
        other = promote(endpoint.home.engine, train_model(tmp_path, "kuali", extra=1))
        champion = promote(endpoint.home.engine, train_model(tmp_path))
        with pytest.raises(UsageError, match="is the champion"):
            set_shadow(endpoint.home, champion)
        assert set_shadow(endpoint.home, other) == other

        def counted() -> bool:
            client.post("/v1/moderations", json={"input": ["semalam lucah", "semalam kuih", "semalam kuali"]})
            reports = shadow_reports(endpoint.home)
            return bool(reports) and reports[0].texts >= 6

        until(counted, "texts are compared")
        [report] = shadow_reports(endpoint.home, other)
        assert (report.champion, report.challenger) == (champion, other)
        counts = report.labels["porn"]
        # each knows one of the words
        assert counts.champion_only == counts.challenger_only == report.texts // 3
        assert counts.both + counts.champion_only + counts.challenger_only + counts.neither == report.texts
        assert set_shadow(endpoint.home, None) is None
        with open_session(endpoint.home.engine) as session:
            assert "kuih" not in str(session.execute(text("SELECT s::text FROM shadow_count s")).all())


def test_texts_are_stored_nowhere(endpoint: Endpoint) -> None:
    endpoint.moderate("kata rahsia yang tiada di tempat lain")
    with open_session(endpoint.home.engine) as session:
        for table in ("text", "audit_entry", "event", "llm_reply"):
            rows = session.execute(text(f"SELECT count(*) FROM {table} t WHERE t::text LIKE '%rahsia%'"))
            assert rows.scalar_one() == 0


def test_texts_are_kept_masked_and_with_their_source_where_the_policy_says_so(endpoint: Endpoint) -> None:
    set_policy(endpoint.home, "keeping", None, {}, store_texts=True)
    # what is not named stays as it is
    assert set_policy(endpoint.home, "keeping", "f1", {}).store_texts
    asked = ["Hubungi saya di 012-3456789 esok pagi", "Kucing itu tidur di atas bumbung", "!!!"]
    with endpoint.client(endpoint.token("a chat", policy="keeping")) as client:
        until(lambda: "keeping" in {p["name"] for p in client.get("/v1/policies").json()["data"]}, "it is known")
        for _ in range(2):
            assert client.post("/v1/moderations", json={"input": asked}).status_code == 200
        # this request has another policy, and the next one does not want to be kept
        client.post("/v1/moderations", json={"input": "Burung hantu di ladang", "policy": "strict"})
        body = {"comment": {"text": "Ikan di sungai"}, "requestedAttributes": {"SEXUALLY_EXPLICIT": {}}}
        for more in ({"doNotStore": True}, {}):
            body["comment"]["text"] += " kecil"
            assert client.post("/v1alpha1/comments:analyze", json=body | more).status_code == 200

    def kept() -> list[tuple[str, str]]:
        with open_session(endpoint.home.engine) as session:
            query = (
                "SELECT t.body, s.name FROM text t JOIN text_source o ON o.text_id = t.id"
                " JOIN source s ON s.id = o.source_id WHERE s.name <> 'reports' ORDER BY t.body"
            )
            return [(row.body, row.name) for row in session.execute(text(query))]

    until(lambda: len(kept()) >= 3, "they are stored")
    assert kept() == [
        (body, "asked: a chat")
        for body in ("Hubungi saya di <phone> esok pagi", "Ikan di sungai kecil kecil", asked[1])
    ]
    outcomes = httpx.get(f"{endpoint.url}/metrics", auth=("metrics", "a-third"), trust_env=False).text
    assert 'saring_asked_texts_total{outcome="known"} 2.0' in outcomes
    assert 'saring_asked_texts_total{outcome="unusable"} 2.0' in outcomes


def test_the_document_of_the_endpoint_names_what_it_serves(endpoint: Endpoint) -> None:
    with endpoint.client() as client:
        document = client.get("/v1/openapi.json").json()
    assert document["openapi"].startswith("3.")
    assert {"/v1/moderations", "/v1/policies", "/v1alpha1/comments:analyze"} <= document["paths"].keys()
    with httpx.Client(base_url=endpoint.url, trust_env=False) as client:
        assert client.get("/v1/openapi.json").status_code == 401
        assert client.get("/v1/nothing").status_code == 404


def _allow(server_url: str, database_url: str, allowed: bool) -> None:
    name = database_url.rsplit("/", 1)[1].partition("?")[0]
    engine = make_engine(server_url).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {"true" if allowed else "false"}'))
        if not allowed:
            ended = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
            connection.execute(ended, {"name": name})
    engine.dispose()
