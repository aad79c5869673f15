"""The report on volunteers: skill, agreement, harsh content met, and work that needs another look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from sqlalchemy.orm import Session

from pipeline.measure.arrays import LabelMatrix
from pipeline.taxonomy import Taxonomy
from sync.pull.interventions import Interventions, interventions
from sync.quality.agreement import Agreement, agreement
from sync.quality.answers import Answers, right
from sync.quality.care import DayOfCare, days_of_care
from sync.quality.careless import Care, carelessness
from sync.quality.consensus import consensus
from sync.quality.pace import Acceptance, Pace, acceptance, pace
from sync.quality.read import Read, read_answers
from sync.quality.skill import Score, score
from sync.quality.sway import Sway, sway


@dataclass(frozen=True, slots=True)
class RaterQuality:
    """One volunteer, by the id of their account."""

    rater: str
    #: annotations by state: submitted, skipped, undecided and so on
    annotations: Mapping[str, int]
    #: against what is known without their word: planted tasks, what others agree on, data sets
    known: Score
    #: the same for planted tasks alone
    planted: Score
    #: against what the others say, by Dawid and Skene's model
    others: Score
    pace: Pace
    acceptance: Acceptance
    care: Care
    #: why a maintainer excluded them; None: their word counts
    excluded: str | None


@dataclass(frozen=True, slots=True)
class QualityReport:
    """The whole of it. What there is too little of is None, never a guess."""

    answers: int
    texts: int
    #: on all texts with two answers: mostly those on which raters disagreed
    agreement: Agreement | None
    #: on the texts that a coin had two raters asked for, their first two answers
    fair_agreement: Agreement | None
    sway: Sway | None
    acceptance: Acceptance
    raters: tuple[RaterQuality, ...]
    days: tuple[DayOfCare, ...]
    #: what accounts did to annotations of others
    interventions: tuple[Interventions, ...] = ()
    #: answers of which something is known, and those of which only data sets say it
    checked: int = 0
    checked_by_data_sets: int = 0

    @property
    def careless(self) -> tuple[str, ...]:
        """Accounts that the rule flags."""
        return tuple(rater.rater for rater in self.raters if rater.care.careless)


def quality_report(
    session: Session,
    taxonomy: Taxonomy,
    *,
    project: int | None = None,
    since: datetime | None = None,
    rng: np.random.Generator,
) -> QualityReport:
    """Measure the volunteers' work that the store holds.

    Args:
        session: an open session.
        taxonomy: the labels.
        project: keep to this project of ours.
        since: keep to annotations made at this moment or later.
        rng: draws resamples.
    """
    read = read_answers(session, taxonomy, project=project, since=since)
    answers = read.answers
    days = tuple(days_of_care(read.exposures))
    changes = interventions(session, project=project)
    if not len(answers):
        return QualityReport(0, 0, None, None, None, acceptance(answers), (), days, changes)
    others = consensus(answers).others
    care = {care_of_one.rater: care_of_one for care_of_one in carelessness(answers, others, rng=rng)}
    raters = []
    for number, rater in enumerate(answers.raters):
        own = answers.rater == number
        raters.append(_of_one(answers, own, others, rater, read, care[rater], rng))
    # of the crew as it counts
    out = [number for number, rater in enumerate(answers.raters) if rater in read.excluded]
    counted = answers.where(~np.isin(answers.rater, out))
    checked = right(answers, answers.truth)[0]
    return QualityReport(
        answers=len(answers),
        texts=answers.texts,
        agreement=agreement(counted, rng=rng),
        fair_agreement=agreement(counted.where(counted.paired), rng=rng),
        sway=sway(counted, rng=rng),
        acceptance=acceptance(answers),
        raters=tuple(raters),
        days=days,
        interventions=changes,
        checked=int(checked.sum()),
        checked_by_data_sets=int((checked & answers.of_data_sets).sum()),
    )


def _of_one(
    answers: Answers,
    own_rows: np.ndarray[tuple[int], np.dtype[np.bool_]],
    others: LabelMatrix,
    rater: str,
    read: Read,
    care: Care,
    rng: np.random.Generator,
) -> RaterQuality:
    own, planted = answers.where(own_rows), answers.where(own_rows & answers.planted)
    return RaterQuality(
        rater=rater,
        annotations=read.states.get(rater, {}),
        known=score(own, own.truth, rng=rng),
        planted=score(planted, planted.truth, rng=rng),
        others=score(own, others[own_rows], rng=rng),
        pace=pace(own),
        acceptance=acceptance(own),
        care=care,
        excluded=read.excluded.get(rater),
    )
