"""The sentiment filter: sentiments by ranges of texts, the decisions at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.orm import Session

from pipeline.filters.sentiment import (
    CHUNK,
    CUT,
    STAGE,
    SentimentReport,
    decide,
    require_sentiment,
    rules_of,
    score_chunk,
    without_sentiment,
)
from pipeline.filters.sentiment_model import make_sentiment_model
from pipeline.models.artefact import TrainedModel, load_model
from pipeline.models.find import folder_of
from pipeline.progress import silent
from pipeline.runs.ranges import spans_of_texts
from pipeline.runs.stage import SHARD_TEXTS, Part, Plan, RunView, Step, Values, WorkContext
from pipeline.store.session import open_session


@dataclass(frozen=True, slots=True)
class SentimentStage:
    """Parameters: `cut`, `review_share`, `review_least`, `seed`."""

    name: str = STAGE
    queue: str = "cpu"
    what: str = "finding sentiment"
    in_shards: bool = True
    limit_seconds: int = 3600
    shard_texts: int = 4 * SHARD_TEXTS

    def plan(self, ctx: WorkContext, params: Mapping[str, Any]) -> Plan:
        """Ranges of the texts in scope, and the model that all shards use."""
        model = make_sentiment_model(ctx.settings.models_dir, ctx.settings.seed, silent)
        require_sentiment(model)
        with open_session(ctx.engine) as session:
            spans, _ = spans_of_texts(session, size=self.shard_texts)
        kept = {
            "model": model.manifest.version,
            "cut": params.get("cut", CUT),
            "review_share": params.get("review_share", 0.05),
            "review_least": params.get("review_least", 20),
            "seed": params.get("seed", ctx.settings.seed),
            "taxonomy": ctx.taxonomy.version,
        }
        return Plan("", [Part(span) for span in spans], params=kept)

    def work(self, ctx: WorkContext, run: RunView, part: Part, step: Step) -> Values:
        """Find the sentiment of the texts in a range that have a label with a rule."""
        model = _model(ctx, run.params["model"])
        missing = without_sentiment(ctx.engine, list(rules_of(ctx.taxonomy)), model, part.span)
        for start in range(0, len(missing), CHUNK):
            with open_session(ctx.engine) as session, session.begin():
                score_chunk(session, model, missing[start : start + CHUNK], run.id)
                step(session, 0)
        return {"scored": len(missing)}

    def reduce(self, ctx: WorkContext, session: Session, run: RunView, counts: Values) -> Values:
        """Decide on every label with a rule."""
        how = {name: run.params[name] for name in ("cut", "review_share", "review_least", "seed")}
        decided = decide(session, ctx.taxonomy, run.id, **how)
        return asdict(SentimentReport(run.id, run.params["model"], counts.get("scored", 0), decided))


def _model(ctx: WorkContext, version: str) -> TrainedModel:
    return ctx.keep(("model", version), lambda: load_model(folder_of(version, ctx.settings.models_dir)))
