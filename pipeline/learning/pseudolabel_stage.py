"""Pseudo-labels of one scarce label: one shard learns it, then ranges of texts are given it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

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
from pipeline.models.artefact import TrainedModel, load_model
from pipeline.models.find import folder_of
from pipeline.models.linear import LinearConfig
from pipeline.runs.ranges import spans_of_texts, texts_in
from pipeline.runs.stage import SHARD_TEXTS, Next, Part, Plan, RunView, Step, Values, WorkContext
from pipeline.store.session import open_session


@dataclass(frozen=True, slots=True)
class PseudolabelStage:
    """Parameters: `label`, `config` (of `PseudoConfig`), `limit`, `seed`."""

    name: str = STAGE
    queue: str = "cpu"
    what: str = "pseudo-labelling"
    in_shards: bool = True
    limit_seconds: int = 6 * 3600
    shard_texts: int = 2 * SHARD_TEXTS

    def plan(self, ctx: WorkContext, params: Mapping[str, Any]) -> Plan:
        """One shard, that learns the label."""
        label = ctx.taxonomy[params["label"]].key
        kept = {
            "label": label,
            "config": asdict(PseudoConfig(**params.get("config", {}))),
            "limit": params.get("limit"),
            "seed": params.get("seed", ctx.settings.seed),
            "taxonomy": ctx.taxonomy.version,
        }
        return Plan(label, [Part(args={"learn": True})], params=kept)

    def work(self, ctx: WorkContext, run: RunView, part: Part, step: Step) -> Values:
        """Learn the label, or give it to the texts of a range where that is safe."""
        label = run.params["label"]
        if part.args.get("learn"):
            with open_session(ctx.engine) as session:
                decided = to_learn_from(session, ctx.taxonomy, run.params["limit"])
            rng = np.random.default_rng(run.params["seed"])
            report, made = learn(
                decided, label, ctx.taxonomy.version, ctx.settings.models_dir, _config(run), LinearConfig(), rng
            )
            if made is not None:
                with open_session(ctx.engine) as session, session.begin():
                    register(session, made[0].manifest, Path(made[1]), run_id=run.id)
            return {"learnt": [asdict(report)]}
        model = self._model(ctx, run.prepared["learnt"]["model"])
        with open_session(ctx.engine) as session, session.begin():
            known = settled(decided_texts(session, ctx.taxonomy, span=part.span), label)
            ids = [one for one in session.scalars(texts_in(part.span)) if one not in known]
            scored, confident = score(session, model, ids)
            written = write(session, model, confident, ctx.taxonomy.version, run.id)
            step(session, 0)
        return {"scored": scored, "written": written}

    def reduce(self, ctx: WorkContext, session: Session, run: RunView, counts: Values) -> Values | Next:
        """Cut the texts once the label is learnt; draw some of those that were given it for people at the end."""
        if not run.prepared:
            # nothing, if the shard that was to learn it was parked
            learnt: Values = counts.get("learnt", [{}])[0]
            spans, _ = spans_of_texts(session, size=self.shard_texts, limit=run.params["limit"])
            if not learnt.get("model") or not spans:
                return learnt
            return Next([Part(span) for span in spans], {"learnt": learnt})
        report = PseudoReport(**run.prepared["learnt"])
        assert report.model is not None, "shards follow a model"
        given = given_by(session, self._model(ctx, report.model))
        rng = np.random.default_rng(run.params["seed"])
        config = _config(run)
        drawn = draw_review(session, report.label, given, config.review_share, config.review_least, rng, run.id)
        return asdict(
            replace(report, scored=counts.get("scored", 0), written=counts.get("written", 0), in_review=drawn)
        )

    def _model(self, ctx: WorkContext, version: str) -> TrainedModel:
        return ctx.keep(("model", version), lambda: load_model(folder_of(version, ctx.settings.models_dir)))


def _config(run: RunView) -> PseudoConfig:
    return PseudoConfig(**run.params["config"])
