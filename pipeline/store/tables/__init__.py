"""The typed models of all SQL tables. To import one of them makes all known, since each may refer to any other."""

from pipeline.store.tables.consensus import ConsensusRow
from pipeline.store.tables.core import (
    Base,
    Encoder,
    FilterDecision,
    Judgement,
    MinhashBand,
    Model,
    Rater,
    Review,
    Run,
    Snapshot,
    Source,
    Text,
    TextSentiment,
    TextSource,
    Vector,
)
from pipeline.store.tables.human_loop import (
    Annotation,
    Event,
    Prediction,
    PredictionBatch,
    Project,
    ProjectConfig,
    QueueItem,
    SyncCursor,
    Task,
)
from pipeline.store.tables.llm import LlmReply, Translation
from pipeline.store.tables.test_set import TestRow, TestSet
from pipeline.store.tables.work import FilterScore, RunLog, Shard

__all__ = [
    "Annotation",
    "Base",
    "ConsensusRow",
    "Encoder",
    "Event",
    "FilterDecision",
    "FilterScore",
    "Judgement",
    "LlmReply",
    "MinhashBand",
    "Model",
    "Prediction",
    "PredictionBatch",
    "Project",
    "ProjectConfig",
    "QueueItem",
    "Rater",
    "Review",
    "Run",
    "RunLog",
    "Shard",
    "Snapshot",
    "Source",
    "SyncCursor",
    "Task",
    "TestRow",
    "TestSet",
    "Text",
    "TextSentiment",
    "TextSource",
    "Translation",
    "Vector",
]
