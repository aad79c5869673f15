"""The projects of the store that a server holds.

A project is what it is by its id and the moment of its making, on Label Studio's own clock. The address of a server may
change (another name of the same machine, https for http, another port); the project's row then takes the new address.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import ProjectState
from sync.api.client import LabelStudio, identity

log = logging.getLogger(__name__)


def open_projects(engine: Engine, client: LabelStudio, chosen: Sequence[int] | None = None) -> Sequence[store.Project]:
    """The projects of a server that are not known to be gone, oldest first.

    Args:
        engine: the store.
        client: the server.
        chosen: our own ids of the projects; None: all.
    """
    p = store.Project
    with open_session(engine) as session:
        follow_address(session, client)
        session.commit()
        query = select(p).where(p.url == client.url, p.state == ProjectState.OPEN).order_by(p.id)
        if chosen is not None:
            query = query.where(p.id.in_(chosen))
        return session.scalars(query).all()


def follow_address(session: Session, client: LabelStudio) -> None:
    """Give the projects that were noted at another address this server's, where this server holds them.

    The server is asked only if the store has open projects at another address. A project that the store has at both
    addresses (from a version that told projects apart by address) stays as it is here, and the other row is closed.
    """
    p = store.Project
    elsewhere = session.scalars(select(p).where(p.url != client.url, p.state == ProjectState.OPEN).order_by(p.id)).all()
    if not elsewhere:
        return
    here = {identity(there) for there in client.projects()}
    for project in elsewhere:
        if (project.label_studio_id, project.label_studio_created_at) not in here:
            continue
        if find_project(session, client.url, project.label_studio_id, project.label_studio_created_at) is not project:
            log.warning("project %s was noted twice: %s is closed", project.label_studio_id, project.url)
            project.state = ProjectState.GONE
            continue
        log.info("project %s is now at %s (before: %s)", project.label_studio_id, client.url, project.url)
        project.url = client.url


def find_project(session: Session, url: str, number: int, made: datetime) -> store.Project | None:
    """The row of a project, whatever its address: the one of this address if there are several, else the oldest.

    Args:
        session: an open session.
        url: the address that the server has now.
        number: Label Studio's id of the project.
        made: the moment of its making, on Label Studio's clock.
    """
    p = store.Project
    rows = session.scalars(
        select(p).where(p.label_studio_id == number, p.label_studio_created_at == made).order_by(p.id)
    ).all()
    return next((row for row in rows if row.url == url), rows[0] if rows else None)
