"""All that the pages share in one process: the home, limits on requests, words, stored figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import Request

from pipeline.runs.feed import RunFeed
from saring.web.figures import Figures
from saring.web.limits import Limits
from saring.web.rendering import Renderer

if TYPE_CHECKING:
    from saring.home import Home


@dataclass(frozen=True, slots=True)
class WebState:
    """The shared parts, made once by `saring.web.app.create_web`."""

    home: Home
    limits: Limits
    renderer: Renderer
    figures: Figures
    #: changes of runs, for whoever follows them
    runs: RunFeed
    #: address under which people open the pages, if that is not the one that is listened on
    public_url: str | None = None

    @property
    def secure(self) -> bool:
        """True: people reach the pages over https only."""
        return self.public_url is not None and self.public_url.startswith("https://")

    @property
    def cookie(self) -> str:
        """Name of the session's cookie. Browsers bind one with the prefix to this host and to https."""
        return "__Host-saring_session" if self.secure else "saring_session"


def state_of(request: Request) -> WebState:
    """The shared parts, from a request."""
    state: WebState = request.app.state.web
    return state
