"""Summarise everything that is decided of the texts, in one pass.

Counts are of all texts. Words and map, which would grow with the store, come from at most a fixed number of texts of
each label: the first in order of id. Ids are hashes, so that is a random sample.
"""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sqlalchemy import Engine, exists, func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.explore.duplicates import Duplicates, find_duplicates
from pipeline.explore.words import Term, telling, terms_of
from pipeline.ledger.decisions import DecidedText, decided_texts
from pipeline.plural import counted
from pipeline.progress import Progress, silent
from pipeline.store.session import open_session
from pipeline.store.texts import sample
from pipeline.taxonomy import Taxonomy
from pipeline.vectors.plane import Points, project
from pipeline.vectors.table import get_vectors

#: texts of a label whose words are counted, at most
TEXTS_OF_WORDS = 20_000
#: words of a text, upper ends
LENGTHS = (5, 10, 20, 40, 80, 160)
_TERMS = 20


@dataclass(frozen=True, slots=True)
class LabelNumbers:
    """Counts and typical words of one label."""

    yes: int
    no: int
    contested: int
    #: texts that have it, by tier
    tiers: Mapping[str, int]
    #: texts that have it, by language
    languages: Mapping[str, int]
    #: texts that have it, by number of words: one count below each of `LENGTHS`, one beyond
    lengths: Sequence[int]
    #: of the first `TEXTS_OF_WORDS` of them
    words: Sequence[Term]
    pairs: Sequence[Term]


@dataclass(frozen=True, slots=True)
class Dot:
    """One text on the map."""

    #: the rarest label that it has; None: it has none
    label: str | None
    labels: Sequence[str]
    masked: str
    #: true where one of its labels is not benign
    harsh: bool


@dataclass(frozen=True, slots=True)
class Exploration:
    """All that the page shows."""

    texts: int
    in_scope: int
    judged: int
    languages: Mapping[str, int]
    labels: Mapping[str, LabelNumbers]
    #: for two labels, texts that have both
    together: Mapping[str, Mapping[str, int]]
    duplicates: Duplicates
    dots: Sequence[Dot]
    #: positions of the dots, [n, 2]
    placed: Points
    #: name of the method that placed them; None: no text has a vector
    method: str | None
    taxonomy_version: str

    def to_dict(self) -> dict[str, Any]:
        """The numbers, without any text."""
        return {
            "texts": self.texts,
            "in_scope": self.in_scope,
            "judged": self.judged,
            "taxonomy_version": self.taxonomy_version,
            "languages": dict(self.languages),
            "labels": {key: asdict(numbers) for key, numbers in self.labels.items()},
            "together": {key: dict(others) for key, others in self.together.items()},
            "duplicates": {
                "clusters": self.duplicates.clusters,
                "repeats": self.duplicates.repeats,
                "sizes": self.duplicates.sizes,
            },
            "map": {"points": len(self.dots), "method": self.method},
        }


def explore(
    engine: Engine,
    taxonomy: Taxonomy,
    *,
    encoder: str,
    points: int = 1_500,
    seed: int = 0,
    progress: Progress = silent,
) -> Exploration:
    """Count, and place a sample of the texts on a map.

    Args:
        engine: the store.
        taxonomy: the labels.
        encoder: the space of the map.
        points: texts on the map, at most; 0: no map.
        seed: of the map's start.
        progress: told of the texts.
    """
    with open_session(engine) as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        t = store.Text
        texts, in_scope = session.execute(select(func.count(), func.count().filter(t.in_scope))).one()
        tally, judged = _Tally(taxonomy, points), _judged(session)
        for text in decided_texts(session, taxonomy):
            tally.add(text)
            if tally.judged % 2_000 == 0:
                progress(tally.judged, judged, "reading the judged texts")
        progress(0, None, f"placing texts on a map of {counted(points, 'point')} at most")
        dots, placed, method = _map(session, tally, taxonomy, encoder, points, seed)
        progress(0, None, f"comparing {counted(texts, 'text')} with their near-duplicates")
        duplicates = find_duplicates(session)
        return Exploration(
            texts,
            in_scope,
            tally.judged,
            dict(tally.languages.most_common()),
            tally.numbers(),
            {key: {other: tally.together[key, other] for other in taxonomy.keys} for key in taxonomy.keys},
            duplicates,
            dots,
            placed,
            method,
            taxonomy.version,
        )


def _judged(session: Session) -> int:
    """The number of texts in scope with a judgement: about as many as are read."""
    chosen = sample(None).subquery()
    judged = exists().where(store.Judgement.text_id == chosen.c.id)
    return session.scalar(select(func.count()).select_from(chosen).where(judged)) or 0


class _Tally:
    def __init__(self, taxonomy: Taxonomy, points: int) -> None:
        self._keys = taxonomy.keys
        self._of_map = -(-points // (len(self._keys) + 1))
        self.judged = 0
        self.languages: Counter[str] = Counter()
        self.values: Counter[tuple[str, bool | None]] = Counter()
        self.tiers: dict[str, Counter[str]] = defaultdict(Counter)
        self.by_language: dict[str, Counter[str]] = defaultdict(Counter)
        self.lengths: dict[str, Counter[int]] = defaultdict(Counter)
        self.together: Counter[tuple[str, str]] = Counter()
        self._words: dict[str, Counter[str]] = {key: Counter() for key in self._keys}
        self._pairs: dict[str, Counter[str]] = {key: Counter() for key in self._keys}
        #: of each label, and of texts without one, the first texts in order of id
        self.drawn: dict[str | None, list[tuple[uuid.UUID, str, tuple[str, ...]]]] = defaultdict(list)

    def add(self, text: DecidedText) -> None:
        self.judged += 1
        language = text.language or "unknown"
        self.languages[language] += 1
        for key, decision in text.decisions.items():
            # A decision that is open because machines disagree says nothing about the label.
            if decision.value is not None or decision.tier == "contested":
                self.values[key, decision.value] += 1
        held = tuple(key for key in self._keys if key in text.decisions and text.decisions[key].value)
        length = int(np.searchsorted(LENGTHS, len(text.masked.split()), side="right"))
        for key in held:
            self.tiers[key][str(text.decisions[key].tier)] += 1
            self.by_language[key][language] += 1
            self.lengths[key][length] += 1
            for other in held:
                self.together[key, other] += 1
        counted = [key for key in held if self.values[key, True] <= TEXTS_OF_WORDS]
        if counted:
            words, pairs = terms_of(text.masked)
            for key in counted:
                self._words[key].update(words)
                self._pairs[key].update(pairs)
        # A text with several labels is drawn for its rarest label so far.
        rarest = min(held, key=lambda key: self.values[key, True], default=None)
        if len(self.drawn[rarest]) < self._of_map:
            self.drawn[rarest].append((text.id, text.masked, held))

    def numbers(self) -> dict[str, LabelNumbers]:
        words, pairs = telling(self._words, _TERMS), telling(self._pairs, _TERMS)
        return {
            key: LabelNumbers(
                self.values[key, True],
                self.values[key, False],
                self.values[key, None],
                dict(self.tiers[key].most_common()),
                dict(self.by_language[key].most_common()),
                [self.lengths[key][i] for i in range(len(LENGTHS) + 1)],
                words[key],
                pairs[key],
            )
            for key in self._keys
        }


def _map(
    session: Session, tally: _Tally, taxonomy: Taxonomy, encoder: str, points: int, seed: int
) -> tuple[list[Dot], Points, str | None]:
    drawn = [text for texts in tally.drawn.values() for text in texts][:points]
    vectors = get_vectors(session, encoder, [identity for identity, _, _ in drawn]) if drawn else {}
    drawn = [text for text in drawn if text[0] in vectors]
    if not drawn:
        return [], np.zeros((0, 2)), None
    placed, method = project(np.stack([vectors[identity] for identity, _, _ in drawn]), seed)
    dots = []
    for _, masked, held in drawn:
        rarest = min(held, key=lambda key: tally.values[key, True], default=None)
        dots.append(Dot(rarest, held, masked, any(not taxonomy[key].benign for key in held)))
    return dots, placed, method
