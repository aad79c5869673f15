"""What machines say, and what people say, of many texts: one table, read from the ledger once."""

from __future__ import annotations

import enum
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
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

#: texts that are read at most, beside all that people or data sets judged: more change no estimate visibly
MOST_TEXTS = 100_000
#: gold texts from which on something can be said
LEAST_GOLD = 50
_REPORTED = 1_000


class Gold(enum.StrEnum):
    """Whose decisions machines are held against."""

    PEOPLE = "people"
    #: people and, where none spoke, data sets: labelled by people too, but after guidelines of their own
    TRUSTED = "people and data sets"


@dataclass(frozen=True, slots=True)
class Votes:
    """A row is one rater's standing verdict on one text. Matrices hold 1 asserted, 0 denied, -1 nothing."""

    labels: tuple[str, ...]
    raters: tuple[RaterRef, ...]
    texts: int
    #: [rows]: number of the text
    text: Ints
    #: [rows]: number of the rater
    rater: Ints
    #: [rows, labels]: what the rater said
    said: LabelMatrix
    #: [rows, labels]: what of it counts: not what the filters demoted
    heard: LabelMatrix
    #: [rows]: whether `resolve` listens to it: the newest version of a rater that may be weighed
    votes: Booleans
    #: [rows, labels]: gold, as it would be without this rater's word
    known: LabelMatrix
    #: [texts, labels]: gold
    truth: LabelMatrix
    #: whose word gold is
    gold: Gold = Gold.PEOPLE

    def of(self, rater: RaterRef) -> Booleans:
        """The rows of one rater."""
        return np.asarray(self.rater == self.raters.index(rater))

    def without(self, rater: RaterRef) -> Votes:
        """As if the rater had no vote."""
        return self.replaced(votes=self.votes & ~self.of(rater))

    def replaced(self, *, votes: Booleans) -> Votes:
        """With other rows that count."""
        return replace(self, votes=votes)

    def gold_texts(self) -> int:
        """How many texts have gold."""
        return int((self.truth != UNKNOWN).any(axis=1).sum())

    def voters(self) -> list[RaterRef]:
        """Raters that `resolve` listens to."""
        return [self.raters[number] for number in np.unique(self.rater[self.votes])]


def read_votes(
    session: Session,
    taxonomy: Taxonomy,
    *,
    people: bool = False,
    most: int = MOST_TEXTS,
    progress: Progress = silent,
) -> Votes:
    """Read what was said of a random sample of the texts, and of all that people or data sets judged.

    Gold is what people decided. Only where they decided fewer than `LEAST_GOLD` of the texts that machines judged are
    data sets asked too. Texts of the frozen test set, and those that may come to it, are left out.

    Args:
        session: an open session.
        taxonomy: the labels.
        people: give rows to people and data sets as well.
        most: texts in the sample.
        progress: told now and then.
    """
    hidden = members(session) | _test_texts(session, taxonomy)
    kinds = frozenset(RaterKind) if people else frozenset(RaterKind) - {RaterKind.HUMAN}
    building = _Building(taxonomy, kinds)
    for done, (text_id, judgements) in enumerate(_judged(session, most)):
        if text_id not in hidden:
            building.add(judgements)
        if done % _REPORTED == 0:
            progress(done, None, "reading what raters said")
    return building.built()


def _test_texts(session: Session, taxonomy: Taxonomy) -> set[uuid.UUID]:
    share = SHARE
    return {
        one.id
        for one in decided_texts(session, taxonomy, limit=0)
        if one.trusted and kept_split(one.id, one.split, share) == "test"
    }


def _judged(session: Session, most: int) -> Iterator[tuple[uuid.UUID, list[Judgement]]]:
    j, r = store.Judgement, store.Rater
    drawn = select(sample(most).subquery().c.id)
    everything = select(sample(None).subquery().c.id)
    trusted = (
        select(j.text_id).join(r, r.id == j.rater_id).where(r.kind.in_(TRUSTED), j.text_id.in_(everything)).distinct()
    )
    return judgements_by_text(session, texts=drawn.union(trusted))  # type: ignore[arg-type]


class _Building:
    """Rows, put together text by text."""

    def __init__(self, taxonomy: Taxonomy, kinds: frozenset[RaterKind]) -> None:
        self._keys = taxonomy.keys
        self._at = {key: i for i, key in enumerate(taxonomy.keys)}
        self._excludes = {label.key: frozenset(label.excludes) for label in taxonomy}
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
        """One text."""
        trusted = [one for one in judgements if one.rater.kind in TRUSTED]
        rows = [one for one in _standing(judgements) if one.rater.kind in self._kinds]
        if not rows:
            return
        truth = self._decided(trusted)
        current = {one.id for one in current_judgements(judgements)}
        machines = any(one.rater.kind in WEIGHED_KINDS for one in rows)
        self._by_people += machines and bool((truth[Gold.PEOPLE] != UNKNOWN).any())
        for one in rows:
            self._text.append(self._texts)
            self._rater.append(self._numbers.setdefault(one.rater, len(self._numbers)))
            self._votes.append(one.rater.kind in WEIGHED_KINDS and one.id in current)
            self._said.append(self._row(*opinions(one, self._excludes, filtered=False)))
            self._heard.append(self._row(*opinions(one, self._excludes)))
            own = one.rater.kind in TRUSTED
            known = self._decided([t for t in trusted if t.rater != one.rater]) if own else truth
            for gold in Gold:
                self._known[gold].append(known[gold])
        for gold in Gold:
            self._truth[gold].append(truth[gold])
        self._texts += 1

    def built(self) -> Votes:
        """The table."""
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
        people = [one for one in trusted if one.rater.kind is RaterKind.HUMAN]
        by_people = self._decisions(people)
        everyone = by_people if len(people) == len(trusted) else self._decisions(trusted)
        return {Gold.PEOPLE: by_people, Gold.TRUSTED: everyone}

    def _decisions(self, trusted: Sequence[Judgement]) -> NDArray[np.int8]:
        if not trusted:
            return self._row((), ())
        decisions = resolve(trusted, excludes=self._excludes)
        return self._row(
            [key for key, one in decisions.items() if one.value],
            [key for key, one in decisions.items() if one.value is False],
        )

    def _row(
        self, asserted: frozenset[str] | Sequence[str], denied: frozenset[str] | Sequence[str]
    ) -> NDArray[np.int8]:
        row = np.full(len(self._keys), UNKNOWN, dtype=np.int8)
        row[[self._at[key] for key in denied if key in self._at]] = 0
        row[[self._at[key] for key in asserted if key in self._at]] = 1
        return row


def _standing(judgements: Sequence[Judgement]) -> list[Judgement]:
    """The last word of each rater, each version of it by itself."""
    by_rater: Mapping[RaterRef, list[Judgement]] = defaultdict(list)
    for judgement in judgements:
        by_rater[judgement.rater].append(judgement)
    return [
        standing
        for said in by_rater.values()
        for standing in (said if len(said) == 1 and not said[0].withdrawn else current_judgements(said))
    ]
