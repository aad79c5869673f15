"""The page /settings: what is in force, where it comes from, and where notices go."""

from __future__ import annotations

from typing import Annotated

from fastapi import Form
from fastapi.responses import Response

from pipeline.errors import UsageError
from pipeline.notices.config import NoticesConfig, notices_config
from pipeline.notices.kinds import Kind
from pipeline.store.tables.accounts import Role
from saring.actions.notices import recent_notices, try_channels
from saring.actions.settings_list import list_settings
from saring.web.routing import Pages
from saring.web.visit import Visit
from saring.web.words import marked

pages = Pages("settings")
#: notices that the page shows
_SHOWN = 20
#: what each kind is called, and where a value comes from
KINDS = {
    Kind.RUN_FAILED: marked("a run failed"),
    Kind.GATE_REJECTED: marked("a model was rejected"),
    Kind.QUEUE_EMPTY: marked("the queue is empty"),
    Kind.DRIFT: marked("the texts have changed"),
    Kind.DISK_LOW: marked("the disk is almost full"),
}
_WORDS = (
    *(marked("environment"), marked("file"), marked("default"), marked("program")),
    *(marked("waiting"), marked("sending"), marked("sent"), marked("held"), marked("over"), marked("failed")),
)


@pages.get(role=Role.MAINTAINER)
def index(visit: Visit) -> Response:
    """All settings, and the state of notices."""
    fault = None
    try:
        config = notices_config(visit.home.settings)
    except UsageError as error:
        config, fault = NoticesConfig(), str(error)
    return visit.page(
        "settings/index.html",
        settings=list_settings(visit.home.settings),
        env_file=visit.home.settings.env_file,
        notices_file=visit.home.settings.notices_file,
        config=config,
        fault=fault,
        kinds=KINDS,
        recent=recent_notices(visit.home, limit=_SHOWN),
    )


@pages.post("/notices/test", role=Role.OWNER, act="notices.test")
def try_channel(visit: Visit, channel: Annotated[str, Form()]) -> Response:
    """Send a test notice through a channel."""
    [trial] = try_channels(visit.home, channel=channel)
    visit.note(taken=trial.error is None)
    if trial.error is not None:
        raise UsageError(f"{trial.channel}: {trial.error}")
    return visit.done("/settings#notices", visit.say("%(channel)s took the test notice.", channel=trial.channel))
