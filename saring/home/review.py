"""The review of a home, as a program uses it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.progress import Progress, silent
from saring.context import Context

if TYPE_CHECKING:
    import uuid

    from pipeline.models.explain import Explained
    from pipeline.review.find import FindReport
    from pipeline.review.history import History
    from pipeline.review.items import Listed
    from pipeline.review.reviewer import Reviewer
    from pipeline.review.settle import Settled, Undone
    from pipeline.runs.executor import Executor
    from pipeline.store.tables.review import DisputeKind
    from saring.actions.audit import Audited


class Review:
    """Texts whose labels are in doubt, which reviewers settle."""

    def __init__(self, home: Context) -> None:
        self._home = home

    def find(
        self, *, suspects: bool = True, executor: Executor | None = None, progress: Progress = silent
    ) -> FindReport:
        """Find disagreements, undecided texts and suspected label errors; see `saring.actions.review.find`."""
        from saring.actions.review import find

        return find(self._home, suspects=suspects, executor=executor, progress=progress)

    def audit(
        self,
        *,
        labels: Sequence[str] = (),
        by: Sequence[str] = (),
        learnt: int = 30_000,
        to_review: bool = False,
        to_queue: int = 0,
        seed: int | None = None,
        progress: Progress = silent,
    ) -> Audited:
        """Find labels that are probably wrong, without changing anything; see `saring.actions.audit.audit`."""
        from saring.actions.audit import audit

        return audit(
            self._home,
            labels=labels,
            by=by,
            learnt=learnt,
            to_review=to_review,
            to_queue=to_queue,
            seed=seed,
            progress=progress,
        )

    def show(self, kind: DisputeKind | str | None = None, limit: int = 20) -> list[Listed]:
        """The most valuable texts that wait; see `saring.actions.review.show`."""
        from saring.actions.review import show

        return show(self._home, kind, limit)

    def reviewer(self, account: int) -> Reviewer:
        """The reviewer that an account is; see `saring.actions.review.reviewer_of`."""
        from saring.actions.review import reviewer_of

        return reviewer_of(self._home, account)

    def settle(
        self,
        text_id: uuid.UUID,
        reviewer: Reviewer,
        *,
        yes: Sequence[str] = (),
        no: Sequence[str] = (),
        ground: str | None = None,
        words: str | None = None,
        shown: str | None = None,
    ) -> Settled:
        """Settle a text; see `saring.actions.review.settle`."""
        from saring.actions.review import settle

        return settle(self._home, text_id, reviewer, yes=yes, no=no, ground=ground, words=words, shown=shown)

    def undo(self, reviewer: Reviewer) -> Undone | None:
        """Withdraw the reviewer's last settlement; None: there is none."""
        from saring.actions.review import undo

        return undo(self._home, reviewer)

    def history(self, text_id: uuid.UUID) -> History:
        """The whole history of a text; see `saring.actions.text_history.history`."""
        from saring.actions.text_history import history

        return history(self._home, text_id)

    def moving_words(self, text_id: uuid.UUID) -> Explained | None:
        """The words of a text that moved the champion's verdict; None: there is no champion."""
        from saring.actions.text_history import moving_words

        return moving_words(self._home, text_id)
