"""Every stage, by the name that run records give it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pipeline.filters.centroid_stage import CentroidStage
from pipeline.filters.sentiment_stage import SentimentStage
from pipeline.learning.pseudolabel_stage import PseudolabelStage
from pipeline.llm.translation.translate import TranslateStage
from pipeline.raters.judge import JudgeStage
from pipeline.runs.stage import Stage
from pipeline.settings import Settings
from pipeline.vectors.embed import EmbedStage
from saring.actions.ingest_stage import IngestStage
from saring.actions.label_studio_stages import PredictStage, PullStage, PushStage, ReconcileStage
from saring.actions.queue import QueueStage
from saring.actions.review import ReviewStage
from saring.actions.searching import SearchStage
from saring.actions.training import TrainStage

AnyStage = Stage[Any, Any]
STAGES: Mapping[str, AnyStage] = MappingProxyType(
    {
        stage.name: stage
        for stage in (
            IngestStage(),
            EmbedStage(),
            JudgeStage(),
            TranslateStage(),
            CentroidStage(),
            SentimentStage(),
            PseudolabelStage(),
            TrainStage(),
            QueueStage(),
            ReviewStage(),
            PullStage(),
            ReconcileStage(),
            PushStage(),
            PredictStage(),
            SearchStage(),
        )
    }
)


def stages_for(settings: Settings) -> Mapping[str, AnyStage]:
    """The stages by name, with the training on the queue from the settings."""
    return {**STAGES, TrainStage.name: TrainStage(settings.train_queue)}
