"""Time from a reviewer's key to the next text on the screen, in a real browser.

Settling is: the key of a label, the key of a reason, Enter. The clock runs from the moment at which the browser took
the key until the frame with the next text was painted. Beside it: the same for a page that only changes a word, which
is the least that this browser takes.
"""

from __future__ import annotations

from statistics import median
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page

from tests.support.browser import new_context, open_browser
from tests.support.installed import find_browser

#: milliseconds until the next text has to be there
_TARGET = 100
_WAIT = 30_000
#: milliseconds in which somebody reads, before the last key
_READ = 400
#: notes when the shown text changed and was painted, by the time of the last key
_CLOCK = """
    () => {
        const shown = () => document.querySelector("article.one")?.dataset.text;
        let pressed = 0, last = shown();
        window.painted = [];
        addEventListener("keydown", (event) => { pressed = event.timeStamp; }, true);
        new MutationObserver(() => {
            if (shown() === last) return;
            last = shown();
            const began = pressed;
            requestAnimationFrame(() => {
                const after = new MessageChannel();
                after.port1.onmessage = () => window.painted.push(performance.now() - began);
                after.port2.postMessage(0);
            });
        }).observe(document.querySelector("main"), {childList: true, subtree: true, attributes: true});
    }
"""
_LEAST = """
    <!doctype html><main><article class="one" data-text="0">0</article></main>
    <script>addEventListener("keydown", () => {
        const one = document.querySelector("article");
        one.textContent = one.dataset.text = String(Number(one.dataset.text) + 1);
    });</script>
"""


def next_item(url: str, token: str, repeats: int) -> dict[str, object]:
    """Settle and skip texts, and say how long the next one took to appear."""
    program = find_browser()
    assert program is not None
    with open_browser(program) as browser:
        fastest = _least(browser, repeats)
        context = new_context(browser, url)
        context.add_cookies([{"name": "saring_session", "value": token, "url": url}])
        page = context.new_page()
        after_settling, after_skipping = _measured(page, repeats)
    return {
        "what": "review: next text after the key",
        "settled": len(after_settling),
        **_spread("settle", after_settling),
        **_spread("skip", after_skipping),
        "target_ms": _TARGET,
        "least_p50_ms": round(median(fastest), 1),
    }


def _measured(page: Page, repeats: int) -> tuple[list[float], list[float]]:
    """Milliseconds after settling, and after skipping."""
    page.goto("/review")
    kinds = page.locator("main a[href^='/review/']")
    after_settling: list[float] = []
    after_skipping: list[float] = []
    for address in [str(kinds.nth(i).get_attribute("href")) for i in range(kinds.count())]:
        page.goto(address)
        page.wait_for_load_state()
        if page.locator("article.one[data-text]").count() == 0:
            continue
        page.evaluate(_CLOCK)
        for _ in range(repeats):
            if page.locator("article.one[data-text]").count() == 0:
                break
            after_settling += _timed(page, _settle)
        for _ in range(repeats):
            if page.locator("article.one[data-text]").count() == 0:
                break
            after_skipping += _timed(page, _skip)
        if len(after_settling) >= repeats:
            break
    return after_settling, after_skipping


def _settle(page: Page) -> None:
    row = "tr.in-question " if page.locator("tr.in-question .cycle").count() else ""
    page.keyboard.press(_key(page, f"{row}.cycle"))
    page.keyboard.press(_key(page, ".grounds label[data-key]"))
    page.wait_for_timeout(_READ)
    page.keyboard.press("Enter")


def _skip(page: Page) -> None:
    page.wait_for_timeout(_READ)
    page.keyboard.press(_key(page, ".skip-text"))


def _timed(page: Page, act: Any) -> list[float]:
    before = page.evaluate("window.painted.length")
    act(page)
    page.wait_for_function("before => window.painted.length > before", arg=before, timeout=_WAIT)
    return [float(page.evaluate("window.painted.at(-1)"))]


def _key(page: Page, selector: str) -> str:
    key = page.locator(selector).first.get_attribute("data-key")
    assert key, selector
    return key


def _least(browser: Browser, repeats: int) -> list[float]:
    page = browser.new_page()
    page.set_content(_LEAST)
    page.evaluate(_CLOCK)
    times = [_timed(page, lambda page: page.keyboard.press("x"))[0] for _ in range(repeats)]
    page.close()
    return times


def _spread(what: str, times: list[float]) -> dict[str, float]:
    if not times:
        return {}
    middle, high = np.percentile(np.array(times), [50, 95])
    return {
        f"{what}_p50_ms": round(float(middle), 1),
        f"{what}_p95_ms": round(float(high), 1),
        f"{what}_max_ms": round(max(times), 1),
    }
