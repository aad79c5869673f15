"""Suspected label errors: the labels of people, data sets and machines that a model and neighbours contradict."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.judgement import RaterKind, RaterRef
from pipeline.learning.label_errors import Errors, LabelVotes, find_errors, likely_wrong
from pipeline.learning.sets.examples import Examples
from pipeline.ledger.resolve import opinions
from pipeline.measure.arrays import UNKNOWN, Booleans, LabelMatrix
from pipeline.models.features import NgramConfig
from pipeline.progress import Progress, silent
from pipeline.review.disputes import Best, Found, by_whom, worth
from pipeline.review.reasons import Why
from pipeline.review.state import TextState
from pipeline.store.tables.review import DisputeKind
from pipeline.vectors.encoders.protocol import Vectors
from pipeline.vectors.spaces import active_space
from pipeline.vectors.table import vectors_of

#: texts that are read and scored at once
_CHUNK = 4_000
#: who decided a label: a machine, a data set, people; a reviewer's decision is not doubted
_MACHINE, _DATA, _PEOPLE, _REVIEWER = range(4)
#: a label of which nothing is known, as a byte
_NOTHING = 255
_BY = {_MACHINE: "doubted-machines", _DATA: "doubted-data", _PEOPLE: "doubted-people"}
#: whose answers can be suspected, as people name them
WHO: Mapping[str, int] = {"people": _PEOPLE, "data": _DATA, "machines": _MACHINE}
_WORTH = {
    _MACHINE: worth([RaterKind.LLM]),
    _DATA: worth([RaterKind.EXTERNAL]),
    _PEOPLE: worth([RaterKind.HUMAN]),
}


@dataclass(slots=True)
class GivenLabels:
    """The decided labels of all texts, and the votes that decided them, collected one by one."""

    labels: tuple[str, ...]
    excludes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    ids: list[uuid.UUID] = field(default_factory=list)
    _given: list[bytes] = field(default_factory=list)
    _by: list[bytes] = field(default_factory=list)
    _voted: list[int] = field(default_factory=list)
    _voters: list[int] = field(default_factory=list)
    _votes: list[bytes] = field(default_factory=list)
    _raters: dict[RaterRef, int] = field(default_factory=dict)

    def add(self, state: TextState) -> None:
        """Add a text, if anything is decided of it."""
        settled = state.settled_labels()
        kinds = {judgement.id: judgement.rater.kind for judgement in state.judgements}
        given, by = bytearray([_NOTHING]) * len(self.labels), bytearray(len(self.labels))
        votes: dict[int, bytearray] = {}
        opinions_of = {judgement.id: opinions(judgement, self.excludes) for judgement in state.standing}
        for column, label in enumerate(self.labels):
            decision = state.decisions.get(label)
            if decision is None or decision.value is None:
                continue
            given[column] = decision.value
            code, _ = by_whom(decision, kinds)
            by[column] = _REVIEWER if label in settled else next(who for who, of in _BY.items() if of == code)
            for voter in decision.judgements:
                yes, no = opinions_of.get(voter, (frozenset(), frozenset()))
                if label in yes or label in no:
                    votes.setdefault(voter, bytearray([_NOTHING]) * len(self.labels))[column] = label in yes
        if all(value == _NOTHING for value in given):
            return
        raters = {judgement.id: judgement.rater for judgement in state.judgements}
        for voter, answers in votes.items():
            self._voted.append(len(self.ids))
            self._voters.append(self._raters.setdefault(raters[voter], len(self._raters)))
            self._votes.append(bytes(answers))
        self.ids.append(state.text_id)
        self._given.append(bytes(given))
        self._by.append(bytes(by))

    def matrices(self) -> tuple[LabelMatrix, LabelMatrix]:
        """[texts, labels]: the labels (1, 0, -1 unknown), and by whom they were decided."""
        return _matrix(self._given, len(self.labels)), _matrix(self._by, len(self.labels))

    def votes(self, columns: Sequence[int]) -> LabelVotes:
        """The votes that decided some of the labels."""
        texts, voters = np.array(self._voted, dtype=np.int64), np.array(self._voters, dtype=np.int64)
        return LabelVotes(texts, voters, _matrix(self._votes, len(self.labels))[:, columns], len(self._raters))


@dataclass(frozen=True, slots=True)
class Suspects:
    """The texts with suspected labels, and what was left out."""

    #: the most valuable ones, best first
    found: Sequence[Found]
    #: number of texts with suspected labels
    texts: int
    #: suspected labels, by label
    by_label: dict[str, int]
    #: labels of which too few texts have a yes or a no
    left_out: tuple[str, ...]
    #: texts that the models learnt from
    learnt: int


def find_suspects(
    session: Session,
    collected: GivenLabels,
    *,
    learnt: int,
    most: int,
    seed: int,
    only: Collection[str] = (),
    by: Collection[str] = (),
    ngrams: NgramConfig | None = None,
    progress: Progress = silent,
) -> Suspects:
    """Find the labels that are probably wrong.

    Classifiers learn from at most `learnt` texts, those that people or data sets judged first, and speak of texts that
    they did not learn from: of these texts out of fold, and of all others. As many answers are suspected as are
    estimated to be wrong.

    Args:
        session: an open session.
        collected: the decided labels.
        learnt: largest number of texts to learn from.
        most: largest number of texts to return.
        seed: of the folds.
        only: the labels that are looked at; empty: all.
        by: whose answers may be suspected (keys of `WHO`); empty: everybody's.
        ngrams: of the classifiers; None: the defaults.
        progress: told of the labels and of the texts.
    """
    names = tuple(label for label in collected.labels if not only or label in only)
    some = [collected.labels.index(label) for label in names]
    given, who = (values[:, some] for values in collected.matrices())
    if not (given != UNKNOWN).any():
        return Suspects((), 0, {}, names, 0)
    doubtable = np.isin(who, [WHO[each] for each in by or WHO])
    trusted = ((given != UNKNOWN) & (who != _MACHINE)).any(axis=1)
    # Ids are hashes, so the first ones are a random sample.
    order = np.lexsort((np.arange(len(given)), ~trusted))
    chosen = np.sort(order[:learnt])
    encoder, votes = active_space(session), collected.votes(some)
    texts = _texts(session, [collected.ids[i] for i in chosen])
    n = len(chosen)
    examples = Examples([collected.ids[i] for i in chosen], texts, given[chosen], names, [None] * n, ["unknown"] * n)
    vectors = _vectors(session, encoder, examples.ids)
    models = find_errors(
        examples, votes.take(chosen, len(given)), vectors=vectors, seed=seed, ngrams=ngrams, progress=progress
    )
    columns = [names.index(label) for label in models.labels]
    kept = Best(most)
    counts: Counter[str] = Counter()
    total = 0

    def look(rows: Sequence[int], errors: Errors) -> int:
        answers, own = given[rows][:, columns], who[rows][:, columns]
        doubted = likely_wrong(errors.wrong, answers) & doubtable[rows][:, columns]
        for place, dispute in _found([collected.ids[i] for i in rows], models.labels, errors, answers, own, doubted):
            counts.update(models.labels[column] for column in place)
            kept.add(dispute)
        return int(doubted.any(axis=1).sum())

    total += look(chosen.tolist(), models.errors)
    others = np.setdiff1d(np.arange(len(given)), chosen)
    for start in range(0, len(others) if columns else 0, _CHUNK):
        rows = others[start : start + _CHUNK]
        progress(start, len(others), "looking for suspected labels")
        ids = [collected.ids[i] for i in rows]
        voted = votes.take(rows, len(given), columns)
        vectors = _vectors(session, encoder, ids)
        total += look(rows.tolist(), models.of_others(_texts(session, ids), given[rows][:, columns], voted, vectors))
    return Suspects(kept.best(), total, dict(counts), models.left_out, n)


def _found(
    ids: Sequence[uuid.UUID],
    labels: Sequence[str],
    errors: Errors,
    given: LabelMatrix,
    by: LabelMatrix,
    suspected: Booleans,
) -> Iterator[tuple[list[int], Found]]:
    for row in np.flatnonzero(suspected.any(axis=1)).tolist():
        columns = np.flatnonzero(suspected[row]).tolist()
        why, value = [], 0.0
        for column in columns:
            yes, wrong = bool(given[row, column]), float(errors.wrong[row, column])
            values = {"label": labels[column], "given": "yes" if yes else "no"}
            percent = round(100 * float(errors.by_model[row, column]))
            why.append(Why(_BY[int(by[row, column])], values | {"percent": percent, "wrong": round(100 * wrong)}))
            if errors.near is not None and (known := int(errors.near.known[row, column])):
                agree = int(errors.near.yes[row, column])
                why.append(Why("doubted-near", values | {"yes": agree, "neighbours": known}))
            value += wrong * _WORTH[int(by[row, column])]
        yield (
            columns,
            Found(ids[row], DisputeKind.SUSPECT, tuple(labels[column] for column in columns), tuple(why), value),
        )


def _matrix(rows: Sequence[bytes], columns: int) -> LabelMatrix:
    """[rows, columns]; 255 is -1."""
    return np.frombuffer(b"".join(rows), dtype=np.int8).reshape(len(rows), columns)


def _vectors(session: Session, encoder: str | None, ids: Sequence[uuid.UUID]) -> Vectors | None:
    """[texts, dimension]: the vectors of texts, zero for a text without one; None: no text has one."""
    if encoder is None:
        return None
    vectors: Vectors | None = None
    for start in range(0, len(ids), _CHUNK):
        some = ids[start : start + _CHUNK]
        rows, chunk = vectors_of(session, encoder, some, {text_id: start + i for i, text_id in enumerate(some)})
        if len(rows):
            vectors = np.zeros((len(ids), chunk.shape[1]), np.float32) if vectors is None else vectors
            vectors[rows] = chunk
    return vectors


def _texts(session: Session, ids: Sequence[uuid.UUID]) -> list[str]:
    t = store.Text
    masked: dict[uuid.UUID, str] = {}
    for start in range(0, len(ids), _CHUNK):
        some = list(ids[start : start + _CHUNK])
        masked.update(session.execute(select(t.id, t.masked).where(t.id == func.any(some))).all())
    return [masked[i] for i in ids]
