"""The review sample of what the filters rejected: the next text, a reviewer's answer, and the filter's precision."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import UsageError
from pipeline.filters.names import FILTERS, REVIEW_REASONS, name_of, stage_of
from pipeline.filters.near_cut import harsh_texts
from pipeline.filters.review_sample import (
    Answer,
    Precision,
    Sampled,
    Standing,
    last_answer,
    next_open,
    precision_of,
    read_sample,
)
from pipeline.judgement import RaterRef
from pipeline.ledger import one_label
from pipeline.ledger.book import rater_id
from pipeline.store.session import open_session
from saring.actions.labels import require_label
from saring.context import Context


@dataclass(frozen=True, slots=True)
class SampleText:
    """A text of the review sample, as a reviewer sees it."""

    text_id: uuid.UUID
    label: str
    #: personal data is masked
    text: str
    language: str | None
    harsh: bool
    inclusion_probability: float
    score: float | None
    cut: float | None
    #: the filter's reason
    reason: str
    standing: Standing


@dataclass(frozen=True, slots=True)
class SamplePage:
    """The next text of a label's sample, and what the answers so far say of the filter."""

    filter: str
    label: str
    #: None: nothing is left for this reviewer
    text: SampleText | None
    precision: Precision
    #: the text whose answer an undo would take back; None: this reviewer has answered none
    last: uuid.UUID | None


@dataclass(frozen=True, slots=True)
class Answered:
    """Outcome of a reviewer's answer."""

    text_id: uuid.UUID
    answer: Answer
    #: what others had made of it meanwhile; None: nothing, or the reviewer changes an answer of their own
    before: Standing | None
    #: what people make of it now
    now: Standing


def sample_page(
    home: Context, label: str, rater: RaterRef, name: str = "centroid", *, text_id: uuid.UUID | None = None
) -> SamplePage:
    """The next text of a label's review sample for a reviewer, with the filter's precision so far.

    Args:
        home: the home with the store.
        label: key or name of the label.
        rater: the reviewer.
        name: `centroid` or `sentiment`.
        text_id: a text of the sample to be shown instead of the next one.

    Raises:
        UsageError: there is no such label or filter, or the text is not in the sample.
    """
    key, stage = require_label(home, label), stage_of(name)
    with home.begin() as session:
        own = _known(session, rater)
        sample = read_sample(session, stage, [key], home.taxonomy.excludes)[key]
        chosen = _member(sample, text_id, key) if text_id is not None else next_open(sample, own)
        shown = _shown(home, session, stage, key, chosen) if chosen is not None else None
        last = last_answer(session, stage, key, own) if own is not None else None
    return SamplePage(name_of(stage), key, shown, precision_of(sample), last)


def answer_sample(
    home: Context, label: str, text_id: uuid.UUID, answer: Answer, rater: RaterRef, name: str = "centroid"
) -> Answered:
    """Record a reviewer's answer on a text of the review sample, as a judgement of theirs on that label.

    Raises:
        UsageError: there is no such label or filter, or the text is not in the sample.
    """
    key, stage = require_label(home, label), stage_of(name)
    taxonomy = home.taxonomy
    with home.begin() as session:
        _require_drawn(session, stage, key, text_id)
        own = rater_id(session, rater)
        again = one_label.has_said(session, own, text_id, key)
        before = None if again else _standing(session, stage, key, text_id, taxonomy.excludes)
        one_label.say(
            session,
            own,
            text_id,
            key,
            answer.has_label,
            excludes=taxonomy.excludes,
            taxonomy_version=taxonomy.version,
        )
        now = _standing(session, stage, key, text_id, taxonomy.excludes)
    return Answered(text_id, answer, None if before is Standing.OPEN else before, now or Standing.OPEN)


def undo_sample(home: Context, label: str, rater: RaterRef, name: str = "centroid") -> uuid.UUID:
    """Withdraw a reviewer's last answer on the review sample of a label; the id of its text.

    Raises:
        UsageError: there is no such label or filter, or no answer to take back.
    """
    key, stage = require_label(home, label), stage_of(name)
    with home.begin() as session:
        own = _known(session, rater)
        last = last_answer(session, stage, key, own) if own is not None else None
        if own is None or last is None:
            raise UsageError(f"there is no answer of yours on the sample of {key!r} that could be taken back")
        one_label.take_back(
            session, own, last, key, excludes=home.taxonomy.excludes, taxonomy_version=home.taxonomy.version
        )
    return last


def filter_precision(home: Context, name: str | None = None) -> dict[tuple[str, str], Precision]:
    """The share that was rightly rejected, by filter and label; labels without a sample are left out.

    Raises:
        UsageError: there is no such filter.
    """
    stages = [stage_of(name)] if name is not None else list(FILTERS.values())
    precision: dict[tuple[str, str], Precision] = {}
    with open_session(home.engine) as session:
        for stage in stages:
            samples = read_sample(session, stage, home.taxonomy.keys, home.taxonomy.excludes)
            precision |= {(name_of(stage), key): precision_of(sample) for key, sample in samples.items() if sample}
    return precision


def _known(session: Session, rater: RaterRef) -> int | None:
    """Id of a rater; None: they have never answered."""
    r = store.Rater
    query = select(r.id).where(r.kind == rater.kind, r.name == rater.name, r.version == rater.version)
    return session.execute(query).scalar_one_or_none()


def _member(sample: list[Sampled], text_id: uuid.UUID, key: str) -> Sampled:
    for member in sample:
        if member.text_id == text_id:
            return member
    raise UsageError(f"text {text_id} is not in the review sample of {key!r}, or the filter keeps it by now")


def _require_drawn(session: Session, stage: str, key: str, text_id: uuid.UUID) -> None:
    if session.get(store.Review, (text_id, key, REVIEW_REASONS[stage])) is None:
        raise UsageError(f"text {text_id} is not in the review sample of {key!r}")


def _standing(
    session: Session, stage: str, key: str, text_id: uuid.UUID, excludes: Mapping[str, frozenset[str]]
) -> Standing | None:
    """State of one text of the sample; None: the filter keeps it by now."""
    sample = read_sample(session, stage, [key], excludes, only=text_id)[key]
    return sample[0].standing if sample else None


def _shown(home: Context, session: Session, stage: str, key: str, member: Sampled) -> SampleText:
    own = session.get_one(store.Text, member.text_id)
    decision = session.get_one(store.FilterDecision, (stage, key, member.text_id))
    return SampleText(
        member.text_id,
        key,
        own.masked,
        own.language,
        bool(harsh_texts(session, [member.text_id], home.taxonomy.harmful)),
        member.inclusion_probability,
        decision.score,
        decision.cut,
        decision.reason,
        member.standing,
    )
