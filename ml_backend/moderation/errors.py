"""Errors of a request, in words and codes that each shape of answer can carry."""

from __future__ import annotations

from pipeline.errors import SaringError


class Refused(SaringError):
    """The request cannot be answered."""

    #: HTTP status
    status = 400
    #: OpenAI's type and code, and Google's status
    kind, code, google = "invalid_request_error", "invalid_request", "INVALID_ARGUMENT"

    def __init__(self, message: str, *, param: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(message)
        #: name of the field that is meant
        self.param = param
        #: whole seconds until the next try
        self.retry_after = retry_after


class BadRequest(Refused):
    """A field has a value that cannot be used."""


class Unprocessable(Refused):
    """The request can be read, and asks for more than is served."""

    status = 422


class NoToken(Refused):
    """There is no token, or it is not one of ours any more."""

    status, code, google = 401, "invalid_api_key", "UNAUTHENTICATED"


class UnknownModel(Refused):
    """There is no such model."""

    status, code, google = 404, "model_not_found", "NOT_FOUND"


class UnknownReport(Refused):
    """There is no such report."""

    status, code, google = 404, "report_not_found", "NOT_FOUND"


class TooLarge(Refused):
    """The request is too large."""

    status, code, google = 413, "request_too_large", "INVALID_ARGUMENT"


class TooFast(Refused):
    """There were too many requests with this token."""

    status, kind, code, google = 429, "rate_limit_error", "rate_limit_exceeded", "RESOURCE_EXHAUSTED"


class NotReady(Refused):
    """The endpoint cannot answer now."""

    status, kind, code, google = 503, "server_error", "not_ready", "UNAVAILABLE"
