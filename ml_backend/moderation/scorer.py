"""Scores of texts: requests that come together are scored together, and a large one holds up no small one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ml_backend.moderation.config import ModerationLimits
from ml_backend.moderation.errors import NotReady
from ml_backend.serving import Champion
from pipeline.measure.arrays import Scores
from pipeline.models.artefact import TrainedModel
from pipeline.texts.labelled_files import clean

T = TypeVar("T")
#: takes a model, repaired texts and their probabilities
Offer = Callable[[TrainedModel, Sequence[str], Scores], None]
#: texts of a large request that are scored before small requests get their turn
_PIECE = 64


@dataclass(frozen=True, slots=True)
class Scored:
    """Texts with their probabilities, all from one model."""

    model: TrainedModel
    #: [texts, labels]
    probabilities: Scores


@dataclass(slots=True)
class _Waiting:
    texts: Sequence[str]
    characters: int
    done: asyncio.Future[Scored]


class Scorer:
    """Scores texts with the champion, whichever it is when a batch begins.

    Args:
        champion: keeps the model that serves.
        limits: how much is scored together.
        offer: is given the model, the repaired texts and their probabilities, after each batch.
    """

    def __init__(self, champion: Champion, limits: ModerationLimits, offer: Offer | None = None) -> None:
        self._champion, self._limits, self._offer = champion, limits, offer
        self._small = ThreadPoolExecutor(1, thread_name_prefix="saring-moderate")
        self._large = ThreadPoolExecutor(1, thread_name_prefix="saring-moderate-many")
        self._waiting: list[_Waiting] = []
        self._worker: asyncio.Task[None] | None = None

    @property
    def model(self) -> TrainedModel:
        """The model that serves.

        Raises:
            NotReady: there is none.
        """
        model = self._champion.serving.preannotator.model
        if model is None:
            raise NotReady("there is no champion yet: run `saring train`, then ask again", retry_after=30)
        return model

    async def score(self, texts: Sequence[str]) -> Scored:
        """Probabilities of texts as people wrote them; they are repaired and masked first.

        Raises:
            NotReady: there is no champion.
        """
        model = self.model
        characters = sum(map(len, texts))
        if characters > self._limits.small_characters:
            return await self._pieces(model, texts)
        waiting = _Waiting(texts, characters, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await waiting.done

    async def apart(self, call: Callable[..., T], *arguments: Any) -> T:
        """The result of a slow call, made where it holds up no small request."""
        return await asyncio.get_running_loop().run_in_executor(self._large, call, *arguments)

    def close(self) -> None:
        """End the threads once they have answered."""
        self._small.shutdown()
        self._large.shutdown()

    async def _pieces(self, model: TrainedModel, texts: Sequence[str]) -> Scored:
        loop = asyncio.get_running_loop()
        parts = []
        for start in range(0, len(texts), _PIECE):
            parts.append(await loop.run_in_executor(self._large, self._score, model, texts[start : start + _PIECE]))
        return Scored(model, np.concatenate(parts))

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                # what has arrived by now is scored together; while it is, the next ones gather
                await asyncio.sleep(0)
                batch = self._taken()
                texts = [text for request in batch for text in request.texts]
                try:
                    model = self.model
                    scores = await loop.run_in_executor(self._small, self._score, model, texts)
                except Exception as error:
                    _fail(batch, error)
                    if not isinstance(error, NotReady):
                        raise
                    continue
                position = 0
                for request in batch:
                    end = position + len(request.texts)
                    # whoever asked may have gone
                    if not request.done.done():
                        request.done.set_result(Scored(model, scores[position:end]))
                    position = end
        finally:
            self._worker = None

    def _score(self, model: TrainedModel, texts: Sequence[str]) -> Scores:
        cleaned = [clean(text) for text in texts]
        probabilities = model.probabilities(cleaned)
        if self._offer is not None:
            self._offer(model, cleaned, probabilities)
        return probabilities

    def _taken(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        texts = characters = 0
        while self._waiting:
            following = self._waiting[0]
            texts, characters = texts + len(following.texts), characters + following.characters
            if batch and (texts > self._limits.together or characters > self._limits.together_characters):
                break
            batch.append(self._waiting.pop(0))
        return batch


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    for request in batch:
        if not request.done.done():
            request.done.set_exception(error)
