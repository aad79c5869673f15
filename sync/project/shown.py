"""The labels that a project showed at each moment: a label without a tick is denied only if it could be ticked.

With them goes what an answer without labels meant there.

Label Studio does not say to the microsecond when a config changed; its clock is known to the second, before the change
and after. In between, only the labels of both configs are taken as shown, so nothing is held against a label that may
not have been there, and a process that dies half-way leaves that behind and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.ledger.taxonomies import keep_taxonomy
from pipeline.taxonomy import Taxonomy

#: how exactly the server's clock is known
_SECOND = timedelta(seconds=1)


def first_shown(session: Session, project: store.Project, taxonomy: Taxonomy, *, known: bool) -> None:
    """Note what a project shows from its beginning; unless that is `known`, nothing is taken as shown."""
    labels = list(taxonomy.keys) if known else []
    session.add(_row(project, project.label_studio_created_at, taxonomy, labels))


def begin_change(
    session: Session, project: store.Project, taxonomy: Taxonomy, labels: Sequence[str], at: datetime
) -> None:
    """Note that from `at` on, some time soon, the project shows the taxonomy instead of `labels`.

    Args:
        labels: what it shows now; with what was noted for `at` and later, only what is in all of them counts.
        at: the server's clock before the change, to the second below.
    """
    rows = _rows(session, project)
    later = [row for row in rows if row.since >= at]
    in_force = [row for row in rows if row.since < at][-1:]
    empty_is_none = project.empty_is_none and all(row.empty_is_none for row in [*in_force, *later])
    common = set(taxonomy.keys).intersection(labels, *(row.labels for row in [*in_force, *later]))
    for row in later:
        session.delete(row)
    session.flush()
    keep_taxonomy(session, taxonomy)
    labels = [key for key in taxonomy.keys if key in common]
    session.add(_row(project, at, taxonomy, labels, empty_is_none=empty_is_none))


def end_change(session: Session, project: store.Project, taxonomy: Taxonomy, at: datetime) -> None:
    """Note that the project shows the taxonomy; `at` is the server's clock after the change, to the second below."""
    keep_taxonomy(session, taxonomy)
    session.merge(_row(project, at + _SECOND, taxonomy, taxonomy.keys, empty_is_none=project.empty_is_none))


def is_noted(session: Session, project: store.Project, taxonomy: Taxonomy) -> bool:
    """True where the last note says what the project shows now."""
    last = last_shown(session, project)
    return last is not None and (last.taxonomy_version, list(last.labels), last.empty_is_none) == (
        taxonomy.version,
        list(taxonomy.keys),
        project.empty_is_none,
    )


def last_shown(session: Session, project: store.Project) -> store.ProjectConfig | None:
    """The labels that were noted last."""
    rows = _rows(session, project)
    return rows[-1] if rows else None


def _rows(session: Session, project: store.Project) -> list[store.ProjectConfig]:
    c = store.ProjectConfig
    return list(session.scalars(select(c).where(c.project_id == project.id).order_by(c.since)))


def _row(
    project: store.Project, since: datetime, taxonomy: Taxonomy, labels: Sequence[str], *, empty_is_none: bool = False
) -> store.ProjectConfig:
    return store.ProjectConfig(
        project_id=project.id,
        since=since,
        taxonomy_version=taxonomy.version,
        labels=list(labels),
        empty_is_none=empty_is_none,
    )
