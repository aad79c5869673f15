"""The page /guidelines: the taxonomy as annotators see it, its versions, and which judgements were made under which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any

from fastapi import HTTPException, Query
from fastapi.responses import Response

from pipeline.errors import TaxonomyError
from pipeline.store.tables.accounts import Role
from pipeline.taxonomy import Taxonomy
from saring.actions import guidelines
from saring.actions.guidelines import Version
from saring.web.routing import Pages
from saring.web.visit import Visit, Visitor
from saring.web.words import marked

pages = Pages("guidelines")

NAME = "guidelines.judgements"
#: kinds of raters, as they are shown
KINDS: Mapping[str, str] = {
    "human": marked("person"),
    "external": marked("data set"),
    "llm": marked("language model"),
    "classifier": marked("classifier"),
    "pseudo": marked("pseudo"),
    "rule": marked("rule"),
    "bootstrap": marked("bootstrap rater"),
    "report": marked("application"),
}
#: fields of labels, as they are shown
FIELDS: Mapping[str, str] = {
    "name": marked("name"),
    "definition": marked("definition"),
    "why": marked("why it is no example"),
    "exemplars": marked("exemplars"),
    "near_misses": marked("near-misses"),
    "excludes": marked("never together with"),
    "aliases": marked("other names"),
    "sentiment": marked("sentiment"),
    "benign": marked("not harmful"),
    "colour": marked("colour"),
    "hotkey": marked("hotkey"),
}


@pages.get(role=Role.VIEWER)
def index(visit: Visit) -> Response:
    """The guidelines in force, and all versions."""
    return visit.page("guidelines/index.html", **_shown(visit, visit.home.taxonomy))


@pages.get("/{version}", role=Role.VIEWER)
def one(visit: Visit, version: str, before: Annotated[str | None, Query(max_length=80)] = None) -> Response:
    """One version, with its differences from another one: the one before it, if none is named."""
    known = _known(visit)
    counted = {entry["version"] for entry in known["uses"]}
    try:
        shown = guidelines.taxonomy_of(visit.home, version)
    except TaxonomyError:
        if version not in counted:
            raise HTTPException(404) from None
        shown = None
    other = before or guidelines.previous(known["versions"], version)
    change = None
    if shown is not None and other is not None:
        change = guidelines.taxonomy_change(visit.home, other, version)
    use = next((entry for entry in known["uses"] if entry["version"] == version), None)
    return visit.page(
        "guidelines/version.html",
        **known,
        version=version,
        shown=shown,
        is_current=version == visit.home.taxonomy.version,
        use=use,
        before=other,
        change=change,
        fields=FIELDS,
        kinds=KINDS,
    )


def _shown(visit: Visitor, taxonomy: Taxonomy) -> dict[str, Any]:
    return {"shown": taxonomy, **_known(visit)}


def _known(visit: Visitor) -> dict[str, Any]:
    """The versions, and the judgements under each."""
    versions = guidelines.taxonomy_versions(visit.home)
    figure = visit.figure(NAME, guidelines.judgements_by_version, timedelta(minutes=30), wait=0.15)
    uses = figure.value["versions"] if figure.value else []
    return {"versions": versions, "figure": figure, "name": NAME, "uses": uses, "rows": _rows(versions, uses)}


def _rows(versions: Sequence[Version], uses: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """All versions that are kept or were judged under, in the order of their use."""
    counts = {entry["version"]: entry for entry in uses}
    kept = {version.version: version for version in versions}
    return [
        {
            "version": version,
            "current": version in kept and kept[version].current,
            "kept": version in kept,
            "first": kept[version].first_seen if version in kept else counts[version]["first"],
            "last": counts[version]["last"] if version in counts else None,
            "judgements": counts[version]["judgements"] if version in counts else 0,
        }
        for version in dict.fromkeys([*kept, *counts])
    ]
