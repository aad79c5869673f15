"""Tell encoders apart by how well their vectors separate what people said."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy.orm import Session

from pipeline.errors import NotEnoughLabels
from pipeline.learning.encoder_comparison import FOLDS, LEAST, Separation, comparable, folds_of, separations
from pipeline.learning.sets.examples import Examples
from pipeline.ledger.decisions import decided_texts
from pipeline.measure.arrays import UNKNOWN
from pipeline.plural import counted
from pipeline.progress import Progress, silent
from pipeline.store.session import open_session
from pipeline.vectors.embed import encoder_of
from pipeline.vectors.encoders.make import space_name
from pipeline.vectors.spaces import spaces
from saring.context import Context

#: texts that the encoders are compared on, at most
TEXTS = 2_000
#: texts of a report of progress
_STEP = 256


@dataclass(frozen=True, slots=True)
class EncoderComparison:
    """The encoders, on the same texts."""

    #: texts that people or data sets judged
    texts: int
    #: of each label, texts with it and without it
    labels: dict[str, tuple[int, int]]
    #: labels with too few texts
    left_out: tuple[str, ...]
    encoders: tuple[Separation, ...]


def compare_encoders(
    home: Context,
    names: Sequence[str] = (),
    *,
    texts: int = TEXTS,
    seed: int | None = None,
    progress: Progress = silent,
) -> EncoderComparison:
    """Encode texts that people or data sets judged, and ask simple probes about them, out of fold.

    Nothing is written. Near-duplicates are in one fold.

    Args:
        home: the home with the store.
        names: of encoders, as in SARING_ENCODER; the first is what the others are compared with. Empty: those that have
            vectors, and the one that the settings name.
        texts: random texts to compare on, at most.
        seed: of the folds and the intervals; None: the settings'.
        progress: told of the texts.

    Raises:
        UsageError: no encoder has such a name, or a setting that it needs is missing.
        EncoderError: one cannot be loaded or reached.
        NotEnoughLabels: no label has enough texts.
    """
    chosen = seed if seed is not None else home.settings.seed
    wanted = list(dict.fromkeys(space_name(name) for name in names)) or _known(home)
    progress(0, None, "reading what people said")
    with open_session(home.engine) as session:
        examples = _gold(session, home, texts)
    fold = folds_of(examples, seed=chosen)
    labels = comparable(examples, fold)
    if not labels:
        raise NotEnoughLabels(
            f"no label has {LEAST} texts with it and {LEAST} without it by people or data sets, so encoders cannot be "
            "told apart: run `saring import`, or label more"
        )
    encoded = {}
    for name in wanted:
        encoder = encoder_of(home, name)
        encoder.encode(examples.texts[:1])  # what loads at first use is no part of the speed
        parts, seconds = [], 0.0
        for start in range(0, len(examples), _STEP):
            progress(start, len(examples), f"encoding with {name}")
            began = time.perf_counter()
            parts.append(encoder.encode(examples.texts[start : start + _STEP]))
            seconds += time.perf_counter() - began
        encoded[name] = np.concatenate(parts), len(examples) / max(seconds, 1e-9)
    progress(0, None, "comparing")
    separated = separations(examples, fold, encoded, rng=np.random.default_rng(chosen))
    counts = {
        label: (int((column == 1).sum()), int((column == 0).sum()))
        for label, column in zip(examples.labels, examples.truth.T, strict=True)
    }
    return EncoderComparison(
        len(examples),
        {label: counts[label] for label in labels},
        tuple(label for label, both in counts.items() if any(both) and label not in labels),
        tuple(separated),
    )


def in_words(comparison: EncoderComparison) -> str:
    """The way in which the figures were made, in a sentence."""
    return (
        f"on {counted(comparison.texts, 'text')} that people or data sets judged, {FOLDS} folds without "
        "near-duplicates between them"
    )


def _known(home: Context) -> list[str]:
    with open_session(home.engine) as session:
        return [space.name for space in spaces(session, space_name(home.settings.encoder))]


def _gold(session: Session, home: Context, most: int) -> Examples:
    """The texts that people or data sets judged, in the order of their ids, which is random."""
    keys = home.taxonomy.keys
    ids, texts, rows, languages = [], [], [], []
    for text in decided_texts(session, home.taxonomy, limit=0):
        if not text.trusted:
            continue
        values = {key: decision.value for key, decision in text.decisions.items() if key in text.trusted}
        if any(value is not None for value in values.values()):
            ids.append(text.id)
            texts.append(text.masked)
            rows.append([UNKNOWN if values.get(key) is None else int(bool(values[key])) for key in keys])
            languages.append(text.language or "unknown")
        if len(ids) == most:
            break
    truth = np.array(rows, dtype=np.int8).reshape(len(ids), len(keys))
    return Examples(ids, texts, truth, keys, [None] * len(ids), languages)
