"""The work of a new volunteer on a phone: from a link to the first answer, and 30 tasks in a row.

A browser emulates a phone of 390 by 844 pixels with a touch screen, over a real Label Studio. Our page is `/label`;
the peer, in the same run and with the same texts, is Label Studio's own labelling page, styled by our label config.
Taps, typed characters and seconds that the browser waits are counted; the rest of a person's time is modelled: 1.3 s a
tap and 1.35 s to decide on it (Card, Moran & Newell 1983), 0.33 s a typed character on a phone (Palin et al. 2019),
0.25 s a word that is read (Brysbaert 2019). A maintainer's letting in is not counted. Prints JSON lines.

    python benchmarks/volunteer_phone.py [--tasks 30]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx
from _measure import emit
from playwright.sync_api import Browser, Locator, Page, expect
from sqlalchemy import select

from pipeline.store.session import open_session
from pipeline.store.tables.volunteers import Volunteer
from saring.actions.volunteers import approve
from saring.services import LabelStudioAccess
from tests.support.browser import PHONE, new_context
from tests.support.label_studio import Line
from tests.support.labelling_page import LabellingPage, opened, sign_up
from tests.support.phone_home import phone_home
from tests.support.web import Web

_TAP, _DECIDE, _CHARACTER, _WORD = 1.3, 1.35, 0.33, 0.25
#: milliseconds that the emulated person may wait
_PATIENCE = 90_000
_NAME, _ADDRESS, _PASSWORD = "Nur Aina", "aina@volunteers.example", "kata laluan panjang"


@dataclass(slots=True)
class Person:
    """A simulated volunteer, who counts what they do."""

    page: Page
    #: each with what it was for
    steps: list[str] = field(default_factory=list)
    taps: int = 0
    characters: int = 0
    words: int = 0
    waited: float = 0.0

    def open(self, address: str) -> None:
        """Tap on a link in a message."""
        self._do("open a link", lambda: self.page.goto(address))

    def tap(self, place: Locator, until: Locator | None = None) -> None:
        """Tap on something, and wait until something else is there."""
        expect(place).to_be_enabled(timeout=_PATIENCE)
        words = (place.text_content() or place.get_attribute("name") or "").split()

        def press() -> None:
            place.tap()
            if until is not None:
                expect(until).to_be_visible(timeout=_PATIENCE)

        self._do(" ".join(words)[:30], press)

    def type(self, place: Locator, words: str) -> None:
        """Tap on a field, and write."""
        place.tap()
        place.fill(words)
        self.taps += 1
        self.characters += len(words)
        self.steps.append(f"write {len(words)} characters")

    def read(self, place: Locator) -> None:
        """Read all of it."""
        self.words += len(place.inner_text().split())

    @property
    def seconds(self) -> float:
        """The person's time, with what they waited."""
        acts = self.taps * (_TAP + _DECIDE) + self.characters * _CHARACTER + self.words * _WORD
        return acts + self.waited

    def _do(self, name: str, act: Callable[[], object]) -> None:
        began = time.perf_counter()
        act()
        self.waited += time.perf_counter() - began
        self.taps += 1
        self.steps.append(name)

    def report(self, measure: str, system: str, **more: object) -> None:
        figures = {
            "measure": measure,
            "system": system,
            "steps": len(self.steps),
            "taps": self.taps,
            "characters": self.characters,
            "words_read": self.words,
            "waited_s": round(self.waited, 1),
            "person_s": round(self.seconds, 1),
            "load": round(os.getloadavg()[0], 1),
        }
        emit("volunteer_phone", figures | more)


def main() -> None:
    """Measure both pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=30, help="tasks in a row")
    options = parser.parse_args()
    with phone_home(_texts(2 * options.tasks + 8)) as home:
        _ours(home.web, home.browser, options.tasks)
        _peer(home.label_studio, home.browser, home.project, options.tasks)


def _texts(count: int) -> Sequence[Line]:
    """Texts of 12 words, every other one ticked as harmful, so that it is hidden until it is opened."""
    words = "ayat nombor {} tentang kejiranan kita yang ditulis oleh seorang jiran semalam petang"
    labels = (("hate",), ("safe for work",))
    return [Line(words.format(i), labels[i % 2], priority=1 - i / (count + 1)) for i in range(count)]


def _ours(web: Web, browser: Browser, tasks: int) -> None:
    context = new_context(browser, web.url, viewport=PHONE, has_touch=True, is_mobile=True)
    person = Person(context.new_page())
    page = person.page
    page.set_default_timeout(_PATIENCE)
    person.open("/join")
    person.read(page.locator("main"))
    person.type(page.locator("main input[name=name]"), _NAME)
    person.tap(page.locator("main input[type=checkbox]"))
    link = page.locator("main input[readonly]")
    person.tap(page.locator("main form button").last, until=link)
    address = "/enter/" + link.input_value().rpartition("/")[2]
    with open_session(web.home.engine) as session:
        account = session.scalars(select(Volunteer.account_id)).one()
    approve(web.home, account)
    person.open(address)
    person.tap(page.locator("main button"), until=page.locator("#task"))
    taps = Counter[int]()
    taps[_one_of_ours(person)] += 1
    person.report("link_to_first_answer", "saring", listed=person.steps)
    _row(Person(page), "saring", _one_of_ours, tasks)
    context.close()


def _one_of_ours(person: Person) -> int:
    """Answer one task as it is ticked; how many taps it took."""
    before, page = person.taps, person.page
    key = page.locator("#task").get_attribute("data-key")
    if page.locator("#show").is_visible():
        person.tap(page.locator("#show"))
    person.read(page.locator("#text"))
    person.tap(page.locator("#submit"))
    page.wait_for_function("key => document.getElementById('task').dataset.key !== key", arg=key, timeout=_PATIENCE)
    return person.taps - before


def _row(person: Person, system: str, answer: Callable[[Person], int], tasks: int) -> None:
    began = time.perf_counter()
    taps = Counter(answer(person) for _ in range(tasks))
    person.report(
        "tasks_in_a_row",
        system,
        tasks=tasks,
        taps_a_task=dict(sorted(taps.items())),
        elapsed_s=round(time.perf_counter() - began, 1),
    )


def _peer(access: LabelStudioAccess, browser: Browser, project: int, tasks: int) -> None:
    owner = {"Authorization": f"Token {access.api_key}"}
    invite = httpx.get(f"{access.url}/api/invite", headers=owner, trust_env=False).raise_for_status().json()
    context = new_context(browser, access.url, viewport=PHONE, has_touch=True, is_mobile=True)
    person = Person(context.new_page())
    page = person.page
    page.set_default_timeout(_PATIENCE)
    person.open(invite["invite_url"])
    person.read(page.locator("body"))
    person.type(page.locator("input[name=email]"), _ADDRESS)
    person.type(page.locator("input[name=password]"), _PASSWORD)
    person.tap(page.locator("form button[type=submit], form [type=submit]").first)
    page.wait_for_url(lambda address: "signup" not in address)
    person.open(f"/projects/{project}/data")
    desk = LabellingPage(page, "phone")
    person.tap(page.get_by_role("button", name="Label All Tasks"), until=desk.guidelines)
    person.read(desk.guidelines)
    page.keyboard.press("Escape")
    person.taps += 1
    person.steps.append("close the guidelines")
    _one_of_theirs(person)
    person.report("link_to_first_answer", "label-studio", listed=person.steps)
    context.close()
    with opened(browser, access, sign_up(access), "phone", "light") as other:
        other.open(project)
        other.close_guidelines()
        _row(Person(other.page), "label-studio", _one_of_theirs, tasks)


def _one_of_theirs(person: Person) -> int:
    """Answer one task of Label Studio's page as it is ticked; how many taps it took."""
    before, desk = person.taps, LabellingPage(person.page, "phone")
    expect(desk.text).to_be_visible(timeout=_PATIENCE)
    shown = desk.text.inner_text()
    if desk.is_blurred():
        person.tap(desk.cover)
    person.words += len(shown.split())
    person.tap(desk.submit)
    expect(desk.text).not_to_have_text(shown, timeout=_PATIENCE)
    return person.taps - before


if __name__ == "__main__":
    main()
