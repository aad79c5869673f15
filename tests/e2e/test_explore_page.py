"""The page of an exploration, in a real browser, from a file: what it shows, and what it hides until asked."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect, sync_playwright
from sqlalchemy import Engine, insert

from pipeline import store
from pipeline.explore.explore import Exploration, explore
from pipeline.explore.page import write_page
from pipeline.judgement import RaterKind, RaterRef
from pipeline.store import open_session
from pipeline.taxonomy import Taxonomy, load_taxonomy
from pipeline.vectors.table import put_vectors, register_encoder
from tests.support.ledger import CORPUS, HUMAN, Book

#: a text that would end the script that holds it
_BREAKING = "</script><script>window.broken = true</script><img src=x onerror='window.broken = true'>"


class _Planted:
    name, dimension = "planted", 8


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return load_taxonomy()


@pytest.fixture
def found(engine: Engine, taxonomy: Taxonomy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Exploration:
    """Forty hateful texts, one of which is also racist, and thirty everyday ones."""
    # UMAP compiles itself for longer than all of this takes: it has a test of its own
    monkeypatch.setattr("pipeline.vectors.plane._LEAST", 1_000)
    book = Book(engine, taxonomy, tmp_path)
    harsh, mild = book.plant(40, language="ms"), book.plant(30, language="en")
    book.plant(3, language="ms", duplicate_of=harsh[0])
    with open_session(engine) as session, session.begin():
        session.execute(insert(store.Text), [{"id": uuid.UUID(int=1), "body": "secret", "masked": _BREAKING}])
    book.see([uuid.UUID(int=1)], "korpus", None)
    book.say(CORPUS, [*harsh, uuid.UUID(int=1)], {"hate"})
    book.say(HUMAN, harsh[:1], {"hate", "racist"})
    book.say(CORPUS, mild, {"safe for work"})
    book.say(RaterRef(RaterKind.HUMAN, "badrul"), mild[:1], set(), {"informative"})
    rng = np.random.default_rng(5)
    with open_session(engine) as session, session.begin():
        register_encoder(session, _Planted())  # type: ignore[arg-type]
        ids = [*harsh, *mild, uuid.UUID(int=1)]
        vectors = rng.normal(size=(len(ids), 8)).astype(np.float32)
        # two groups, far apart
        vectors[:40, 0] += 9
        vectors[40:70, 1] += 9
        put_vectors(session, "planted", ids, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return explore(engine, taxonomy, encoder="planted")


@pytest.fixture
def page(found: Exploration, taxonomy: Taxonomy, chromium: Path, tmp_path: Path) -> Iterator[Page]:
    """The page, opened without a network; anything that goes wrong in it fails the test."""
    path = write_page(found, taxonomy, tmp_path / "report")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1000, "height": 900}, offline=True)
        page = context.new_page()
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.goto(path.as_uri())
        yield page
        browser.close()
    assert not wrong


def blurred(page: Page, selector: str) -> bool:
    """Whether the first such element is blurred, or being so."""
    return bool(page.eval_on_selector(selector, "e => getComputedStyle(e).filter !== 'none'"))


def test_the_counts_are_exact(found: Exploration) -> None:
    numbers = found.to_dict()
    assert (numbers["texts"], numbers["judged"]) == (74, 71)
    hate = numbers["labels"]["hate"]
    assert (hate["yes"], hate["tiers"], hate["languages"]) == (41, {"silver": 40, "gold": 1}, {"ms": 40, "unknown": 1})
    assert numbers["labels"]["safe for work"]["no"] == 41
    assert numbers["labels"]["informative"]["no"] == 1
    assert sum(hate["lengths"]) == 41
    assert numbers["together"]["hate"]["racist"] == numbers["together"]["racist"]["hate"] == 1
    assert numbers["duplicates"] == {
        "clusters": 1,
        "repeats": 3,
        "sizes": {"2": 0, "3 to 4": 1, "5 to 9": 0, "10 to 49": 0, "50 and more": 0},
    }
    assert numbers["map"]["points"] == 71
    assert {"baris", "perkara"} <= {term["term"] for term in hate["words"]}
    assert "secret" not in repr(numbers)


def test_a_cap_keeps_the_map_small_and_the_counts_whole(engine: Engine, taxonomy: Taxonomy, found: Exploration) -> None:
    few = explore(engine, taxonomy, encoder="planted", points=24)
    assert 0 < len(few.dots) <= 24
    assert few.labels["hate"] == found.labels["hate"]


def test_hover_shows_a_harsh_text_blurred_until_asked_for(page: Page, found: Exploration) -> None:
    assert page.locator("#map circle").count() == 71
    place = next(i for i, dot in enumerate(found.dots) if dot.harsh and dot.masked != _BREAKING)
    page.locator("#map").scroll_into_view_if_needed()
    box = page.locator("#map circle").nth(place).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    text = page.locator("#hover p")
    expect(page.locator("#hover strong")).to_contain_text("Hate")
    expect(text).to_contain_text("baris nombor")
    assert blurred(page, "#hover p")
    text.focus()
    expect(text).to_have_css("filter", "none")
    text.blur()
    expect(text).to_have_css("filter", "blur(6px)")
    page.get_by_label("Don't blur").check()
    expect(text).to_have_css("filter", "none")


def test_the_arrow_keys_walk_through_the_texts_of_a_label(page: Page, found: Exploration) -> None:
    page.locator("#pick").select_option("safe for work")
    assert page.locator("#map circle.away").count() == 41
    page.locator("#map").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#hover strong")).to_contain_text("Safe for work", ignore_case=True)
    # everyday texts need no veil
    assert not blurred(page, "#hover p")
    assert page.locator("#map circle.on").count() == 1


def test_a_text_cannot_break_out_of_the_data(page: Page, found: Exploration) -> None:
    assert _BREAKING in {dot.masked for dot in found.dots}
    assert page.evaluate("points.some((point) => point.text.includes('</script>'))")
    assert page.evaluate("window.broken === undefined")
    assert page.locator("img").count() == 0


def test_it_can_be_read_on_a_phone_and_in_the_dark(page: Page) -> None:
    light = page.eval_on_selector("body", "e => getComputedStyle(e).backgroundColor")
    page.emulate_media(color_scheme="dark")
    assert page.eval_on_selector("body", "e => getComputedStyle(e).backgroundColor") != light
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert blurred(page, ".terms.veil")
    assert blurred(page, "li .veil")
