"""The review sample of what a filter rejected: what people have said of it, and how often the filter was right.

Any person's judgement counts, wherever it was given. Texts that were drawn earlier and that the filter keeps by now
are left out: the estimate is of what it rejects at present.
"""

from __future__ import annotations

import enum
import hashlib
import uuid
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.filters.names import REVIEW_REASONS
from pipeline.judgement import RaterKind
from pipeline.ledger.book import judgements_by_text
from pipeline.ledger.one_label import reference
from pipeline.ledger.resolve import current_judgements, resolve
from pipeline.measure.intervals import Estimate
from pipeline.measure.survey import weighted_share

#: beginning of the references of answers about one label
_ABOUT = reference("")


class Answer(enum.StrEnum):
    """A person's answer on a label that a filter rejected."""

    #: the text does not have the label
    RIGHTLY = "rightly"
    #: the text has the label
    WRONGLY = "wrongly"
    #: the person cannot say
    UNSURE = "unsure"

    @property
    def has_label(self) -> bool | None:
        """True if the text has the label; None: the person cannot say."""
        return {Answer.RIGHTLY: False, Answer.WRONGLY: True, Answer.UNSURE: None}[self]


class Standing(enum.StrEnum):
    """State of a text of the sample."""

    OPEN = "open"
    RIGHTLY = "rightly"
    WRONGLY = "wrongly"
    #: people disagree
    DISPUTED = "disputed"
    #: nobody who was asked could say
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Sampled:
    """A text of the sample."""

    text_id: uuid.UUID
    inclusion_probability: float
    standing: Standing
    #: ids of the raters who were asked about the label here and could not say
    unsure: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Precision:
    """Share of the labels that a filter was right to reject, with the counts behind it."""

    #: texts of the sample that the filter still rejects
    sampled: int
    rightly: int
    wrongly: int
    disputed: int
    unsure: int
    open: int
    #: share of the rejected texts that were rightly rejected; None: nobody has answered
    share: Estimate | None
    #: whether the texts had different probabilities, so that the share is weighted
    weighted: bool

    @property
    def answered(self) -> int:
        """Texts that the share rests on."""
        return self.rightly + self.wrongly


def read_sample(
    session: Session,
    stage: str,
    labels: Sequence[str],
    excludes: Mapping[str, frozenset[str]],
    *,
    only: uuid.UUID | None = None,
) -> dict[str, list[Sampled]]:
    """The review sample of each label, in order of text id, with what people have said.

    Ids are hashes of the texts, so the order is random.

    Args:
        session: an open session.
        stage: the filter, as its decisions name it.
        labels: keys of labels.
        excludes: for each label, the labels that the same text cannot have.
        only: one text; None: the whole sample.
    """
    v, d = store.Review, store.FilterDecision
    query = (
        select(v.label, v.text_id, v.inclusion_probability)
        .join(d, (d.stage == stage) & (d.label == v.label) & (d.text_id == v.text_id))
        .where(v.reason == REVIEW_REASONS[stage], v.label.in_(labels), ~d.kept)
        .order_by(v.text_id, v.label)
    )
    rows = session.execute(query if only is None else query.where(v.text_id == only)).all()
    values, unsure = _what_people_said(session, list(dict.fromkeys(row.text_id for row in rows)), excludes)
    sample: dict[str, list[Sampled]] = {label: [] for label in labels}
    for label, text_id, probability in rows:
        doubting = frozenset(unsure.get((text_id, label), ()))
        decided = values.get(text_id, {})
        if label in decided:
            value = decided[label]
            standing = Standing.DISPUTED if value is None else Standing.WRONGLY if value else Standing.RIGHTLY
        else:
            standing = Standing.UNSURE if doubting else Standing.OPEN
        sample[label].append(Sampled(text_id, probability, standing, doubting))
    return sample


def _what_people_said(
    session: Session, ids: Sequence[uuid.UUID], excludes: Mapping[str, frozenset[str]]
) -> tuple[dict[uuid.UUID, dict[str, bool | None]], dict[tuple[uuid.UUID, str], set[int]]]:
    """By text and label, what people decided (None: they disagree), and the raters who could not say."""
    if not ids:
        return {}, {}
    r, t = store.Rater, store.Text
    chosen = select(t.id).where(t.id == func.any(list(ids)))
    raters = {(row.name, row.version): row.id for row in session.scalars(select(r).where(r.kind == RaterKind.HUMAN))}
    values: dict[uuid.UUID, dict[str, bool | None]] = {}
    unsure: dict[tuple[uuid.UUID, str], set[int]] = {}
    for text_id, judgements in judgements_by_text(session, texts=chosen, only=r.kind == RaterKind.HUMAN):
        values[text_id] = {label: decision.value for label, decision in resolve(judgements, excludes=excludes).items()}
        newest = {(judgement.rater, judgement.external_ref): judgement for judgement in judgements}
        standing = {judgement.rater: judgement for judgement in current_judgements(judgements)}
        for (rater, ref), judgement in newest.items():
            label = ref.removeprefix(_ABOUT)
            last = standing.get(rater)
            if judgement.withdrawn or label == ref or last is None or label in last.asserted | last.denied:
                continue
            unsure.setdefault((text_id, label), set()).add(raters[rater.name, rater.version])
    return values, unsure


def precision_of(sample: Sequence[Sampled]) -> Precision:
    """The share that was rightly rejected, from the texts of the sample that people have settled.

    Texts that nobody could settle are left out, as if chance had left them out.
    """
    counts = Counter(member.standing for member in sample)
    settled = [member for member in sample if member.standing in (Standing.RIGHTLY, Standing.WRONGLY)]
    chances = [member.inclusion_probability for member in settled]
    return Precision(
        sampled=len(sample),
        rightly=counts[Standing.RIGHTLY],
        wrongly=counts[Standing.WRONGLY],
        disputed=counts[Standing.DISPUTED],
        unsure=counts[Standing.UNSURE],
        open=counts[Standing.OPEN],
        share=weighted_share([member.standing is Standing.RIGHTLY for member in settled], chances),
        weighted=bool(chances) and max(chances) - min(chances) > 1e-9,
    )


def next_open(sample: Sequence[Sampled], rater: int | None) -> Sampled | None:
    """The next text for a reviewer: one that nobody has answered, then one on which only others could not say.

    Each reviewer begins at another place of the random order, so that two of them seldom meet on one text.

    Args:
        sample: the texts of a label, in order of id.
        rater: id of the reviewer's rater; None: who has never answered.
    """
    digest = hashlib.blake2b(str(rater).encode(), digest_size=16).digest()
    start = bisect_left(sample, uuid.UUID(bytes=digest), key=lambda member: member.text_id)
    for standing in (Standing.OPEN, Standing.UNSURE):
        for member in chain(islice(sample, start, None), islice(sample, start)):
            if member.standing is standing and rater not in member.unsure:
                return member
    return None


def last_answer(session: Session, stage: str, label: str, rater: int) -> uuid.UUID | None:
    """The text of the sample on which a reviewer answered last, in the order of the answers; None: there is none."""
    return session.execute(
        text("""
            SELECT text_id FROM (
                SELECT DISTINCT ON (j.text_id) j.text_id, j.id, j.withdrawn FROM judgement j
                WHERE j.rater_id = :rater AND j.external_ref = :ref
                ORDER BY j.text_id, j.revision DESC
            ) newest
            WHERE NOT withdrawn AND EXISTS (
                SELECT FROM review v
                WHERE v.text_id = newest.text_id AND v.label = :label AND v.reason = :reason
            )
            ORDER BY id DESC LIMIT 1
        """),
        {"rater": rater, "ref": reference(label), "label": label, "reason": REVIEW_REASONS[stage]},
    ).scalar_one_or_none()
