"""Drawing a queue of 2,000 from 100,000 texts, beside sorting by uncertainty and taking the top.

The texts are made up: words of a few hundred topics, each text with a 384-dimensional unit vector near its topic's. A
quarter of them belong to crowds of twenty near-alike ones, as a stream does in which everybody reposts the same line. A
model is trained on 4,000 more of them, so the champion's probabilities are those of a real classifier; both ways use
it and read the texts from the store.

Told of each way: seconds, memory beyond what the process held before, the pairs with a cosine above 0.95 and the share
of texts that are in one, and the share of hateful texts in the stream as the draw would have it, which only inclusion
probabilities can tell.

    python benchmarks/queue_draw.py --rows 100000 --size 2000
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from _measure import emit, measured, temporary_store
from numpy.typing import NDArray
from pgvector import HalfVector
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.learning.sets.examples import gather
from pipeline.learning.train import TrainConfig, train
from pipeline.models.artefact import TrainedModel
from pipeline.queue.build import build_queue
from pipeline.queue.config import QueueConfig
from pipeline.queue.strategies.uncertain import entropy
from pipeline.queue.waiting import queued
from pipeline.taxonomy import Taxonomy, load_taxonomy
from pipeline.texts.labelled import LabelledText
from pipeline.vectors.encoders.protocol import Vectors, unit
from pipeline.vectors.table import register_encoder

_NAME, _DIMENSION = "random", 384
_TOPICS, _CROWD, _CROWDED = 300, 20, 0.25
_TAUGHT = 4_000
_NEAR = 0.95
_CHUNK = 10_000
_SYLLABLES = [consonant + vowel for consonant in "bcdghjklmnprst" for vowel in "aiueo"]


@dataclass(frozen=True, slots=True)
class Space:
    """The attributes that `register_encoder` needs."""

    name: str = _NAME
    dimension: int = _DIMENSION

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Raise: only the name and the dimension are used."""
        raise TypeError(f"{self.name} has no model for {len(texts)} texts")


@dataclass(frozen=True, slots=True)
class Stream:
    """Made-up texts in order of id."""

    ids: list[uuid.UUID]
    bodies: list[str]
    hateful: NDArray[np.bool_]
    vectors: Vectors


def make_stream(rows: int) -> Stream:
    """Topics, crowds, and a label that the words decide, but for chance."""
    rng = np.random.default_rng(0)
    crowds = int(rows * _CROWDED) // _CROWD
    alone = rows - crowds * _CROWD
    # Each line is a text of its own or a text that a crowd reposts.
    line = np.concatenate([np.arange(alone), np.repeat(alone + np.arange(crowds), _CROWD)])
    lines = alone + crowds
    topic = rng.integers(0, _TOPICS, lines)
    words = rng.integers(0, 60, (lines, 14))
    weights = rng.normal(size=(_TOPICS, 60))
    heat = weights[topic[:, None], words].sum(axis=1) / np.sqrt(14) - 1.0
    hateful = rng.random(lines) < 1 / (1 + np.exp(-3 * heat))
    # Topics share forty vocabularies: the same word may be kind in one topic and hateful in another.
    bodies = [
        " ".join([*(_word(60 * (topic[at] % 40) + word) for word in words[at]), _word(i + 100_000)])
        for i, at in enumerate(line.tolist())
    ]
    ids = [uuid.UUID(bytes=hashlib.blake2b(body.encode(), digest_size=16).digest()) for body in bodies]
    centres = unit(rng.normal(size=(_TOPICS, _DIMENSION)).astype(np.float32))
    base = np.empty((lines, _DIMENSION), np.float32)
    for start in range(0, lines, _CHUNK):
        part = centres[topic[start : start + _CHUNK]]
        base[start : start + _CHUNK] = unit(part + 0.8 * unit(rng.normal(size=part.shape).astype(np.float32)))
    order = np.array(sorted(range(rows), key=ids.__getitem__))
    vectors = np.empty((rows, _DIMENSION), np.float32)
    for start in range(0, rows, _CHUNK):
        part = base[line[order[start : start + _CHUNK]]]
        vectors[start : start + _CHUNK] = unit(part + 0.18 * unit(rng.normal(size=part.shape).astype(np.float32)))
    return Stream([ids[i] for i in order], [bodies[i] for i in order], hateful[line[order]], vectors)


def _word(number: int) -> str:
    """A number in syllables: ingest takes digits for no difference between texts."""
    syllables = []
    while number:
        number, rest = divmod(int(number), len(_SYLLABLES))
        syllables.append(_SYLLABLES[rest])
    return "".join(syllables) or "a"


def load(engine: Engine, stream: Stream) -> None:
    """Put the stream into the store as an ingest and an encoder would have."""
    with Session(engine) as session, session.begin():
        register_encoder(session, Space())
        raw: Any = session.connection().connection.driver_connection
        with raw.cursor() as cursor:
            with cursor.copy("COPY text (id, body, masked) FROM STDIN") as copy:
                for text_id, body in zip(stream.ids, stream.bodies, strict=True):
                    copy.write_row((text_id, body, body))
            with cursor.copy("COPY text_vector (encoder, text_id, embedding) FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(["text", "uuid", "halfvec"])
                for text_id, vector in zip(stream.ids, stream.vectors, strict=True):
                    copy.write_row((_NAME, text_id, HalfVector(vector)))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def teach(stream: Stream, taxonomy: Taxonomy, folder: Path) -> TrainedModel:
    """A champion, taught on the last texts of the stream, which are not in the store."""
    rows = [
        LabelledText(body, labels=frozenset({"hate"} if bad else ()), not_labels=frozenset(() if bad else {"hate"}))
        for body, bad in zip(stream.bodies, stream.hateful.tolist(), strict=True)
    ]
    examples = gather(rows, taxonomy.keys)
    return train(examples, TrainConfig(taxonomy_version=taxonomy.version), folder).model


def sort_by_uncertainty(engine: Engine, model: TrainedModel, size: int) -> list[uuid.UUID]:
    """The peer: score every text, take the most uncertain."""
    t = store.Text
    ids: list[uuid.UUID] = []
    scores = []
    with Session(engine) as session:
        rows = session.execute(select(t.id, t.masked).order_by(t.id), execution_options={"yield_per": _CHUNK})
        for part in rows.partitions():
            ids.extend(row[0] for row in part)
            scores.append(entropy(model.probabilities([row[1] for row in part])).sum(axis=1))
    top = np.argsort(-np.concatenate(scores), kind="stable")[:size]
    return [ids[i] for i in top]


def near_pairs(vectors: Vectors) -> tuple[int, float]:
    """Pairs of near-alike texts, and the share of texts that are in one."""
    near = np.triu(vectors @ vectors.T > _NEAR, k=1)
    return int(near.sum()), float((near.any(axis=0) | near.any(axis=1)).mean())


def tell(stream: Stream, name: str, drawn: Sequence[uuid.UUID], weights: NDArray[np.float64], **more: Any) -> None:
    """One line of figures about a draw."""
    at = {text_id: i for i, text_id in enumerate(stream.ids)}
    rows = [at[text_id] for text_id in drawn]
    pairs, share = near_pairs(stream.vectors[rows])
    emit(
        "queue",
        {
            "way": name,
            "rows": len(stream.ids),
            "drawn": len(drawn),
            **more,
            "near_pairs": pairs,
            "near_share": share,
            "hateful_as_drawn": float((stream.hateful[rows] * weights).sum() / weights.sum()),
            "hateful_in_truth": float(stream.hateful.mean()),
        },
    )


def main() -> None:
    """Make a stream, put it into a store, and draw from it both ways."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=2_000)
    parser.add_argument("--pool", type=int, default=QueueConfig().pool)
    asked = parser.parse_args()
    taxonomy = load_taxonomy()
    whole = make_stream(asked.rows + _TAUGHT)
    split = len(whole.ids) - _TAUGHT
    stream, taught = (
        Stream(whole.ids[part], whole.bodies[part], whole.hateful[part], whole.vectors[part])
        for part in (slice(0, split), slice(split, None))
    )
    with tempfile.TemporaryDirectory() as folder, temporary_store() as (engine, _):
        model = teach(taught, taxonomy, Path(folder))
        load(engine, stream)
        held = psutil.Process().memory_info().rss / (1 << 20)
        with measured() as took:
            top = sort_by_uncertainty(engine, model, asked.size)
        beyond = took.peak_rss_mb - held
        tell(stream, "top by uncertainty", top, np.ones(len(top)), seconds=took.seconds, more_mb=beyond)
        held = psutil.Process().memory_info().rss / (1 << 20)
        with measured() as took:
            report = build_queue(
                engine,
                taxonomy,
                QueueConfig(size=asked.size, pool=asked.pool),
                model=model,
                encoder=_NAME,
            )
        beyond = took.peak_rss_mb - held
        with Session(engine) as session:
            items = queued(session)
            chances = np.array([item.inclusion_probability for item in items], dtype=np.float64)
            drawn = [item.text_id for item in items]
        tell(
            stream,
            "saring",
            drawn,
            1 / chances,
            seconds=took.seconds,
            more_mb=beyond,
            candidates=report.candidates,
            gave_way=report.near_alike,
            harsh=report.harsh,
        )


if __name__ == "__main__":
    main()
