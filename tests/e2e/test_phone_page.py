"""The volunteers' pages on an emulated phone, whose network comes and goes, over a real Label Studio."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect
from sqlalchemy import Engine, func, select

from pipeline import store
from pipeline.store.session import open_session
from pipeline.store.tables.accounts import Role
from pipeline.store.tables.volunteers import AnswerState
from saring.accounts.people import by_name
from saring.accounts.volunteers import ask_to_join, set_wishes
from saring.actions.label_studio import pull
from saring.actions.volunteers import approve
from saring.services import LabelStudioAccess
from sync.api.client import LabelStudio
from tests.support.browser import PHONE, Watched, faults, new_context, open_browser, sticks_out
from tests.support.label_studio import lines, make_project, push_all, queue
from tests.support.waiting import until
from tests.support.web import Web, forms_of, serving_web

pytestmark = pytest.mark.timeout(600)
#: phones that are used at once
_PHONES = 5
#: texts that a phone has in hand
_AHEAD = 5
_OFFLINE = re.compile("ERR_INTERNET_DISCONNECTED")


@dataclass
class Phones:
    """The dashboard over a pushed project, and a browser."""

    web: Web
    browser: Browser

    def phone(self, **how: object) -> BrowserContext:
        """An emulated phone."""
        look = {"viewport": PHONE, "locale": "en-GB", "has_touch": True, "is_mobile": True}
        return new_context(self.browser, self.web.url, **(look | how))

    def volunteer(self, *, most: int | None = None) -> str:
        """Path of the personal link of somebody who was let in; with their own limit a day."""
        with self.web.home.begin() as session:
            person, token = ask_to_join(session, f"aina-{uuid.uuid4().hex[:6]}", language="ms")
            set_wishes(session, person.id, avoid=[], daily_cap=most, break_minutes=30)
        approve(self.web.home, person.id)
        return f"/enter/{token}"

    def answers(self) -> list[store.PhoneAnswer]:
        """All answers, in the order in which they came in."""
        with open_session(self.web.home.engine) as session:
            return list(session.scalars(select(store.PhoneAnswer).order_by(store.PhoneAnswer.number)))

    def all_sent(self, number: int) -> None:
        """Wait until so many answers are in Label Studio."""
        a = store.PhoneAnswer
        query = select(func.count()).where(a.state == AnswerState.SENT)

        def count() -> bool:
            with open_session(self.web.home.engine) as session:
                return session.execute(query).scalar_one() >= number

        until(count, f"{number} answers are in Label Studio")


@pytest.fixture(scope="module")
def phones(
    module_engine: Engine,
    home: Path,
    label_studio: LabelStudioAccess,
    chromium: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Phones]:
    queue(module_engine, lines(120), tmp_path_factory.mktemp("phones"))
    with LabelStudio(label_studio.url, label_studio.api_key) as client:
        made = make_project(module_engine, client)
        push_all(module_engine, client, made.project_id)
    url = module_engine.url.render_as_string(hide_password=False)
    with serving_web(home, url) as web, open_browser(chromium) as browser:
        yield Phones(web, browser)


def come_in(page: Page, link: str, *, texts: int = _AHEAD) -> None:
    page.goto(link)
    page.get_by_role("button", name="Masuk").tap()
    expect(page.locator("#task")).to_be_visible(timeout=30_000)
    # the first is shown before the others are there
    count = "number => Object.values(localStorage).some((kept) => JSON.parse(kept).tasks?.length === number)"
    page.wait_for_function(count, arg=texts, timeout=90_000)


@contextmanager
def held_back(page: Page, address: str) -> Iterator[list[Route]]:
    """Let what the page asks for at an address wait until the end."""
    waiting: list[Route] = []
    page.route(address, lambda route: waiting.append(route))
    yield waiting
    for route in waiting:
        route.continue_()
    # whatever came in meanwhile goes on, too
    page.unroute(address)


def places(page: Page) -> list[list[float]]:
    """The places of all labels and buttons: left, top, width, height."""
    boxes: list[list[float]] = page.evaluate(
        """() => [...document.querySelectorAll("#door .tick, #acts button")].map((part) => {
            const { x, y, width, height } = part.getBoundingClientRect();
            return [x, y, width, height];
        })"""
    )
    return boxes


def fit(page: Page) -> list[str]:
    return [*faults(page), *sticks_out(page)]


def swipe(page: Page, *across: int, down: int = 0, look: Callable[[], None] | None = None) -> None:
    """Move a finger on the text, one leg after another, to so many pixels from where it began; look after the first."""
    box = page.locator("#task .paper").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] * (0.25 if across[0] > 0 else 0.75), box["y"] + box["height"] - 15
    finger = page.context.new_cdp_session(page)
    finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    at = 0.0
    for leg in across:
        for step in range(1, 7):
            point = {"x": x + at + (leg - at) * step / 6, "y": y + down * step / 6}
            finger.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
        if look is not None and leg == across[0]:
            look()
        at = leg
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    finger.detach()


def test_from_the_invitation_to_the_first_answer(phones: Phones) -> None:
    """A new volunteer asks, is let in, and answers, without a password and without pinching."""
    context = phones.phone()
    watched = Watched(context.new_page())
    page = watched.page
    page.goto("/join")
    expect(page.get_by_role("heading", level=1)).to_have_text("Menjadi sukarelawan")
    wrong = fit(page)
    page.get_by_label("Nama anda di sini").fill("Nur Aina")
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Mohon untuk sertai").tap()
    link = page.get_by_role("textbox", name="Pautan anda sendiri").input_value()
    wrong += fit(page)
    path = "/enter/" + link.rpartition("/")[2]
    page.goto(path)
    expect(page.get_by_text("belum membenarkan anda masuk")).to_be_visible()
    with phones.web.home.begin() as session:
        account = by_name(session, "Nur-Aina")
    assert account.role is None
    maintainer = phones.web.client(Role.MAINTAINER)
    approved = maintainer.post_form("/volunteers", f"/volunteers/{account.id}/approve")
    assert "Nur-Aina may label now" in approved.text

    come_in(page, path)
    wrong += fit(page)
    assert page.evaluate("parseFloat(getComputedStyle(document.getElementById('text')).fontSize)") >= 20
    # hidden until it is asked for, and what is pressed lies under the thumb
    expect(page.locator("#text")).to_have_class(re.compile("hidden"))
    box = page.locator("#submit").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= PHONE["height"]
    assert box["height"] >= 44
    page.get_by_role("button", name="Tunjukkan teks").tap()
    expect(page.locator("#text")).not_to_have_class(re.compile("hidden"))
    wrong += fit(page)
    page.locator("#submit").tap()
    phones.all_sent(1)
    # the next one is hidden again
    expect(page.locator("#text")).to_have_class(re.compile("hidden"))
    expect(page.locator("#today")).to_have_text("Hari ini: 1")
    page.goto("/me")
    expect(page.get_by_text("Jawapan hari ini")).to_be_visible()
    wrong += [*fit(page), *watched.wrong()]
    context.close()
    assert not wrong, "\n".join(wrong)
    pull(phones.web.home)
    j, r = store.Judgement, store.Rater
    with open_session(phones.web.home.engine) as session:
        rater = by_name(session, "Nur-Aina").rater
        said = session.scalars(select(j).join(r, r.id == j.rater_id).where(r.version == rater)).all()
    assert [list(judgement.asserted) for judgement in said] == [["hate"]]


def test_answers_wait_while_there_is_no_network_and_are_sent_once(phones: Phones) -> None:
    before = len(phones.answers())
    context = phones.phone()
    watched = Watched(context.new_page())
    page = watched.page
    come_in(page, phones.volunteer())
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.wait_for_function("caches.open('saring-label-1').then((kept) => kept.match('/label'))")
    first = page.locator("#text").text_content()
    context.set_offline(True)
    page.locator("#submit").tap()
    expect(page.locator("#waiting")).to_have_text("Menunggu dihantar: 1")
    expect(page.locator("#offline")).to_be_visible()
    # the page opens without a network, with what is in hand and what waits
    page.reload()
    expect(page.locator("#waiting")).to_have_text("Menunggu dihantar: 1")
    second = page.locator("#text").text_content()
    assert second != first
    page.locator('[data-label="racist"]').tap()
    page.locator("#submit").tap()
    expect(page.locator("#waiting")).to_have_text("Menunggu dihantar: 2")
    # undone before it was sent, and answered in another way
    page.locator("#undo").tap()
    expect(page.locator("#text")).to_have_text(second or "")
    expect(page.locator('[data-label="racist"]')).to_have_attribute("aria-pressed", "true")
    page.locator('[data-label="racist"]').tap()
    page.locator("#submit").tap()
    expect(page.locator("#waiting")).to_have_text("Menunggu dihantar: 2")
    context.set_offline(False)
    expect(page.locator("#waiting")).to_be_hidden(timeout=30_000)
    expect(page.locator("#offline")).to_be_hidden()
    phones.all_sent(before + 2)
    given = phones.answers()[before:]
    latest = {answer.task_id: list(answer.labels) for answer in given}
    assert list(latest.values()) == [["hate"], ["hate"]]
    # one that was sent is corrected
    page.locator("#undo").tap()
    expect(page.locator("#text")).to_have_text(second or "")
    page.locator("#undecided").tap()
    until(lambda: phones.answers()[-1].kind == "undecided", "the correction came in")
    phones.all_sent(len(phones.answers()))
    assert phones.answers()[-1].annotation_id == given[-1].annotation_id
    assert not [line for line in watched.wrong() if not _OFFLINE.search(line)]
    context.close()


def test_five_phones_at_once_whose_networks_come_and_go_take_each_text_once(phones: Phones) -> None:
    before = len(phones.answers())
    contexts = [phones.phone() for _ in range(_PHONES)]
    pages = [context.new_page() for context in contexts]
    for page in pages:
        come_in(page, phones.volunteer())
    for turn in range(2):
        for number, (context, page) in enumerate(zip(contexts, pages, strict=True)):
            context.set_offline((turn + number) % 2 == 0)
            page.locator("#submit").tap()
            expect(page.locator("#today")).to_have_text(f"Hari ini: {turn + 1}")
    for context, page in zip(contexts, pages, strict=True):
        context.set_offline(False)
        expect(page.locator("#waiting")).to_be_hidden(timeout=30_000)
        context.close()
    phones.all_sent(before + 2 * _PHONES)
    given = phones.answers()[before:]
    assert sorted(Counter(answer.account_id for answer in given).values()) == [2] * _PHONES
    assert len({answer.task_id for answer in given}) == 2 * _PHONES
    pull(phones.web.home)
    n = store.Annotation
    with open_session(phones.web.home.engine) as session:
        rows = session.scalars(select(n.task_id).where(n.task_id.in_([answer.task_id for answer in given]))).all()
    assert len(rows) == 2 * _PHONES


def test_labels_that_exclude_each_other_are_not_ticked_together(phones: Phones) -> None:
    context = phones.phone(color_scheme="dark")
    page = context.new_page()
    come_in(page, phones.volunteer())
    safe, hate = page.locator('[data-label="safe for work"]'), page.locator('[data-label="hate"]')
    expect(hate).to_have_attribute("aria-pressed", "true")
    safe.tap()
    expect(hate).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#excluded")).to_contain_text("tidak lagi ditanda: label itu tidak boleh bersama")
    expect(page.locator("#excluded")).to_be_in_viewport(ratio=1)
    assert not fit(page)
    # swiping is off until it is turned on
    page.locator("#show").tap()
    text = page.locator("#text")
    first = text.text_content() or ""
    swipe(page, -170)
    choice = page.get_by_role("checkbox", name="Leret")
    choice.check()
    # what it would press is said in sight, while the text moves; the choice lies below the text
    page.evaluate("window.scrollTo(0, 0)")
    hint = page.locator("#swipe-hint")
    for leg, words in ((-170, "Langkau"), (-280, "Langkau"), (170, "Hantar"), (280, "Hantar")):

        def in_sight(words: str = words) -> None:
            expect(hint).to_have_text(words)
            expect(hint).to_be_in_viewport(ratio=1)

        swipe(page, leg, 0, look=in_sight)
        expect(text).to_have_text(first)
    # too short, downwards, and back again: nothing
    for legs, down in (([-90], 0), ([-170, 0], 0), ([-170], 200), ([170, -20], 0)):
        swipe(page, *legs, down=down)
        expect(text).to_have_text(first)
    swipe(page, -170)
    expect(text).not_to_have_text(first)
    second = text.text_content() or ""
    expect(page.locator("#skip")).to_be_enabled()
    swipe(page, 170)
    expect(text).not_to_have_text(second)
    # both come back, the last one first, with their answers; a tap that a laden machine draws out would be a long press
    page.locator("#undo").click()
    expect(text).to_have_text(second)
    page.locator("#undo").click()
    expect(text).to_have_text(first)
    page.locator("#none").click()
    expect(text).to_have_text(second)
    expect(hate).to_have_attribute("aria-pressed", "true")
    # an account that has not agreed to the terms is asked first
    plain = phones.web.client(Role.VOLUNTEER, "belum-setuju")
    assert plain.get("/").headers["location"] == "/me"
    assert plain.get("/runs").status_code == 403
    context.close()


def test_a_line_says_that_the_next_text_comes(phones: Phones) -> None:
    context = phones.phone(service_workers="block")
    page = context.new_page()
    coming, undo = page.get_by_text("Teks seterusnya sedang datang…"), page.get_by_role("button", name="Undur")
    link = phones.volunteer()
    with held_back(page, "**/label/tasks*"):
        page.goto(link)
        page.get_by_role("button", name="Masuk").tap()
        expect(coming).to_be_visible()
        # nothing was answered that could be undone
        expect(undo).to_be_hidden()
        assert not fit(page)
    come_in(page, link)
    expect(coming).to_be_hidden()
    with held_back(page, "**/label/tasks*"):
        for _ in range(_AHEAD):
            expect(coming).to_be_hidden()
            page.locator("#submit").tap()
        expect(coming).to_be_visible()
        assert not fit(page)
        # the last answer can be corrected meanwhile
        undo.tap()
        expect(page.locator("#task")).to_be_visible()
        page.locator("#submit").tap()
        expect(coming).to_be_visible()
    expect(page.locator("#task")).to_be_visible(timeout=30_000)
    expect(coming).to_be_hidden()
    context.close()


def test_without_a_network_and_a_text_it_says_that_and_nothing_of_label_studio(phones: Phones) -> None:
    before = len(phones.answers())
    context = phones.phone(service_workers="block")
    page = context.new_page()
    come_in(page, phones.volunteer(most=2), texts=2)
    door, undo = page.locator("#door"), page.get_by_role("button", name="Undur")
    own = page.get_by_role("link", name="Halaman saya")
    context.set_offline(True)
    page.locator("#submit").tap()
    expect(page.locator("#state")).to_have_text(
        "Hari ini: 1 · Menunggu dihantar: 1 · Tiada rangkaian: jawapan anda menunggu di sini.", use_inner_text=True
    )
    second = page.locator("#text").text_content() or ""
    page.locator("#submit").tap()
    expect(page.get_by_text("teks datang apabila rangkaian ada semula")).to_be_visible()
    expect(page.locator("#state")).to_have_text("Hari ini: 2 · Menunggu dihantar: 2", use_inner_text=True)
    expect(door).not_to_contain_text("Label Studio tidak menjawab", use_inner_text=True)
    expect(own).to_be_hidden()
    assert not fit(page)
    # the last answer can be corrected here, too
    undo.tap()
    expect(page.locator("#text")).to_have_text(second)
    page.locator("#none").tap()
    with held_back(page, "**/label/answers") as sending:
        context.set_offline(False)
        expect(page.locator("#state")).to_have_text(
            re.compile(r"^Hari ini: 2 · Sedang dihantar: \d$"), use_inner_text=True
        )
        expect(door).not_to_contain_text("Tiada rangkaian", use_inner_text=True)
        # all in one; it is seen here only while the browser is asked for something
        until(lambda: bool(page.title()) and len(sending) > 0, "the answers are being sent")
        assert len(sending) == 1
    # their own limit is reached, and the last answer can still be corrected
    expect(page.get_by_text("teks terakhir anda untuk hari ini")).to_be_visible(timeout=30_000)
    expect(own).to_be_visible()
    assert not fit(page)
    undo.tap()
    expect(page.locator("#text")).to_have_text(second)
    expect(page.get_by_text("Anda menjawab: Tiada satu pun.")).to_be_visible()
    page.locator("#undecided").tap()
    expect(page.get_by_text("teks terakhir anda untuk hari ini")).to_be_visible(timeout=30_000)
    expect(page.locator("#state")).to_have_text("Hari ini: 2", use_inner_text=True)
    phones.all_sent(len(phones.answers()))
    latest = {answer.task_id: answer.kind for answer in phones.answers()[before:]}
    assert list(latest.values()) == ["labels", "undecided"]
    context.close()


def test_an_answer_that_comes_back_says_which_it_was(phones: Phones) -> None:
    context = phones.phone()
    page = context.new_page()
    come_in(page, phones.volunteer())
    text, submit = page.locator("#text"), page.locator("#submit")
    for name in ("Tiada satu pun", "Langkau", "Tak pasti"):
        button = page.get_by_role("button", name=name)
        shown = text.text_content() or ""
        button.tap()
        expect(text).not_to_have_text(shown)
        page.locator("#undo").tap()
        expect(text).to_have_text(shown)
        sentence = f"Anda menjawab: {name}. Tukar, atau hantar sekali lagi."
        expect(page.get_by_text(sentence)).to_be_in_viewport(ratio=1)
        expect(button).to_have_accessible_description(sentence)
        expect(button).to_have_class("given")
        expect(submit).to_be_disabled()
        assert not fit(page)
        button.tap()
        expect(text).not_to_have_text(shown)
        expect(page.locator("#answered")).to_be_empty()
        expect(button).not_to_have_class("given")
    # a text that was skipped is not counted
    expect(page.locator("#today")).to_have_text("Hari ini: 2")
    # one that is ticked comes back with its ticks, and says no more
    page.locator('[data-label="racist"]').tap()
    shown = text.text_content() or ""
    submit.tap()
    expect(text).not_to_have_text(shown)
    page.locator("#undo").tap()
    expect(page.locator('[data-label="racist"]')).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#answered")).to_be_empty()
    context.close()


def test_what_is_ticked_moves_nothing_and_a_grey_button_says_why(phones: Phones) -> None:
    context = phones.phone()
    page = context.new_page()
    come_in(page, phones.volunteer())
    submit, need = page.locator("#submit"), page.get_by_text("Tandakan label untuk menghantar")
    expect(submit).to_be_enabled()
    expect(need).to_be_hidden()
    before = places(page)
    assert len({box[2] for box in before[: page.locator(".tick").count()]}) == 1
    page.locator('[data-label="hate"]').tap()
    expect(submit).to_be_disabled()
    expect(need).to_be_in_viewport(ratio=1)
    expect(submit).to_have_accessible_description("Tandakan label untuk menghantar, atau tekan butang lain.")
    assert places(page) == before
    assert not fit(page)
    for label in page.locator(".tick:not([data-label='safe for work'])").all():
        label.tap()
        expect(label).to_have_attribute("aria-pressed", "true")
    expect(need).to_be_hidden()
    expect(submit).to_have_accessible_description("")
    page.evaluate("window.scrollTo(0, 0)")
    assert places(page) == before
    assert not fit(page)
    context.close()


def test_the_last_answer_can_be_corrected_in_a_break(phones: Phones) -> None:
    context = phones.phone()
    page = context.new_page()
    page.clock.install()
    come_in(page, phones.volunteer())
    page.clock.fast_forward("31:00")
    text = page.locator("#text").text_content() or ""
    page.locator("#submit").tap()
    rest = page.get_by_role("heading", name="Masa untuk berehat")
    expect(rest).to_be_visible()
    assert not fit(page)
    page.get_by_role("button", name="Undur").tap()
    expect(page.locator("#text")).to_have_text(text)
    page.locator("#submit").tap()
    expect(rest).to_be_visible()
    page.get_by_role("button", name="Teruskan").tap()
    expect(page.locator("#text")).not_to_have_text(text)
    context.close()


def test_without_scripts_there_is_a_form(phones: Phones) -> None:
    before = len(phones.answers())
    context = phones.phone(java_script_enabled=False)
    page = context.new_page()
    page.goto(phones.volunteer())
    page.get_by_role("button", name="Masuk").tap()
    page.get_by_role("link", name="Halaman tanpa skrip").tap()
    page.get_by_role("button", name="Langkau").tap()
    # the next text is asked for on the way, of a Label Studio that may have much to do
    expect(page.get_by_text("Disimpan.")).to_be_visible(timeout=30_000)
    phones.all_sent(before + 1)
    assert phones.answers()[-1].kind == "skipped"
    context.close()


def test_an_answer_without_scripts_is_timed_from_when_the_text_was_shown(phones: Phones) -> None:
    browser, link = phones.web.anonymous(), phones.volunteer()
    browser.post_form(link, link)
    before = len(phones.answers())
    shown = browser.get("/label/plain")
    form = next(form for form in forms_of(shown.text) if form.action == "/label/plain")
    minutes_ago = {**form.fields, "shown": f"{float(form.fields['shown']) - 90:.3f}", "kind": "undecided"}
    assert browser.post("/label/plain", data=minutes_ago).status_code < 400
    phones.all_sent(before + 1)
    newest = phones.answers()[-1]
    assert 90 <= newest.seconds < 150
    with open_session(phones.web.home.engine) as session:
        pull(phones.web.home)
        times = session.scalars(
            select(store.Annotation.lead_time).where(store.Annotation.label_studio_id == newest.annotation_id)
        ).all()
    assert [90 <= (seconds or 0) < 150 for seconds in times] == [True]
