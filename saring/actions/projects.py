"""Connect to this home's Label Studio, and find its projects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pipeline import store
from pipeline.errors import LabelStudioMissing
from pipeline.progress import Progress, silent
from pipeline.runs.stage import WorkContext
from sync.api.client import LabelStudio
from sync.known import open_projects


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
    known = open_projects(home.engine, client)
    projects = [project for project in known if chosen is None or project.label_studio_id == chosen]
    if not projects:
        missing = f"no project {chosen} of Saring's" if chosen is not None else "no project of Saring's"
        raise LabelStudioMissing(f"{missing} at {client.url}: run `saring sync setup`")
    return projects
