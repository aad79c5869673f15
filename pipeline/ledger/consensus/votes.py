"""Votes: a table of the verdicts of machines and of people on many texts, read from the ledger once."""

from __future__ import annotations

import enum
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import CompoundSelect, exists, func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.judgement import Judgement, RaterKind, RaterRef
from pipeline.ledger.book import judgements_by_text
from pipeline.ledger.decisions import TRUSTED, decided_texts
from pipeline.ledger.held_out import SHARE, kept_split
from pipeline.ledger.resolve import WEIGHED_KINDS, current_judgements, opinions, resolve
from pipeline.ledger.test_set import members
from pipeline.measure.arrays import UNKNOWN, Booleans, Ints, LabelMatrix
from pipeline.progress import Progress, silent
from pipeline.store.texts import sample
from pipeline.taxonomy import Taxonomy

#: largest random sample of texts; more texts change no estimate visibly. Texts with gold are read as well
MOST_TEXTS = 100_000
#: least number of gold texts for a comparison
LEAST_GOLD = 50
_REPORTED = 1_000


class Gold(enum.StrEnum):
    """Raters whose decisions are gold: machines are compared with them."""

    PEOPLE = "people"
    #: people and, where no person judged, data sets: these too are labelled by people, but with other guidelines
    TRUSTED = "people and data sets"


@dataclass(frozen=True, slots=True)
class Votes:
    """A table with a row for each current verdict of a rater. Matrices hold 1: asserted, 0: denied, -1: no verdict."""

    labels: tuple[str, ...]
    raters: tuple[RaterRef, ...]
    texts: int
    #: [rows]: number of the text
    text: Ints
    #: [rows]: number of the rater
    rater: Ints
    #: [rows, labels]: the rater's verdict
    said: LabelMatrix
    #: [rows, labels]: the part of it that counts: without labels that filters rejected
    heard: LabelMatrix
    #: [rows]: True where `resolve` counts it: the newest version of a rater that may be weighed
    votes: Booleans
    #: [rows, labels]: gold without this rater's judgements
    known: LabelMatrix
    #: [texts, labels]: gold
    truth: LabelMatrix
    #: the raters whose decisions are gold
    gold: Gold = Gold.PEOPLE

    def of(self, rater: RaterRef) -> Booleans:
        """Rows of one rater: bool array of shape [rows]."""
        return np.asarray(self.rater == self.raters.index(rater))

    def without(self, rater: RaterRef) -> Votes:
        """The table without the votes of a rater."""
        return self.replaced(votes=self.votes & ~self.of(rater))

    def replaced(self, *, votes: Booleans) -> Votes:
        """The table with other rows that count."""
        return replace(self, votes=votes)

    def gold_texts(self) -> int:
        """Number of texts with gold."""
        return int((self.truth != UNKNOWN).any(axis=1).sum())

    def voters(self) -> list[RaterRef]:
        """Raters whose votes `resolve` counts."""
        return [self.raters[number] for number in np.unique(self.rater[self.votes])]


def read_votes(
    session: Session,
    taxonomy: Taxonomy,
    *,
    people: bool = False,
    most: int = MOST_TEXTS,
    progress: Progress = silent,
) -> Votes:
    """Read the votes on a random sample of the texts, and on all texts that people or data sets judged.

    Gold is the decisions of people. Data sets count too if people decided fewer than `LEAST_GOLD` of the texts that
    machines judged. Texts of the frozen test set, and texts that may join it, are left out.

    Args:
        session: an open session.
        taxonomy: the labels.
        people: True: people and data sets have rows as well. Reviewers have none: they judged what others dispute, and
            their word is gold.
        most: number of texts in the sample.
        progress: called from time to time.
    """
    hidden = members(session) | _test_texts(session, taxonomy)
    kinds = frozenset(RaterKind) if people else frozenset(RaterKind) - {RaterKind.HUMAN}
    building = _Building(taxonomy, kinds)
    chosen = _chosen(most)
    texts = chosen.subquery()
    judged = exists().where(store.Judgement.text_id == texts.c[0])
    total = session.scalar(select(func.count()).select_from(texts).where(judged))
    for count, (text_id, judgements) in enumerate(judgements_by_text(session, texts=chosen)):  # type: ignore[arg-type]
        if text_id not in hidden:
            building.add(judgements)
        if count % _REPORTED == 0:
            progress(count, total, "reading the judged texts")
    return building.built()


def _test_texts(session: Session, taxonomy: Taxonomy) -> set[uuid.UUID]:
    share = SHARE
    return {
        text.id
        for text in decided_texts(session, taxonomy, limit=0)
        if text.trusted and kept_split(text.id, text.split, share) == "test"
    }


def _chosen(most: int) -> CompoundSelect[uuid.UUID]:
    """The ids of a random sample of the texts, and of all that people or data sets judged."""
    j, r = store.Judgement, store.Rater
    drawn = select(sample(most).subquery().c.id)
    everything = select(sample(None).subquery().c.id)
    trusted = (
        select(j.text_id).join(r, r.id == j.rater_id).where(r.kind.in_(TRUSTED), j.text_id.in_(everything)).distinct()
    )
    return drawn.union(trusted)


class _Building:
    """The table under construction, text by text."""

    def __init__(self, taxonomy: Taxonomy, kinds: frozenset[RaterKind]) -> None:
        self._keys = taxonomy.keys
        self._at = {key: i for i, key in enumerate(taxonomy.keys)}
        self._excludes = taxonomy.excludes
        self._kinds = kinds
        self._numbers: dict[RaterRef, int] = {}
        self._texts = 0
        self._text: list[int] = []
        self._rater: list[int] = []
        self._votes: list[bool] = []
        self._said: list[NDArray[np.int8]] = []
        self._heard: list[NDArray[np.int8]] = []
        self._known: dict[Gold, list[NDArray[np.int8]]] = {gold: [] for gold in Gold}
        self._truth: dict[Gold, list[NDArray[np.int8]]] = {gold: [] for gold in Gold}
        self._by_people = 0

    def add(self, judgements: Sequence[Judgement]) -> None:
        """Add the rows of one text."""
        trusted = [judgement for judgement in judgements if judgement.rater.kind in TRUSTED]
        rows = [
            judgement
            for judgement in _standing(judgements)
            if judgement.rater.kind in self._kinds and not judgement.rater.adjudicates
        ]
        if not rows:
            return
        truth = self._decided(trusted)
        current = {judgement.id for judgement in current_judgements(judgements)}
        machines = any(judgement.rater.kind in WEIGHED_KINDS for judgement in rows)
        self._by_people += machines and bool((truth[Gold.PEOPLE] != UNKNOWN).any())
        for row in rows:
            self._text.append(self._texts)
            self._rater.append(self._numbers.setdefault(row.rater, len(self._numbers)))
            self._votes.append(row.rater.kind in WEIGHED_KINDS and row.id in current)
            self._said.append(self._row(*opinions(row, self._excludes, filtered=False)))
            self._heard.append(self._row(*opinions(row, self._excludes)))
            own = row.rater.kind in TRUSTED
            known = self._decided([t for t in trusted if t.rater != row.rater]) if own else truth
            for gold in Gold:
                self._known[gold].append(known[gold])
        for gold in Gold:
            self._truth[gold].append(truth[gold])
        self._texts += 1

    def built(self) -> Votes:
        """The finished table."""
        gold = Gold.PEOPLE if self._by_people >= LEAST_GOLD else Gold.TRUSTED
        return Votes(
            labels=self._keys,
            raters=tuple(self._numbers),
            texts=self._texts,
            text=np.array(self._text, dtype=np.int64),
            rater=np.array(self._rater, dtype=np.int64),
            said=self._matrix(self._said),
            heard=self._matrix(self._heard),
            votes=np.array(self._votes, dtype=np.bool_),
            known=self._matrix(self._known[gold]),
            truth=self._matrix(self._truth[gold]),
            gold=gold,
        )

    def _matrix(self, rows: list[NDArray[np.int8]]) -> LabelMatrix:
        return np.stack(rows) if rows else np.empty((0, len(self._keys)), dtype=np.int8)

    def _decided(self, trusted: Sequence[Judgement]) -> dict[Gold, NDArray[np.int8]]:
        people = [judgement for judgement in trusted if judgement.rater.kind is RaterKind.HUMAN]
        by_people = self._decisions(people)
        everyone = by_people if len(people) == len(trusted) else self._decisions(trusted)
        return {Gold.PEOPLE: by_people, Gold.TRUSTED: everyone}

    def _decisions(self, trusted: Sequence[Judgement]) -> NDArray[np.int8]:
        if not trusted:
            return self._row((), ())
        decisions = resolve(trusted, excludes=self._excludes)
        return self._row(
            [key for key, decision in decisions.items() if decision.value],
            [key for key, decision in decisions.items() if decision.value is False],
        )

    def _row(
        self, asserted: frozenset[str] | Sequence[str], denied: frozenset[str] | Sequence[str]
    ) -> NDArray[np.int8]:
        row = np.full(len(self._keys), UNKNOWN, dtype=np.int8)
        row[[self._at[key] for key in denied if key in self._at]] = 0
        row[[self._at[key] for key in asserted if key in self._at]] = 1
        return row


def _standing(judgements: Sequence[Judgement]) -> list[Judgement]:
    """The last judgement of each rater; each version of a rater has its own."""
    by_rater: Mapping[RaterRef, list[Judgement]] = defaultdict(list)
    for judgement in judgements:
        by_rater[judgement.rater].append(judgement)
    return [
        standing
        for own in by_rater.values()
        for standing in (own if len(own) == 1 and not own[0].withdrawn else current_judgements(own))
    ]
