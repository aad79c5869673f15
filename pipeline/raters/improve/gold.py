"""Texts that people judged, in two halves: one to learn a prompt from, one to measure it on."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from pipeline.errors import InputError
from pipeline.judgement import RaterKind
from pipeline.ledger.decisions import DecidedText, decided_texts
from pipeline.ledger.held_out import SHARE, kept_split
from pipeline.ledger.test_set import members
from pipeline.taxonomy import Taxonomy
from pipeline.texts.near_duplicates import near_duplicate_groups

#: least number of texts in each half
LEAST = 20


@dataclass(frozen=True, slots=True)
class GoldText:
    """A text with what people decided; labels that they did not speak of are in neither set."""

    id: uuid.UUID
    #: personal data masked
    masked: str
    asserted: frozenset[str]
    denied: frozenset[str]


@dataclass(frozen=True, slots=True)
class Halves:
    """Gold in two halves that share no near-duplicates."""

    lessons: Sequence[GoldText]
    exam: Sequence[GoldText]
    #: `people`, or `people and data sets` where people judged too few texts
    gold_by: str


def read_gold(session: Session, taxonomy: Taxonomy, *, limit: int, seed: int) -> Halves:
    """Read gold and divide it, at most `limit` texts in each half.

    Texts of the frozen test set, and texts that may join it, are left out. Whole groups of near-duplicates go to one
    half by a hash, and each gives one text. In each half, rare labels come first, so that they can be measured.

    Raises:
        InputError: there are too few texts.
    """
    frozen = members(session)
    people: list[GoldText] = []
    trusted: list[GoldText] = []
    for text in decided_texts(session, taxonomy, limit=0, with_judgements=True):
        if text.id in frozen or not text.trusted or kept_split(text.id, text.split, SHARE) == "test":
            continue
        for kinds, chosen in (((RaterKind.HUMAN,), people), ((RaterKind.HUMAN, RaterKind.EXTERNAL), trusted)):
            gold = _gold(text, kinds)
            if gold.asserted or gold.denied:
                chosen.append(gold)
    by_people = len(people) >= 4 * LEAST
    halves = divide(people if by_people else trusted, limit=limit, seed=seed)
    for half in halves:
        if len(half) < LEAST:
            raise InputError(
                f"too few texts that people judged: {len(halves[0])} to learn from and {len(halves[1])} to measure on, "
                f"and it takes {LEAST} of each, beside the test set: have people judge more"
            )
    return Halves(*halves, "people" if by_people else "people and data sets")


def divide(texts: Sequence[GoldText], *, limit: int, seed: int) -> tuple[list[GoldText], list[GoldText]]:
    """Two halves, which share no near-duplicates, in an order that depends on ids and seed only."""
    ordered = sorted(texts, key=lambda text: _place(text.id, seed))
    halves: tuple[list[GoldText], list[GoldText]] = ([], [])
    first: dict[int, GoldText] = {}
    for group, text in zip(near_duplicate_groups([text.masked for text in ordered]), ordered, strict=True):
        first.setdefault(group, text)
    for i, text in enumerate(first.values()):
        halves[i % 2].append(text)
    return (enriched(halves[0], limit), enriched(halves[1], limit))


def enriched(texts: Sequence[GoldText], limit: int) -> list[GoldText]:
    """At most `limit` of the texts: half of them in turn for each asserted label, the rest as they come."""
    if len(texts) <= limit:
        return list(texts)
    by_label: dict[str, list[GoldText]] = {}
    for text in texts:
        for label in sorted(text.asserted):
            by_label.setdefault(label, []).append(text)
    chosen: dict[uuid.UUID, GoldText] = {}
    depth = 0
    while len(chosen) < limit // 2 and any(depth < len(own) for own in by_label.values()):
        for label in sorted(by_label, key=lambda label: (len(by_label[label]), label)):
            if depth < len(by_label[label]) and len(chosen) < limit // 2:
                text = by_label[label][depth]
                chosen[text.id] = text
        depth += 1
    for text in texts:
        if len(chosen) >= limit:
            break
        chosen[text.id] = text
    return sorted(chosen.values(), key=lambda text: text.id)


def _gold(text: DecidedText, kinds: Iterable[RaterKind]) -> GoldText:
    wanted = frozenset(kinds)
    known: Mapping[str, bool] = {
        key: decision.value
        for key, decision in text.decisions.items()
        if decision.value is not None and any(text.judgements[i].rater.kind in wanted for i in decision.judgements)
    }
    return GoldText(
        text.id,
        text.masked,
        frozenset(key for key, value in known.items() if value),
        frozenset(key for key, value in known.items() if not value),
    )


def _place(identity: uuid.UUID, seed: int) -> bytes:
    return hashlib.blake2b(identity.bytes, key=f"improve:{seed}".encode(), digest_size=8).digest()
