"""Every page of the dashboard with an address that exists, found by following links as a person does."""

from __future__ import annotations

import enum
import html
import re
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import httpx
from starlette.routing import compile_path

from saring.web.routing import Rule

_LINK = re.compile(r'\b(?:href|action|hx-get|hx-sse:connect|src|data-[a-z-]+)="(/(?!/|static/)[^"]*)"')
#: pages that change with what is asked in their address
ASKED = (
    "/search?q=nasi+lemak",
    # no text has the word, and one that is spelled alike is told of
    "/search?q=kampong",
    "/search?meaning=harga+barang+naik",
    "/filter/hate/beside?filter=centroid&cut=0.45",
    "/queue?label=hate",
    "/runs?state=failed",
)
#: they lead to another server, and no page here links to them
_ELSEWHERE = "/oidc/"
#: seconds between two looks for links that a figure brings
_PAUSE = 2.0
#: addresses that are asked for, at most
_MOST = 400


class Kind(enum.StrEnum):
    """What an address answers with."""

    PAGE = "page"
    #: a part of a page
    FRAGMENT = "fragment"
    #: events, without an end
    STREAM = "stream"
    #: a download, or a report with a policy of its own
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Place:
    """A route, and an address of it."""

    rule: Rule
    address: str
    kind: Kind

    @property
    def name(self) -> str:
        """The path in words that a file's name may have."""
        asked = self.address.partition("?")[2]
        words = re.sub(r"\{[^}]*\}", "one", self.rule.path).strip("/") or "overview"
        return re.sub(r"[^a-z0-9]+", "-", f"{words}-{asked}".lower()).strip("-")


def find_places(
    client: httpx.Client, rules: Sequence[Rule], start: Sequence[str] = (), *, patience: float = 120.0
) -> tuple[list[Place], list[str]]:
    """Find an address for each route that is asked for by GET.

    Args:
        client: a client with the highest role.
        rules: the table of routes.
        start: addresses to which no page links.
        patience: seconds to wait for links that are there once a figure is computed.

    Returns:
        The places in order of the table, and the paths that no link leads to. The routes of OpenID Connect are in
        neither: they lead to another server.
    """
    wanted = [rule for rule in rules if rule.method == "GET" and not rule.path.startswith(_ELSEWHERE)]
    deadline = time.monotonic() + patience
    while True:
        found, asked = _crawl(client, wanted, start)
        missing = [rule.path for rule in wanted if rule.path not in found]
        if not missing or time.monotonic() > deadline:
            break
        time.sleep(_PAUSE)
    return sorted([*found.values(), *asked], key=lambda place: (place.rule.path, place.address)), missing


def _crawl(client: httpx.Client, wanted: Sequence[Rule], start: Sequence[str]) -> tuple[dict[str, Place], list[Place]]:
    """A place of each path, and those of `ASKED` beside it."""
    patterns = [(rule, compile_path(rule.path)[0]) for rule in sorted(wanted, key=_breadth)]
    found: dict[str, Place] = {}
    asked: list[Place] = []
    seen: set[str] = set()
    waiting = deque([*start, *(rule.path for rule in wanted if "{" not in rule.path), *ASKED])
    while waiting and len(seen) < _MOST:
        address = waiting.popleft()
        path = address.partition("?")[0]
        rule = next((rule for rule, pattern in patterns if pattern.match(path)), None)
        if rule is None or address in seen or (rule.path in found and address not in ASKED):
            continue
        seen.add(address)
        kind, text = _ask(client, address)
        if kind is None:
            continue
        place = Place(rule, address, kind)
        if rule.path in found:
            asked.append(place)
        else:
            found[rule.path] = place
        waiting.extend(html.unescape(link).partition("#")[0] for link in _LINK.findall(text))
    for rule in wanted:
        # what scripts ask for lies under the address of its page, and no link leads there
        pages = [page for path, page in found.items() if rule.path.startswith(f"{path}/")]
        page = max(pages, key=lambda page: len(page.rule.path), default=None)
        if rule.path in found or page is None or "{" in (rest := rule.path.removeprefix(page.rule.path)):
            continue
        path, mark, query = page.address.partition("?")
        address = f"{path}{rest}{mark}{query}"
        kind, _ = _ask(client, address)
        if kind is not None:
            found[rule.path] = Place(rule, address, kind)
    return found, asked


def _breadth(rule: Rule) -> tuple[bool, int, int]:
    """The order in which routes are tried: those that fit few paths first."""
    return ":path" in rule.path, rule.path.count("{"), -len(rule.path)


def _ask(client: httpx.Client, address: str) -> tuple[Kind | None, str]:
    """What an address answers with, and its text; a stream is not read."""
    with client.stream("GET", address) as answer:
        if answer.status_code >= 300:
            return None, ""
        content = answer.headers.get("content-type", "")
        if content.startswith("text/event-stream"):
            return Kind.STREAM, ""
        answer.read()
        own = "sandbox" in answer.headers.get("content-security-policy", "")
    if not content.startswith("text/html") or own:
        return Kind.FILE, ""
    return (Kind.PAGE if "<html" in answer.text[:400] else Kind.FRAGMENT), answer.text
