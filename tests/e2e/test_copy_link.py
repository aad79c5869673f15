"""The button that copies a personal link, in a real browser."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.support.browser import PHONE, Watched, faults, new_context, open_browser
from tests.support.store import new_database
from tests.support.web import serving_web


def test_a_personal_link_is_copied_with_one_press(
    server_url: str, template: str, module_home: Path, chromium: Path
) -> None:
    with (
        new_database(server_url, template) as url,
        serving_web(module_home, url) as web,
        open_browser(chromium) as browser,
    ):
        context = new_context(browser, web.url, viewport=PHONE, has_touch=True, is_mobile=True)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        watched = Watched(context.new_page())
        page = watched.page
        page.goto("/join?language=en")
        page.locator("#name").fill("Siti")
        page.locator('input[name="agreed"]').check()
        page.get_by_role("button", name="Ask to join").tap()
        page.get_by_role("button", name="Copy").tap()
        expect(page.get_by_text("Copied.")).to_be_visible()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == page.get_by_label("Your own link").input_value()
        assert "/enter/" in copied
        assert faults(page) == []
        assert watched.wrong() == []
