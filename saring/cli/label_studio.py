"""What the commands about Label Studio share: a client, and which projects are meant."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from pipeline import store
from pipeline.errors import LabelStudioMissing
from pipeline.progress import Progress, silent
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import ProjectState
from saring.cli import common
from sync.api.client import LabelStudio


def connect(ctx: common.Context, progress: Progress = silent) -> LabelStudio:
    """A client of the Label Studio of this home; the embedded one is started if need be.

    Raises:
        ServiceError: it cannot be started.
    """
    from saring.services import ensure_label_studio

    access = ensure_label_studio(ctx.settings, progress)
    return LabelStudio(access.url, access.api_key)


def current_projects(ctx: common.Context, client: LabelStudio, chosen: int | None = None) -> Sequence[store.Project]:
    """The open projects of this store on that server; `chosen` is a project's id in Label Studio.

    Raises:
        LabelStudioMissing: there is none, or not the chosen one.
    """
    p = store.Project
    query = select(p).where(p.url == client.url, p.state == ProjectState.OPEN).order_by(p.id)
    if chosen is not None:
        query = query.where(p.label_studio_id == chosen)
    with open_session(ctx.engine) as session:
        found = session.scalars(query).all()
    if not found:
        which = f"no project {chosen} of Saring's" if chosen is not None else "no project of Saring's"
        raise LabelStudioMissing(f"{which} at {client.url}: run `saring sync setup`")
    return found
