"""A ledger with disputes, and reviewers who settle them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine

from pipeline.judgement import RaterKind, RaterRef, Tier
from pipeline.ledger.decisions import decided_texts
from pipeline.review.find import FindConfig, FindReport, catch_up, count_waiting, find_disputes
from pipeline.review.items import Item, Place, next_item, read_item
from pipeline.review.reasons import Ground, Reason
from pipeline.review.reviewer import Reviewer
from pipeline.review.settle import Settled, Undone, settle, undo
from pipeline.store import open_session
from pipeline.store.tables.review import DisputeKind
from pipeline.taxonomy import load_taxonomy
from tests.support.ledger import Book

AISYAH, BALA, CHONG = (RaterRef(RaterKind.HUMAN, "label-studio", str(i)) for i in (1, 2, 3))
OTHER_LLM = RaterRef(RaterKind.LLM, "b-model", "1")
MEI, NUR = Reviewer("7", "Mei"), Reviewer("8", "Nur")
NOW = datetime(2026, 11, 29, 8, tzinfo=UTC)
REASON = Reason(Ground.DEFINITION)


class Desk(Book):
    """A ledger, and reviewers who settle what is disputed in it."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        super().__init__(engine, load_taxonomy(), folder)

    def find(self, *, suspects: bool = False, most: int = 100) -> FindReport:
        return find_disputes(self.engine, self.taxonomy, FindConfig(suspects, most=most))

    def next(
        self,
        kind: DisputeKind = DisputeKind.DISAGREEMENT,
        who: Reviewer = MEI,
        *,
        after: Place | None = None,
        now: datetime = NOW,
        without: Sequence[uuid.UUID] = (),
    ) -> Item | None:
        with open_session(self.engine) as session, session.begin():
            return next_item(session, self.taxonomy, kind, who, now, after=after, without=without)

    def look(self, text: uuid.UUID, who: Reviewer = MEI, *, now: datetime = NOW) -> Item | None:
        with open_session(self.engine) as session, session.begin():
            return read_item(session, self.taxonomy, text, None, who, now)

    def settle(
        self,
        text: uuid.UUID,
        who: Reviewer = MEI,
        *,
        yes: str = "",
        no: str = "",
        shown: str | None = None,
        reason: Reason = REASON,
    ) -> Settled:
        with open_session(self.engine) as session, session.begin():
            marks = [frozenset(filter(None, part.split(","))) for part in (yes, no)]
            return settle(session, self.taxonomy, text, who, yes=marks[0], no=marks[1], reason=reason, shown=shown)

    def undo(self, who: Reviewer = MEI) -> Undone | None:
        with open_session(self.engine) as session, session.begin():
            return undo(session, self.taxonomy, who)

    def waiting(self) -> dict[str, int]:
        with open_session(self.engine) as session:
            return count_waiting(session)

    def catch_up(self) -> int:
        with open_session(self.engine) as session, session.begin():
            return catch_up(session, self.taxonomy)

    def tier(self, text: uuid.UUID, label: str = "hate") -> tuple[bool | None, Tier]:
        with open_session(self.engine) as session:
            [decided] = [one for one in decided_texts(session, self.taxonomy) if one.id == text]
        return decided.decisions[label].value, decided.decisions[label].tier

    def dispute(self, count: int = 1) -> list[uuid.UUID]:
        ids = self.plant(count)
        self.say(AISYAH, ids, {"hate"})
        self.say(BALA, ids, set(), {"hate"})
        return ids


def counts(disagreement: int = 0, undecided: int = 0, suspect: int = 0) -> dict[str, int]:
    return {"disagreement": disagreement, "undecided": undecided, "suspect": suspect, "appeal": 0}
