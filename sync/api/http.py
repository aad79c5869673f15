"""Requests to a Label Studio server: tokens, errors with a name, and repeating only what can safely be asked twice."""

from __future__ import annotations

import base64
import binascii
import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

import httpx
import orjson
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from pipeline.errors import (
    LabelStudioError,
    LabelStudioMissing,
    LabelStudioRefused,
    LabelStudioUnavailable,
    UncertainOutcome,
)

log = logging.getLogger(__name__)

Query = Mapping[str, Any]

#: tries of a request that may be repeated
_TRIES = 4
_LONGEST_WAIT = 30.0
#: what tokens are made of: printable, without blanks
_WORD = re.compile(r"[!-~]+")
#: an access token lives 300 s
_RENEW_BEFORE = 60.0


class _Passing(LabelStudioUnavailable):
    """It may work in a moment."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class _NotSent(_Passing):
    """It may work in a moment, and the request itself never went out."""


class Connection:
    """One Label Studio server, spoken to for one account. Not for several threads at once.

    Args:
        url: base address; a path in it is kept.
        api_key: a personal access token or a legacy token.
        timeout: seconds that an answer may take; imports may take ten times as long.
        sleep: waits between tries.

    Every method raises LabelStudioUnavailable (no answer, or none that can be read), LabelStudioRefused (the token, or
    what the account may do), LabelStudioMissing (404), or LabelStudioError (the request itself is wrong). Requests that
    create something raise UncertainOutcome where it is not known whether they did.
    """

    def __init__(
        self, url: str, api_key: str, *, timeout: float = 60.0, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.url = url.rstrip("/")
        self._key = api_key.strip()
        self._refreshes = _is_jwt(self._key)
        self._access, self._access_until = "", 0.0
        self._timeout = timeout
        self._sleep = sleep
        #: the server's clock at its last answer
        self.server_time: datetime | None = None
        self._http = httpx.Client(timeout=httpx.Timeout(timeout, connect=10.0), headers={"Accept": "application/json"})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # requests

    def get(self, path: str, *, params: Query | None = None, timeout: float | None = None) -> Any:
        """GET `path` (from the base address on) and decode the answer; tried again when that may help."""
        return self._repeatable("GET", path, params=params, timeout=timeout)

    def patch(self, path: str, *, json: Any, timeout: float | None = None) -> Any:
        """PATCH; tried again when that may help."""
        return self._repeatable("PATCH", path, json=json, timeout=timeout)

    def delete(self, path: str, *, json: Any = None, timeout: float | None = None) -> Any:
        """DELETE; tried again when that may help. What is gone already counts as deleted."""
        try:
            return self._repeatable("DELETE", path, json=json, timeout=timeout)
        except LabelStudioMissing:
            return None

    def post(self, path: str, *, json: Any, params: Query | None = None, timeout: float | None = None) -> Any:
        """POST, once.

        Raises:
            UncertainOutcome: the request went out and no verdict came back.
        """
        try:
            return self._send("POST", path, params=params, json=json, timeout=timeout)
        except _NotSent:
            raise
        except _Passing as error:
            if isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
                raise  # it never got there
            raise UncertainOutcome(f"{error}: it is not known whether it was done") from error

    # one request

    def _repeatable(self, method: str, path: str, **rest: Any) -> Any:
        tries = Retrying(
            retry=retry_if_exception_type(_Passing),
            stop=stop_after_attempt(_TRIES),
            wait=_wait,
            sleep=self._sleep,
            reraise=True,
        )
        return tries(self._send, method, path, **rest)

    def _send(
        self, method: str, path: str, *, params: Query | None = None, json: Any = None, timeout: float | None = None
    ) -> Any:
        answer = self._answer(method, path, params, json, timeout)
        if answer.status_code == httpx.codes.UNAUTHORIZED and self._refreshes:
            self._access_until = 0.0
            answer = self._answer(method, path, params, json, timeout)
        self._check(answer, f"{method} {path}")
        if not answer.content:
            return None
        try:
            return orjson.loads(answer.content)
        except orjson.JSONDecodeError as error:
            raise _Passing(f"{self.url}: the answer to {method} {path} is not JSON") from error

    def _answer(self, method: str, path: str, params: Query | None, body: Any, timeout: float | None) -> httpx.Response:
        headers = {"Authorization": self._authorization()}
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = orjson.dumps(body, default=str)
        return self._exchange(method, path, headers, content, params, timeout)

    def _exchange(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        content: bytes | None,
        params: Query | None = None,
        timeout: float | None = None,
    ) -> httpx.Response:
        limit = httpx.USE_CLIENT_DEFAULT if timeout is None else httpx.Timeout(timeout, connect=10.0)
        try:
            answer = self._http.request(
                method, self.url + path, params=params, content=content, headers=headers, timeout=limit
            )
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise _Passing(
                f"{self.url} does not answer {method} {path} ({_reason(error)}); see `saring doctor`"
            ) from error
        except httpx.InvalidURL as error:
            raise LabelStudioUnavailable(f"{self.url} cannot be spoken to ({error}): check LABEL_STUDIO_URL") from error
        date = answer.headers.get("Date")
        if date:
            try:
                self.server_time = parsedate_to_datetime(date)
            except ValueError:
                log.debug("the server's Date header cannot be read")
        return answer

    def _authorization(self) -> str:
        if not self._refreshes:
            # what cannot be sent would be quoted by the error about it
            if not _WORD.fullmatch(self._key):
                raise LabelStudioRefused(
                    f"the token for {self.url} is empty or has characters in it that no token has: "
                    "check LABEL_STUDIO_API_KEY"
                )
            return f"Token {self._key}"
        if time.monotonic() > self._access_until:
            try:
                self._renew()
            except _Passing as error:
                raise _NotSent(str(error), error.wait) from error
        return f"Bearer {self._access}"

    def _renew(self) -> None:
        what = "POST /api/token/refresh/"
        answer = self._exchange(
            "POST",
            "/api/token/refresh/",
            {"Content-Type": "application/json"},
            orjson.dumps({"refresh": self._key}),
        )
        if answer.status_code == httpx.codes.NOT_FOUND:
            # not LabelStudioMissing, which says that what was asked for is gone
            raise LabelStudioUnavailable(f"{self.url}: {what}: not there (404): check LABEL_STUDIO_URL")
        self._check(answer, what)
        try:
            self._access = str(orjson.loads(answer.content)["access"])
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise _Passing(f"{self.url}: the answer to a token renewal cannot be read") from error
        self._access_until = time.monotonic() + 300.0 - _RENEW_BEFORE

    def _check(self, answer: httpx.Response, what: str) -> None:
        status = answer.status_code
        if answer.is_success:
            return
        said = _said(answer)
        if status in (401, 403):
            raise LabelStudioRefused(f"{self.url} refuses {what} ({status}: {said}): check LABEL_STUDIO_API_KEY")
        if status == 404:
            raise LabelStudioMissing(f"{self.url}: {what}: not there (404)")
        if answer.is_redirect:
            raise LabelStudioError(
                f"{self.url} sends {what} on to {answer.headers.get('Location', '?')}: set LABEL_STUDIO_URL to that"
            )
        if status in (408, 429) or status >= 500:
            raise _Passing(f"{self.url} answers {what} with {status} ({said})", _retry_after(answer))
        raise LabelStudioError(f"{self.url} does not accept {what} ({status}: {said})")


def _is_jwt(key: str) -> bool:
    parts = key.split(".")
    if len(parts) != 3:
        return False
    try:
        return isinstance(json.loads(base64.urlsafe_b64decode(parts[0] + "=" * (-len(parts[0]) % 4))), dict)
    except (binascii.Error, ValueError):
        return False


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    asked = error.wait if isinstance(error, _Passing) else None
    return min(asked if asked is not None else 0.5 * 2.0 ** (state.attempt_number - 1), _LONGEST_WAIT)


def _retry_after(answer: httpx.Response) -> float | None:
    value = answer.headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)) / timedelta(seconds=1))
    except (TypeError, ValueError):
        return None


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0] or type(error).__name__


def _said(answer: httpx.Response) -> str:
    """What the server says, in a few words; bodies may hold texts, so only fields meant for people are shown."""
    try:
        found = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        return answer.reason_phrase or "no reason given"
    if not isinstance(found, dict):
        return answer.reason_phrase or "no reason given"
    wrong = found.get("validation_errors")
    said = (
        [found.get("detail"), *(f"{name}: {what}" for name, what in wrong.items())] if isinstance(wrong, dict) else []
    )
    said = said or [found.get("detail") or answer.reason_phrase or "no reason given"]
    return " ".join("; ".join(str(one) for one in said if one).split())[:300]
