"""The Label Studio of a home, as a program uses it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.progress import Progress, silent
from saring.context import Context

if TYPE_CHECKING:
    import uuid

    from pipeline.runs.executor import Executor
    from saring.actions.label_studio_stages import Predicted, Pulled, Pushed
    from sync.project.language import Language
    from sync.project.projects import SetupReport
    from sync.pull.reconcile import ReconcileReport


class LabelStudio:
    """The Label Studio of a home, where people label."""

    def __init__(self, home: Context) -> None:
        self._home = home

    def setup(
        self,
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
        """Create the project from the taxonomy, or update it; see `saring.actions.label_studio.setup`."""
        from saring.actions.label_studio import setup

        return setup(
            self._home,
            title=title,
            volunteer=volunteer,
            opt_out=opt_out,
            harsh_cap=harsh_cap,
            language=language,
            empty_is_none=empty_is_none,
            backend=backend,
            force=force,
            drop_labels=drop_labels,
            again=again,
            progress=progress,
        )

    def push(
        self,
        project: int | None = None,
        *,
        limit: int | None = None,
        only: Sequence[uuid.UUID] | None = None,
        executor: Executor | None = None,
        progress: Progress = silent,
    ) -> Pushed:
        """Send queued texts to Label Studio, with labels ticked; see `saring.actions.label_studio.push`."""
        from saring.actions.label_studio import push

        return push(self._home, project, limit=limit, only=only, executor=executor, progress=progress)

    def pull(
        self, project: int | None = None, *, executor: Executor | None = None, progress: Progress = silent
    ) -> Pulled:
        """Copy changed annotations into the ledger; see `saring.actions.label_studio.pull`."""
        from saring.actions.label_studio import pull

        return pull(self._home, project, executor=executor, progress=progress)

    def reconcile(
        self,
        project: int | None = None,
        *,
        withdraw_deleted: bool = False,
        executor: Executor | None = None,
        progress: Progress = silent,
    ) -> ReconcileReport:
        """Compare annotations with the ledger, and repair differences; see `saring.actions.label_studio.reconcile`."""
        from saring.actions.label_studio import reconcile

        return reconcile(self._home, project, withdraw_deleted=withdraw_deleted, executor=executor, progress=progress)

    def predict(
        self, project: int | None = None, *, executor: Executor | None = None, progress: Progress = silent
    ) -> Predicted:
        """Renew the ticks of open tasks; see `saring.actions.label_studio.predict`."""
        from saring.actions.label_studio import predict

        return predict(self._home, project, executor=executor, progress=progress)
