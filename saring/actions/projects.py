"""Connect to this home's Label Studio, and find its projects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import select

from pipeline import store
from pipeline.errors import LabelStudioMissing
from pipeline.progress import Progress, silent
from pipeline.runs.stage import WorkContext
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import ProjectState
from sync.api.client import LabelStudio


@contextmanager
def connect(home: WorkContext, progress: Progress = silent) -> Iterator[LabelStudio]:
    """A client of this home's Label Studio; the embedded server is started if it does not run.

    Raises:
        ServiceError: the server cannot be started.
    """
    from saring.services import ensure_label_studio

    access = ensure_label_studio(home.settings, progress)
    with LabelStudio(access.url, access.api_key) as client:
        yield client


def current_projects(home: WorkContext, client: LabelStudio, chosen: int | None = None) -> Sequence[store.Project]:
    """The open projects of this store on a server.

    Args:
        home: the home with the store.
        client: the client of the server.
        chosen: Label Studio's id of a project; None: all.

    Raises:
        LabelStudioMissing: there is no project, or not the chosen one.
    """
    p = store.Project
    query = select(p).where(p.url == client.url, p.state == ProjectState.OPEN).order_by(p.id)
    if chosen is not None:
        query = query.where(p.label_studio_id == chosen)
    with open_session(home.engine) as session:
        projects = session.scalars(query).all()
    if not projects:
        missing = f"no project {chosen} of Saring's" if chosen is not None else "no project of Saring's"
        raise LabelStudioMissing(f"{missing} at {client.url}: run `saring sync setup`")
    return projects
