"""The page /api: the operations of the moderation endpoint, from its OpenAPI document."""

from __future__ import annotations

from typing import Any

from fastapi.responses import JSONResponse, Response

from ml_backend.moderation.config import ModerationLimits
from ml_backend.moderation.openapi import document
from pipeline.store.tables.accounts import Role
from saring.web.api_view import operations
from saring.web.routing import Pages
from saring.web.visit import Visit, Visitor

pages = Pages("api")


@pages.get(role=Role.VIEWER)
def index(visit: Visit) -> Response:
    """The operations of the moderation endpoint, for people to read."""
    described = _document(visit)
    return visit.page("api/index.html", operations=operations(described), server=described["servers"][0]["url"])


@pages.get("/openapi.json", role=Role.VIEWER)
def openapi(visit: Visit) -> Response:
    """The document itself, for programs."""
    return JSONResponse(_document(visit))


def _document(visit: Visitor) -> dict[str, Any]:
    labels = {label.key: label.definition.en for label in visit.home.taxonomy}
    return document(visit.web.public_url or str(visit.request.base_url), ModerationLimits(), labels)
