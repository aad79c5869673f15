"""The texts that divided people most, for volunteers to talk over: the choice of a week.

A text divides people on a label where some say yes and others no. How much is the share of the smaller side, as far as
it is certain: the lower end of its 95% interval (Wilson 1927). So two against two counts for more than one against one,
and a text on which all agree counts for nothing.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.judgement import RaterKind
from pipeline.ledger.book import judgements_by_text
from pipeline.ledger.resolve import current_judgements, opinions
from pipeline.measure.intervals import wilson
from pipeline.store.tables.human_loop import AnnotationState, TaskState
from pipeline.taxonomy import Taxonomy
from sync.project.days import MALAYSIA, start_of_day
from sync.quality.truth import VOLUNTEERS, is_volunteer

#: texts of a week, and weeks before it in which people answered them
TEXTS, WEEKS = 5, 4


@dataclass(frozen=True, slots=True)
class Ballot:
    """The votes of people on one text: of each label, how many said yes and how many no."""

    text: uuid.UUID
    votes: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Divided:
    """A text that divided people."""

    text: uuid.UUID
    #: labels on which it did, most divided first
    labels: tuple[str, ...]
    #: how much it did on the first of them: above 0, below 0.5
    value: float


def monday(at: datetime) -> date:
    """The Monday, in Malaysia, of the week of a moment."""
    day = start_of_day(at).date()
    return day - timedelta(days=day.weekday())


def start_of_week(week: date) -> datetime:
    """The moment at which a week begins."""
    return datetime(week.year, week.month, week.day, tzinfo=MALAYSIA).astimezone(UTC)


def most_divided(ballots: Iterable[Ballot], week: date, most: int = TEXTS) -> list[Divided]:
    """The texts that divided people most, at most so many. Pure, and independent of the order of the ballots.

    Of two that divided people alike on a label, the one that did so on more labels comes first; then a hash of week and
    text decides, so that no text is always the last.

    Args:
        ballots: one for each text.
        week: its Monday.
        most: how many.
    """
    ranked = []
    for ballot in ballots:
        by_label = {label: _division(*votes) for label, votes in ballot.votes.items()}
        labels = sorted((label for label, value in by_label.items() if value > 0), key=lambda k: (-by_label[k], k))
        if labels:
            # rounded, so that the order in which numbers were added decides nothing
            total = round(sum(by_label.values()), 9)
            divided = Divided(ballot.text, tuple(labels), by_label[labels[0]])
            ranked.append((-divided.value, -total, _drawn(week, ballot.text), divided))
    return [divided for *_, divided in sorted(ranked, key=lambda row: row[:3])[:most]]


def read_ballots(session: Session, taxonomy: Taxonomy, week: date) -> list[Ballot]:
    """Read the votes on the texts that people answered in the weeks before a week, and did not answer alike.

    Left out are texts that somebody is still asked about, that no source has any more, that a reviewer settled, whose
    answer was known beforehand, that are in the test set, and that were chosen before.

    Args:
        session: an open session.
        taxonomy: the labels.
        week: its Monday.
    """
    a, r, t, x = store.Annotation, store.Rater, store.Text, store.Task
    until = start_of_week(week)
    unlike = (
        select(a.text_id)
        .join(r, r.id == a.rater_id)
        .where(r.kind == RaterKind.HUMAN, r.name == VOLUNTEERS, r.excluded_at.is_(None))
        .where(a.state == AnnotationState.SUBMITTED, a.updated_at < until)
        .group_by(a.text_id)
        .having(func.count(a.rater_id.distinct()) > 1, func.count(a.chosen.distinct()) > 1)
        .having(func.max(a.updated_at) >= until - timedelta(weeks=WEEKS))
    )
    asked = select(x.text_id).where(x.gold | x.state.in_((TaskState.PUSHING, TaskState.OPEN)))
    texts = select(t.id).where(
        t.id.in_(unlike),
        t.in_scope,
        t.duplicate_of.is_(None),
        t.id.not_in(asked),
        t.id.not_in(select(store.TestRow.text_id)),
        t.id.not_in(select(store.NormingText.text_id)),
    )
    ballots = []
    for text, judgements in judgements_by_text(session, texts=texts):
        standing = current_judgements(judgements)
        if any(judgement.rater.adjudicates for judgement in standing):
            continue
        votes: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for judgement in standing:
            if is_volunteer(judgement.rater):
                asserted, denied = opinions(judgement, taxonomy.excludes)
                for label in asserted:
                    votes[label][0] += 1
                for label in denied:
                    votes[label][1] += 1
        ballots.append(Ballot(text, {label: (yes, no) for label, (yes, no) in votes.items() if label in taxonomy}))
    return ballots


@lru_cache(maxsize=1024)
def _division(yes: int, no: int) -> float:
    smaller = min(yes, no)
    estimate = wilson(smaller, yes + no) if smaller else None
    return 0.0 if estimate is None else estimate.low


def _drawn(week: date, text: uuid.UUID) -> bytes:
    return hashlib.blake2b(week.isoformat().encode() + text.bytes, digest_size=8).digest()
