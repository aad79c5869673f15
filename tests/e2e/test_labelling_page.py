"""The labelling page on a desk, a tablet and a phone, in light and dark: one project, one volunteer, a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect
from sqlalchemy import Engine

from saring.services import LabelStudioAccess
from tests.support.browser import open_browser, sticks_out
from tests.support.label_studio import Line
from tests.support.labelling_page import WINDOWS, LabellingPage, opened, sign_up
from tests.support.pulled import World, denied_by, new_world

pytestmark = pytest.mark.timeout(400)
_SIZES = [("desktop", "light"), ("tablet", "dark"), ("phone", "dark")]


@pytest.fixture(scope="module")
def browser(chromium: Any) -> Iterator[Browser]:
    with open_browser(chromium) as opened_browser:
        yield opened_browser


@pytest.fixture(scope="module")
def world(
    module_engine: Engine, closed_label_studio: LabelStudioAccess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    with new_world(module_engine, closed_label_studio, tmp_path_factory.mktemp("world")) as made:
        made.push([Line(f"orang macam dia ni memang tak patut duduk taman kita {i}", ("hate",)) for i in range(14)])
        yield made


@pytest.fixture(scope="module")
def session(closed_label_studio: LabelStudioAccess) -> dict[str, str]:
    return sign_up(closed_label_studio)


@pytest.mark.parametrize(("window", "theme"), _SIZES, ids=[f"{window}-{theme}" for window, theme in _SIZES])
def test_a_volunteer_reads_answers_and_skips(
    browser: Browser,
    closed_label_studio: LabelStudioAccess,
    session: dict[str, str],
    world: World,
    window: str,
    theme: str,
) -> None:
    world.pull()
    answered = len(world.said())
    with opened(browser, closed_label_studio, session, window, theme) as desk:
        desk.open(world.project.label_studio_id)
        if answered:
            expect(desk.guidelines).to_have_count(0)
        else:
            expect(desk.guidelines).to_contain_text("None of these")
            assert _within(desk.guidelines, window)
            desk.close_guidelines()
        _nothing_is_in_the_way(desk)
        assert desk.faults() == []

        # a press shows the text, another one hides it, and resting on it does nothing
        assert desk.is_blurred()
        desk.page.mouse.move(*_middle(desk.text))
        assert desk.is_blurred()
        desk.press(desk.cover)
        assert not desk.is_blurred()
        desk.press(desk.cover)
        assert desk.is_blurred()
        desk.press(desk.cover)
        assert desk.text_size() >= 20

        # labels that exclude each other
        hint = desk.page.get_by_text("Two of the ticked labels don't go together").first
        expect(desk.box("hate")).to_be_checked()
        expect(hint).not_to_be_visible()
        desk.tick("safe for work")
        expect(hint).to_be_visible()
        desk.tick("safe for work")
        expect(hint).not_to_be_visible()

        desk.press(desk.page.get_by_text("Why these labels?").first)
        expect(desk.page.get_by_text("A language model says so.").first).to_be_visible()

        # no label fits: the tick that was made ahead goes with the labels, and is not submitted
        desk.tick("none of these")
        expect(desk.label("hate")).not_to_be_visible()
        desk.page.mouse.move(*_middle(desk.text))
        desk.answer()
        # the pointer still rests where the text is
        assert desk.is_blurred()
        expect(desk.cover).to_have_attribute("aria-expanded", "false")

        skipped = desk.text.inner_text()
        desk.watch_messages()
        desk.press(desk.skip)
        expect(desk.text).not_to_have_text(skipped)
        assert desk.covering_messages() == 0
    world.pull()
    assert [(one.asserted, one.denied) for one in world.said()] == [((), denied_by())] * (answered + 1)


def _nothing_is_in_the_way(desk: LabellingPage) -> None:
    for place in (".lsf-sidepanels__wrapper", ".lsf-history-buttons", ".lsf-menu-header__hotkeys"):
        assert not any(found.is_visible() for found in desk.page.locator(place).all())
    expect(desk.page.get_by_text("Labeled regions will appear here")).not_to_be_visible()
    assert sticks_out(desk.page) == []
    height = desk.page.evaluate("window.innerHeight")
    for button, words in ((desk.submit, "Hantar"), (desk.skip, "Langkau")):
        assert _within(button, desk.window)
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 44
        if desk.window == "phone":
            assert box["y"] > 0.75 * height, "under the thumb"
        said = button.locator("span").first.evaluate("span => getComputedStyle(span, '::after').content")
        assert words in said


def _within(place: Locator, window: str) -> bool:
    """True where all of it is on the screen, as far as its sides go."""
    box = place.bounding_box()
    assert box is not None
    width = place.page.evaluate("window.innerWidth")
    bottom = place.page.evaluate("window.innerHeight")
    tall = box["y"] + box["height"] <= bottom + 1 or box["height"] > bottom
    return box["x"] >= 0 and box["x"] + box["width"] <= width + 1 and tall and width >= WINDOWS[window][0]


def _middle(place: Locator) -> tuple[float, float]:
    box = place.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
