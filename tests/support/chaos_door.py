"""Those who come to `saring serve` while everything dies: phones, applications, and a maintainer's browser.

Each is a client that knows no more than its kind does: it sends again what was not confirmed, and remembers what was.
"""

from __future__ import annotations

import json
import random
import re
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from pipeline.store.tables.accounts import Role
from saring.accounts.api_tokens import make_token
from saring.accounts.people import add_account
from saring.accounts.sessions import begin_session
from saring.accounts.volunteers import ask_to_join
from saring.actions.volunteers import approve
from saring.home import Home
from tests.support.web import BROWSER, forms_of

#: seconds until an answer is given up
_PATIENCE = 60.0
#: shares of the phones' answers that are no labels, are corrected, and whose confirmation gets lost on the way
_OTHER, _CORRECTED, _UNHEARD = 0.25, 0.3, 0.2
#: shares of a maintainer's visits in which a run is started, and a running one of theirs is cancelled
_STARTED, _CANCELLED = 0.3, 0.3
#: the pages that a maintainer reads
PAGES = ("/", "/runs", "/filter", "/queue", "/review", "/annotators", "/models", "/reports", "/volunteers", "/audit")
#: the stages that a maintainer starts
_STAGES = ("embed", "pull", "reconcile")
#: those of them that need no Label Studio, and another one
_WITHOUT_LABEL_STUDIO = ("embed", "search-index")
#: no database, or no champion yet: what the documentation says of both
_AWAY = httpx.codes.SERVICE_UNAVAILABLE


class Unconfirmed(Exception):
    """There was no answer, or one that says to come back: whether anything was kept is not known."""


@dataclass
class Line:
    """The way to `saring serve`, whose address may change, and what it should never have answered.

    Args:
        address: gives the address of the server; None: it has none now.
    """

    address: Callable[[], str | None]
    #: statuses of each kind of request, and answers that no documentation knows, with how often each came
    statuses: Counter[str] = field(default_factory=Counter)
    unexpected: Counter[str] = field(default_factory=Counter)

    def ask(
        self, client: httpx.Client, method: str, path: str, *, good: Sequence[int] = (200,), **how: Any
    ) -> httpx.Response:
        """Send a request.

        Raises:
            Unconfirmed: there is no answer, or it is 503, or it is not a good one, which is noted.
        """
        kind = f"{method} {re.sub(r'[0-9]+|[^/]{30,}', 'N', path.partition('?')[0])}"
        address = self.address()
        if address is None:
            raise Unconfirmed
        try:
            answer = client.request(method, f"{address}{path}", **how)
        except httpx.TransportError:
            self.statuses[f"{kind}: none"] += 1
            raise Unconfirmed from None
        self.statuses[f"{kind}: {answer.status_code}"] += 1
        if answer.status_code in good:
            return answer
        if answer.status_code != _AWAY:
            words = " ".join(re.sub(r"<[^>]+>", " ", answer.text.partition("<main")[2] or answer.text).split())
            self.unexpected[f"{kind} was answered with {answer.status_code}: {words[:200]}"] += 1
        raise Unconfirmed


@dataclass
class Phone:
    """The page /label of a volunteer, as its script behaves."""

    line: Line
    client: httpx.Client
    account: int
    #: Label Studio user id
    user: str
    csrf: str = ""
    tasks: list[dict[str, Any]] = field(default_factory=list)
    #: answers that the server has not confirmed
    waiting: list[dict[str, Any]] = field(default_factory=list)
    #: answers that it has confirmed, in order; and those of tasks that it said were not this volunteer's
    kept: list[dict[str, Any]] = field(default_factory=list)
    lost: list[dict[str, Any]] = field(default_factory=list)
    #: number of answers that were sent again
    again: int = 0

    def visit(self, rng: random.Random) -> None:
        """Answer a task or correct the last answer, and do what the page does then."""
        last = self.kept[-1] if self.kept else None
        if last is not None and not self.waiting and rng.random() < _CORRECTED:
            self.waiting.append(self._answer(rng, last["task_shown"], replaces=last["id"]))
        elif self.tasks:
            self.waiting.append(self._answer(rng, self.tasks.pop(0)))
        try:
            # at least once, whatever dies when
            self.send(unheard=not self.again or rng.random() < _UNHEARD)
            self._look()
        except Unconfirmed:
            return

    def send(self, *, unheard: bool = False) -> None:
        """Send what waits.

        Args:
            unheard: the confirmation is lost on its way to the phone.

        Raises:
            Unconfirmed: it goes on waiting.
        """
        if not self.waiting:
            return
        if not self.csrf:
            self._look()
        self.again += sum(answer["tried"] for answer in self.waiting)
        for answer in self.waiting:
            answer["tried"] = True
        sent = [{name: answer[name] for name in _SENT} for answer in self.waiting]
        form = {"csrf": self.csrf, "answers": json.dumps(sent)}
        said = self.line.ask(self.client, "POST", "/label/answers", data=form).json()
        if unheard:
            raise Unconfirmed
        for answer in self.waiting:
            (self.kept if said["kept"].get(answer["id"]) == "kept" else self.lost).append(answer)
        self.waiting = [answer for answer in self.waiting if answer["id"] not in said["kept"]]

    def _look(self) -> None:
        said = self.line.ask(self.client, "GET", "/label/tasks").json()
        self.csrf = said["csrf"]
        if said["problem"] != "away":
            answered = {(answer["project"], answer["task"]) for answer in self.waiting}
            self.tasks = [task for task in said["tasks"] if (task["project"], task["task"]) not in answered]

    def _answer(self, rng: random.Random, task: dict[str, Any], *, replaces: str | None = None) -> dict[str, Any]:
        other = [kind for kind, there in (("none", task["none"]), ("undecided", task["undecided"])) if there]
        kind = rng.choice([*other, "skipped"]) if rng.random() < _OTHER else "labels"
        return {
            "id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            "project": task["project"],
            "task": task["task"],
            "kind": kind,
            "labels": [rng.choice(task["labels"])] if kind == "labels" else [],
            "seconds": 4.0,
            "replaces": replaces,
            "task_shown": task,
            "tried": False,
        }


#: what of an answer is sent
_SENT = ("id", "project", "task", "kind", "labels", "seconds", "replaces")


@dataclass
class Application:
    """A program with an API token: it asks for verdicts, and reports wrong ones."""

    line: Line
    client: httpx.Client
    account: int
    #: makes texts that nobody has sent before
    write: Callable[[random.Random], str]
    #: reports that were confirmed: their ids and their labels, by the application's own reference
    reported: dict[str, tuple[str, dict[str, bool]]] = field(default_factory=dict)
    #: number of texts that got a verdict
    verdicts: int = 0
    _pending: dict[str, Any] | None = None

    def visit(self, rng: random.Random) -> None:
        """Ask for verdicts, then report one, or report again what was not confirmed."""
        texts = [self.write(rng) for _ in range(rng.randint(1, 3))]
        try:
            answer = self.line.ask(self.client, "POST", "/v1/moderations", json={"input": texts}).json()
            self.verdicts += len(texts)
            if len(answer["results"]) != len(texts):
                self.line.unexpected[f"{len(answer['results'])} verdicts on {len(texts)} texts"] += 1
        except Unconfirmed:
            # it reports what it was told before
            pass
        if self._pending is None:
            reference = f"{rng.getrandbits(64):016x}"
            label = rng.choice(("hate", "informative"))
            self._pending = {"text": texts[0], "labels": {label: rng.random() < 0.5}, "reference": reference}
        try:
            report = self._report(self._pending)
            if rng.random() < _UNHEARD and self._report(self._pending)["id"] != report["id"]:
                self.line.unexpected["a report that was sent twice was kept twice"] += 1
        except Unconfirmed:
            return
        self.reported[self._pending["reference"]] = (report["id"], self._pending["labels"])
        self._pending = None

    def _report(self, body: Mapping[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self.line.ask(self.client, "POST", "/v1/reports", good=(201,), json=body).json()
        return answer


@dataclass
class Maintainer:
    """A browser in which a maintainer is signed in: pages are read, runs started and cancelled."""

    line: Line
    client: httpx.Client
    #: what it starts
    stages: Sequence[str]
    #: number of pages that were read
    read: int = 0
    #: runs that were asked for and confirmed, by the number of the request; and runs that were cancelled
    asked: dict[int, str] = field(default_factory=dict)
    cancelled: list[int] = field(default_factory=list)
    _turn: int = 0

    def visit(self, rng: random.Random) -> None:
        """Read a page; now and then, start a run, or cancel one that was started here."""
        try:
            self._read(PAGES[self._turn % len(PAGES)])
            self._turn += 1
            if rng.random() < _STARTED or not self.asked:
                self._start(rng.choice(self.stages))
            if self.asked and rng.random() < _CANCELLED:
                self._cancel(rng.choice(sorted(self.asked)))
        except Unconfirmed:
            return

    def _read(self, path: str, **how: Any) -> httpx.Response:
        page = self.line.ask(self.client, "GET", path, **how)
        self.read += 1
        return page

    def _start(self, stage: str) -> None:
        page = self._read(f"/runs/start/{stage}")
        fields = self._fields(page, f"/runs/start/{stage}")
        # the form that is sent again, as a browser does after an error, is carried out once
        for _ in range(3):
            try:
                # 409: it was sent before, and whether it was carried out is not known yet; a person looks again later
                answer = self._post(f"/runs/start/{stage}", fields, good=(303, 409))
            except Unconfirmed:
                continue
            if found := re.fullmatch(r"/runs/asked/(\d+)", answer.headers.get("location", "")):
                self.asked[int(found[1])] = stage
            return

    def _cancel(self, request: int) -> None:
        shown = self._read(f"/runs/asked/{request}", good=(200, 303))
        found = re.fullmatch(r"/runs/(\d+)", shown.headers.get("location", ""))
        if found is None:
            return
        run = int(found[1])
        page = self._read(f"/runs/{run}")
        if f'action="/runs/{run}/cancel"' not in page.text:
            return
        # 409: it has ended meanwhile
        self._post(f"/runs/{run}/cancel", self._fields(page, f"/runs/{run}/cancel"), good=(303, 409))
        self.cancelled.append(run)

    def _post(self, path: str, fields: Mapping[str, str], *, good: Sequence[int]) -> httpx.Response:
        same = {"Origin": self.line.address() or "", "Sec-Fetch-Site": "same-origin"}
        return self.line.ask(self.client, "POST", path, good=good, data=dict(fields), headers=same)

    def _fields(self, page: httpx.Response, action: str) -> dict[str, str]:
        form = next((form for form in forms_of(page.text) if form.action == action), None)
        if form is None:
            self.line.unexpected[f"{page.url.path} has no form for {action}"] += 1
            raise Unconfirmed
        return form.fields


@dataclass
class Door:
    """All who come."""

    line: Line
    phones: Sequence[Phone]
    applications: Sequence[Application]
    maintainer: Maintainer

    def close(self) -> None:
        """Close the connections."""
        everybody: list[Phone | Application | Maintainer] = [*self.phones, *self.applications, self.maintainer]
        for one in everybody:
            one.client.close()


def open_door(
    home: Home,
    address: Callable[[], str | None],
    write: Callable[[random.Random], str],
    *,
    phones: int,
    applications: int,
) -> Door:
    """Make the accounts, links and tokens of all who come, while everything runs.

    Args:
        home: the home that serves.
        address: gives the address of `saring serve`.
        write: makes texts that nobody has sent before.
        phones: number of volunteers; each is let in, for which Label Studio must be there.
        applications: number of applications.
    """
    line = Line(address)
    made = []
    for number in range(phones):
        with home.begin() as session:
            person, token = ask_to_join(session, f"phone-{number}", language="ms")
        user = approve(home, person.id).rater
        client = _client(BROWSER | {"Accept": "application/json"})
        client.post(f"{address()}/enter/{token}", headers={"Sec-Fetch-Site": "same-origin"})
        assert "saring_session" in client.cookies, "a personal link signs in"
        made.append(Phone(line, client, person.id, str(user)))
    with home.begin() as session:
        programs = add_account(session, "applications", Role.VIEWER)
        tokens = [
            make_token(session, programs, f"application {number}", Role.VIEWER, per_minute=100_000)[1]
            for number in range(applications)
        ]
        person = add_account(session, "maintainer", Role.MAINTAINER)
        signed_in = begin_session(session, person.id, BROWSER["User-Agent"])
    # without phones there is no Label Studio either
    maintainer = Maintainer(line, _client(BROWSER), _STAGES if phones else _WITHOUT_LABEL_STUDIO)
    maintainer.client.cookies.set("saring_session", signed_in)
    asking = [Application(line, _client({"Authorization": f"Bearer {token}"}), programs.id, write) for token in tokens]
    return Door(line, made, asking, maintainer)


def _client(headers: Mapping[str, str]) -> httpx.Client:
    return httpx.Client(headers=dict(headers), timeout=_PATIENCE, trust_env=False)
