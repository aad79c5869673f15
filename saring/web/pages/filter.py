"""The filters: the cut of each label, what another cut would change, and the review sample of what was rejected."""

from __future__ import annotations

import math
import uuid
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Form
from fastapi.responses import Response

from pipeline.errors import UsageError
from pipeline.filters.histogram import coarser
from pipeline.filters.names import RANGES, stage_of
from pipeline.filters.review_sample import Answer, Standing
from pipeline.judgement import RaterKind, RaterRef
from pipeline.store.tables.accounts import Role
from saring.actions.filter_cuts import at_cut, cut_history, filtered_label, filtered_labels, set_cut
from saring.actions.filter_review import answer_sample, filter_precision, sample_page, undo_sample
from saring.home import Home
from saring.web.routing import Pages
from saring.web.visit import Visit, Visitor
from saring.web.words import marked

pages = Pages("filter")

#: bars of the histogram's picture, and rows of the table beside it
_BARS, _ROWS = 100, 20
_PRECISION = "filter.precision"
#: what a text of the sample is by now, in words
_STANDINGS = {
    Standing.RIGHTLY: marked("rightly rejected"),
    Standing.WRONGLY: marked("wrongly rejected"),
    Standing.DISPUTED: marked("disputed"),
    Standing.UNSURE: marked("nobody could say"),
    Standing.OPEN: marked("not answered yet"),
}


@pages.get(role=Role.VIEWER)
def index(visit: Visit) -> Response:
    """Every label with its cut, its counts and the filter's precision."""
    return visit.page(
        "filter/index.html",
        labels=filtered_labels(visit.home),
        precision=visit.figure(_PRECISION, _precisions, timedelta(minutes=2), wait=0.15),
        address=label_address,
    )


@pages.get("/{label:path}/beside", role=Role.VIEWER)
def beside(visit: Visit, label: str, filter: str = "centroid", cut: str = "") -> Response:
    """The counts at a cut and the texts next to it, as a part of the label's page."""
    return visit.fragment("filter/beside.html", at=at_cut(visit.home, label, _number(visit, cut), filter), name=filter)


@pages.get("/{label:path}/sample", role=Role.REVIEWER)
def sample(visit: Visit, label: str, filter: str = "centroid", text: uuid.UUID | None = None) -> Response:
    """The next text of the review sample."""
    shown = sample_page(visit.home, label, _rater(visit), filter, text_id=text)
    return visit.page("filter/sample.html", shown=shown, address=label_address)


@pages.post("/{label:path}/sample", role=Role.REVIEWER, act="filter.answer")
def answer(
    visit: Visit,
    label: str,
    text: Annotated[uuid.UUID, Form()],
    answer: Annotated[Answer, Form()],
    filter: Annotated[str, Form()] = "centroid",
) -> Response:
    """Record a reviewer's answer, and go to the next text."""
    answered = answer_sample(visit.home, label, text, answer, _rater(visit), filter)
    visit.note(text=str(text), standing=answered.now)
    message = ""
    if answered.before is not None:
        message = visit.say(
            "Others answered this text before you: %(before)s. Your answer counts too; now it is %(now)s.",
            before=visit.say(_STANDINGS[answered.before]),
            now=visit.say(_STANDINGS[answered.now]),
        )
    return visit.done(label_address(label, filter, "sample"), message)


@pages.post("/{label:path}/undo", role=Role.REVIEWER, act="filter.undo")
def undo(visit: Visit, label: str, filter: Annotated[str, Form()] = "centroid") -> Response:
    """Withdraw the reviewer's last answer, and show its text again."""
    text_id = undo_sample(visit.home, label, _rater(visit), filter)
    visit.note(text=str(text_id))
    shown = sample_page(visit.home, label, _rater(visit), filter)
    # A text that the filter keeps by now is not shown again.
    again = f"&text={text_id}" if shown.text is not None else ""
    return visit.done(
        label_address(label, filter, "sample") + again, visit.say("Your last answer is taken back. Answer it again.")
    )


@pages.post("/{label:path}/cut", role=Role.MAINTAINER, act="filter.cut")
def save(
    visit: Visit,
    label: str,
    cut: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
    filter: Annotated[str, Form()] = "centroid",
) -> Response:
    """Save the cut of a label."""
    try:
        saved = set_cut(visit.home, label, _number(visit, cut), reason=reason, who=visit.account.name, name=filter)
    except UsageError as error:
        return _label_page(visit, label, filter, cut, problem=str(error), reason=reason)
    visit.note(cut_id=saved.id)
    return visit.done(
        label_address(label, filter), visit.say("The cut is saved. The next run of the filter decides by it.")
    )


@pages.post("/{label:path}/computed", role=Role.MAINTAINER, act="filter.computed")
def computed(
    visit: Visit,
    label: str,
    reason: Annotated[str, Form()] = "",
    filter: Annotated[str, Form()] = "centroid",
) -> Response:
    """Take the cut of a label back."""
    try:
        set_cut(visit.home, label, None, reason=reason, who=visit.account.name, name=filter)
    except UsageError as error:
        return _label_page(visit, label, filter, "", problem=str(error), taken_back=reason)
    return visit.done(label_address(label, filter), visit.say("The next run of the filter computes the cut again."))


@pages.get("/{label:path}", role=Role.VIEWER)
def one_label(visit: Visit, label: str, filter: str = "centroid", cut: str = "") -> Response:
    """The histogram of a label, with a cut that can be moved."""
    return _label_page(visit, label, filter, cut)


def label_address(label: str, name: str = "centroid", part: str = "") -> str:
    """The address of a label's page, or of a part of it."""
    return f"/filter/{quote(label)}{'/' + part if part else ''}?filter={name}"


def _label_page(
    visit: Visitor,
    label: str,
    name: str,
    cut: str,
    *,
    problem: str | None = None,
    reason: str = "",
    taken_back: str = "",
) -> Response:
    """The page of a label, with what was typed where something is wrong with it."""
    home = visit.home
    filtered = filtered_label(home, label, name)
    summary = filtered.summary
    low, high = RANGES[stage_of(name)]
    try:
        chosen = _number(visit, cut) if cut else None
    except UsageError as error:
        chosen, problem = None, problem or str(error)
    if chosen is None:
        in_force = filtered.saved.cut if filtered.saved is not None and filtered.fits else None
        last = summary.cut if summary is not None else None
        chosen = in_force if in_force is not None else last if last is not None else low
    precision = visit.figure(_PRECISION, _precisions, timedelta(minutes=2), wait=0.15)
    rows = [row for row in precision.value or () if (row["filter"], row["label"]) == (name, filtered.label)]
    return visit.page(
        "filter/label.html",
        status=422 if problem else 200,
        problem=problem,
        found=filtered,
        summary=summary,
        name=name,
        others=[other.filter for other in filtered_labels(home) if other.label == filtered.label],
        at=at_cut(home, filtered.label, chosen, name),
        bars=coarser(summary.histogram, _BARS) if summary is not None else (),
        rows=coarser(summary.histogram, _ROWS) if summary is not None else (),
        typed=cut or f"{chosen:.6g}",
        reason=reason,
        taken_back=taken_back,
        range=(low, high),
        precision=rows[0] if rows else None,
        history=cut_history(home, filtered.label, name),
        address=label_address,
    )


def _precisions(home: Home) -> list[dict[str, Any]]:
    """The precision of each filter and label, as plain values."""
    return [
        {
            "filter": name,
            "label": label,
            "sampled": precision.sampled,
            "answered": precision.answered,
            "open": precision.open,
            "share": asdict(precision.share) if precision.share is not None else None,
        }
        for (name, label), precision in filter_precision(home).items()
    ]


def _rater(visit: Visitor) -> RaterRef:
    """The person's rater in the ledger."""
    return RaterRef(RaterKind.HUMAN, "saring", str(visit.account.id))


def _number(visit: Visitor, typed: str) -> float:
    try:
        # Many write a comma before the digits.
        number = float(typed.strip().replace(",", "."))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(visit.say("The cut is not a number: write it with digits, for example 0.41."))
    return number
