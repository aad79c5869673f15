"""Texts whose labels are in doubt: find them, show them one at a time, settle them, undo it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select

from pipeline.errors import UsageError
from pipeline.progress import Progress, silent
from pipeline.review import items
from pipeline.review import settle as settling
from pipeline.review.find import STAGE, FindConfig, FindReport, count_waiting, find_disputes
from pipeline.review.items import Item, Listed, Place
from pipeline.review.reasons import Reason
from pipeline.review.reviewer import Reviewer
from pipeline.review.settle import Done, Settled, Undone
from pipeline.runs.executor import Executor, run
from pipeline.runs.stage import WorkContext
from pipeline.runs.whole import WholeStage
from pipeline.store.public_ids import PublicIds
from pipeline.store.session import open_session
from pipeline.store.tables.accounts import Account, Role
from pipeline.store.tables.core import Text
from pipeline.store.tables.review import DisputeKind
from saring.accounts.people import by_id
from saring.context import Context


@dataclass(frozen=True, slots=True)
class FindParams:
    """The parameters of a search for disputes."""

    suspects: bool = True
    learnt: int = FindConfig().learnt
    most: int = FindConfig().most
    #: seed of the folds; None: the settings'
    seed: int | None = None


class ReviewStage(WholeStage[FindParams, FindReport]):
    """Find the texts that reviewers should settle."""

    name = STAGE
    what = "looking for disputes"
    params = FindParams
    report = FindReport

    def call(self, home: WorkContext, params: FindParams, progress: Progress) -> FindReport:
        """Find them."""
        return find_disputes(
            home.engine,
            home.taxonomy,
            FindConfig(params.suspects, params.learnt, params.most),
            seed=home.settings.seed if params.seed is None else params.seed,
            progress=progress,
        )


def reviewer_of(home: Context, account: int) -> Reviewer:
    """The reviewer that an account is; alone, if no other account that is not disabled may settle.

    Raises:
        UsageError: there is no such account.
    """
    with open_session(home.engine) as session:
        person = by_id(session, account)
        a = Account
        roles = [role for role in Role if role.allows(Role.REVIEWER)]
        others = select(a.id).where(a.id != account, a.disabled_at.is_(None), a.role.in_(roles)).limit(1)
        alone = session.scalar(others) is None
    return Reviewer(str(person.id), person.name, person.rater, alone)


def find(
    home: Context,
    *,
    suspects: bool = True,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> FindReport:
    """Find the texts that reviewers should settle, in place of those that wait.

    Args:
        home: the home with the store.
        suspects: train models to find suspected label errors too; False: leave those that are there.
        executor: the place where the stage runs; None: this process.
        progress: called from time to time.

    Raises:
        RunConflict: another search is running.
    """
    return run(ReviewStage(), home, FindParams(suspects), executor=executor, progress=progress)


def counts(home: Context, *, most: int = 1_000_000) -> dict[str, int]:
    """The number of texts that wait for a reviewer, by kind; counting stops at `most` of each."""
    with open_session(home.engine) as session:
        return count_waiting(session, most=most)


def show(home: Context, kind: DisputeKind | str | None = None, limit: int = 20) -> list[Listed]:
    """The most valuable texts that wait, of one kind or of all.

    Raises:
        UsageError: there is no such kind.
    """
    try:
        chosen = DisputeKind(kind) if kind is not None else None
    except ValueError:
        raise UsageError(f"there is no kind {kind!r}: choose one of {', '.join(DisputeKind)}") from None
    with open_session(home.engine) as session:
        return items.list_items(session, home.taxonomy, chosen, limit)


def next_item(
    home: Context,
    kind: DisputeKind,
    reviewer: Reviewer,
    *,
    after: Place | None = None,
    without: Sequence[uuid.UUID] = (),
) -> Item | None:
    """The next text of a kind, kept for the reviewer for some minutes; see `pipeline.review.items.next_item`."""
    with home.begin() as session:
        return items.next_item(session, home.taxonomy, kind, reviewer, _now(), after=after, without=without)


def read_item(home: Context, text_id: uuid.UUID, kind: DisputeKind | None, reviewer: Reviewer) -> Item | None:
    """One text as it is now; see `pipeline.review.items.read_item`."""
    with home.begin() as session:
        return items.read_item(session, home.taxonomy, text_id, kind, reviewer, _now())


def settle(
    home: Context,
    text_id: uuid.UUID,
    reviewer: Reviewer,
    *,
    yes: Sequence[str] = (),
    no: Sequence[str] = (),
    ground: str | None = None,
    words: str | None = None,
    shown: str | None = None,
) -> Settled:
    """Settle a text; see `pipeline.review.settle.settle`.

    Args:
        home: the home with the store.
        text_id: the text.
        reviewer: who settles it.
        yes: keys of the labels that it has.
        no: keys of the labels that it has not; all others stay as other raters leave them.
        ground: the reason, by its code (`pipeline.review.reasons.Ground`); None: it is in `words` alone.
        words: the reason in own words.
        shown: fingerprint of the votes that the reviewer saw; None: whatever the votes are.

    Raises:
        UsageError: there is no reason, or the marks cannot be a judgement.
        ReviewChanged: the votes changed since the reviewer saw them.
        ReviewError: the reviewer may not settle it.
    """
    reason = Reason.given(ground, words)
    with home.begin() as session:
        return settling.settle(
            session,
            home.taxonomy,
            text_id,
            reviewer,
            yes=frozenset(yes),
            no=frozenset(no),
            reason=reason,
            shown=shown,
        )


def undo(home: Context, reviewer: Reviewer) -> Undone | None:
    """Withdraw the reviewer's last settlement; None: there is none that stands."""
    with home.begin() as session:
        return settling.undo(session, home.taxonomy, reviewer)


def settled_lately(home: Context, reviewer: Reviewer, limit: int = 20) -> list[Done]:
    """The reviewer's last settlements, newest first, each with why the text was there."""
    with open_session(home.engine) as session:
        return settling.settled_lately(session, reviewer, limit)


def public_id(home: Context, text_id: uuid.UUID) -> uuid.UUID:
    """The id of a text that may be shown outside the store."""
    return _public_ids(home).of(text_id)


def own_id(home: Context, given: str) -> uuid.UUID:
    """The store's id of a text, from an id that somebody gives: a public one, or the store's own.

    Raises:
        UsageError: there is no such text.
    """
    try:
        written = uuid.UUID(given)
    except ValueError:
        raise UsageError(f"{given!r} is no id of a text") from None
    candidates = _public_ids(home).candidates(written)
    with open_session(home.engine) as session:
        for candidate in candidates:
            if session.get(Text, candidate) is not None:
                return candidate
    raise UsageError(f"no text has the id {written}")


def _public_ids(home: Context) -> PublicIds:
    def make() -> PublicIds:
        with open_session(home.engine) as session:
            return PublicIds.of_store(session)

    return home.keep("public ids", make)


def _now() -> datetime:
    return datetime.now(UTC)
