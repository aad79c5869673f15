"""Practice of volunteers: example texts of the taxonomy, whose answer is known and shown after each.

A round ends as soon as it is known whether somebody finds the labels well enough (`pipeline.measure.sequential`).
Nobody is shut out: after a round that went badly comes the next one.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.measure.sequential import Progress, ShareTest
from pipeline.store.session import open_session
from pipeline.taxonomy import Taxonomy
from saring.context import Context

#: somebody who is right on 60% passes one round in twenty, and somebody who is right on 85% fails one in twenty
TEST = ShareTest(poor=0.6, good=0.85, error=0.05)
#: share of the texts that look like a label's and do not have it
_NEAR_MISSES = 1 / 3


@dataclass(frozen=True, slots=True)
class Question:
    """A text of the practice."""

    #: rounds and places in a round count from 1
    round: int
    place: int
    text: str
    #: the label that it is about
    label: str
    #: True: the text has the label; False: it looks so, and has not
    has: bool
    #: why it has not; empty where it has
    why: str = ""


@dataclass(frozen=True, slots=True)
class Practice:
    """A volunteer's practice, as it stands."""

    #: the text before them
    question: Question
    #: of the round that the question is in
    progress: Progress
    #: True: a round before this one went badly
    again: bool
    #: True: a round went well, this one or one before
    passed: bool


@dataclass(frozen=True, slots=True)
class Checked:
    """An answer, looked at."""

    question: Question
    right: bool
    #: labels that were chosen and cannot stand beside the right one
    excluded: tuple[str, ...]
    #: of the round, with this answer
    progress: Progress


def practice(home: Context, account: int) -> Practice:
    """The practice of a volunteer: the text that comes next, and how far they are."""
    with open_session(home.engine) as session:
        number, answers = _round(session, account)
        passed = session.scalar(select(store.Volunteer.practised_at).where(store.Volunteer.account_id == account))
    progress = TEST.of(answers)
    again = number > 1
    if progress.passed is not None:
        # the next round begins
        again, number, answers = not progress.passed, number + 1, []
        progress = TEST.of(answers)
    question = question_at(home.taxonomy, account, number, len(answers) + 1)
    return Practice(question, progress, again, passed is not None)


def check(home: Context, account: int, round: int, place: int, chosen: Collection[str]) -> Checked | None:
    """Look at an answer and note it. To send one again changes nothing; None: it is not the text that was shown.

    Args:
        home: the home with the store.
        account: the volunteer's account.
        round: of the question.
        place: of the question in its round.
        chosen: keys of the labels that the volunteer chose.
    """
    before = practice(home, account).question
    question = question_at(home.taxonomy, account, round, place)
    right = is_right(question, chosen, home.taxonomy)
    p = store.PracticeAnswer
    with home.begin() as session:
        if (round, place) == (before.round, before.place):
            row = {"account_id": account, "round": round, "place": place, "label": question.label, "right": right}
            session.execute(insert(p).values(row).on_conflict_do_nothing())
        elif session.get(p, (account, round, place)) is None:
            return None
        query = select(p.right).where(p.account_id == account, p.round == round, p.place <= place).order_by(p.place)
        progress = TEST.of(session.scalars(query))
        if progress.passed:
            v = store.Volunteer
            session.execute(
                update(v).where(v.account_id == account, v.practised_at.is_(None)).values(practised_at=func.now())
            )
    excluded = home.taxonomy.excludes[question.label] & set(chosen) if question.has else frozenset[str]()
    return Checked(question, right, tuple(key for key in home.taxonomy.keys if key in excluded), progress)


def is_right(question: Question, chosen: Collection[str], taxonomy: Taxonomy) -> bool:
    """True where an answer fits what is known: of the other labels nothing is."""
    if not question.has:
        return question.label not in chosen
    return question.label in chosen and not taxonomy.excludes[question.label] & set(chosen)


def question_at(taxonomy: Taxonomy, account: int, round: int, place: int) -> Question:
    """The text at a place of a round. Each label comes once before one comes again, in an order of the volunteer's own.

    Args:
        taxonomy: the labels, with their examples.
        account: the volunteer's account.
        round: from 1.
        place: in the round, from 1.
    """
    keys = list(taxonomy.keys)
    cycle, index = divmod(place - 1, len(keys))
    random.Random(f"{account} {round} {cycle}").shuffle(keys)  # noqa: S311 - no secret
    label = taxonomy[keys[index]]
    rng = random.Random(f"{account} {round} {place}")  # noqa: S311 - no secret
    misses = label.all_near_misses()
    if misses and rng.random() < _NEAR_MISSES:
        miss = rng.choice(misses)
        return Question(round, place, miss.text, label.key, has=False, why=miss.why)
    return Question(round, place, rng.choice(label.all_exemplars()), label.key, has=True)


def _round(session: Session, account: int) -> tuple[int, list[bool]]:
    """The number of the last round, and the answers in it."""
    p = store.PracticeAnswer
    number = session.scalar(select(func.max(p.round)).where(p.account_id == account)) or 1
    query = select(p.right).where(p.account_id == account, p.round == number).order_by(p.place)
    return number, list(session.scalars(query))
