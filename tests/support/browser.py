"""A real browser for the tests that look at pages, and what it finds wrong with one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright

_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync")
#: WCAG 2.0 to 2.2, levels A and AA
LEVELS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa")
DESKTOP, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
#: keeps what the content security policy refused; scripts of this kind are no part of the page, and always run
_LISTEN = """
    window.refused = [];
    document.addEventListener("securitypolicyviolation", (event) => {
        const at = `${event.sourceFile || "the page"}:${event.lineNumber}`;
        window.refused.push(`${event.violatedDirective} refused ${event.blockedURI} at ${at} ${event.sample}`);
    });
"""
#: the innermost elements that stick out of the window to the right, unless something around them scrolls
_WIDE = """
    () => {
        const page = document.documentElement, body = document.body, edge = page.clientWidth + 1;
        if (page.scrollWidth <= page.clientWidth) return [];
        const holds = (e) => ["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(e).overflowX);
        const held = (e) => e !== null && e !== body && e !== page && (holds(e) || held(e.parentElement));
        const over = (e) => e.getBoundingClientRect().right > edge || (e.scrollWidth > e.clientWidth + 1 && !holds(e)
            && e.getBoundingClientRect().left + e.scrollWidth > edge);
        const wide = [...body.querySelectorAll("*")].filter((e) => over(e) && !held(e.parentElement));
        const inner = wide.filter((e) => !wide.some((o) => o !== e && e.contains(o)));
        const tell = (e) => `<${e.tagName} class="${e.className}"> ${e.textContent.slice(0, 30)}`;
        return [`${page.scrollWidth} px`, ...inner.slice(0, 5).map(tell)];
    }
"""


@contextmanager
def open_browser(program: Path) -> Iterator[Browser]:
    """A browser without a window."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(program), args=list(_ARGUMENTS))
        yield opened
        opened.close()


def new_context(browser: Browser, address: str, **how: Any) -> BrowserContext:
    """A context in which violations of the content security policy are kept."""
    context = browser.new_context(base_url=address, **({"viewport": DESKTOP, "locale": "en-GB"} | how))
    context.add_init_script(_LISTEN)
    return context


@dataclass(slots=True)
class Watched:
    """A page, and what went wrong in it since the last look."""

    page: Page
    _wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("pageerror", lambda error: self._wrong.append(f"error: {error}"))
        self.page.on("console", lambda said: self._wrong.append(said.text) if said.type == "error" else None)
        self.page.on("requestfailed", lambda request: self._failed(request))

    def _failed(self, request: Request) -> None:
        # whoever leaves a page breaks off its stream of events
        if request.failure != "net::ERR_ABORTED":
            self._wrong.append(f"{request.url}: {request.failure}")

    def wrong(self) -> list[str]:
        """Errors in the console, failed requests, and what the policy refused; they are forgotten here."""
        found = self._wrong + [str(line) for line in self.page.evaluate("window.refused || []")]
        self.page.evaluate("window.refused = []")
        self._wrong = []
        return found


def faults(page: Page, *, rules: tuple[str, ...] = ()) -> list[str]:
    """What axe-core finds against WCAG 2.2, levels A and AA, one line an element; of all rules, or of these."""
    only = {"type": "rule", "values": list(rules)} if rules else {"type": "tag", "values": list(LEVELS)}
    found = Axe().run(page, options={"runOnly": only, "resultTypes": ["violations"]}).response["violations"]
    return [
        f"{violation['id']}: {' '.join(map(str, node['target']))}: {node['html'][:120]}"
        + "".join(f" [{check['message']}]" for check in node["any"][:1])
        for violation in found
        for node in violation["nodes"][:4]
    ]


def sticks_out(page: Page) -> list[str]:
    """The elements that make the page wider than its window; empty where it need not be scrolled sideways."""
    found: list[str] = page.evaluate(_WIDE)
    return found
