"""The page /models: the registry, figures of each model, comparisons, and changes of champion."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from fastapi import Form, HTTPException, Query
from fastapi.responses import FileResponse, Response

from pipeline.errors import InputError
from pipeline.learning.gate.report import PAGE
from pipeline.models.purposes import shown_purpose
from pipeline.store.tables.accounts import Role
from saring.actions import registry
from saring.actions.probes import run_probes
from saring.actions.registry import RegisteredModel
from saring.actions.shadow import shadow_reports, shadow_since
from saring.home import Home
from saring.web import model_charts
from saring.web.headers import REPORT_POLICY
from saring.web.routing import Pages
from saring.web.visit import Visit, Visitor
from saring.web.words import marked

pages = Pages("models")

#: states of models, as they are shown
STATES = (marked("champion"), marked("candidate"), marked("retired"), marked("rejected"))
#: purposes of models, as they are shown; those of pseudo-labels name their label
PURPOSES = (marked("labels"), marked("sentiment"))
#: examples on one page
FLIPS = 20
#: models in the list, and models to compare one with: the newest
_MOST, _OTHERS = 300, 30
#: figures of a model change when the test set grows, which takes days
_AGE = timedelta(hours=6)
Reason = Annotated[str, Form(max_length=500)]


@pages.get(role=Role.VIEWER)
def index(visit: Visit) -> Response:
    """The registered models."""
    return visit.page("models/index.html", **_listed(visit))


@pages.post("/roll-back", role=Role.MAINTAINER, act="models.rollback")
def roll_back(visit: Visit, purpose: Annotated[str, Form(max_length=80)], reason: Reason = "") -> Response:
    """Make the champion before the current one the champion again."""
    if not reason.strip():
        return visit.wrong(
            visit.say("Give a reason: it is stored with the model."), "models/index.html", **_listed(visit)
        )
    promotion = registry.rollback(visit.home, purpose, reason=_signed(visit, reason))
    visit.note(champion=promotion.champion, retired=promotion.retired)
    return visit.done("/models", visit.say("%(model)s is the champion again.", model=promotion.champion))


@pages.get("/{version}", role=Role.VIEWER)
def model(
    visit: Visit,
    version: str,
    label: Annotated[str | None, Query(max_length=200)] = None,
    turned: Annotated[str, Query(pattern="^(wrong|right|all)$")] = "all",
    start: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> Response:
    """One model: its state, the gate's verdict, curves, slices and probes."""
    return visit.page("models/model.html", **_one(visit, version, label=label, turned=turned, start=start))


@pages.post("/{version}/promote", role=Role.MAINTAINER, act="models.promote")
def promote(visit: Visit, version: str, reason: Reason = "") -> Response:
    """Make a model the champion."""
    if not reason.strip():
        message = visit.say("Give a reason: it is stored with the model.")
        return visit.wrong(message, "models/model.html", **_one(visit, version))
    promotion = registry.promote(visit.home, version, reason=_signed(visit, reason))
    visit.note(champion=promotion.champion, retired=promotion.retired)
    return visit.done(f"/models/{version}", visit.say("%(model)s is the champion now.", model=promotion.champion))


@pages.get("/{version}/gate", role=Role.VIEWER)
def gate(visit: Visit, version: str) -> Response:
    """The gate's own report. What a text in it contains can do nothing to this site: the report is in a sandbox."""
    page = Path(_find(visit, version).path) / PAGE
    if not page.is_file():
        raise HTTPException(404)
    headers = {"Content-Security-Policy": REPORT_POLICY, "Cache-Control": "no-store"}
    return FileResponse(page, media_type="text/html", headers=headers)


@pages.get("/{version}/against/{other}", role=Role.VIEWER)
def against(
    visit: Visit,
    version: str,
    other: str,
    turned: Annotated[str, Query(pattern="^(wrong|right|all)$")] = "all",
    start: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> Response:
    """A model compared with another one on the same texts, by the rules of the gate."""
    challenger, champion = _find(visit, version), _find(visit, other)
    name = f"models.compare.{champion.version}.{challenger.version}"
    figure = visit.figure(name, lambda home: _compared(home, champion.version, challenger.version), _AGE, wait=0.15)
    report = figure.value
    return visit.page(
        "models/against.html",
        model=challenger,
        other=champion,
        figure=figure,
        name=name,
        report=report,
        flips=_flips(report, turned, start) if report else None,
        base=f"/models/{version}/against/{other}",
    )


def _listed(visit: Visitor) -> dict[str, Any]:
    models = registry.list_models(visit.home, limit=_MOST)
    purposes: dict[str, list[RegisteredModel]] = {}
    for registered in models:
        purposes.setdefault(registered.purpose, []).append(registered)
    return {"purposes": purposes, "shown_purpose": shown_purpose}


def _one(
    visit: Visitor, version: str, *, label: str | None = None, turned: str = "all", start: int = 0
) -> dict[str, Any]:
    model = _find(visit, version)
    names = {kind: f"models.{kind}.{version}" for kind in ("figures", "probes", "pairs", "stream")}
    figures = visit.figure(names["figures"], lambda home: registry.model_figures(home, version), _AGE, wait=0.15)
    labels = list(figures.value["curves"]) if figures.value else []
    chosen = label if label in labels else labels[0] if labels else None
    report, since = registry.gate_report(model), shadow_since(visit.home)
    about_labels = model.purpose == "sfw"
    return {
        "model": model,
        "purpose": shown_purpose(model.purpose),
        "names": names,
        "figures": figures,
        "probes": visit.figure(names["probes"], lambda home: registry.probe_model(home, version), _AGE)
        if about_labels
        else None,
        "pairs": visit.figure(names["pairs"], lambda home: run_probes(home, version), _AGE) if about_labels else None,
        "language": "ms" if visit.language == "ms" else "en",
        "stream": visit.figure(names["stream"], lambda home: _stream(home, version), _AGE) if about_labels else None,
        "labels": labels,
        "label": chosen,
        "curve": model_charts.precision_recall(visit, chosen, figures.value) if chosen else None,
        "reliability": model_charts.reliability(visit, chosen, figures.value) if chosen else None,
        "report": report,
        "shadow": shadow_reports(visit.home, version),
        "in_shadow": since[1] if since is not None and since[0] == version else None,
        "has_page": (Path(model.path) / PAGE).is_file(),
        "flips": _flips(report, turned, start) if report else None,
        "base": f"/models/{version}",
        "others": [
            other
            for other in registry.list_models(visit.home, model.purpose, limit=_OTHERS)
            if other.version != version and set(other.labels) & set(model.labels)
        ],
    }


def _find(visit: Visitor, version: str) -> RegisteredModel:
    known = registry.find_registered(visit.home, version)
    if known is None:
        raise HTTPException(404)
    return known


def _flips(report: dict[str, Any], turned: str, start: int) -> dict[str, Any]:
    """The examples that flipped, some of them at a time; those that turned wrong come first."""
    wanted = [flip for flip in report["flips"] if turned == "all" or flip["right"] == (turned == "right")]
    shown = [flip | {"harsh": report.get("harmful", True)} for flip in wanted[start : start + FLIPS]]
    return {
        "turned": turned,
        "all": len(report["flips"]),
        "right": sum(flip["right"] for flip in report["flips"]),
        "count": len(wanted),
        "shown": shown,
        "start": start,
        "before": max(0, start - FLIPS) if start else None,
        "after": start + FLIPS if start + FLIPS < len(wanted) else None,
    }


def _stream(home: Home, version: str) -> dict[str, Any]:
    """Figures on the stream; without metrics if there are no answers yet, which is no fault."""
    try:
        return registry.stream_figures(home, version)
    except InputError:
        return {"model": version, "metrics": None}


def _compared(home: Home, champion: str, challenger: str) -> dict[str, Any]:
    from datetime import UTC, datetime

    return registry.compare_models(home, champion, challenger).to_dict(datetime.now(UTC))


def _signed(visit: Visitor, reason: str) -> str:
    """The reason as the registry keeps it: with the name of who gave it."""
    return f"{reason.strip()} ({visit.account.name})"
