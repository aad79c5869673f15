"""An HTTP client with the rules of this project: the SDK of Label Studio sends through it, and so do our own calls.

Repeating and refusing are decided here and nowhere else. An answer that is no success never gets back to the SDK, so
that neither its own repeating nor its reading of errors comes into play.
"""

from __future__ import annotations

import logging
import os
import ssl
import time
from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

import httpx
import orjson
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from pipeline.errors import (
    LabelStudioConflict,
    LabelStudioError,
    LabelStudioMissing,
    LabelStudioRefused,
    LabelStudioUnavailable,
    UncertainOutcome,
    first_line,
)
from pipeline.retry_after import retry_after, wait_before
from sync.api.tokens import Tokens

log = logging.getLogger(__name__)

#: what may be done twice
_REPEATABLE = frozenset({"GET", "PATCH", "DELETE"})
#: tries of a request that may be repeated
_TRIES = 4
#: seconds: the first wait, doubled with each try, and the longest
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
#: seconds that connecting may take
_CONNECT = 10.0
_RENEWAL = "/api/token/refresh/"


class _Passing(LabelStudioUnavailable):
    """It may work in a moment."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class _NotSent(_Passing):
    """It may work in a moment, and the request itself never went out."""


class CarefulClient(httpx.Client):
    """A client of one Label Studio server, for one account. Not for several threads at once.

    Args:
        url: base address without a slash at its end; a path in it is kept.
        api_key: a personal access token or a legacy token.
        timeout: seconds that an answer may take.
        sleep: waits between tries.

    Every request raises LabelStudioUnavailable (no answer, or none that can be read), LabelStudioRefused (the token, or
    what the account may do), LabelStudioMissing (404), or LabelStudioError (the request itself is wrong). A POST raises
    UncertainOutcome where it is not known whether it was carried out.
    """

    def __init__(self, url: str, api_key: str, *, timeout: float, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(timeout=timeout, headers={"Accept": "application/json"}, verify=_authorities())
        self._url = url
        self._tokens = Tokens(url, api_key)
        self._sleep = sleep
        #: the server's clock at its last answer
        self.server_time: datetime | None = None

    def build_request(self, method: str, url: httpx.URL | str, **rest: Any) -> httpx.Request:
        """A request, as httpx makes it; connecting has a limit of its own, however long the answer may take.

        Raises:
            LabelStudioUnavailable: the address is none.
        """
        try:
            request = super().build_request(method, url, **rest)
        except httpx.InvalidURL as error:
            raise LabelStudioUnavailable(
                f"{self._url} cannot be spoken to ({error}): check LABEL_STUDIO_URL"
            ) from error
        request.extensions["timeout"]["connect"] = _CONNECT
        return request

    def send(self, request: httpx.Request, **_: Any) -> httpx.Response:
        """Send a request, and again where that is safe and may help. The answer is a success, read to its end.

        Redirects are not followed, whatever is asked: the token would go along.
        """
        if request.method in _REPEATABLE:
            tries = Retrying(
                retry=retry_if_exception_type(_Passing),
                stop=stop_after_attempt(_TRIES),
                wait=_wait,
                sleep=self._sleep,
                reraise=True,
            )
            try:
                return tries(self._once, request)
            except LabelStudioMissing:
                if request.method != "DELETE":
                    raise
                # what is gone already counts as deleted
                return httpx.Response(httpx.codes.NO_CONTENT, request=request)
        try:
            return self._once(request)
        except _NotSent:
            raise
        except _Passing as error:
            if isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
                raise  # it never got there
            raise UncertainOutcome(f"{error}: it is not known whether it was done") from error

    def _once(self, request: httpx.Request) -> httpx.Response:
        answer = self._authorized(request)
        if answer.status_code == httpx.codes.UNAUTHORIZED and self._tokens.renewable:
            self._tokens.expire()
            answer = self._authorized(request)
        self._check(answer, self._name(request))
        if answer.content:
            try:
                orjson.loads(answer.content)
            except orjson.JSONDecodeError as error:
                raise _Passing(f"{self._url}: the answer to {self._name(request)} is not JSON") from error
        return answer

    def _authorized(self, request: httpx.Request) -> httpx.Response:
        # in place of the SDK's own, which holds no token
        request.headers["Authorization"] = self._authorization()
        return self._exchange(request)

    def _authorization(self) -> str:
        try:
            return self._tokens.header(self._renew)
        except _Passing as error:
            raise _NotSent(str(error), error.wait) from error
        except ValueError as error:
            raise _NotSent(f"{self._url}: the answer to a token renewal cannot be read") from error

    def _renew(self, body: bytes) -> bytes:
        json = {"Content-Type": "application/json"}
        request = self.build_request("POST", self._url + _RENEWAL, content=body, headers=json)
        answer = self._exchange(request)
        if answer.status_code == httpx.codes.NOT_FOUND:
            # not LabelStudioMissing, which says that what was asked for is gone
            raise LabelStudioUnavailable(f"{self._url}: {self._name(request)}: not there (404): check LABEL_STUDIO_URL")
        self._check(answer, self._name(request))
        return answer.content

    def _exchange(self, request: httpx.Request) -> httpx.Response:
        try:
            answer = super().send(request)
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise _Passing(
                f"{self._url} does not answer {self._name(request)} ({first_line(error)}); see `saring doctor`"
            ) from error
        date = answer.headers.get("Date")
        if date:
            try:
                self.server_time = parsedate_to_datetime(date)
            except ValueError:
                log.debug("the server's Date header cannot be read")
        return answer

    def _name(self, request: httpx.Request) -> str:
        """Method and path of a request, from the base address on."""
        return f"{request.method} {request.url.path.removeprefix(httpx.URL(self._url).path.rstrip('/'))}"

    def _check(self, answer: httpx.Response, what: str) -> None:
        status = answer.status_code
        if answer.is_success:
            return
        reason = _said(answer)
        if status in (401, 403):
            raise LabelStudioRefused(f"{self._url} refuses {what} ({status}: {reason}): check LABEL_STUDIO_API_KEY")
        if status == 404:
            raise LabelStudioMissing(f"{self._url}: {what}: not there (404)")
        if status == 409:
            raise LabelStudioConflict(f"{self._url}: {what}: there already (409: {reason})")
        if answer.is_redirect:
            raise LabelStudioError(
                f"{self._url} sends {what} on to {answer.headers.get('Location', '?')}: set LABEL_STUDIO_URL to that"
            )
        if status in (408, 429) or status >= 500:
            wait = retry_after(answer.headers.get("Retry-After"))
            raise _Passing(f"{self._url} answers {what} with {status} ({reason})", wait)
        raise LabelStudioError(f"{self._url} does not accept {what} ({status}: {reason})")


def _authorities() -> ssl.SSLContext:
    """The authorities that certificates are checked by, read once a process: a job makes a client each time."""
    return _read_authorities(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache(maxsize=4)
def _read_authorities(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    return httpx.create_ssl_context()


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    asked = error.wait if isinstance(error, _Passing) else None
    return wait_before(state.attempt_number, first=_FIRST_WAIT, longest=_LONGEST_WAIT, asked=asked)


def _said(answer: httpx.Response) -> str:
    """The server's words, shortened; bodies may hold texts, so only fields meant for people are shown."""
    try:
        body = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        return answer.reason_phrase or "no reason given"
    if not isinstance(body, dict):
        return answer.reason_phrase or "no reason given"
    wrong = body.get("validation_errors")
    reasons = (
        [body.get("detail"), *(f"{name}: {what}" for name, what in wrong.items())] if isinstance(wrong, dict) else []
    )
    reasons = reasons or [body.get("detail") or answer.reason_phrase or "no reason given"]
    return " ".join("; ".join(str(reason) for reason in reasons if reason).split())[:300]
