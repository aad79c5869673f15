"""The Label Studio project, made from the taxonomy and kept as it should be. Doing it again changes nothing.

A project is found by its row in the store, by id and moment of making (see `sync.known`), because Label Studio gives
the ids of removed projects to new ones. One that was made and not noted, as when a process died in between, is found
by a mark in its description. What decides how tasks are served is kept as it should be; what is a matter of taste
(title, colour, how many raters a task) is set once and then left to people.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.backend_credentials import BackendCredentials
from pipeline.errors import LabelStudioError, LabelStudioMissing, UsageError
from pipeline.plural import counted
from pipeline.preannotation.label_studio_format import ticks
from pipeline.store.locks import lock_key, waited_for
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import ProjectState
from pipeline.taxonomy import Taxonomy
from sync.api.client import Json, LabelStudio, identity
from sync.known import find_project, follow_address
from sync.project import shown
from sync.project.guidelines import guidelines
from sync.project.label_config import label_config
from sync.project.language import Language
from sync.project.lost_tasks import count_lost, queue_lost
from sync.project.migrate_config import plan, uses_of_labels
from sync.project.page_check import check_page
from sync.project.seal import is_sealed
from sync.project.views import wire_view
from sync.project.wiring import Wiring, backend_titles, wire

if TYPE_CHECKING:
    from label_studio_sdk.types import AllRolesProjectList, LseProjectCreate, LseProjectResponse

DEFAULT_TITLE = "Saring"
#: harsh tasks a volunteer and day, unless told otherwise
DEFAULT_HARSH_CAP = 50
#: Label Studio's own limits
_TITLE_LENGTH = range(3, 51)

#: set when a project is made, then left to people
_ONCE: Json = {"color": "#1565C0", "maximum_annotations": 1}
#: kept as they are
_KEPT: Json = {
    # the lowest score is served first, so the order is ours
    "sampling": "Uncertainty sampling",
    # to another volunteer, and not to the same one again
    "skip_queue": "REQUEUE_FOR_OTHERS",
    "show_skip_button": True,
    "show_instruction": True,
    "show_collab_predictions": True,
    # an empty page would say that no label fits, or nothing at all
    "enable_empty_annotation": False,
    "min_annotations_to_start_training": 0,
}


@dataclass(frozen=True, slots=True)
class SetupReport:
    """A project, and what was changed in it."""

    #: our own id
    project_id: int
    label_studio_id: int
    url: str
    title: str
    created: bool
    #: what was changed, in words; empty if everything was as it should be
    changed: tuple[str, ...]
    #: what people should know or mend
    warnings: tuple[str, ...]
    #: other people's backends and webhooks, which were left alone
    others: tuple[str, ...]
    labels: tuple[str, ...]
    #: whether the ML backend is connected; None: it was left out
    backend: bool | None
    volunteer: str | None
    opt_out: tuple[str, ...]
    harsh_cap: int
    #: the language that comes first for volunteers
    language: str
    #: whether an answer without labels that comes over the API says that no label fits
    empty_is_none: bool


def setup(
    engine: Engine,
    client: LabelStudio,
    *,
    taxonomy: Taxonomy,
    backend_url: str | None,
    credentials: BackendCredentials,
    volunteer: str | None = None,
    opt_out: Sequence[str] | None = None,
    harsh_cap: int | None = None,
    title: str | None = None,
    language: Language | None = None,
    empty_is_none: bool | None = None,
    force: bool = False,
    drop_labels: bool = False,
    again: bool = False,
    now: datetime,
) -> SetupReport:
    """Make the project, or see to it that it is as it should be.

    Args:
        backend_url: where Label Studio reaches the ML backend; None leaves backends and webhooks as they are.
        volunteer: Label Studio user id of the one volunteer that the project is for; None: for everyone.
        opt_out: labels whose texts are never pushed there; None leaves it as it is.
        harsh_cap: harsh tasks a day; None leaves it as it is.
        title: its name; None leaves it as it is.
        language: the one that comes first for volunteers; None leaves it as it is.
        empty_is_none: whether an answer without labels that comes over the API says that no label fits, from now on;
            None leaves it as it is.
        force: overwrite what somebody edited by hand.
        drop_labels: let labels go that annotations use.
        again: queue the open tasks of projects that were removed from Label Studio again.
        now: for servers that don't say what time it is.

    Raises:
        UsageError: the title or a label cannot be meant.
        LabelStudioError: the labels cannot be changed as asked, or the server fails.
    """
    mark = _mark(credentials, volunteer)
    _check(title, harsh_cap)
    opted = _canonical(opt_out, taxonomy) if opt_out is not None else None
    check_page(label_config(taxonomy), {"result": [ticks(taxonomy.keys)], "score": 1.0})
    with waited_for(engine, lock_key("sync-setup", "")), open_session(engine) as session:
        project = _known(session, client, volunteer)
        first = language or (Language(project.language) if project is not None else Language.EN)
        wanted = _KEPT | {
            "label_config": label_config(taxonomy, first),
            "expert_instruction": guidelines(taxonomy, first),
        }
        created = False
        if project is None:
            project, created = _found_or_made(session, client, mark, volunteer, title, wanted)
            if shown.last_shown(session, project) is None:
                shown.first_shown(session, project, taxonomy, known=created)
        project.language = first.value
        if empty_is_none is not None:
            project.empty_is_none = empty_is_none
        if opted is not None:
            project.opt_out = opted
        if harsh_cap is not None:
            project.harsh_cap = harsh_cap
        session.commit()

        changed = ["project made"] if created else []
        # the backend first: connecting one may change the version that is shown
        wiring = wire(client, project.label_studio_id, backend_url, credentials) if backend_url else Wiring()
        changed += wiring.changed
        if (list_changed := wire_view(client, project.label_studio_id)) is not None:
            changed.append(list_changed)
        there = client.project(project.label_studio_id)
        if there.label_config == wanted["label_config"]:
            _note_shown(session, client, project, taxonomy, now)
        else:
            changed.append(
                _migrate(session, client, project, there, wanted["label_config"], taxonomy, force, drop_labels, now)
            )
        fields, warnings = _fields(there, wanted, mark, title, force)
        if fields:
            there = client.update_project(project.label_studio_id, **fields)
            changed += [f"{name} set" for name in fields]
        changed += _show_version(client, project, there, warnings)
        if again and (queued := queue_lost(session, project)):
            changed.append(f"{counted(queued, 'text')} of removed projects queued again")
        elif lost := count_lost(session, project):
            warnings.append(
                f"a project was removed from Label Studio with {counted(lost, 'open task')}: "
                "`saring sync setup --again` puts their texts into the queue again"
            )
        project.title = str(there.title)
        session.commit()
        return SetupReport(
            project_id=project.id,
            label_studio_id=project.label_studio_id,
            url=f"{client.url}/projects/{project.label_studio_id}",
            title=project.title,
            created=created,
            changed=tuple(changed),
            warnings=(*wiring.warnings, *warnings),
            others=tuple(wiring.others),
            labels=taxonomy.keys,
            backend=wiring.connected if backend_url else None,
            volunteer=project.volunteer,
            opt_out=tuple(project.opt_out),
            harsh_cap=project.harsh_cap,
            language=project.language,
            empty_is_none=project.empty_is_none,
        )


def _known(session: Session, client: LabelStudio, volunteer: str | None) -> store.Project | None:
    """The project of the store that is still there. Those that are not are noted as gone."""
    p = store.Project
    follow_address(session, client)
    rows = session.scalars(
        select(p)
        .where(p.url == client.url, p.state == ProjectState.OPEN, p.volunteer.is_not_distinct_from(volunteer))
        .order_by(p.id)
    )
    for project in rows.all():
        try:
            there = client.project(project.label_studio_id)
        except LabelStudioMissing:
            there = None
        if there is not None and there.created_at == project.label_studio_created_at:
            return project
        project.state = ProjectState.GONE
    session.commit()
    return None


def _found_or_made(
    session: Session, client: LabelStudio, mark: str, volunteer: str | None, title: str | None, wanted: Json
) -> tuple[store.Project, bool]:
    """The project that bears the mark (the oldest, if there are several), else a new one; whether it is new."""
    marked = [there for there in client.projects() if mark in str(there.description or "").split()]
    oldest = min(marked, key=lambda there: identity(there)[::-1], default=None)
    if oldest is not None:
        return _noted(session, client, oldest, volunteer), False
    name = title or (DEFAULT_TITLE if volunteer is None else f"{DEFAULT_TITLE} {volunteer}")
    made = client.create_project(title=name, description=_description(mark), **_ONCE, **wanted)
    return _noted(session, client, made, volunteer), True


def _noted(
    session: Session, client: LabelStudio, there: AllRolesProjectList | LseProjectCreate, volunteer: str | None
) -> store.Project:
    """The row of a project; it may be there as gone, if the server lost sight of it for a while."""
    number, made = identity(there)
    project = find_project(session, client.url, number, made)
    if project is None:
        project = store.Project(
            url=client.url,
            label_studio_id=number,
            label_studio_created_at=made,
            title=str(there.title),
            volunteer=volunteer,
            opt_out=[],
            harsh_cap=DEFAULT_HARSH_CAP,
        )
        session.add(project)
    project.url, project.state = client.url, ProjectState.OPEN
    session.flush()
    return project


def _migrate(
    session: Session,
    client: LabelStudio,
    project: store.Project,
    there: LseProjectResponse,
    config: str,
    taxonomy: Taxonomy,
    force: bool,
    drop_labels: bool,
    now: datetime,
) -> str:
    """Change the label config; what was changed, in words."""
    old = str(there.label_config or "")
    uses = uses_of_labels(session, client, project)
    try:
        migration = plan(old, config, taxonomy, uses, force=force, drop_labels=drop_labels)
    except LabelStudioError as error:
        raise LabelStudioError(f"project {project.label_studio_id} at {client.url}: {error}") from error
    shown.begin_change(session, project, taxonomy, migration.shown, _clock(client, now))
    # before the change: if this process dies in it, nothing is held against labels that may not have been shown
    session.commit()
    client.update_project(project.label_studio_id, label_config=config)
    shown.end_change(session, project, taxonomy, _clock(client, now))
    session.commit()
    return f"labels: {migration}"


def _note_shown(
    session: Session, client: LabelStudio, project: store.Project, taxonomy: Taxonomy, now: datetime
) -> None:
    """Note what is shown, where the last note says otherwise: the change was made and not noted, or in words only."""
    if not shown.is_noted(session, project, taxonomy):
        shown.end_change(session, project, taxonomy, _clock(client, now))
        session.commit()


def _show_version(
    client: LabelStudio, project: store.Project, there: LseProjectResponse, warnings: list[str]
) -> list[str]:
    """Show the predictions that were written ahead: a new backend puts itself in their place, and then, whenever it is
    down, nothing is shown at all."""
    now = str(there.model_version or "")
    wanted = project.model_version or ""
    if now == wanted or (not wanted and now not in backend_titles(client, project.label_studio_id)):
        return []
    try:
        client.update_project(project.label_studio_id, model_version=wanted)
    except LabelStudioError as error:
        warnings.append(f"the predictions {wanted!r} cannot be shown ({error}): run `saring sync predict`")
        if now in backend_titles(client, project.label_studio_id):
            client.update_project(project.label_studio_id, model_version="")
        return []
    return ["predictions written ahead are shown" if wanted else "no predictions are asked for while people wait"]


def _fields(
    there: LseProjectResponse, wanted: Json, mark: str, title: str | None, force: bool
) -> tuple[Json, list[str]]:
    """Fields to change, but for the label config, and what people should know."""
    fields = {name: value for name, value in wanted.items() if name != "label_config" and getattr(there, name) != value}
    warnings = []
    instruction = str(there.expert_instruction or "")
    if "expert_instruction" in fields and instruction.strip() and not is_sealed(instruction) and not force:
        del fields["expert_instruction"]
        warnings.append("the instructions were edited by hand and left alone; --force overwrites them")
    if title is not None and there.title != title:
        fields["title"] = title
    description = str(there.description or "")
    if mark not in description.split():
        fields["description"] = f"{description}\n{_description(mark)}".strip()
    return fields, warnings


def _clock(client: LabelStudio, now: datetime) -> datetime:
    """The server's clock, to the second below."""
    return (client.server_time or now - timedelta(microseconds=now.microsecond)).astimezone(now.tzinfo)


def _mark(credentials: BackendCredentials, volunteer: str | None) -> str:
    """The word in a description by which this Saring knows its project again, and no other Saring does."""
    digest = hashlib.blake2b(credentials.webhook_secret.encode(), digest_size=6, person=b"saring project").hexdigest()
    return f"saring:{digest}" if volunteer is None else f"saring:{digest}:{volunteer}"


def _description(mark: str) -> str:
    return f"Kept by Saring; `saring sync setup` changes it. {mark}"


def _check(title: str | None, harsh_cap: int | None) -> None:
    if title is not None and len(title) not in _TITLE_LENGTH:
        raise UsageError(f"the title has {len(title)} characters: Label Studio takes 3 to 50")
    if harsh_cap is not None and harsh_cap < 0:
        raise UsageError(f"the cap on harsh tasks is {harsh_cap}: give 0 or more")


def _canonical(names: Sequence[str], taxonomy: Taxonomy) -> list[str]:
    keys = []
    for name in names:
        key = taxonomy.canonical(name)
        if key is None:
            raise UsageError(f"no label is called {name!r}; the labels are {', '.join(taxonomy.keys)}")
        keys.append(key)
    return sorted(set(keys), key=taxonomy.keys.index)
