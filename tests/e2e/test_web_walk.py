"""Every page in a real browser, in every role, over a store of thousands of texts; and by the keyboard alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import make_url

from pipeline.settings import Settings
from pipeline.store import make_engine
from pipeline.store.tables.accounts import Role
from pipeline.store.tables.volunteers import AnswerKind
from pipeline.taxonomy import load_taxonomy
from saring.accounts.links import new_link
from saring.accounts.people import add_account, by_name, set_password
from saring.accounts.volunteers import agree, ask_to_join, let_in
from saring.actions import norming
from saring.web.app import route_table
from tests.support.big_store import SECRET, fill_store
from tests.support.browser import DESKTOP, PHONE, Watched, faults, new_context, open_browser, sticks_out
from tests.support.store import allow_connections, new_database
from tests.support.web import Web, serving_web
from tests.support.web_pages import Kind, Place, find_places

pytestmark = pytest.mark.timeout(600)

_TEXTS, _LEARNT = 4_000, 1_000
_PASSWORD = "kata laluan yang panjang"
_LANGUAGES = {Role.VIEWER: "ms", Role.REVIEWER: "en"}
#: presses of the tab key that are looked at on each page
_STOPS = 8


@dataclass(frozen=True, slots=True)
class Walk:
    """The dashboard over the big store, a browser, and the pages that there are."""

    web: Web
    browser: Browser
    #: name of the database
    database: str
    places: list[Place]
    #: routes to which no link leads
    missing: list[str]

    def signed_in(self, role: Role, **how: object) -> Watched:
        """A new page of somebody with this role."""
        client = self.web.client(role)
        context = new_context(self.browser, self.web.url, **how)
        token = client.cookies["saring_session"]
        context.add_cookies([{"name": "saring_session", "value": token, "url": self.web.url}])
        return Watched(context.new_page())

    def pages(self, role: Role) -> list[Place]:
        """The pages that somebody with this role may see."""
        return [p for p in self.places if p.kind is Kind.PAGE and (p.rule.role is None or role.allows(p.rule.role))]


@pytest.fixture(scope="module")
def walk(server_url: str, template: str, module_home: Path, chromium: Path) -> Iterator[Walk]:
    with new_database(server_url, template) as url:
        engine = make_engine(url)
        settings = Settings(home=module_home)
        fill_store(engine, load_taxonomy(), settings, texts=_TEXTS, learnt=_LEARNT)
        settings.reports_dir.mkdir()
        (settings.reports_dir / "explore.html").write_text("<!doctype html><title>report</title>")
        engine.dispose()
        with serving_web(module_home, url) as web, open_browser(chromium) as browser:
            _take_part(web)
            with web.home.begin() as session:
                welcome = f"/welcome/{new_link(session, by_name(session, 'chong').id)}"
                enter = f"/enter/{ask_to_join(session, 'sukarela')[1]}"
            places, missing = find_places(web.client(Role.OWNER), route_table(), start=(welcome, enter))
            yield Walk(web, browser, str(make_url(url).database), places, missing)


def _take_part(web: Web) -> None:
    """The owner is a volunteer too, and has answered a text of the week: one page is for those who have."""
    with web.home.begin() as session:
        person = add_account(session, "owner", Role.OWNER)
        agree(session, person.id)
        let_in(session, person.id, user="4711", token=b"of nobody")
    week = norming.weeks(web.home)[0]
    assert norming.vote(web.home, person.id, week, 1, AnswerKind.UNDECIDED, reason="mungkin gurauan sahaja")


def visit(watched: Watched, place: Place) -> list[str]:
    """Open a page; what is wrong with it."""
    answer = watched.page.goto(place.address)
    assert answer is not None
    wrong = [] if answer.status < 400 else [f"status {answer.status}"]
    if SECRET in watched.page.content():
        wrong.append("shows what is masked")
    if "broken" in watched.page.title():
        wrong.append("ran what a text says")
    return [*wrong, *watched.wrong(), *sticks_out(watched.page)]


def test_a_link_leads_to_every_page(walk: Walk) -> None:
    # but those of OpenID Connect, which have tests of their own
    assert walk.missing == []


@pytest.mark.parametrize("role", [Role.VIEWER, Role.REVIEWER])
def test_every_page_opens_without_a_fault(walk: Walk, role: Role) -> None:
    watched = walk.signed_in(role, locale=_LANGUAGES[role])
    wrong = [f"{place.address}: {line}" for place in walk.pages(role) for line in visit(watched, place)]
    watched.page.context.close()
    assert not wrong, "\n".join(wrong)


def test_every_page_opens_for_a_maintainer(walk: Walk) -> None:
    # the owner sees the same pages in a browser, below
    client = walk.web.client(Role.MAINTAINER)
    answers = {place.address: client.get(place.address) for place in walk.pages(Role.MAINTAINER)}
    wrong = {address: one.status_code for address, one in answers.items() if one.status_code >= 400}
    assert not wrong
    assert not [address for address, one in answers.items() if SECRET in one.text]


def test_what_a_role_may_not_see_is_refused(walk: Walk) -> None:
    wrong = []
    for role in (Role.VIEWER, Role.REVIEWER, Role.MAINTAINER):
        client = walk.web.client(role)
        for place in walk.places:
            if place.rule.role is not None and not role.allows(place.rule.role):
                status = client.get(place.address).status_code
                wrong += [f"{role} {place.address}: {status}"] if status != 403 else []
    assert not wrong, "\n".join(wrong)


def test_every_page_is_fit_for_all_for_a_phone_for_the_dark_and_for_the_tab_key(walk: Walk) -> None:
    watched = walk.signed_in(Role.OWNER, viewport=PHONE, color_scheme="light", locale="ms")
    page, wrong = watched.page, []
    for place in walk.pages(Role.OWNER):
        found = [*visit(watched, place), *faults(page)]
        # the same page, on a desk at night
        page.set_viewport_size(DESKTOP)
        page.emulate_media(color_scheme="dark")
        found += [*faults(page, rules=("color-contrast",)), *_tabbed(page), *watched.wrong(), *sticks_out(page)]
        page.set_viewport_size(PHONE)
        page.emulate_media(color_scheme="light")
        wrong += [f"{place.address}: {line}" for line in found]
    page.context.close()
    assert not wrong, "\n".join(wrong)


def test_somebody_without_a_mouse_signs_in_and_carries_out_an_act(walk: Walk) -> None:
    with walk.web.home.begin() as session:
        person = add_account(session, "tanpa-tetikus", Role.OWNER)
        set_password(session, person.id, _PASSWORD)
    watched = Watched(new_context(walk.browser, walk.web.url, locale="en-GB").new_page())
    page = watched.page
    page.goto("/")
    # the first field has the focus, which a busy browser gives after the page has loaded
    expect(page.locator("input[autofocus]")).to_be_focused()
    page.keyboard.type("tanpa-tetikus")
    _tab_to(page, "input[name=password]")
    page.keyboard.type(_PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_title("Overview · Saring")
    page.wait_for_load_state()
    # the keys of the pages, as `?` lists them
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.goto("/account")
    page.keyboard.press("g")
    page.keyboard.press("o")
    expect(page).to_have_title("Overview · Saring")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_class("skip")
    _tab_to(page, ".person summary")
    page.keyboard.press("Enter")
    _tab_to(page, ".person button[name=theme][value=dark]")
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert watched.wrong() == []
    page.context.close()


def test_a_page_comes_back_by_itself_when_the_database_does(walk: Walk, server_url: str) -> None:
    watched = walk.signed_in(Role.OWNER)
    page = watched.page
    allow_connections(server_url, walk.database, False)
    page.goto("/account")
    expect(page.get_by_role("heading", level=1)).to_have_text("The database cannot be reached")
    allow_connections(server_url, walk.database, True)
    expect(page).to_have_title("My account · Saring", timeout=30_000)
    page.context.close()


def _tab_to(page: Page, selector: str) -> None:
    """Press the tab key until an element has the focus."""
    for _ in range(80):
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the tab key does not lead to {selector}")


def _tabbed(page: Page) -> list[str]:
    """What is wrong with the first stops of the tab key: the first one leads to the content, and each can be seen."""
    wrong = []
    seen: list[str] = []
    # the field to begin with has the focus on some pages
    begun = page.evaluate("document.querySelector('[autofocus]') !== null")
    for stop in range(_STOPS):
        page.keyboard.press("Tab")
        found = page.evaluate(_STOP)
        if found is None:
            break
        name, shown, marked = found
        if stop == 0 and not begun and not name.startswith("A.skip"):
            wrong.append(f"the tab key leads to {name} first")
        if not shown:
            wrong.append(f"{name} has the focus and cannot be seen")
        if not marked:
            wrong.append(f"nothing marks {name} when it has the focus")
        if name in seen[-1:]:
            wrong.append(f"the tab key does not leave {name}")
        seen.append(name)
    return wrong


#: the element with the focus: its name, whether it can be seen, and whether anything marks it; null: none has it
_STOP = """
    () => {
        const element = document.activeElement;
        if (element === null || element === document.body) return null;
        const style = getComputedStyle(element), box = element.getBoundingClientRect();
        const place = [...document.querySelectorAll("*")].indexOf(element);
        const name = `${element.tagName}.${element.className} ${place} ${element.textContent.slice(0, 20)}`;
        const shown = box.width > 0 && box.height > 0 && box.right > 0 && box.bottom > 0 && box.left < innerWidth;
        const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
        return [name, shown && element.checkVisibility(), outlined || style.boxShadow !== "none"];
    }
"""
