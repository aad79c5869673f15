"""The pages of the queue and of the search, as a browser without JavaScript sees them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text

from pipeline import store
from pipeline.store import make_engine, open_session
from pipeline.store.public_ids import PublicIds
from pipeline.store.tables.accounts import Role
from pipeline.store.tables.human_loop import QueueState
from pipeline.taxonomy import load_taxonomy
from pipeline.texts.normalise import text_id
from saring.accounts.audit import read_entries
from tests.support.queue import AISYAH, LLM, Shelf
from tests.support.store import new_database
from tests.support.web import Web, forms_of, serving_web, words_of

_SCRIPT = "<script>alert(1)</script> & amaran"


@pytest.fixture(scope="module")
def shelf(server_url: str, template: str) -> Iterator[Shelf]:
    """A store with 40 texts, of which 30 are queued."""
    with new_database(server_url, template) as url:
        engine = make_engine(url)
        shelf = Shelf(engine, load_taxonomy())
        shelf.ids_planted = shelf.plant(40)  # type: ignore[attr-defined]
        shelf.say(LLM, shelf.ids_planted[:2], {"hate"}, scores={"hate": 0.9}, explanation="it names a group")  # type: ignore[attr-defined]
        shelf.build(size=30, mix={"random": 1.0}, near=1.0)
        yield shelf
        engine.dispose()


@pytest.fixture(scope="module")
def web(shelf: Shelf, module_home: Path) -> Iterator[Web]:
    url = shelf.engine.url.render_as_string(hide_password=False)
    with serving_web(module_home, url) as web:
        yield web


def public(shelf: Shelf, own: uuid.UUID) -> str:
    with open_session(shelf.engine) as session:
        return str(PublicIds.of_store(session).of(own))


def item_of(shelf: Shelf, own: uuid.UUID) -> store.QueueItem:
    with open_session(shelf.engine) as session:
        q = store.QueueItem
        return session.scalars(select(q).where(q.text_id == own).order_by(q.id.desc())).first()  # type: ignore[return-value]


def test_the_queue_is_listed_in_its_order_and_never_by_a_texts_own_id(web: Web, shelf: Shelf) -> None:
    page = web.client(Role.VIEWER).get("/queue")
    assert page.status_code == 200
    assert "Waiting texts: 30." in words_of(page.text)
    shown = re.findall(r'href="/queue/text/([0-9a-f-]+)"', page.text)
    assert shown == [public(shelf, own) for own in shelf.ids()[:25]]
    assert not any(str(own) in page.text for own in shelf.ids())
    assert 'action="/queue/push-all"' not in page.text
    last = web.client(Role.VIEWER).get("/queue?start=25")
    assert len(re.findall(r'href="/queue/text/', last.text)) == 5
    filtered = words_of(web.client(Role.VIEWER).get("/queue?label=hate").text)
    assert re.search(r"Waiting texts: 30\. These filters choose \d+ of them", filtered)
    assert "No waiting text is like this" in words_of(web.client(Role.VIEWER).get("/queue?language=ta").text)
    malay = web.client(Role.VIEWER).get("/queue", headers={"Accept-Language": "ms"})
    assert "Teks yang menunggu: 30" in words_of(malay.text)


def test_a_reviewer_orders_the_queue_and_says_why_a_text_is_dropped(web: Web, shelf: Shelf) -> None:
    reviewer = web.client(Role.REVIEWER)
    before = shelf.ids()
    third, last = before[2], before[-1]
    moved = reviewer.post_form("/queue", "/queue/drop")
    assert moved.status_code >= 400
    assert "Choose at least one text" in words_of(moved.text)
    fields = {"text": public(shelf, third), "to": "first", "back": "/queue?start=0"}
    own_form = next(form for form in forms_of(reviewer.get("/account").text) if "csrf" in form.fields)
    answer = reviewer.send_form("/queue/order", {**own_form.fields, **fields})
    assert "Moved: 1." in words_of(answer.text)
    assert shelf.ids()[:3] == [third, before[0], before[1]]
    place = f"/queue/text/{public(shelf, last)}"
    assert "Moved: 1." in words_of(reviewer.post_form(place, "/queue/order", place=2).text)
    assert shelf.ids()[:3] == [third, last, before[0]]
    refused = reviewer.post_form(place, "/queue/drop", why=" ")
    assert "Give the reason" in words_of(refused.text)
    dropped = reviewer.post_form(place, "/queue/drop", why="an advertisement")
    assert "Dropped from the queue for ever: 1." in words_of(dropped.text)
    item = item_of(shelf, last)
    assert (item.state, item.refused_why) == (QueueState.REFUSED, "an advertisement")
    with open_session(shelf.engine) as session:
        acts = [entry.act for entry in read_entries(session)]
    assert {"queue.order", "queue.drop"} <= set(acts)
    gone = reviewer.get(place)
    assert gone.status_code >= 400
    assert "is not waiting in the queue" in words_of(gone.text)


def test_a_queued_text_shows_scores_votes_explanations_and_labelled_neighbours(web: Web, shelf: Shelf) -> None:
    waiting = shelf.ids()
    one = waiting[5]
    near = next(own for own in shelf.vectors if own not in waiting)
    shelf.say(LLM, [one], {"hate"}, scores={"hate": 0.83}, explanation="kumpulan disebut")
    shelf.say(AISYAH, [near], {"hate"})
    page = web.client(Role.VIEWER).get(f"/queue/text/{public(shelf, one)}")
    said = words_of(page.text)
    assert "kumpulan disebut" in said
    assert "0.83" in said
    assert "a-model" in said
    assert "gold" in said.partition("Nearest labelled texts")[2]
    assert "random: drawn at random" in said


def test_a_search_finds_words_escapes_them_and_says_what_it_did_not_look_at(web: Web, shelf: Shelf) -> None:
    with open_session(shelf.engine) as session, session.begin():
        session.execute(insert(store.Text).values(id=text_id(_SCRIPT), body="secret", masked=_SCRIPT))
    viewer = web.client(Role.VIEWER)
    assert "None yet." in words_of(viewer.get("/search").text)
    page = viewer.get("/search?q=amaran")
    assert "Found: 1." in words_of(page.text)
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; amaran" in page.text
    assert 'action="/search/queue"' in page.text
    assert 'name="why"' not in page.text, "a viewer puts nothing into the queue"
    wrong = viewer.get("/search?q=%3F%3F")
    assert wrong.status_code == 422
    assert "there is no word to search for" in words_of(wrong.text)
    assert viewer.get("/search?like=seven").status_code == 422
    assert "No text is like this" in words_of(viewer.get("/search?q=salji").text)


def test_a_search_is_saved_for_the_account_that_saves_it(web: Web, shelf: Shelf) -> None:
    viewer, other = web.client(Role.VIEWER, "aina"), web.client(Role.VIEWER, "bala")
    saved = viewer.post_form("/search?q=baris&whereabouts=free", "/search/save", name="baris bebas")
    assert "The search is saved." in words_of(saved.text)
    again = viewer.get("/search").text
    assert 'href="/search?q=baris&amp;whereabouts=free"' in again
    assert "baris bebas" not in other.get("/search").text
    removed = viewer.post_form("/search", "/search/forget")
    assert "The saved search is removed." in words_of(removed.text)


def test_more_like_a_text_goes_into_the_queue_with_unknown_probability(web: Web, shelf: Shelf) -> None:
    free = [own for own in shelf.vectors if own not in shelf.ids()]
    asked = shelf.ids()[0]
    address = f"/search?like={public(shelf, asked)}&whereabouts=free"
    reviewer = web.client(Role.REVIEWER)
    page = reviewer.get(address)
    chosen = next(own for own in free if f'value="{public(shelf, own)}"' in page.text)
    assert "their inclusion probability is unknown" in words_of(page.text)
    unexplained = reviewer.post_form(address, "/search/queue", text=public(shelf, chosen))
    assert "Give the reason" in words_of(unexplained.text)
    added = reviewer.post_form(address, "/search/queue", text=public(shelf, chosen), why="like the first", first="1")
    assert "Put into the queue, with unknown probability: 1." in words_of(added.text)
    assert shelf.ids()[0] == chosen
    assert item_of(shelf, chosen).inclusion_probability is None
    listed = words_of(reviewer.get("/queue").text)
    assert "picked by hand: like the first" in listed
    assert "Inclusion probability unknown" in listed


def test_a_maintainer_builds_with_shares_and_is_shown_what_is_wrong(web: Web, shelf: Shelf) -> None:
    maintainer = web.client(Role.MAINTAINER)
    assert web.client(Role.REVIEWER).get("/queue/build").status_code == 403
    wrong = maintainer.post_form("/queue/build", "/queue/build", mix_uncertain="much", size=12)
    assert wrong.status_code == 422
    assert "uncertain: much is not a number" in words_of(wrong.text)
    assert 'value="12"' in wrong.text, "what was typed is kept"
    picked = [item.text_id for item in shelf.items() if item.strategy == "picked"]
    built = maintainer.post_form(
        "/queue/build",
        "/queue/build",
        size=8,
        mix_uncertain=0,
        mix_scarce=0,
        mix_suspect=0,
        mix_random=100,
        gold_share=0,
    )
    assert built.status_code == 200
    items = shelf.items()
    assert sum(item.strategy != "picked" for item in items) == 8
    assert set(picked) <= {item.text_id for item in items}, "texts that a person put in stay"


def test_what_is_in_label_studio_is_shown_with_its_state(web: Web, shelf: Shelf) -> None:
    viewer = web.client(Role.VIEWER)
    assert "There is no project in Label Studio yet" in words_of(viewer.get("/queue/in-label-studio").text)
    project = shelf.project()
    with open_session(shelf.engine) as session, session.begin():
        session.execute(text("UPDATE task SET state = 'done'"))
    shelf.push(project, shelf.ids()[:2])
    page = words_of(viewer.get("/queue/in-label-studio").text)
    assert "saring" in page
    assert page.count("Answers 0 of 1") == 2
    assert "No task is in this state" in words_of(viewer.get("/queue/in-label-studio?state=done").text)
