"""The pages /queue: what people judge next, what is in Label Studio, and a new build."""

from __future__ import annotations

import uuid
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Form
from fastapi.responses import Response

from pipeline.errors import EncoderError, QueueError, UsageError
from pipeline.queue.config import QueueConfig
from pipeline.queue.strategies.known import STRATEGIES
from pipeline.store.tables.accounts import Role
from pipeline.store.tables.human_loop import TaskState
from saring.actions import queue as building
from saring.actions import searching, waiting
from saring.actions.label_studio import push
from saring.web import later
from saring.web.routing import Pages
from saring.web.text_ids import own_id, own_ids, public_ids
from saring.web.visit import Visit

pages = Pages("queue")

#: texts of a page, and the most that one push of a page sends to a project
_PAGE, _MOST_PUSHED = 25, 5_000
#: numbers of the form of a build, by field
_WHOLE = ("size", "harsh_run", "gold_target", "pool")
_SHARES = ("blind_share", "gold_share", "benign_share")
_DEFAULT = QueueConfig()


@pages.get(role=Role.VIEWER)
def index(visit: Visit, label: str = "", strategy: str = "", language: str = "", start: int = 0) -> Response:
    """The texts that wait, in the order in which they will be served."""
    start = max(0, start)
    listed = waiting.show(
        visit.home,
        _PAGE,
        label=label or None,
        strategy=strategy or None,
        language=language or None,
        reveal=True,
        offset=start,
    )
    strategies, languages = waiting.choices(visit.home)
    given = {"label": label, "strategy": strategy, "language": language}
    return visit.page(
        "queue/index.html",
        waiting=listed.waiting,
        chosen=listed.chosen,
        items=[_item(visit, row) for row in listed.items],
        start=start,
        strategies=strategies,
        languages=languages,
        given=given,
        projects=waiting.sent_projects(visit.home),
        before=_address(given, start - _PAGE) if start else None,
        after=_address(given, start + _PAGE) if start + _PAGE < listed.chosen else None,
    )


@pages.get("/in-label-studio", role=Role.VIEWER)
def in_label_studio(visit: Visit, project: int = 0, state: str = "waiting", start: int = 0) -> Response:
    """The tasks in Label Studio, by project and state."""
    start = max(0, start)
    states = {
        "waiting": (TaskState.PUSHING, TaskState.OPEN),
        "done": (TaskState.DONE,),
        "gone": (TaskState.GONE,),
    }
    if state not in states:
        state = "waiting"
    rows = waiting.sent_texts(visit.home, project=project or None, states=states[state], limit=_PAGE + 1, offset=start)
    ids = public_ids(visit.home)
    given = {"project": project or "", "state": state}
    here = "/queue/in-label-studio"
    return visit.page(
        "queue/in_label_studio.html",
        projects=waiting.sent_projects(visit.home),
        tasks=[(str(ids.of(row.text_id)), row) for row in rows[:_PAGE]],
        given=given,
        states=list(states),
        before=_address(given, start - _PAGE, here) if start else None,
        after=_address(given, start + _PAGE, here) if len(rows) > _PAGE else None,
    )


@pages.get("/build", role=Role.MAINTAINER)
def build_form(visit: Visit) -> Response:
    """The form of a new build."""
    return visit.page("queue/build.html", **_build_values(visit, _typed(_DEFAULT)))


@pages.get("/text/{public_id}", role=Role.VIEWER)
def one(visit: Visit, public_id: str) -> Response:
    """A queued text in full: why it is there, what raters say, and labelled texts that are like it."""
    return _one(visit, own_id(visit.home, public_id))


def _one(visit: Visit, text_id: uuid.UUID, problem: str | None = None) -> Response:
    queued = waiting.one(visit.home, text_id)
    ids = public_ids(visit.home)
    try:
        near, no_neighbours = searching.neighbours(visit.home, text_id), None
    except EncoderError as error:
        near, no_neighbours = (), str(error)
    votes = searching.votes(visit.home, text_id)
    labels = [
        key
        for key in visit.home.taxonomy.keys
        if key in queued.probabilities or any(key in vote.scores for vote in votes)
    ]
    return visit.page(
        "queue/text.html",
        status=200 if problem is None else 422,
        problem=problem,
        item=_item(visit, queued.item),
        place=queued.place,
        probabilities=queued.probabilities,
        champion=queued.champion,
        votes=votes,
        scored=labels,
        neighbours=[(str(ids.of(each.text_id)), each) for each in near],
        no_neighbours=no_neighbours,
    )


@pages.post("/drop", role=Role.REVIEWER, act="queue.drop")
def drop(
    visit: Visit,
    text: Annotated[list[str] | None, Form()] = None,
    only: Annotated[str, Form()] = "",
    why: Annotated[str, Form()] = "",
    back: Annotated[str, Form()] = "/queue",
) -> Response:
    """Remove texts from the queue for ever."""
    chosen = _chosen(visit, text, only)
    if not why.strip():
        raise UsageError(visit.say("Give the reason why the texts are dropped."))
    waiting.drop(visit.home, chosen, why.strip())
    return visit.done(back, visit.say("Dropped from the queue for ever: %(count)s.", count=len(chosen)))


@pages.post("/order", role=Role.REVIEWER, act="queue.order")
def order(
    visit: Visit,
    to: Annotated[str, Form()],
    text: Annotated[list[str] | None, Form()] = None,
    only: Annotated[str, Form()] = "",
    place: Annotated[int, Form()] = 1,
    back: Annotated[str, Form()] = "/queue",
) -> Response:
    """Move texts to the front, to the end, or one text to a place."""
    chosen = _chosen(visit, text, only)
    if to == "place":
        if len(chosen) > 1:
            raise UsageError(visit.say("Choose one text to move it to a place."))
        waiting.move(visit.home, chosen[0], place=place)
    elif to in ("first", "last"):
        for text_id in reversed(chosen) if to == "first" else chosen:
            waiting.bump(visit.home, text_id, first=to == "first")
    else:
        raise UsageError(visit.say("Say where the texts go: first, last, or to a place."))
    return visit.done(back, visit.say("Moved: %(count)s.", count=len(chosen)))


@pages.post("/push", role=Role.MAINTAINER, act="queue.push")
def push_chosen(
    visit: Visit,
    text: Annotated[list[str] | None, Form()] = None,
    only: Annotated[str, Form()] = "",
    project: Annotated[str, Form()] = "",
) -> Response:
    """Send chosen texts to Label Studio."""
    chosen = _chosen(visit, text, only)
    return _pushed(visit, project, only=chosen, limit=len(chosen))


@pages.post("/push-all", role=Role.MAINTAINER, act="queue.push_all")
def push_all(visit: Visit, project: Annotated[str, Form()] = "", limit: Annotated[str, Form()] = "") -> Response:
    """Send the queued texts to Label Studio, from the first on."""
    most = _whole(visit, limit, "limit") if limit.strip() else None
    if most is not None and not 1 <= most <= _MOST_PUSHED:
        raise UsageError(visit.say("Push 1 to %(most)s texts at once, or leave the number out.", most=_MOST_PUSHED))
    return _pushed(visit, project, limit=most)


def _pushed(visit: Visit, project: str, *, limit: int | None, only: list[uuid.UUID] | None = None) -> Response:
    number = _whole(visit, project, "project") if project else None
    home = visit.home
    pushed = later.begin("queue-push", lambda: push(home, number, limit=limit, only=only))
    address = "/queue/in-label-studio"
    if pushed is None:
        return visit.done(address, visit.say("The texts are being sent. The page Runs shows how far it is."))
    sent = sum(report.sent for report in pushed.projects)
    held = sum(report.held_back for report in pushed.projects)
    visit.note(sent=sent, held_back=held)
    if held:
        message = visit.say(
            "Sent: %(sent)s. Held back, because of the cap on harsh tasks or labels that a volunteer left out: "
            "%(held)s.",
            sent=sent,
            held=held,
        )
    else:
        message = visit.say("Sent: %(sent)s.", sent=sent)
    return visit.done(address, message)


@pages.post("/build", role=Role.MAINTAINER, act="queue.build")
def build(visit: Visit) -> Response:
    """Draw a new queue in place of the texts that wait."""
    typed = {name: str(value) for name, value in visit.fields.items()}
    try:
        config = _config(visit, typed)
    except (QueueError, UsageError) as error:
        return visit.wrong(str(error), "queue/build.html", **_build_values(visit, typed))
    home = visit.home
    report = later.begin("queue-build", lambda: building.build(home, config))
    if report is None:
        return visit.done("/queue", visit.say("The queue is being drawn. The page Runs shows how far it is."))
    visit.note(drawn=report.drawn, replaced=report.replaced)
    drawn = visit.say("Drawn: %(drawn)s of %(asked)s.", drawn=report.drawn, asked=report.asked)
    return visit.done("/queue", " ".join([drawn, *report.notes]))


def _config(visit: Visit, typed: dict[str, str]) -> QueueConfig:
    mix = {name: _number(visit, typed.get(f"mix_{name}", ""), name) / 100 for name in STRATEGIES}
    whole: dict[str, Any] = {name: _whole(visit, typed.get(name, ""), name) for name in _WHOLE}
    shares: dict[str, Any] = {name: _number(visit, typed.get(name, ""), name) / 100 for name in _SHARES}
    return QueueConfig(mix=mix, near=_number(visit, typed.get("near", ""), "near"), **whole, **shares)


def _typed(config: QueueConfig) -> dict[str, str]:
    """The values of a configuration as the form shows them: shares in percent."""
    return {
        **{name: str(getattr(config, name)) for name in (*_WHOLE, "near")},
        **{name: f"{100 * getattr(config, name):g}" for name in _SHARES},
        **{f"mix_{name}": f"{100 * config.mix.get(name, 0.0):g}" for name in STRATEGIES},
    }


def _build_values(visit: Visit, typed: dict[str, str]) -> dict[str, Any]:
    try:
        mix = {name: float(typed.get(f"mix_{name}", "0")) for name in STRATEGIES}
    except ValueError:
        mix = {}
    whole = sum(share for share in mix.values() if share > 0)
    return {
        "typed": {**_typed(_DEFAULT), **typed},
        "strategies": list(STRATEGIES),
        "shares": [(name, share / whole) for name, share in mix.items() if share > 0] if whole else [],
        "waiting": waiting.show(visit.home, 1).waiting,
    }


def _item(visit: Visit, row: Any) -> dict[str, Any]:
    """A row of the queue with the text's public id; what would spoil a blind or a planted task is for maintainers."""
    spoils = {} if visit.allows(Role.MAINTAINER) else {"blind": False, "gold": False}
    return {**row, **spoils, "public_id": str(public_ids(visit.home).of(uuid.UUID(row["text_id"])))}


def _chosen(visit: Visit, text: list[str] | None, only: str) -> list[uuid.UUID]:
    chosen = own_ids(visit.home, [only] if only else text or [])
    if not chosen:
        raise UsageError(visit.say("Choose at least one text."))
    return chosen


def _number(visit: Visit, value: str, name: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise UsageError(visit.say("%(name)s: %(value)s is not a number.", name=name, value=value[:30])) from None


def _whole(visit: Visit, value: str, name: str) -> int:
    number = _number(visit, value, name)
    if number != int(number):
        raise UsageError(visit.say("%(name)s: %(value)s is not a whole number.", name=name, value=value[:30]))
    return int(number)


def _address(given: dict[str, Any], start: int, path: str = "/queue") -> str:
    return f"{path}?{urlencode({**{k: v for k, v in given.items() if v}, 'start': max(0, start)})}"
