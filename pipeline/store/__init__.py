"""The store: typed models of the SQL tables, sessions and migrations. No other package defines tables.

Names are imported when they are first used: who only looks whether the store is there has no use for the tables.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.store.session import make_engine, open_session
    from pipeline.store.tables import (
        Annotation,
        Base,
        ConsensusRow,
        Encoder,
        Event,
        FilterDecision,
        FilterScore,
        Intervention,
        Judgement,
        LlmReply,
        MinhashBand,
        Model,
        Prediction,
        PredictionBatch,
        Project,
        ProjectConfig,
        QueueItem,
        Rater,
        Review,
        Run,
        RunLog,
        Shard,
        Snapshot,
        Source,
        StoreKey,
        SyncCursor,
        Task,
        TestRow,
        TestSet,
        Text,
        TextSentiment,
        TextSource,
        Translation,
        Vector,
    )

__all__ = [
    "Annotation",
    "Base",
    "ConsensusRow",
    "Encoder",
    "Event",
    "FilterDecision",
    "FilterScore",
    "Intervention",
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
    "StoreKey",
    "SyncCursor",
    "Task",
    "TestRow",
    "TestSet",
    "Text",
    "TextSentiment",
    "TextSource",
    "Translation",
    "Vector",
    "make_engine",
    "open_session",
]


def __getattr__(name: str) -> Any:
    """Import a name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "session" if name in ("make_engine", "open_session") else "tables"
    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value
