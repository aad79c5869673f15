"""The pages of the review and of one text, as a reviewer meets them without JavaScript."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import httpx
import pytest
from sqlalchemy import insert, select

from pipeline import store
from pipeline.judgement import RaterKind, RaterRef
from pipeline.store import open_session
from pipeline.store.tables.accounts import Role
from saring.accounts.audit import read_entries
from saring.accounts.people import by_name, set_label_studio_user
from saring.actions import review
from tests.support.ledger import LLM, Book
from tests.support.store import new_database
from tests.support.web import Browser, Web, forms_of, serving_web, words_of

AISYAH, BALA = (RaterRef(RaterKind.HUMAN, "label-studio", str(i)) for i in (1, 2))


@pytest.fixture(scope="module")
def web(server_url: str, template: str, module_home: Path) -> Iterator[Web]:
    with new_database(server_url, template) as url, serving_web(module_home, url) as web:
        yield web


@pytest.fixture(scope="module")
def book(web: Web, module_home: Path) -> Book:
    return Book(web.home.engine, web.home.taxonomy, module_home)


@pytest.fixture
def disputes(web: Web, book: Book) -> list[str]:
    """Public ids of two new disputes, in their order; all others are settled."""
    with web.home.begin() as session:
        session.execute(store.Dispute.__table__.delete())
        session.execute(store.ReviewLease.__table__.delete())
        for row in session.scalars(select(store.Rater)):
            row.excluded_at = None
    ids = book.plant(2)
    book.say(AISYAH, ids, {"hate"})
    book.say(BALA, ids, set(), {"hate"})
    review.find(web.home, suspects=False)
    with web.home.begin() as session:
        session.execute(store.Dispute.__table__.delete().where(store.Dispute.text_id.not_in(ids)))
    return [str(review.public_id(web.home, text)) for text in sorted(ids)]


@pytest.fixture
def reviewer(web: Web) -> Browser:
    return web.client(Role.REVIEWER, "mei")


def text_of(page: httpx.Response) -> str | None:
    shown = re.search(r'data-text="([^"]+)"', page.text)
    return shown[1] if shown else None


def settle(browser: Browser, address: str = "/review/disagreement", **fields: str) -> httpx.Response:
    given = {"mark:hate": "no", "ground": "definition"} | fields
    return browser.post_form(address, "/review/disagreement/settle", **given)


def test_a_dispute_is_shown_with_its_reason_its_votes_and_a_mark_for_every_label(
    web: Web, disputes: list[str], reviewer: Browser
) -> None:
    lists = reviewer.get("/review")
    assert "Disagreements 2" in words_of(lists.text)
    page = reviewer.get("/review/disagreement")
    assert text_of(page) == disputes[0]
    words = words_of(page.text)
    assert "people disagree on Hate speech: 1 yes, 1 no" in words or "people disagree on" in words
    assert "volunteer 1" in words
    assert "volunteer 2" in words
    form = next(form for form in forms_of(page.text) if form.action.endswith("/settle"))
    assert {name for name in form.fields if name.startswith("mark:")} == {
        f"mark:{key}" for key in web.home.taxonomy.keys
    }
    assert {form.fields[name] for name in form.fields if name.startswith("mark:")} == {""}
    keys = re.findall(r'data-key="([^"]+)"', page.text)
    assert len(keys) == len(set(keys))
    # the store's own id of a text is a hash of the text before masking, and is not shown
    own = review.own_id(web.home, disputes[0])
    assert str(own) not in page.text


def test_settled_the_next_one_is_shown_and_the_log_says_so(web: Web, disputes: list[str], reviewer: Browser) -> None:
    answer = settle(reviewer)
    assert "Settled." in words_of(answer.text)
    assert text_of(answer) == disputes[1]
    done = settle(reviewer)
    assert "No text of this list waits for you." in words_of(done.text)
    lists = words_of(reviewer.get("/review").text)
    assert "people disagree on" in lists
    assert "the definition of the label decides" in lists
    with open_session(web.home.engine) as session:
        acts = [entry.act for entry in read_entries(session, limit=10)]
    assert acts.count("review.settle") >= 2
    history = words_of(reviewer.get(f"/texts/{disputes[0]}").text)
    assert "a reviewer settled it (1)" in history
    assert "reviewer mei" in history
    assert "the definition of the label decides" in history


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ground": "", "words": " "}, "nothing is settled without a reason"),
        ({"mark:hate": "", "mark:racist": ""}, "nothing is marked"),
        ({"mark:hate": "yes", "mark:safe for work": "yes"}, "a text cannot be both"),
        ({"ground": "x"}, "there is no reason"),
    ],
)
def test_what_was_marked_and_typed_stays_where_something_is_missing(
    disputes: list[str], reviewer: Browser, fields: dict[str, str], message: str
) -> None:
    answer = settle(reviewer, **{"mark:racist": "no", "words": "kata sendiri", **fields})
    assert answer.status_code == 422
    assert message in unescape(words_of(answer.text))
    assert text_of(answer) == disputes[0]
    form = next(form for form in forms_of(answer.text) if form.action.endswith("/settle"))
    assert form.fields["mark:racist"] == fields.get("mark:racist", "no")
    assert form.fields["words"] == fields.get("words", "kata sendiri")


def test_skipped_texts_come_back_after_the_others(disputes: list[str], reviewer: Browser) -> None:
    page = reviewer.get("/review/disagreement")
    skip = re.search(r'href="(/review/disagreement\?after=[^"]+)"', page.text)
    assert skip is not None
    second = reviewer.get(unescape(skip[1]))
    assert text_of(second) == disputes[1]
    form = next(form for form in forms_of(second.text) if form.action.endswith("/settle"))
    sent = reviewer.send_form(form.action, {**form.fields, "mark:hate": "yes", "ground": "meaning"})
    assert "No text of this list waits for you." in words_of(sent.text)
    assert text_of(reviewer.get("/review/disagreement")) == disputes[0]
    assert text_of(reviewer.get("/review/disagreement?after=nonsense")) == disputes[0]


def test_the_next_text_is_given_as_a_part_of_a_page(disputes: list[str], reviewer: Browser) -> None:
    reviewer.get("/review/disagreement")
    part = reviewer.get(f"/review/disagreement/next?without={disputes[0]}")
    assert "<html" not in part.text
    assert text_of(part) == disputes[1]
    form = next(form for form in forms_of(part.text) if form.action.endswith("/settle"))
    sent = reviewer.send_form(form.action, {**form.fields, "mark:hate": "no", "ground": "slip"})
    assert text_of(sent) == disputes[0]


def test_undo_shows_the_text_again(disputes: list[str], reviewer: Browser) -> None:
    settle(reviewer)
    again = reviewer.post_form("/review/disagreement", "/review/undo")
    assert "Your settlement is taken back." in words_of(again.text)
    assert text_of(again) == disputes[0]
    settle(reviewer)
    settle(reviewer)
    reviewer.post_form("/review", "/review/undo")
    back = reviewer.post_form("/review", "/review/undo")
    assert text_of(back) == disputes[0]


def test_the_second_reviewer_is_told_and_shown(web: Web, disputes: list[str], reviewer: Browser) -> None:
    other = web.client(Role.REVIEWER, "nur")
    first = reviewer.get("/review/disagreement")
    assert text_of(other.get("/review/disagreement")) == disputes[1]
    seen = other.get(f"/review/disagreement?text={disputes[0]}")
    assert "mei has this text before them" in words_of(seen.text)
    stale = next(form for form in forms_of(seen.text) if form.action.endswith("/settle"))
    settle(reviewer)
    told = other.send_form(stale.action, {**stale.fields, "mark:hate": "yes", "ground": "meaning"})
    assert told.status_code == 409
    words = unescape(words_of(told.text))
    assert "another reviewer settled this text" in words
    assert "reviewer mei settled it" in words
    assert "the definition of the label decides" in words
    # what they had marked is still marked
    form = next(form for form in forms_of(told.text) if form.action.endswith("/settle"))
    assert form.fields["mark:hate"] == "yes"
    assert text_of(first) == disputes[0]


def test_nobody_is_given_a_dispute_about_their_own_vote(web: Web, disputes: list[str]) -> None:
    browser = web.client(Role.REVIEWER, "aisyah")
    with web.home.begin() as session:
        set_label_studio_user(session, by_name(session, "aisyah").id, "1")
    web.client(Role.REVIEWER, "mei")
    assert "No text of this list waits for you." in words_of(browser.get("/review/disagreement").text)
    shown = browser.get(f"/review/disagreement?text={disputes[0]}")
    form = next(form for form in forms_of(shown.text) if form.action.endswith("/settle"))
    refused = browser.send_form(form.action, {**form.fields, "mark:hate": "yes", "ground": "meaning"})
    assert refused.status_code == 409
    assert "you voted on this text yourself" in words_of(refused.text)


def test_a_form_that_is_sent_twice_settles_once(web: Web, disputes: list[str], reviewer: Browser) -> None:
    page = reviewer.get("/review/disagreement")
    form = next(form for form in forms_of(page.text) if form.action.endswith("/settle"))
    fields = {**form.fields, "mark:hate": "no", "ground": "slip"}
    reviewer.send_form(form.action, fields)
    again = reviewer.send_form(form.action, fields)
    assert again.status_code == 200
    own = review.own_id(web.home, disputes[0])
    with open_session(web.home.engine) as session:
        rows = session.scalars(
            select(store.Judgement)
            .join(store.Rater)
            .where(store.Judgement.text_id == own, store.Rater.name == "adjudication")
        ).all()
    assert len(rows) == 1


def test_script_in_a_text_a_reason_and_an_explanation_stays_words(web: Web, book: Book, reviewer: Browser) -> None:
    evil = "<script>alert(1)</script>"
    text = uuid.uuid4()
    with web.home.begin() as session:
        session.execute(insert(store.Text).values(id=text, body=evil, masked=f'{evil} "><img src=x onerror=alert(2)>'))
    book.say(AISYAH, [text], {"hate"})
    book.say(BALA, [text], set(), {"hate"})
    review.find(web.home, suspects=False)
    public = review.public_id(web.home, text)
    address = f"/review/disagreement?text={public}"
    shown = reviewer.get(address).text
    assert evil not in shown
    assert "<img" not in shown
    settle(reviewer, address, ground="", words=evil)
    for page in ("/review", f"/texts/{public}"):
        shown = reviewer.get(page).text
        assert evil not in shown
        assert "&lt;script&gt;" in shown
        assert "<img" not in shown


def test_a_harsh_text_is_hidden_until_it_is_asked_for(disputes: list[str], reviewer: Browser) -> None:
    page = reviewer.get("/review/disagreement").text
    hidden = page.partition('<details class="harsh">')[2].partition("</details>")[0]
    assert "baris nombor" in hidden
    assert "baris nombor" not in page.replace(hidden, "")


def test_the_pages_are_in_malay_too(web: Web, disputes: list[str]) -> None:
    browser = web.client(Role.REVIEWER, "mei")
    browser.headers["Accept-Language"] = "ms"
    page = words_of(browser.get("/review/disagreement").text)
    assert "orang tidak bersetuju tentang" in page
    assert "Putuskan" in page
    assert disputes[0] not in page


def test_the_history_of_a_text_names_raters_versions_runs_and_reasons(web: Web, book: Book) -> None:
    viewer = web.client(Role.VIEWER)
    [text] = book.plant(1, source="sumber-satu")
    book.say(LLM, [text], {"hate"})
    book.say(AISYAH, [text], {"hate"}, {"porn"})
    book.say(AISYAH, [text], set(), {"hate"})
    public = review.public_id(web.home, text)
    words = words_of(viewer.get(f"/texts/{public}").text)
    assert "sumber-satu" in words
    assert "language model a-model" in words
    assert web.home.taxonomy.version[:12] in words
    assert "replaced by a later one" in words
    assert "people agree (1)" in words
    assert "There is no champion yet." in words_of(viewer.get(f"/texts/{public}/words").text)
    part = viewer.get(f"/texts/{public}/words", headers={"HX-Request": "true"})
    assert "<html" not in part.text
    assert viewer.get(f"/texts/{uuid.uuid4()}").status_code == 404
    assert viewer.get("/texts/nonsense").status_code == 404


def test_an_owner_erases_the_words_of_a_text(web: Web, disputes: list[str]) -> None:
    page, act = f"/texts/{disputes[0]}", f"/texts/{disputes[0]}/erase"
    body = words_of(web.client(Role.MAINTAINER, "siti").get(page).text)
    assert "baris nombor" in body and "Erase the words" not in body
    with web.home.begin() as session:
        text = session.get_one(store.Text, review.own_id(web.home, disputes[0])).masked
    quoting = web.home.settings.reports_dir / "quoting.html"
    quoting.parent.mkdir(exist_ok=True)
    quoting.write_text(f"<p>{text}</p>")
    owner = web.client(Role.OWNER, "puteri")
    assert "Give a reason" in words_of(owner.post_form(page, act, sure="yes").text)
    assert "Tick that you are sure." in words_of(owner.post_form(page, act, reason="a request").text)
    assert "baris nombor" in words_of(owner.get(page).text)
    erased = words_of(owner.post_form(page, act, reason="a request", sure="yes").text)
    assert "The words are erased." in erased and "Its words were erased on" in erased
    assert "baris nombor" not in erased and "Erase the words" not in erased
    assert str(quoting) in erased and "Which words moved" not in erased
    assert "✓ Hate" in erased and "✗ Hate" in erased, "what was judged is there still"
    assert "Disagreements 1" in words_of(web.client(Role.REVIEWER, "mei").get("/review").text)
    with web.home.begin() as session:
        entry = next(entry for entry in read_entries(session, limit=20) if entry.act == "texts.erase")
    assert entry.details["reason"] == "a request"
    assert [outcome["texts"] for outcome in entry.outcomes] == [1]
