"""The only room that knows SQL tables: typed models, sessions, migrations."""

from pipeline.store.models import (
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
    SyncCursor,
    Task,
    Text,
    TextSentiment,
    TextSource,
    Vector,
)
from pipeline.store.session import make_engine, open_session

__all__ = [
    "Base",
    "Encoder",
    "FilterDecision",
    "Judgement",
    "MinhashBand",
    "Model",
    "Rater",
    "Review",
    "Run",
    "Snapshot",
    "Source",
    "SyncCursor",
    "Task",
    "Text",
    "TextSentiment",
    "TextSource",
    "Vector",
    "make_engine",
    "open_session",
]
