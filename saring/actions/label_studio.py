"""Push tasks to Label Studio, pull annotations from it, and compare both."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from pipeline.backend_credentials import backend_credentials
from pipeline.errors import LeftOut, UsageError
from pipeline.progress import Progress, silent
from pipeline.runs.executor import Executor, Inline, run
from saring.actions.label_studio_stages import (
    Predicted,
    PredictStage,
    ProjectParams,
    Pulled,
    PullStage,
    Pushed,
    PushParams,
    PushStage,
    ReconcileParams,
    ReconcileStage,
)
from saring.actions.projects import connect
from saring.context import Context
from sync.api.client import LabelStudio
from sync.project.language import Language
from sync.project.projects import SetupReport
from sync.project.projects import setup as set_up_project
from sync.pull.reconcile import ReconcileReport

log = logging.getLogger(__name__)

#: executor that makes no run record: each project has its own record, which a pull without changes does not make
_INLINE = Inline(recorded=False)


def pull(
    home: Context, project: int | None = None, *, executor: Executor | None = None, progress: Progress = silent
) -> Pulled:
    """Copy annotations that changed since the last pull into the ledger. Doing it again adds nothing.

    Tasks on which raters disagree are sent to another volunteer.

    Args:
        home: the home with the ledger.
        project: Label Studio's id of the project; None: all open projects.
        executor: the place where the stage runs; None: this process.
        progress: called after every batch.

    Raises:
        LabelStudioMissing: there is no such project.
        RunConflict: another pull is running.
    """
    return run(PullStage(), home, ProjectParams(project), executor=executor or _INLINE, progress=progress)


def reconcile(
    home: Context,
    project: int | None = None,
    *,
    withdraw_deleted: bool = False,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> ReconcileReport:
    """Compare every annotation with the ledger, and repair differences. Doing it again finds none.

    Args:
        home: the home with the ledger.
        project: Label Studio's id of the project; None: all open projects.
        withdraw_deleted: withdraw the annotations of tasks that were removed from Label Studio.
        executor: the place where the stage runs; None: this process.
        progress: called after every batch.

    Raises:
        LabelStudioMissing: there is no such project.
        RunConflict: a pull or another comparison is running.
    """
    params = ReconcileParams(project, withdraw_deleted)
    return run(ReconcileStage(), home, params, executor=executor or _INLINE, progress=progress)


def push(
    home: Context,
    project: int | None = None,
    *,
    limit: int | None = None,
    only: Sequence[uuid.UUID] | None = None,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> Pushed:
    """Send queued texts to Label Studio, with labels ticked. No text is sent twice.

    Personal projects come first, and get a day's work at most; the other texts go to the shared projects.

    Args:
        home: the home with the queue.
        project: Label Studio's id of the project; None: all open projects.
        limit: largest number of texts for each project; None: no limit, or a day's work for a personal project.
        only: texts that may be sent, if they are queued; None: all.
        executor: the place where the stage runs; None: this process.
        progress: called after every call of the API.

    Raises:
        LabelStudioMissing: there is no such project.
        RunConflict: another push is running.
    """
    return run(PushStage(), home, PushParams(project, limit, only), executor=executor or _INLINE, progress=progress)


def predict(
    home: Context, project: int | None = None, *, executor: Executor | None = None, progress: Progress = silent
) -> Predicted:
    """Renew the ticks of all open tasks, from the newest predictions. Tasks keep their ticks in the meantime.

    Args:
        home: the home with the champion.
        project: Label Studio's id of the project; None: all open projects.
        executor: the place where the stage runs; None: this process.
        progress: called after every batch.

    Raises:
        LabelStudioMissing: there is no such project.
        RunConflict: predictions are being renewed already.
    """
    return run(PredictStage(), home, ProjectParams(project), executor=executor or _INLINE, progress=progress)


def setup(
    home: Context,
    *,
    title: str | None = None,
    volunteer: str | None = None,
    opt_out: Sequence[str] | None = None,
    harsh_cap: int | None = None,
    language: Language | None = None,
    empty_is_none: bool | None = None,
    backend: bool = True,
    force: bool = False,
    drop_labels: bool = False,
    again: bool = False,
    progress: Progress = silent,
) -> SetupReport:
    """Create the Label Studio project from the taxonomy, or update it. Doing it again changes nothing.

    Args:
        home: the home with the taxonomy.
        title: name of the project, 3 to 50 characters.
        volunteer: e-mail address or id of the account that the project is for; None: everyone.
        opt_out: labels whose texts are not pushed to it; None: as before; empty: none.
        harsh_cap: largest number of harsh tasks for a volunteer in a day; None: as before.
        language: the one that comes first for volunteers; None: as before.
        empty_is_none: whether an answer without labels over the API says that no label fits; None: as before.
        backend: connect the ML backend and its webhook.
        force: overwrite changes made by hand in Label Studio.
        drop_labels: remove labels even if annotations use them; the ledger keeps them.
        again: put the texts of open tasks of removed projects into the queue again.
        progress: called while services start.

    Raises:
        UsageError: there is no such account.
        LabelStudioError: the server refuses.
    """
    with connect(home, progress) as client:
        return set_up_project(
            home.engine,
            client,
            taxonomy=home.taxonomy,
            backend_url=_backend(home, progress) if backend else None,
            credentials=backend_credentials(home.settings),
            volunteer=_account(client, volunteer) if volunteer is not None else None,
            opt_out=opt_out,
            harsh_cap=harsh_cap,
            title=title,
            language=language,
            empty_is_none=empty_is_none,
            force=force,
            drop_labels=drop_labels,
            again=again,
            now=_now(),
        )


def _backend(home: Context, progress: Progress) -> str | None:
    """The address of the ML backend; None where a person left it out."""
    from saring.services import ensure_backend

    try:
        return ensure_backend(home.settings, progress)
    except LeftOut as error:
        log.info("the project is not connected to the ML backend: %s", error)
        return None


def _account(client: LabelStudio, name: str) -> str:
    """The id of the account with this e-mail address or id."""
    for user in client.users():
        if name.strip().casefold() in (str(user.id), str(user.email).casefold()):
            return str(user.id)
    raise UsageError(
        f"Label Studio has no account {name!r}: check the address, or invite the person (Organization, Add members)"
    )


def _now() -> datetime:
    return datetime.now(UTC)
