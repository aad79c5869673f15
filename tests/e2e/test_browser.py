"""A volunteer at the real Label Studio in a real browser: from logging in to the ledger."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from sqlalchemy import Engine, select

from pipeline import store
from pipeline.backend_credentials import BACKEND_USER, BackendCredentials
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import Change
from saring.services import LabelStudioAccess
from sync.api.client import LabelStudio
from sync.pull.pull import pull
from tests.support import label_studio as people
from tests.support.backend import PASSWORD, served

pytestmark = pytest.mark.timeout(180)

_TEXT = "orang macam dia ni memang tak patut duduk taman kita"
_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync")


@dataclass(frozen=True, slots=True)
class Pushed:
    """A project with one task, on which `hate` is ticked."""

    client: LabelStudio
    label_studio_id: int
    text_id: uuid.UUID


@pytest.fixture
def pushed(engine: Engine, client: LabelStudio, tmp_path: Path) -> Pushed:
    return _pushed(engine, client, tmp_path)


def _pushed(engine: Engine, client: LabelStudio, folder: Path, **how: Any) -> Pushed:
    made = people.make_project(engine, client, **how)
    [text_id] = people.queue(engine, [people.Line(_TEXT, ("hate",))], folder)
    assert people.push_all(engine, client, made.project_id).sent == 1
    return Pushed(client, made.label_studio_id, text_id)


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(chromium), args=list(_ARGUMENTS))
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, label_studio: LabelStudioAccess) -> Iterator[Page]:
    """A volunteer's browser, logged in."""
    context = browser.new_context(viewport={"width": 1280, "height": 860}, base_url=label_studio.url)
    page = context.new_page()
    page.goto("/user/login/")
    page.fill("input[name=email]", label_studio.email or "")
    page.fill("input[name=password]", label_studio.password or "")
    page.click("button[type=submit]")
    page.wait_for_url(lambda url: "/user/login" not in url)
    yield page
    context.close()


def test_a_volunteer_changes_a_tick_and_the_ledger_has_it(page: Page, pushed: Pushed, engine: Engine) -> None:
    blurred = _open(page, pushed)
    assert "blur" in _filter(blurred)

    expect(_box(page, "hate")).to_be_checked()
    expect(_box(page, "harassment")).not_to_be_checked()
    page.get_by_role("button", name="Show or hide the text").click()
    expect(page.get_by_text(_TEXT).first).to_be_visible()
    assert _filter(blurred) == "none"

    _box(page, "hate").click(force=True)
    _box(page, "harassment").click(force=True)
    _submit(page)

    pull(engine, pushed.client, taxonomy=people.TAXONOMY, now=datetime.now(UTC))
    with open_session(engine) as session:
        [annotation] = session.scalars(select(store.Annotation))
        assert (annotation.change, annotation.chosen) == (Change.CHANGED, ["harassment"])
        assert annotation.predicted == ["hate"]
        assert annotation.prediction_version is not None
    [judgement] = people.human_judgements(engine)
    assert judgement.text_id == pushed.text_id
    assert judgement.asserted == ["harassment"]
    assert "hate" in judgement.denied


@pytest.mark.parametrize("trouble", ["stopped", "silent"])
def test_a_backend_in_trouble_takes_no_tick_from_a_volunteer(
    page: Page, client: LabelStudio, engine: Engine, tmp_path: Path, trouble: str
) -> None:
    with served(engine) as backend:
        connected = BackendCredentials(BACKEND_USER, PASSWORD, f"secret of {engine.url.database}")
        pushed = _pushed(engine, client, tmp_path, backend_url=backend.url, credentials=connected)
    with ExitStack() as stack:
        if trouble == "silent":
            # takes connections, as a hanging process does, and never says a word
            port = int(backend.url.rpartition(":")[2])
            stack.enter_context(socket.create_server(("127.0.0.1", port)))
        _open(page, pushed)
        expect(_box(page, "hate")).to_be_checked()
        _submit(page)
    pull(engine, client, taxonomy=people.TAXONOMY, now=datetime.now(UTC))
    with open_session(engine) as session:
        [annotation] = session.scalars(select(store.Annotation))
        assert (annotation.change, annotation.chosen) == (Change.KEPT, ["hate"])


def _open(page: Page, pushed: Pushed) -> Locator:
    """Open the first task as a volunteer does; the blurred text."""
    page.goto(f"/projects/{pushed.label_studio_id}/data")
    page.click("button:has-text('Label All Tasks')")
    blurred = page.locator(".saring-blur")
    expect(blurred).to_be_visible(timeout=60_000)
    _close_instructions(page)
    return blurred


def _submit(page: Page) -> None:
    with page.expect_response(lambda answer: "/annotations" in answer.url and answer.request.method == "POST") as sent:
        page.get_by_role("button", name="Submit current annotation").click()
    assert sent.value.ok


def _box(page: Page, label: str) -> Locator:
    return page.locator(f"input[type=checkbox][name='{label}']")


def _filter(place: Locator) -> str:
    return str(place.evaluate("element => getComputedStyle(element).filter"))


def _close_instructions(page: Page) -> None:
    """The guidelines open by themselves the first time."""
    button = page.get_by_role("button", name="Close")
    if button.count():
        button.first.click()
