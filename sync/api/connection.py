"""A connection to a Label Studio server: the parts of its SDK, and calls of our own, all through one careful client.

The SDK is imported with the first call that needs it.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, cast

import httpx
import orjson

from pipeline.errors import LabelStudioUnavailable, UncertainOutcome
from sync.api.http import CarefulClient

if TYPE_CHECKING:
    from label_studio_sdk.base_client import LabelStudioBase
    from label_studio_sdk.core.request_options import RequestOptions
    from label_studio_sdk.ml.client import MlClient
    from label_studio_sdk.projects.client import ProjectsClient
    from label_studio_sdk.tasks.client import TasksClient
    from label_studio_sdk.users.client import UsersClient
    from label_studio_sdk.versions.client import VersionsClient
    from label_studio_sdk.views.client import ViewsClient
    from label_studio_sdk.webhooks.client import WebhooksClient

Query = Mapping[str, Any]
P = ParamSpec("P")
T = TypeVar("T")

#: What the SDK takes for its token. Given none, it would send the LABEL_STUDIO_API_KEY that was set when it was
#: imported; what it makes of this one is replaced in every request.
_NO_TOKEN = "none"  # noqa: S105 - no secret


class _Unreadable(LabelStudioUnavailable):
    """A success that is reported in JSON of another shape."""


class Connection:
    """One Label Studio server, spoken to for one account. Not for several threads at once.

    Args:
        url: base address; a path in it is kept.
        api_key: a personal access token or a legacy token.
        timeout: seconds that an answer may take; imports may take ten times as long.
        sleep: waits between tries.

    Every method, and every call of a part of the SDK, raises LabelStudioUnavailable (no answer, or none that is
    JSON), LabelStudioRefused (the token, or what the account may do), LabelStudioMissing (404), or LabelStudioError
    (the request itself is wrong). Requests that create something raise UncertainOutcome where it is not known whether
    they did. To delete what is gone is no error.
    """

    def __init__(
        self, url: str, api_key: str, *, timeout: float = 60.0, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._http = CarefulClient(self.url, api_key, timeout=timeout, sleep=sleep)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def server_time(self) -> datetime | None:
        """The server's clock at its last answer."""
        return self._http.server_time

    # parts of the SDK, which gives them no types itself

    @property
    def tasks(self) -> TasksClient:
        """Single tasks; for lists of them there are `changed_tasks` and its neighbours."""
        return cast("TasksClient", self._sdk.tasks)

    @property
    def webhooks(self) -> WebhooksClient:
        """Webhooks."""
        return cast("WebhooksClient", self._sdk.webhooks)

    @property
    def ml(self) -> MlClient:
        """ML backends."""
        return cast("MlClient", self._sdk.ml)

    @property
    def views(self) -> ViewsClient:
        """Lists of tasks as people see them."""
        return cast("ViewsClient", self._sdk.views)

    @property
    def _projects(self) -> ProjectsClient:
        return cast("ProjectsClient", self._sdk.projects)

    @property
    def _users(self) -> UsersClient:
        return cast("UsersClient", self._sdk.users)

    @property
    def _versions(self) -> VersionsClient:
        return cast("VersionsClient", self._sdk.versions)

    @cached_property
    def _sdk(self) -> LabelStudioBase:
        # The base class of the SDK's `LabelStudio` has all of its calls and comes in 0.2 s. The class itself brings
        # pandas and makers of sample data along, for 0.7 s and 106 MB more in each worker.
        from label_studio_sdk.base_client import LabelStudioBase

        return LabelStudioBase(base_url=self.url, api_key=_NO_TOKEN, httpx_client=self._http, max_retries=0)

    @property
    def _patient(self) -> RequestOptions:
        return {"timeout": 10 * self._timeout}

    def _read(self, what: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make a call of the SDK, which fails in errors of Python where an answer is JSON of another shape."""
        from label_studio_sdk.core.api_error import ApiError

        # a field that it does not know is a mistake of ours, and no answer of the server's
        inspect.signature(call).bind(*args, **kwargs)
        try:
            return call(*args, **kwargs)
        except (ApiError, AttributeError, TypeError) as error:
            raise _Unreadable(f"{self.url}: what it says of {what} cannot be read") from error

    def _create(self, what: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make a call of the SDK that creates something.

        Raises:
            UncertainOutcome: no verdict came back, or none that can be read.
        """
        try:
            return self._read(what, call, *args, **kwargs)
        except _Unreadable as error:
            raise UncertainOutcome(f"{error}: it is not known whether it was done") from error

    # calls that the SDK has not, or not as they are needed

    def get(self, path: str, *, params: Query | None = None, timeout: float | None = None) -> Any:
        """GET `path` (from the base address on) and decode the answer; tried again when that may help."""
        return self._ask("GET", path, params=params, timeout=timeout)

    def patch(self, path: str, *, json: Any, timeout: float | None = None) -> Any:
        """PATCH; tried again when that may help."""
        return self._ask("PATCH", path, json=json, timeout=timeout)

    def delete(self, path: str, *, json: Any = None, timeout: float | None = None) -> Any:
        """DELETE; tried again when that may help. What is gone already counts as deleted."""
        return self._ask("DELETE", path, json=json, timeout=timeout)

    def post(self, path: str, *, json: Any, params: Query | None = None, timeout: float | None = None) -> Any:
        """POST, once.

        Raises:
            UncertainOutcome: the request went out and no verdict came back.
        """
        return self._ask("POST", path, params=params, json=json, timeout=timeout)

    def _ask(
        self, method: str, path: str, *, params: Query | None = None, json: Any = None, timeout: float | None = None
    ) -> Any:
        headers = {"Content-Type": "application/json"} if json is not None else {}
        answer = self._http.request(
            method,
            self.url + path,
            params=params,
            content=orjson.dumps(json, default=str) if json is not None else None,
            headers=headers,
            timeout=httpx.USE_CLIENT_DEFAULT if timeout is None else timeout,
        )
        return orjson.loads(answer.content) if answer.content else None
