"""The stage of pseudo-labels: one shard learns the label, then it is given to ranges of texts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from sqlalchemy.orm import Session

from pipeline.learning.pseudo_threshold import draw_review, given_by, score, write
from pipeline.learning.pseudolabel import (
    STAGE,
    PseudoConfig,
    PseudoReport,
    learn,
    settled,
    to_learn_from,
)
from pipeline.learning.registry import register
from pipeline.ledger.decisions import decided_texts
from pipeline.models.artefact import TrainedModel
from pipeline.models.find import load_named
from pipeline.models.linear import LinearConfig
from pipeline.runs.ranges import spans_of_texts, texts_in
from pipeline.runs.stage import SHARD_TEXTS, Next, Part, Plan, RunView, Step, WorkContext
from pipeline.runs.values import Values
from pipeline.store.session import open_session


@dataclass(frozen=True, slots=True)
class PseudolabelParams:
    """The label to give, and settings."""

    label: str
    config: PseudoConfig = field(default_factory=PseudoConfig)
    #: keep to the first so many texts in scope (see `sample`)
    limit: int | None = None
    #: of folds, negatives and the review sample; None: the settings'
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class PseudolabelStage:
    """Learn a label from the decided texts, and give it to texts where it is unknown and the model is sure.

    Texts whose label a filter rejected are left to people. If no cut reaches the target precision on held-out
    texts, nothing is written, and the report says so.

    Raises:
        TaxonomyError: there is no such label.
    """

    name: str = STAGE
    report: type[PseudoReport] = PseudoReport
    queue: str = "cpu"
    what: str = "pseudo-labelling"
    in_shards: bool = True
    together: bool = False
    limit_seconds: int = 6 * 3600
    shard_texts: int = 2 * SHARD_TEXTS
    #: settings of the classifier
    linear: LinearConfig = field(default_factory=LinearConfig)

    def plan(self, home: WorkContext, params: PseudolabelParams) -> Plan:
        """One shard, which learns the label."""
        label = home.taxonomy[params.label].key
        kept = {
            "label": label,
            "config": asdict(params.config),
            "limit": params.limit,
            "seed": home.settings.seed if params.seed is None else params.seed,
            "taxonomy": home.taxonomy.version,
        }
        return Plan(label, [Part(args={"learn": True})], params=kept)

    def work(self, home: WorkContext, run: RunView, part: Part, step: Step) -> Values:
        """Learn the label, or give it to the texts of a range where the model is sure."""
        label = run.params["label"]
        if part.args.get("learn"):
            with open_session(home.engine) as session:
                decided = to_learn_from(session, home.taxonomy, run.params["limit"])
            rng = np.random.default_rng(run.params["seed"])
            report, made = learn(
                decided, label, home.taxonomy.version, home.settings.models_dir, _config(run), self.linear, rng
            )
            if made is not None:
                with home.begin() as session:
                    register(session, made[0].manifest, Path(made[1]), run_id=run.id)
            return {"learnt": [asdict(report)]}
        model = self._model(home, run.prepared["learnt"]["model"])
        with home.begin() as session:
            known = settled(decided_texts(session, home.taxonomy, span=part.span), label)
            ids = [text_id for text_id in session.scalars(texts_in(part.span)) if text_id not in known]
            scored, confident = score(session, model, ids)
            written = write(session, model, confident, home.taxonomy.version, run.id)
            step(session, 0)
        return {"scored": scored, "written": written}

    def reduce(self, home: WorkContext, session: Session, run: RunView, counts: Values) -> PseudoReport | Next:
        """Plan the ranges once the label is learnt; at the end, draw a sample for people."""
        if not run.prepared:
            learnt: Values = counts.get("learnt", [{}])[0]
            spans, _ = spans_of_texts(session, size=self.shard_texts, limit=run.params["limit"])
            if not learnt.get("model") or not spans:
                # Only the label is known where the learning shard was parked.
                return PseudoReport(**{"label": run.params["label"], "positives": 0, "negatives": 0} | learnt)
            return Next([Part(span) for span in spans], {"learnt": learnt})
        report = PseudoReport(**run.prepared["learnt"])
        assert report.model is not None, "shards follow a model"
        given = given_by(session, self._model(home, report.model))
        rng = np.random.default_rng(run.params["seed"])
        config = _config(run)
        drawn = draw_review(session, report.label, given, config.review_share, config.review_least, rng, run.id)
        return replace(report, scored=counts.get("scored", 0), written=counts.get("written", 0), in_review=drawn)

    def _model(self, home: WorkContext, version: str) -> TrainedModel:
        return home.keep(("model", version), lambda: load_named(version, home.settings.models_dir))


def _config(run: RunView) -> PseudoConfig:
    return PseudoConfig(**run.params["config"])
