"""The pages' routes. Each names the least role that may ask for it; a route without a role cannot be made."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from fastapi.sse import EventSourceResponse

from pipeline.store.tables.accounts import Role
from saring.web.guard import require
from saring.web.visit import Visitor

Handler = TypeVar("Handler", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of the table of routes and roles."""

    method: str
    #: with the names of its parameters in braces
    path: str
    #: the least role that may ask; None: everybody may
    role: Role | None
    #: name of the act in the audit log; None: nothing is changed
    act: str | None = None


class Pages:
    """The routes of one page.

    Args:
        name: first part of all paths; empty: they have none.
    """

    def __init__(self, name: str) -> None:
        self._prefix = f"/{name}" if name else ""
        self.router = APIRouter(prefix=self._prefix, include_in_schema=False)
        self.rules: list[Rule] = []

    def get(self, path: str = "", *, role: Role | None) -> Callable[[Handler], Handler]:
        """Add a page, which changes nothing.

        Args:
            path: after the prefix.
            role: the least role that may see it; None: everybody, signed in or not.
        """
        self.rules.append(Rule("GET", self._prefix + path, role))
        needed = [Depends(require(role))] if role is not None else []
        return self.router.get(path, dependencies=needed, response_model=None)

    def events(self, path: str, *, role: Role) -> Callable[[Handler], Handler]:
        """Add a stream of events, from an asynchronous generator of `ServerSentEvent`.

        Args:
            path: after the prefix.
            role: the least role that may follow it.
        """
        self.rules.append(Rule("GET", self._prefix + path, role))
        needed = [Depends(require(role))]
        return self.router.get(path, dependencies=needed, response_model=None, response_class=EventSourceResponse)

    def post(self, path: str = "", *, role: Role, act: str, private: bool = False) -> Callable[[Handler], Handler]:
        """Add an act: a form that is sent.

        The request comes from a page of ours (CSRF token and origin), from an account with that role. A form that is
        sent twice is carried out once. The act is in the audit log before it is carried out.

        Args:
            path: after the prefix.
            role: the least role that may do it.
            act: its name in the audit log.
            private: True: what was sent is not in the audit log; nobody may know whose words they are.
        """
        self.rules.append(Rule("POST", self._prefix + path, role, act))

        def decorate(handler: Handler) -> Handler:
            if inspect.iscoroutinefunction(handler):
                raise TypeError(f"{handler.__name__} is a coroutine: acts are plain functions, which run in threads")

            @wraps(handler)
            def carried_out(**values: Any) -> Response:
                visit = next(value for value in values.values() if isinstance(value, Visitor))
                return visit.carry_out(act, lambda: handler(**values), private=private)

            self.router.post(path, dependencies=[Depends(require(role))], response_model=None)(carried_out)
            return handler

        return decorate

    def open_post(self, path: str) -> Callable[[Handler], Handler]:
        """Add a form that everybody may send, signed in or not: to sign in and out. It checks the origin itself."""
        self.rules.append(Rule("POST", self._prefix + path, None))
        return self.router.post(path, response_model=None)


def table(pages: Sequence[Pages]) -> list[Rule]:
    """All routes with their roles, in order of path."""
    return sorted((rule for page in pages for rule in page.rules), key=lambda rule: (rule.path, rule.method))
