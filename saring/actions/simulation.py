"""Replay a labelled set: which way of choosing texts needs the fewest labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError, UsageError
from pipeline.judgement import Tier
from pipeline.learning.sets.examples import Examples
from pipeline.ledger.decisions import decided_texts
from pipeline.measure.arrays import UNKNOWN
from pipeline.models.features import NgramConfig, Ngrams
from pipeline.models.folding import NEWEST, VERSIONS
from pipeline.progress import Progress, silent
from pipeline.queue.config import QueueConfig
from pipeline.queue.queries import QUERIES, Query, of_mix
from pipeline.queue.replay import LabelledSet, ReplayConfig, Replayed, replay
from pipeline.queue.strategies.known import STRATEGIES
from pipeline.store.session import open_session
from pipeline.texts.near_duplicates import near_duplicate_groups
from pipeline.vectors.encoders.protocol import Vectors
from pipeline.vectors.spaces import active_space
from pipeline.vectors.table import vectors_of
from saring.actions.labels import require_label
from saring.actions.training import read_examples
from saring.context import Context

#: rules that are replayed if none is named
FIRST = ("random", "margin", "spread", "seek")
#: a smaller number of buckets than a model's: sets to replay are small, and hundreds of models are fitted
_NGRAMS = NgramConfig(char_bits=17, word_bits=16)
#: texts with a yes, and with a no, that a label needs
_LEAST = 20
_CHUNK = 4_000


def simulate(
    home: Context,
    files: Sequence[str | Path] = (),
    *,
    rules: Sequence[str] = FIRST,
    mix: Mapping[str, float] | None = None,
    labels: Sequence[str] = (),
    labels_field: str | None = None,
    config: ReplayConfig | None = None,
    seed: int | None = None,
    tell: Callable[[str], None] = lambda _: None,
    progress: Progress = silent,
) -> Replayed:
    """Replay a labelled set by several rules, and measure how many labels each needs.

    Args:
        home: the home; without files, its gold is replayed: labels that people agree on.
        files: labelled JSON lines or Parquet.
        rules: names in `QUERIES`, or strategies of the queue.
        mix: a mix of the queue's strategies, which is replayed too, as `mix`.
        labels: the labels that are learnt; empty: all of which there are enough.
        labels_field: the field of the files with the labels; None: `labels`.
        config: the settings; None: the defaults.
        seed: of the first repetition; None: the settings'.
        tell: called with each thing that a person should know.
        progress: told of each repetition.

    Raises:
        UsageError: there is no such rule or label.
        InputError: there are too few labelled texts.
    """
    examples, vectors = _of_files(home, files, labels_field, tell, progress) if files else _of_gold(home, progress)
    wanted = [require_label(home, label) for label in labels] or list(examples.labels)
    columns = [i for i, label in enumerate(examples.labels) if label in wanted and _enough(examples.truth[:, i])]
    if not columns:
        raise InputError(
            f"no label has {_LEAST} texts with it and {_LEAST} without it: name a larger file, or label more texts"
        )
    rows = np.flatnonzero((examples.truth[:, columns] != UNKNOWN).any(axis=1))
    texts = [examples.texts[i] for i in rows]
    progress(0, None, "reading the texts")
    labelled = LabelledSet(
        tuple(examples.labels[i] for i in columns),
        Ngrams(_NGRAMS).fit([VERSIONS[NEWEST](text) for text in texts]),
        examples.truth[rows][:, columns],
        np.array(near_duplicate_groups(texts), dtype=np.int64),
        vectors[rows] if vectors is not None else None,
    )
    queries = _queries(rules, mix, labelled.vectors)
    return replay(
        labelled,
        queries,
        config,
        seed=home.settings.seed if seed is None else seed,
        progress=progress,
    )


def _queries(rules: Sequence[str], mix: Mapping[str, float] | None, vectors: Vectors | None) -> dict[str, Query]:
    queries: dict[str, Query] = {}
    for name in rules:
        if name in QUERIES:
            queries[name] = QUERIES[name]
        elif name in STRATEGIES and name != "suspect":
            queries[name] = of_mix({name: 1.0}, vectors)
        else:
            # nothing is suspected of texts without labels
            known = sorted({*QUERIES, *STRATEGIES} - {"suspect"})
            raise UsageError(f"rule {name!r} is not known: use {', '.join(known)}")
    if mix is not None:
        shares = QueueConfig(mix=mix).shares(STRATEGIES.keys())
        queries["mix"] = of_mix(shares, vectors)
    return queries


def _of_files(
    home: Context,
    files: Sequence[str | Path],
    labels_field: str | None,
    tell: Callable[[str], None],
    progress: Progress,
) -> tuple[Examples, Vectors | None]:
    return read_examples([str(path) for path in files], home.taxonomy, labels_field, tell, progress), None


def _of_gold(home: Context, progress: Progress) -> tuple[Examples, Vectors | None]:
    """Labels that people agree on, and the vectors in use, if all texts have one."""
    keys = home.taxonomy.keys
    ids, texts, rows = [], [], []
    with open_session(home.engine) as session:
        for each in decided_texts(session, home.taxonomy):
            truth = np.full(len(keys), UNKNOWN, dtype=np.int8)
            for column, key in enumerate(keys):
                decision = each.decisions.get(key)
                if decision is not None and decision.tier is Tier.GOLD and decision.value is not None:
                    truth[column] = decision.value
            if (truth != UNKNOWN).any():
                ids.append(each.id)
                texts.append(each.masked)
                rows.append(truth)
            if len(ids) % _CHUNK == 1:
                progress(len(ids), None, "reading gold")
        if not ids:
            raise InputError("nothing is labelled by people yet: name a labelled file")
        examples = Examples(ids, texts, np.stack(rows), keys, [None] * len(ids), ["unknown"] * len(ids))
        encoder, vectors = active_space(session), None
        if encoder is not None:
            for start in range(0, len(ids), _CHUNK):
                some = ids[start : start + _CHUNK]
                places, chunk = vectors_of(session, encoder, some, {each: start + i for i, each in enumerate(some)})
                if len(places):
                    vectors = np.zeros((len(ids), chunk.shape[1]), np.float32) if vectors is None else vectors
                    vectors[places] = chunk
    complete = vectors is not None and bool(vectors.any(axis=1).all())
    return examples, vectors if complete else None


def _enough(column: NDArray[np.int8]) -> bool:
    return bool(min((column == 1).sum(), (column == 0).sum()) >= _LEAST)
