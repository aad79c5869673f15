"""The page /label: labelling on a phone. Answers wait in the browser while there is no network, and are sent once."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import Form, Query
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from pipeline.errors import UsageError
from pipeline.preannotation.told import in_language
from pipeline.store.session import open_session
from pipeline.store.tables.accounts import Role
from pipeline.store.tables.volunteers import AnswerKind
from saring.accounts.volunteers import BREAKS, VolunteerState, find_volunteer
from saring.actions.volunteers import give, hand
from saring.web.guard import csrf_of
from saring.web.rendering import STATIC
from saring.web.routing import Pages
from saring.web.visit import Visit, Visitor
from saring.web.words import marked
from sync.phone.answers import NewAnswer

pages = Pages("label")
#: the worker that opens the page without a network lies beside the pages, because it may serve no path above its own
worker = Pages("")

#: tasks that a browser has in hand, and answers that it may send at once
_AHEAD, _MOST = 5, 200
#: why there are no tasks; the first two are found by the browser itself
PROBLEMS = {
    "offline": marked("There is no network. Your answers are kept here, and texts come when the network is back."),
    "failing": marked("The server does not answer now. Your answers are kept here. Look again in a moment."),
    "away": marked("Label Studio does not answer now. What you answered is kept. Try again in a moment."),
    "token": marked("Label Studio does not let you in any more. Tell a maintainer. What you answered is kept."),
    "cap": marked("That was your last text for today. Thank you! Rest, and come back tomorrow."),
    "practice": marked("Practise first: some texts whose answer is known, a few minutes."),
    "closed": marked("You are not given texts now. Your own page says why."),
    "empty": marked("There is no text left for you now. Thank you! Look again another day."),
}


class _Sent(BaseModel):
    """An answer, as the browser writes it."""

    id: UUID
    project: int = Field(ge=1, lt=2**31)
    task: int = Field(ge=1, lt=2**31)
    kind: AnswerKind
    labels: list[Annotated[str, Field(max_length=100)]] = Field(default=[], max_length=100)
    seconds: float = 0.0
    at: datetime | None = None
    replaces: UUID | None = None

    def answer(self) -> NewAnswer:
        """The answer; a moment without a time zone is not believed."""
        at = self.at if self.at is not None and self.at.tzinfo is not None else None
        return NewAnswer(
            self.id,
            self.project,
            self.task,
            self.kind,
            tuple(dict.fromkeys(self.labels)),
            self.seconds,
            at,
            self.replaces,
        )


_ANSWERS = TypeAdapter(Annotated[list[_Sent], Field(max_length=_MOST)])


@pages.get(role=Role.VOLUNTEER)
def index(visit: Visit) -> Response:
    """The page, without a text: the browser asks for those, and has them where there is no network."""
    state = _state(visit)
    return visit.page(
        "label/index.html",
        problems={name: visit.say(message) for name, message in PROBLEMS.items()},
        break_minutes=state.break_minutes if state is not None else BREAKS[0],
    )


@pages.get("/tasks", role=Role.VOLUNTEER)
def tasks(visit: Visit, want: Annotated[int, Query(ge=1, le=_AHEAD)] = _AHEAD) -> Response:
    """The tasks that the volunteer has before them, for the page's script: so many at most."""
    return _json(visit, **_hand(visit, want))


@pages.post("/answers", role=Role.VOLUNTEER, act="label.answer")
def answers(visit: Visit, answers: Annotated[str, Form(max_length=200_000)]) -> Response:
    """Take answers that waited in the browser."""
    try:
        sent = [answer.answer() for answer in _ANSWERS.validate_json(answers)]
    except ValidationError:
        return JSONResponse({"error": "these are no answers"}, 422)
    given = give(visit.home, visit.account.id, sent)
    kept = {str(number): verdict for number, verdict in given.kept.items()}
    return _json(visit, kept=kept, waiting=given.delivered.waiting)


@pages.get("/plain", role=Role.VOLUNTEER)
def plain(visit: Visit) -> Response:
    """One text and a form, for browsers without scripts."""
    before = hand(visit.home, visit.account.id, want=1)
    problem = before.problem or (None if before.tasks else "empty")
    message = visit.say(PROBLEMS[problem]) if problem is not None else None
    task = before.tasks[0] if before.tasks else None
    return visit.page(
        "label/plain.html", task=task, why_not=message, today=before.today, answer_id=uuid4(), shown=time.time()
    )


@pages.post("/plain", role=Role.VOLUNTEER, act="label.answer")
def answer_plain(
    visit: Visit,
    id: Annotated[UUID, Form()],
    project: Annotated[int, Form(ge=1, lt=2**31)],
    task: Annotated[int, Form(ge=1, lt=2**31)],
    kind: Annotated[AnswerKind, Form()],
    labels: Annotated[list[str] | None, Form()] = None,
    shown: Annotated[float, Form(allow_inf_nan=False)] = 0.0,
) -> Response:
    """Take the answer of the form."""
    if kind is AnswerKind.LABELS and not labels:
        raise UsageError(visit.say("Choose a label, or press one of the other buttons."))
    chosen = tuple(labels or ()) if kind is AnswerKind.LABELS else ()
    seconds = max(0.0, time.time() - shown) if shown > 0 else 0.0
    given = give(visit.home, visit.account.id, [NewAnswer(id, project, task, kind, chosen, seconds)])
    kept = given.kept.get(id) == "kept"
    return visit.done(
        "/label/plain", visit.say("Kept. Thank you!") if kept else visit.say("This text is not yours now.")
    )


@worker.get("/label-worker.js", role=None)
def service_worker() -> Response:
    """The script that opens the page where there is no network."""
    headers = {"Cache-Control": "no-cache"}
    return FileResponse(STATIC / "pages" / "label-worker.js", media_type="text/javascript", headers=headers)


def _hand(visit: Visitor, want: int) -> dict[str, Any]:
    before = hand(visit.home, visit.account.id, want=want)
    problem = before.problem or (None if before.tasks else "empty")
    shown = [asdict(task) | {"why": in_language(task.why, visit.language)} for task in before.tasks]
    return {"tasks": shown, "today": before.today, "cap": before.cap, "waiting": before.waiting, "problem": problem}


def _json(visit: Visitor, **values: Any) -> Response:
    token = visit.session_token
    who = {"who": visit.account.id, "csrf": csrf_of(token).decode() if token is not None else ""}
    return JSONResponse(who | values, headers={"Cache-Control": "no-store"})


def _state(visit: Visitor) -> VolunteerState | None:
    with open_session(visit.home.engine) as session:
        return find_volunteer(session, visit.account.id)
