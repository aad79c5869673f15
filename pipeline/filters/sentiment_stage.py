"""The stage of the sentiment filter: sentiments by ranges of texts, the decisions at the end."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from pipeline.filters.saved_cuts import as_params, in_force
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
from pipeline.models.artefact import TrainedModel
from pipeline.models.find import load_named
from pipeline.progress import silent
from pipeline.runs.ranges import spans_of_texts
from pipeline.runs.stage import SHARD_TEXTS, Part, Plan, RunView, Step, WorkContext
from pipeline.runs.values import Values


@dataclass(frozen=True, slots=True)
class SentimentParams:
    """Settings of the decisions."""

    #: probability of its allowed sentiments from which a label is kept
    cut: float = CUT
    #: share of the rejected texts of a label that goes to people, and the least number of them
    review_share: float = 0.05
    review_least: int = 20
    #: of the review sample; None: the settings'
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class SentimentStage:
    """Decide on every label with a sentiment rule that a machine rater currently asserts.

    The newest sentiment model of the home decides; the first is trained from the project's own lines.

    Raises:
        ModelError: the newest model is not one of sentiment.
    """

    name: str = STAGE
    report: type[SentimentReport] = SentimentReport
    queue: str = "cpu"
    what: str = "finding sentiment"
    in_shards: bool = False
    together: bool = False
    limit_seconds: int = 3600
    shard_texts: int = 4 * SHARD_TEXTS

    def plan(self, home: WorkContext, params: SentimentParams) -> Plan:
        """Ranges of the texts in scope, and the model that all shards use."""
        model = make_sentiment_model(home.settings.models_dir, home.settings.seed, silent)
        require_sentiment(model)
        with home.begin() as session:
            spans, _ = spans_of_texts(session, size=self.shard_texts)
            saved = as_params([cut for key, cut in in_force(session, STAGE).items() if key in home.taxonomy])
            missing = len(without_sentiment(session, list(rules_of(home.taxonomy)), model))
        kept = {
            "model": model.manifest.version,
            "cut": params.cut,
            "review_share": params.review_share,
            "review_least": params.review_least,
            "seed": home.settings.seed if params.seed is None else params.seed,
            "taxonomy": home.taxonomy.version,
        } | ({"saved_cuts": saved} if saved else {})
        return Plan("", [Part(span) for span in spans], missing, kept)

    def work(self, home: WorkContext, run: RunView, part: Part, step: Step) -> Values:
        """Find the sentiment of the texts in a range that have a label with a rule."""
        model = _model(home, run.params["model"])
        with home.begin() as session:
            missing = without_sentiment(session, list(rules_of(home.taxonomy)), model, part.span)
        for start in range(0, len(missing), CHUNK):
            chunk = missing[start : start + CHUNK]
            with home.begin() as session:
                score_chunk(session, model, chunk, run.id)
                step(session, len(chunk))
        return {"scored": len(missing)}

    def reduce(self, home: WorkContext, session: Session, run: RunView, counts: Values) -> SentimentReport:
        """Decide on every label with a rule."""
        options = {name: run.params[name] for name in ("cut", "review_share", "review_least", "seed")}
        saved = run.params.get("saved_cuts", {})
        decided = decide(session, home.taxonomy, run.id, **options, saved_cuts=saved)
        return SentimentReport(run.id, run.params["model"], counts.get("scored", 0), decided)


def _model(home: WorkContext, version: str) -> TrainedModel:
    return home.keep(("model", version), lambda: load_named(version, home.settings.models_dir))
