"""Time that a volunteer waits for the labelling page, in a real browser, for every state of the ML backend.

Ours has predictions written ahead; the peer is Label Studio's own live mode, in which the backend is asked while the
page loads. An opening is: the task list, a click on "Label All Tasks", and the wait until the boxes are there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from _measure import emit
from _misbehaving_backend import MisbehavingBackend, Mood
from playwright.sync_api import BrowserContext, TimeoutError, sync_playwright

from saring.services import LabelStudioAccess
from sync.api.client import LabelStudio, identity

_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync")
#: milliseconds until the page is given up, and between boxes and ticks
_TIMEOUT, _TICKS_LATE = 90_000, 1_500
#: title of a backend that Label Studio asks while people wait
_LIVE = "live"


@contextmanager
def volunteer(browser: Path, access: LabelStudioAccess) -> Iterator[BrowserContext]:
    """A browser that somebody has logged in with."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(browser), args=list(_ARGUMENTS))
        context = opened.new_context(viewport={"width": 1280, "height": 860}, base_url=access.url)
        page = context.new_page()
        page.goto("/user/login/")
        page.fill("input[name=email]", access.email or "")
        page.fill("input[name=password]", access.password or "")
        page.click("button[type=submit]")
        page.wait_for_url(lambda url: "/user/login" not in url)
        page.close()
        yield context
        opened.close()


def measure(
    context: BrowserContext,
    backend: MisbehavingBackend,
    client: LabelStudio,
    *,
    ahead: tuple[int, int],
    live: tuple[int, int],
    label: str,
    openings: int,
) -> None:
    """Open the page in every mood of the backend.

    Args:
        ahead: Label Studio's ids of our projects: without a backend, and with it.
        live: the same of the peer's; the second asks the backend.
        label: what should be ticked.
        openings: of each.
    """

    def nothing() -> None:
        """Ours stay as they are."""

    def forget() -> None:
        """Have the server ask again: it keeps what it was told."""
        everything = {"selectedItems": {"all": True, "excluded": []}}
        action = {"id": "delete_tasks_predictions", "project": live[1]}
        client.post("/api/dm/actions", params=action, json=everything)

    ways = (("saring, written ahead", ahead, nothing), ("Label Studio, live", live, forget))
    _open(context, ahead[0], label)  # The browser fetches the program once.
    for who, (without, with_backend), between in ways:
        _emit(who, "none", [_open(context, without, label) for _ in range(openings)], 0)
        for mood in Mood:
            backend.be(mood)
            before = backend.asked
            measured = []
            for _ in range(openings):
                between()
                measured.append(_open(context, with_backend, label))
            _emit(who, mood.value, measured, backend.asked - before)
        backend.be(Mood.ALIVE)


def live_project(client: LabelStudio, config: str, texts: list[str], backend_url: str | None) -> int:
    """A project as one makes it in Label Studio, without predictions; its id."""
    project = identity(client.create_project(title="Live", label_config=config))[0]
    client.import_tasks(project, [{"data": {"text": text}} for text in texts])
    if backend_url is not None:
        client.post("/api/ml", json={"url": backend_url, "project": project, "title": _LIVE})
        # Connecting it makes a webhook as well, which is not needed here.
        assert client.project(project).model_version == _LIVE
    return project


def _open(context: BrowserContext, project: int, label: str) -> dict[str, Any]:
    page = context.new_page()
    page.set_default_timeout(_TIMEOUT)
    box = f"input[type=checkbox][name='{label}']"
    clock: Callable[[], float] = time.perf_counter
    start = clock()
    page.goto(f"/projects/{project}/data", wait_until="commit")
    page.click("button:has-text('Label All Tasks')")
    clicked = clock()
    page.wait_for_selector(box, state="attached")
    ready = clock()
    try:
        page.wait_for_selector(f"{box}:checked", state="attached", timeout=_TICKS_LATE)
        ticked = True
    except TimeoutError:
        ticked = False
    page.close()
    return {"list": clicked - start, "ready": ready - clicked, "ticked": ticked}


def _emit(who: str, backend: str, openings: list[dict[str, Any]], asked: int) -> None:
    figures: dict[str, object] = {"who": who, "what": "labelling page", "backend": backend, "openings": len(openings)}
    for name in ("list", "ready"):
        seconds = [opening[name] for opening in openings]
        figures |= {f"{name}_s": median(seconds), f"{name}_max_s": max(seconds)}
    figures |= {"pre_filled": sum(opening["ticked"] for opening in openings), "predictions_asked": asked}
    emit("label_studio", figures)
