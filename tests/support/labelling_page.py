"""A volunteer at Label Studio's labelling page, in a real browser of any size."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from saring.services import LabelStudioAccess
from tests.support.browser import LEVELS

#: milliseconds: a laden machine takes its time, and no test is about that
_PATIENCE = 60_000
expect.set_options(timeout=_PATIENCE)
#: width and height of a window
WINDOWS: Mapping[str, tuple[int, int]] = {"desktop": (1280, 860), "tablet": (768, 1024), "phone": (390, 844)}

_WATCH = """
    () => {
        window.messages = window.covering = 0;
        const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
        const note = () => document.querySelectorAll("[class*=toast-viewport] li").forEach((message) => {
            const place = message.getBoundingClientRect();
            window.messages += 1;
            document.querySelectorAll(".lsf-controls button").forEach((button) => {
                if (!apart(place, button.getBoundingClientRect())) window.covering += 1;
            });
        });
        new MutationObserver(note).observe(document.body, {childList: true, subtree: true, attributes: true});
    }
"""


def sign_up(access: LabelStudioAccess) -> dict[str, str]:
    """Sign up by the invitation; the cookies of the session."""
    owner = {"Authorization": f"Token {access.api_key}"}
    invite = httpx.get(f"{access.url}/api/invite", headers=owner, trust_env=False).raise_for_status().json()
    with httpx.Client(base_url=access.url, timeout=60, trust_env=False) as browser:
        browser.get(invite["invite_url"])
        form = {"email": f"{uuid.uuid4().hex[:8]}@volunteers.example", "password": uuid.uuid4().hex}
        token = {"csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        browser.post(invite["invite_url"], data=form | token, headers={"Referer": access.url})
        browser.get("/api/current-user/whoami").raise_for_status()
        return dict(browser.cookies)


@contextmanager
def opened(
    browser: Browser, access: LabelStudioAccess, cookies: Mapping[str, str], window: str, theme: str
) -> Iterator[LabellingPage]:
    """A page in a window of that size; the phone has a touch screen."""
    width, height = WINDOWS[window]
    context = browser.new_context(
        base_url=access.url,
        viewport={"width": width, "height": height},
        has_touch=window != "desktop",
        is_mobile=window == "phone",
        color_scheme="dark" if theme == "dark" else "light",
        reduced_motion="reduce",
        locale="en-GB",
    )
    # as Label Studio keeps what was chosen with its switch
    context.add_init_script(f"localStorage.setItem('preferred-color-scheme', '{theme.capitalize()}')")
    context.add_cookies([{"name": name, "value": value, "url": access.url} for name, value in cookies.items()])
    context.set_default_timeout(_PATIENCE)
    yield LabellingPage(context.new_page(), window)
    context.close()


@dataclass(slots=True)
class LabellingPage:
    """The page, as a volunteer uses it."""

    page: Page
    window: str

    def open(self, project: int) -> None:
        """Go from the project to the first task."""
        self.page.goto(f"/projects/{project}/data")
        self.press(self.page.get_by_role("button", name="Label All Tasks"))
        expect(self.text).to_be_visible()

    @property
    def text(self) -> Locator:
        """The text, blurred or not."""
        return self.page.locator(".saring-blur, .saring-plain").first

    @property
    def guidelines(self) -> Locator:
        """The window with the guidelines."""
        return self.page.locator(".lsf-modal-ls__content")

    @property
    def cover(self) -> Locator:
        """What shows and hides the text."""
        return self.page.get_by_role("button", name="Show or hide the text")

    @property
    def submit(self) -> Locator:
        """The button."""
        return self.page.get_by_role("button", name="Submit current annotation")

    @property
    def skip(self) -> Locator:
        """The button."""
        return self.page.get_by_role("button", name="skip-task")

    def box(self, choice: str) -> Locator:
        """The box of a choice."""
        return self.page.locator(f"input[type=checkbox][name={choice!r}]")

    def label(self, choice: str) -> Locator:
        """The box of a choice with its name."""
        return self.page.locator("label").filter(has=self.box(choice))

    def press(self, place: Locator) -> None:
        """Click, or tap on what has no mouse."""
        if self.window == "desktop":
            place.click()
        else:
            place.tap()

    def tick(self, choice: str) -> None:
        """Press a box by its name."""
        self.press(self.label(choice))

    def close_guidelines(self) -> None:
        """Close the guidelines."""
        self.page.keyboard.press("Escape")
        expect(self.guidelines).to_have_count(0)

    def is_blurred(self) -> bool:
        """True where the text cannot be read."""
        return "blur" in str(self.text.evaluate("element => getComputedStyle(element).filter"))

    def answer(self) -> None:
        """Submit, and wait for the next text."""
        before = self.text.inner_text()
        with self.page.expect_response(
            lambda answer: "/annotations" in answer.url and answer.request.method == "POST"
        ) as sent:
            self.press(self.submit)
        assert sent.value.ok
        expect(self.text).not_to_have_text(before)

    def watch_messages(self) -> None:
        """Note from now on whether a message lies over a button: messages go after some seconds."""
        self.page.evaluate(_WATCH)

    def covering_messages(self) -> int:
        """How often a message lay over a button since then; waits for the first message."""
        self.page.wait_for_function("window.messages")
        return int(self.page.evaluate("window.covering"))

    def text_size(self) -> float:
        """Size of the text's letters in pixels of the screen."""
        line = self.page.locator(".saring-text .lsf-richtext__line").first
        size = line.evaluate("line => parseFloat(getComputedStyle(line).fontSize) / window.innerWidth")
        return float(size) * WINDOWS[self.window][0]

    def faults(self) -> list[str]:
        """What axe-core finds against level AA in what is ours of the page."""
        only = {"type": "tag", "values": list(LEVELS)}
        found = Axe().run(self.page, context=".saring-page", options={"runOnly": only}).response["violations"]
        return [
            f"{violation['id']}: {node['html'][:160]}" + "".join(f" [{check['message']}]" for check in node["any"][:1])
            for violation in found
            for node in violation["nodes"][:4]
        ]
