"""The page /drift: whether recent texts are still like earlier ones, and like those that the champion learnt from."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Query
from fastapi.responses import Response
from sqlalchemy import func, select

from pipeline import store
from pipeline.measure.plain import plain
from pipeline.store.session import open_session
from pipeline.store.tables.accounts import Role
from saring.actions.drift import drift
from saring.home import Home
from saring.web import drift_charts
from saring.web.routing import Pages
from saring.web.visit import Visit, Visitor

pages = Pages("drift")

NAME = "drift"


@pages.get(role=Role.VIEWER)
def index(visit: Visit, label: Annotated[str | None, Query(max_length=200)] = None) -> Response:
    """Alarms, the mix by week, and the texts that are most new."""
    figure = visit.figure(NAME, _measured, timedelta(hours=6), wait=0.15)
    report = figure.value
    labels = [shift["name"] for shift in report["labels"]] if report else []
    alarmed = [alarm["name"] for alarm in report["alarms"] if alarm["kind"] in ("label", "score")] if report else []
    chosen = label if label in labels else next(iter([*alarmed, *labels]), None)
    return visit.page(
        "drift/index.html",
        figure=figure,
        name=NAME,
        report=report,
        labels=labels,
        label=chosen,
        alarms=[drift_charts.alarm_words(visit, alarm) for alarm in report["alarms"]] if report else [],
        mix=drift_charts.languages(visit, report["weeks"]) if report else None,
        course=drift_charts.label_course(visit, report["weeks"], chosen) if report and chosen else None,
        newest=_texts(visit, report) if report else [],
    )


def _measured(home: Home) -> Any:
    return plain(drift(home))


def _texts(visit: Visitor, report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The texts that are most new, with what the champion gives them. A text of no model counts as harsh."""
    ids = [uuid.UUID(new["id"]) for new in report["newest"]]
    t = store.Text
    with open_session(visit.home.engine) as session:
        masked = {row.id: row.masked for row in session.execute(select(t.id, t.masked).where(t.id == func.any(ids)))}
    harmful = set(visit.home.taxonomy.harmful)
    return [
        {
            "id": new["id"],
            "text": masked[text_id],
            "harsh": bool(harmful) if new["labels"] is None else bool(harmful & set(new["labels"])),
            "labels": new["labels"] or [],
            "probability": new["probability"],
        }
        for text_id, new in zip(ids, report["newest"], strict=True)
        if text_id in masked
    ]
