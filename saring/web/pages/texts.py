"""The page /texts: one text with all that is known about it."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from fastapi import Form
from fastapi.responses import Response

from pipeline.errors import SaringError, UsageError
from pipeline.models.explain import Explained
from pipeline.review.history import History, Standing
from pipeline.store.tables.accounts import Role
from saring.accounts.people import all_accounts
from saring.actions import review
from saring.actions.erasing import Erasure, erase_texts, plan_erasure
from saring.actions.text_history import history, moving_words
from saring.web.review_view import say_rater
from saring.web.review_words import KINDS, say_reason, say_why
from saring.web.routing import Pages
from saring.web.visit import Visit
from saring.web.words import marked

pages = Pages("texts")
Reason = Annotated[str, Form(max_length=500)]
Ticked = Annotated[str, Form(max_length=5)]
#: how far a judgement counts, in words
STANDING = {
    Standing.COUNTS: marked("counts"),
    Standing.WITHDRAWN: marked("taken back"),
    Standing.REPLACED: marked("replaced by a later one"),
    Standing.EXCLUDED: marked("left out: its rater is excluded"),
}
#: words that are listed for and against a label
_LISTED = 8


@pages.get("/{public_id}", role=Role.VIEWER)
def index(visit: Visit, public_id: str) -> Response:
    """The whole history of a text."""
    try:
        text_id = review.own_id(visit.home, public_id)
    except UsageError as error:
        return visit.page("message.html", status=404, title=visit.say("No such text"), message=str(error))
    return visit.page("texts/index.html", **_whole(visit, text_id))


@pages.post("/{public_id}/erase", role=Role.OWNER, act="texts.erase")
def erase(
    visit: Visit, public_id: str, reason: Reason = "", near_duplicates: Ticked = "", sure: Ticked = ""
) -> Response:
    """Erase the words of a text permanently, for a person who asks for it."""
    try:
        text_id = review.own_id(visit.home, public_id)
    except UsageError as error:
        return visit.page("message.html", status=404, title=visit.say("No such text"), message=str(error))
    if not reason.strip():
        message = visit.say("Give a reason: it is stored with the decision.")
        return visit.wrong(message, "texts/index.html", **_whole(visit, text_id))
    if not sure:
        return visit.wrong(visit.say("Tick that you are sure."), "texts/index.html", **_whole(visit, text_id))
    plan = plan_erasure(visit.home, [public_id], with_near_duplicates=bool(near_duplicates))
    try:
        erased = erase_texts(visit.home, plan, why=reason)
    except SaringError as error:
        # the page says what is gone by now, and lets the rest be tried again
        return visit.wrong(str(error), "texts/index.html", status=503, **_whole(visit, text_id))
    visit.note(texts=erased.texts, tasks=erased.tasks)
    return visit.done(f"/texts/{public_id}", _left_to_do(visit, erased))


def _left_to_do(visit: Visit, erased: Erasure) -> str:
    """The words are erased, and what is left for people to do."""
    sentences = [visit.say("The words are erased.")]
    if erased.models:
        learnt = ", ".join(erased.models)
        sentences.append(visit.say("These models learnt from them, so train again: %(models)s", models=learnt))
    if erased.tasks_left:
        left = erased.tasks_left
        sentences.append(visit.say("Tasks that another Label Studio may still have: %(count)s", count=left))
    if erased.pages:
        files = ", ".join(erased.pages)
        sentences.append(
            visit.say(
                "These files quote them still or cannot be read, so make them again or remove them: %(files)s",
                files=files,
            )
        )
    return " ".join(sentences)


@pages.get("/{public_id}/words", role=Role.VIEWER)
def words(visit: Visit, public_id: str) -> Response:
    """The words that moved the champion's verdict; a part of the page where a script asks for it."""
    try:
        text_id = review.own_id(visit.home, public_id)
    except UsageError as error:
        return visit.page("message.html", status=404, title=visit.say("No such text"), message=str(error))
    explained = moving_words(visit.home, text_id)
    values: dict[str, Any] = {
        "public": str(review.public_id(visit.home, text_id)),
        "explained": explained,
        "verdicts": _verdicts(explained) if explained is not None else [],
    }
    if "hx-request" in visit.request.headers:
        return visit.fragment("texts/words.html", **values)
    return visit.page("texts/words_page.html", **values)


def _whole(visit: Visit, text_id: uuid.UUID) -> dict[str, Any]:
    """The values of the page of a text."""
    known = history(visit.home, text_id)
    public = str(review.public_id(visit.home, text_id))
    return {
        "public": public,
        "duplicate_of": _original(visit, known),
        "history": known,
        "raters": {entry.judgement: say_rater(visit, entry.rater, _names(visit, known)) for entry in known.said},
        "standing": STANDING,
        "kinds": KINDS,
        "why": lambda reason: say_why(visit, reason),
        "reason": lambda given: say_reason(visit, given),
        "plan": plan_erasure(visit.home, [public]) if visit.allows(Role.OWNER) else None,
    }


def _verdicts(explained: Explained) -> list[tuple[str, float, list[tuple[str, float]], list[tuple[str, float]]]]:
    """For each label, the likeliest first: its probability, and the words that speak most for it and against it."""
    verdicts = []
    for column in explained.probabilities.argsort()[::-1].tolist():
        parts = explained.parts[:, column]
        order = parts.argsort(kind="stable").tolist()
        against = [(explained.words[i], float(parts[i])) for i in order[:_LISTED] if parts[i] < 0]
        speaking = [(explained.words[i], float(parts[i])) for i in order[::-1][:_LISTED] if parts[i] > 0]
        label, probability = explained.labels[column], float(explained.probabilities[column])
        verdicts.append((label, probability, speaking, against))
    return verdicts


def _names(visit: Visit, known: History) -> dict[str, str]:
    """Names of the accounts of reviewers, by id, where the text was settled."""
    if not any(entry.rater.adjudicates for entry in known.said):
        return {}
    with visit.home.begin() as session:
        return {str(person.id): person.name for person in all_accounts(session)}


def _original(visit: Visit, known: History) -> str | None:
    return str(review.public_id(visit.home, known.duplicate_of)) if known.duplicate_of is not None else None
