"""Decisions by people: gold texts of each label, and texts that can be planted to measure raters."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.judgement import Judgement, RaterKind, Tier
from pipeline.ledger.book import judgements_by_text
from pipeline.ledger.resolve import current_judgements, resolve
from pipeline.store.texts import sample
from pipeline.taxonomy import Taxonomy
from pipeline.vectors.encoders.protocol import Vectors, unit

#: names of raters who judged in Label Studio or in the dashboard; the judgements of others were imported
_OWN = frozenset({"label-studio", "saring"})
#: number of people who must agree on a text before it is planted, unless its labels were imported
_AGREEING = 2
#: least and largest number of gold texts for the centre of a label
_CENTRE = (5, 2_000)


@dataclass(frozen=True, slots=True)
class Known:
    """A text whose labels people agree on."""

    id: uuid.UUID
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class People:
    """Decisions by people."""

    #: number of texts in scope with the label by people's judgement
    gold: Mapping[str, int]
    #: ids of some of these texts
    examples: Mapping[str, Sequence[uuid.UUID]]
    #: texts that can be planted, in order of id
    known: Sequence[Known]


def what_people_decided(session: Session, taxonomy: Taxonomy) -> People:
    """Read all judgements by people, in one pass over the texts that they judged."""
    excludes = taxonomy.excludes
    j, r = store.Judgement, store.Rater
    in_scope = sample(None).subquery()
    judged = (
        select(j.text_id)
        .join(r, r.id == j.rater_id)
        .where(r.kind == RaterKind.HUMAN, j.text_id.in_(select(in_scope.c.id)))
    )
    gold = dict.fromkeys(taxonomy.keys, 0)
    examples: dict[str, list[uuid.UUID]] = {key: [] for key in taxonomy.keys}
    known: list[Known] = []
    for text_id, judgements in judgements_by_text(session, texts=judged):
        people = [judgement for judgement in judgements if judgement.rater.kind is RaterKind.HUMAN]
        decisions = {key: d for key, d in resolve(people, excludes=excludes).items() if key in taxonomy}
        labels = tuple(key for key in taxonomy.keys if key in decisions and decisions[key].value)
        for key in labels:
            gold[key] += 1
            if len(examples[key]) < _CENTRE[1]:
                examples[key].append(text_id)
        if labels and all(d.tier is Tier.GOLD for d in decisions.values()) and _agreed(people, labels):
            known.append(Known(text_id, labels))
    return People(gold, examples, known)


def _agreed(people: Sequence[Judgement], labels: Sequence[str]) -> bool:
    """True where each label has enough people behind it, or was imported as a judgement by people."""
    standing = current_judgements(people)
    return all(
        any(judgement.rater.name not in _OWN for judgement in for_it) or len(for_it) >= _AGREEING
        for for_it in ([judgement for judgement in standing if label in judgement.asserted] for label in labels)
    )


def centres(session: Session, encoder: str, examples: Mapping[str, Sequence[uuid.UUID]]) -> dict[str, Vectors]:
    """The centre of each label's gold texts, where enough of them have a vector."""
    v = store.Vector
    by_label = {}
    for key, ids in examples.items():
        if len(ids) < _CENTRE[0]:
            continue
        count, mean = session.execute(
            select(func.count(), func.avg(v.embedding)).where(v.encoder == encoder, v.text_id == func.any(list(ids)))
        ).one()
        if count >= _CENTRE[0]:
            by_label[key] = unit(np.asarray(mean.to_numpy(), dtype=np.float32)[None])[0]
    return by_label
