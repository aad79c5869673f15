"""Texts with their sources and vectors, what machines and data sets say of them, and what the filters decided."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import orjson
from numpy.typing import NDArray

from pipeline.filters import centroid, sentiment
from pipeline.texts.normalise import text_id
from pipeline.vectors.encoders.protocol import Vectors
from tests.support.big.copying import Copier, array_of, lines, vectors_as_rows
from tests.support.big.words import BREAKING, LANGUAGES, Writer
from tests.support.big.world import World

JUDGED = (
    "rater_id",
    "text_id",
    "external_ref",
    "revision",
    "asserted",
    "denied",
    "scores",
    "explanation",
    "withdrawn",
    "taxonomy_version",
    "run_id",
    "created_at",
)
#: shares of texts that near-repeat an earlier one, and that hold a telephone number
_REPEATED, _PERSONAL = 0.03, 0.02
#: a number that only the texts as they were read have: no page may show it
SECRET = "012-345 6789"
CUT = 0.5
#: share of rejected labels that people check
_REVIEWED = 0.05
_SENTIMENT_MODEL = "sentiment-linear-20260101-000000000000"


@dataclass(frozen=True, slots=True)
class Machine:
    """A rater that is no person: the share of the texts that it judged, and of its errors."""

    rater: int
    share: float
    errors: float
    run: int
    #: what it explains, with the label's name; empty: nothing
    explains: str = ""
    scored: bool = False
    #: labels that it speaks of; 0: all
    scope: int = 0


@dataclass(frozen=True, slots=True)
class Places:
    """Ids that the rows refer to."""

    encoder: str
    sources: Sequence[int]
    #: the runs that read each source, oldest first
    reading: Mapping[int, Sequence[int]]
    machines: Sequence[Machine]
    filtering: int
    sensing: int


@dataclass(slots=True)
class Part:
    """Some consecutive texts."""

    first: int
    ids: list[uuid.UUID]
    #: labels that are true, as bits
    truths: NDArray[np.int64]
    languages: NDArray[np.int64]
    #: moments from 0 to 1, and as the database reads them
    moments: NDArray[np.float64]
    times: list[str]
    #: whether people may be asked about them: in scope, and no repeats
    asked: NDArray[np.bool_]
    #: what the first machine said, as bits; -1: nothing
    machine: NDArray[np.int64]
    #: rows of texts with a label that a filter rejected, and which people are to check
    checked: list[int] = field(default_factory=list)


class Filler:
    """Fills the tables of texts and of machines, part by part."""

    def __init__(self, world: World, places: Places, copier: Copier, total: int) -> None:
        self._world, self._places, self.copier, self._total = world, places, copier, total
        self._writer = Writer(world.keys)
        self._arrays: dict[int, str] = {}
        self._all = (1 << len(world.keys)) - 1

    def fill(self, first: int, count: int) -> Part:
        """Plant texts number `first` and the following."""
        world = self._world
        rng = np.random.default_rng([world.seed, first])
        moments = (first + np.arange(count) + rng.random(count)) / self._total
        labels = world.first_labels(rng, moments)
        truths = world.truths(rng, labels)
        part = self._texts(rng, first, moments, labels, truths)
        vectors = world.vectors(rng, labels, moments)
        self.copier.binary(
            "text_vector",
            ("encoder", "text_id", "embedding"),
            vectors_as_rows(self._places.encoder, part.ids, vectors),
        )
        filtered = np.zeros(count, dtype=np.int64)
        for place, machine in enumerate(self._places.machines):
            rows = np.flatnonzero(part.asked & (rng.random(count) < machine.share))
            said = world.said(rng, truths[rows], machine.errors)
            self._judgements(rng, part, machine, rows, said)
            if place == 0:
                part.machine[rows] = said
            if machine.scored:
                filtered[rows] |= said
        self._decisions(rng, part, filtered, vectors, truths)
        return part

    def array(self, bits: int) -> str:
        """Labels as PostgreSQL reads an array."""
        if bits not in self._arrays:
            self._arrays[bits] = array_of(self._world.names(bits))
        return self._arrays[bits]

    def _texts(
        self,
        rng: np.random.Generator,
        first: int,
        moments: NDArray[np.float64],
        labels: NDArray[np.int64],
        truths: NDArray[np.int64],
    ) -> Part:
        world, count = self._world, len(moments)
        languages = world.languages(rng, moments)
        shown = [tuple(i for i in range(len(world.keys)) if bits >> i & 1) for bits in truths.tolist()]
        texts = self._writer.write(rng, first, languages, shown)
        if first == 0:
            texts[: len(BREAKING)] = BREAKING
        repeats = (rng.random(count) < _REPEATED) & (np.arange(count) > 50) & (languages < 3)
        for row in np.flatnonzero(repeats).tolist():
            texts[row] = f"{texts[row - 50]} {texts[row].rpartition(' ')[2]}"
        personal = rng.random(count) < _PERSONAL
        masked = [f"{text} call <phone>" if own else text for text, own in zip(texts, personal.tolist(), strict=True)]
        ids = [text_id(text) for text in masked]
        times = times_of(world, moments)
        scores = rng.uniform(0.6, 1, count).round(3).tolist()
        repeated = repeats.tolist()
        rows = [
            (
                ids[i],
                f"{texts[i]} call {SECRET}" if personal[i] else texts[i],
                masked[i],
                LANGUAGES[languages[i]],
                scores[i],
                bool(languages[i] < 3),
                ids[i - 50] if repeated[i] and not repeated[i - 50] else None,
                times[i],
            )
            for i in range(count)
        ]
        columns = ("id", "body", "masked", "language", "language_score", "in_scope", "duplicate_of", "created_at")
        self.copier.text("text", columns, lines(rows))
        self._provenance(rng, ids, first, moments)
        nothing = np.full(count, -1, dtype=np.int64)
        return Part(first, ids, truths, languages, moments, times, (languages < 3) & ~repeats, nothing)

    def _provenance(
        self, rng: np.random.Generator, ids: Sequence[uuid.UUID], first: int, moments: NDArray[np.float64]
    ) -> None:
        sources = np.array(self._places.sources)[rng.integers(0, len(self._places.sources), len(ids))].tolist()
        reading = self._places.reading
        days = len(reading[sources[0]])
        rows = "".join(
            f"{source}\tbaris-{first + i}\t{ids[i]}\t\\N\t{reading[source][min(int(part * days), days - 1)]}\n"
            for i, (source, part) in enumerate(zip(sources, moments.tolist(), strict=True))
        )
        self.copier.text("text_source", ("source_id", "external_id", "text_id", "split", "run_id"), rows.encode())

    def _judgements(
        self,
        rng: np.random.Generator,
        part: Part,
        machine: Machine,
        rows: NDArray[np.int64],
        said: NDArray[np.int64],
    ) -> None:
        scope = machine.scope or self._all
        sure = rng.uniform(0.55, 0.99, len(rows)).round(3).tolist()
        version = self._world.taxonomy.version
        out = []
        for row, bits, p in zip(rows.tolist(), (said & scope).tolist(), sure, strict=True):
            names = self._world.names(bits) if machine.scored else ()
            scores = orjson.dumps(dict.fromkeys(names, p)).decode() if names else "{}"
            why = machine.explains.format(names[0]) if machine.explains and names else "\\N"
            out.append(
                f"{machine.rater}\t{part.ids[row]}\t\t0\t{self.array(bits)}\t{self.array(scope & ~bits)}\t{scores}\t"
                f"{why}\tf\t{version}\t{machine.run}\t{part.times[row]}\n"
            )
        self.copier.text("judgement", JUDGED, "".join(out).encode())

    def _decisions(
        self,
        rng: np.random.Generator,
        part: Part,
        asserted: NDArray[np.int64],
        vectors: Vectors,
        truths: NDArray[np.int64],
    ) -> None:
        places = self._places
        decided: list[str] = []
        reviewed: list[str] = []
        checked: set[int] = set()
        similar = vectors @ self._world.centres.T
        for number, key in enumerate(self._world.keys):
            rows = np.flatnonzero(asserted >> number & 1)
            drawn = (rng.random(len(rows)) < _REVIEWED).tolist()
            for row, score, review in zip(rows.tolist(), similar[rows, number].tolist(), drawn, strict=True):
                kept = score >= CUT
                reason = "robust-z: median 0.640 - 3 x 0.0467"
                decided.append(
                    f"{centroid.STAGE}\t{key}\t{part.ids[row]}\t{'t' if kept else 'f'}\t{score:.4f}\t{CUT}\t{reason}\t"
                    f"{places.filtering}\n"
                )
                if review and not kept:
                    checked.add(row)
                    reviewed.append(
                        f"{part.ids[row]}\t{key}\t{centroid.REVIEW_REASON}\t{_REVIEWED}\t{places.filtering}\t"
                        f"{part.times[row]}\n"
                    )
        felt: list[str] = []
        ruled = [i for i, label in enumerate(self._world.taxonomy.labels) if label.sentiment]
        moods = rng.dirichlet((0.5, 0.7, 0.6), len(part.ids)).round(4)
        unpleasant = truths & self._world.harsh != 0
        moods[unpleasant] = np.sort(moods[unpleasant], axis=1)[:, ::-1]
        names = ("negative", "neutral", "positive")
        for row in np.flatnonzero(asserted & sum(1 << i for i in ruled)).tolist():
            mood = moods[row].tolist()
            felt.append(f"{part.ids[row]}\t{_SENTIMENT_MODEL}\t{mood[0]}\t{mood[1]}\t{mood[2]}\t{places.sensing}\n")
            for number in ruled:
                if asserted[row] >> number & 1:
                    allowed = self._world.taxonomy.labels[number].sentiment or ()
                    score = sum(mood[names.index(name)] for name in allowed)
                    kept = score >= sentiment.CUT
                    decided.append(
                        f"{sentiment.STAGE}\t{self._world.keys[number]}\t{part.ids[row]}\t{'t' if kept else 'f'}\t"
                        f"{score:.4f}\t{sentiment.CUT}\tsentiment {'can be' if kept else 'is hardly'} "
                        f"{' or '.join(allowed)}\t{places.sensing}\n"
                    )
        self.copier.text(
            "filter_decision",
            ("stage", "label", "text_id", "kept", "score", "cut", "reason", "run_id"),
            "".join(decided).encode(),
        )
        self.copier.text(
            "text_sentiment",
            ("text_id", "model", "negative", "neutral", "positive", "run_id"),
            "".join(felt).encode(),
        )
        self.copier.text(
            "review",
            ("text_id", "label", "reason", "inclusion_probability", "run_id", "created_at"),
            "".join(reviewed).encode(),
        )
        part.checked = sorted(row for row in checked if part.asked[row])


def times_of(world: World, moments: NDArray[np.float64]) -> list[str]:
    """Moments from 0 to 1 as the database reads them."""
    start, end = world.at(0), world.at(1)
    seconds = (moments * (end - start).total_seconds() * 1e6).astype("timedelta64[us]")
    stamps = np.datetime64(start.replace(tzinfo=None), "us") + seconds
    return [f"{stamp}+00" for stamp in np.datetime_as_string(stamps).tolist()]
