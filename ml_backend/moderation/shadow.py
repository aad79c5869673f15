"""A challenger that scores live traffic beside the champion: differences are counted by label, and no text is kept.

It never holds up an answer: texts that come while it is busy are left out, and counted as such.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import SaringError
from pipeline.measure.arrays import Scores
from pipeline.models.artefact import TrainedModel

logger = logging.getLogger(__name__)

#: batches that may wait for the challenger
_WAITING = 8
#: seconds between two looks at which model is the challenger, and between two writes of counts
_LOOK, _WRITE = 3.0, 3.0


@dataclass(frozen=True, slots=True)
class Challenger:
    """The model that scores in the shadow."""

    version: str
    path: Path


@dataclass(slots=True)
class LabelCounts:
    """Texts by what the two models say of one label, each by its own thresholds."""

    both: int = 0
    champion_only: int = 0
    challenger_only: int = 0
    neither: int = 0

    @property
    def share(self) -> float | None:
        """Share of the texts on which the models differ; None: there are no texts."""
        total = self.both + self.champion_only + self.challenger_only + self.neither
        return (self.champion_only + self.challenger_only) / total if total else None


@dataclass(slots=True)
class ShadowCounts:
    """Counts of one pair of models since the last write."""

    champion: str
    challenger: str
    texts: int = 0
    #: texts that the challenger had no time for
    left_out: int = 0
    labels: dict[str, LabelCounts] = field(default_factory=dict)


#: gives the challenger; None: none scores in the shadow
ReadChallenger = Callable[[], Challenger | None]
#: adds counts to those in the store
AddCounts = Callable[[ShadowCounts], None]


@dataclass(frozen=True, slots=True)
class _Batch:
    champion: TrainedModel
    texts: Sequence[str]
    probabilities: Scores


class Shadow:
    """Scores what the champion scored, in a thread of its own. `start` before use, `stop` after.

    Args:
        read: gives the challenger.
        load: loads a model from a folder.
        add: stores counts.
    """

    def __init__(self, read: ReadChallenger, load: Callable[[Path], TrainedModel], add: AddCounts) -> None:
        self._read, self._load, self._add = read, load, add
        self._batches: queue.Queue[_Batch] = queue.Queue(_WAITING)
        self._stopped = Event()
        self._model: TrainedModel | None = None
        self._failed: Challenger | None = None
        self._left_out = 0
        self._counts: ShadowCounts | None = None
        self._thread = Thread(target=self._work, name="saring-shadow", daemon=True)

    def start(self) -> None:
        """Begin to look for a challenger."""
        self._thread.start()

    def stop(self) -> None:
        """End, and write what was counted."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def offer(self, champion: TrainedModel, texts: Sequence[str], probabilities: Scores) -> None:
        """Have texts scored by the challenger too, if there is one and it has time.

        Args:
            champion: the model that scored them.
            texts: repaired and masked.
            probabilities: the champion's, [texts, labels].
        """
        if self._model is None:
            return
        try:
            self._batches.put_nowait(_Batch(champion, texts, probabilities))
        except queue.Full:
            self._left_out += len(texts)

    def _work(self) -> None:
        looked = written = -1e9
        while not self._stopped.is_set():
            now = time.monotonic()
            if now - looked >= _LOOK:
                self._look()
                looked = now
            with suppress(queue.Empty):
                self._count(self._batches.get(timeout=0.2))
            if now - written >= _WRITE:
                self._write()
                written = now
        self._write()

    def _look(self) -> None:
        try:
            challenger = self._read()
            if challenger is None:
                self._model = self._failed = None
            elif (self._model is None or self._model.manifest.version != challenger.version) and (
                challenger != self._failed
            ):
                self._failed = challenger
                self._model = self._load(challenger.path)
                logger.info("%s scores in the shadow", challenger.version)
        except (SaringError, OSError) as error:
            logger.warning("no challenger scores in the shadow: %s", error)

    def _count(self, batch: _Batch) -> None:
        challenger = self._model
        if challenger is None or challenger.manifest.version == batch.champion.manifest.version:
            return
        pair = (batch.champion.manifest.version, challenger.manifest.version)
        if self._counts is None or (self._counts.champion, self._counts.challenger) != pair:
            self._write()
            self._counts = ShadowCounts(*pair)
        counts = self._counts
        ours = _given(batch.champion, batch.probabilities)
        theirs = _given(challenger, challenger.probabilities(batch.texts))
        for label in ours.keys() & theirs.keys():
            of_label = counts.labels.setdefault(label, LabelCounts())
            yes, other = ours[label], theirs[label]
            of_label.both += int((yes & other).sum())
            of_label.champion_only += int((yes & ~other).sum())
            of_label.challenger_only += int((~yes & other).sum())
            of_label.neither += int((~yes & ~other).sum())
        counts.texts += len(batch.texts)

    def _write(self) -> None:
        counts = self._counts
        if counts is None:
            return
        counts.left_out, self._left_out = counts.left_out + self._left_out, 0
        if not counts.texts and not counts.left_out:
            return
        try:
            self._add(counts)
        except SaringError as error:
            logger.warning("counts of the challenger in the shadow are written later: %s", error)
            return
        self._counts = ShadowCounts(counts.champion, counts.challenger)


def _given(model: TrainedModel, probabilities: Scores) -> Mapping[str, NDArray[np.bool_]]:
    """For each label: which texts are given it, [texts]."""
    if model.manifest.exclusive:
        best = probabilities.argmax(axis=1)
        return {label: best == i for i, label in enumerate(model.labels)}
    return {label.key: probabilities[:, i] >= label.threshold for i, label in enumerate(model.manifest.labels)}
