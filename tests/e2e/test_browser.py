"""A volunteer at the real Label Studio in a real browser: from logging in to the ledger.

`SCREENSHOTS` names a folder for the pictures of docs/images; otherwise none are kept.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from sqlalchemy import Engine, select

from pipeline import store
from pipeline.credentials import BackendCredentials
from pipeline.ingest.importing import import_labelled
from pipeline.ingest.ingest import SourceInfo
from pipeline.ingest.mapping import load_mapping
from pipeline.ledger.rater_kind import RaterKind
from pipeline.ledger.resolve import RaterRef
from pipeline.preannotation import default_policy
from pipeline.store.loop import Change, QueueState
from pipeline.store.session import open_session
from pipeline.taxonomy import Taxonomy, load_taxonomy
from saring.services import LabelStudioAccess
from sync.client import LabelStudio
from sync.projects import setup
from sync.pull import pull
from sync.push import push

pytestmark = pytest.mark.timeout(180)

_TEXT = "orang macam dia ni memang tak patut duduk taman kita"
_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync")


@dataclass(frozen=True, slots=True)
class Pushed:
    """A project with one task, on which `hate` is ticked."""

    client: LabelStudio
    project: int
    label_studio_id: int
    text_id: uuid.UUID


@pytest.fixture
def taxonomy() -> Taxonomy:
    return load_taxonomy()


@pytest.fixture
def pushed(engine: Engine, taxonomy: Taxonomy, label_studio: LabelStudioAccess, tmp_path: Path) -> Iterator[Pushed]:
    said = tmp_path / "llm.jsonl"
    said.write_text(f'{{"id": "1", "text": "{_TEXT}", "labels": ["hate"]}}\n', encoding="utf-8")
    rater = RaterRef(RaterKind.LLM, "stand-in")
    import_labelled(engine, [str(said)], SourceInfo("test"), load_mapping(None, taxonomy, "labels"), rater)
    with open_session(engine) as session, session.begin():
        [text_id] = session.scalars(select(store.Text.id))
        session.add(
            store.QueueItem(
                text_id=text_id,
                strategy="random",
                reason="drawn at random",
                inclusion_probability=1.0,
                priority=0.5,
                harsh=True,
                expected=["hate"],
                state=QueueState.QUEUED,
            )
        )
    with LabelStudio(label_studio.url, label_studio.api_key) as client:
        made = setup(
            engine,
            client,
            taxonomy=taxonomy,
            backend_url=None,
            credentials=BackendCredentials("label-studio", "password", "secret"),
            title=f"Browser {uuid.uuid4().hex[:8]}",
            now=datetime.now(UTC),
        )
        report = push(engine, client, made.project_id, taxonomy=taxonomy, model=None, policy=default_policy())
        assert report.sent == 1
        yield Pushed(client, made.project_id, made.label_studio_id, text_id)


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


def test_a_volunteer_changes_a_tick_and_the_ledger_has_it(
    page: Page, pushed: Pushed, engine: Engine, taxonomy: Taxonomy
) -> None:
    page.goto(f"/projects/{pushed.label_studio_id}/data")
    page.click("button:has-text('Label All Tasks')")
    blurred = page.locator(".saring-blur")
    expect(blurred).to_be_visible(timeout=30_000)
    _close_instructions(page)
    page.mouse.move(5, 5)
    assert "blur" in _filter(blurred)

    expect(_box(page, "hate")).to_be_checked()
    expect(_box(page, "harassment")).not_to_be_checked()
    _picture(page, "labelling")

    blurred.hover()
    page.wait_for_function("() => getComputedStyle(document.querySelector('.saring-blur')).filter === 'none'")
    expect(page.get_by_text(_TEXT).first).to_be_visible()
    why = page.locator(".saring-why")
    why.get_by_text("Why these labels?").click()
    expect(why.get_by_text("LLM stand-in")).to_be_visible()
    why.get_by_text("LLM stand-in").hover()  # which waits until the panel has opened
    _picture(page, "why")

    _box(page, "hate").click(force=True)
    _box(page, "harassment").click(force=True)
    with page.expect_response(lambda answer: "/annotations" in answer.url and answer.request.method == "POST") as sent:
        page.get_by_role("button", name="Submit current annotation").click()
    assert sent.value.ok

    pull(engine, pushed.client, taxonomy=taxonomy, now=datetime.now(UTC))
    with open_session(engine) as session:
        [annotation] = session.scalars(select(store.Annotation))
        assert (annotation.change, annotation.chosen) == (Change.CHANGED, ["harassment"])
        assert annotation.predicted == ["hate"]
        assert annotation.prediction_version is not None
        people = select(store.Judgement).join(store.Rater).where(store.Rater.kind == RaterKind.HUMAN)
        [judgement] = session.scalars(people)
        assert judgement.text_id == pushed.text_id
        assert judgement.asserted == ["harassment"]
        assert "hate" in judgement.denied


def _box(page: Page, label: str) -> Locator:
    return page.locator(f"input[type=checkbox][name='{label}']")


def _filter(place: Locator) -> str:
    return str(place.evaluate("element => getComputedStyle(element).filter"))


def _close_instructions(page: Page) -> None:
    """The guidelines open by themselves the first time."""
    button = page.get_by_role("button", name="Close")
    if button.count():
        button.first.click()


def _picture(page: Page, name: str) -> None:
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"))
