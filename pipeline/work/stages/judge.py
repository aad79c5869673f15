"""A rater's verdicts, a range of texts a shard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from pipeline.errors import UsageError
from pipeline.ledger.book import rater_id
from pipeline.raters.judge import judge_each, new_counts, not_judged, stage_of
from pipeline.raters.llm.config import load_raters
from pipeline.raters.make import known_rater, make_rater
from pipeline.raters.protocol import Rater, Work
from pipeline.store.session import open_session
from pipeline.store.texts import sample
from pipeline.vectors.spaces import space_in_use
from pipeline.vectors.table import register_encoder
from pipeline.work.ranges import spans_of_texts, texts_in
from pipeline.work.stage import Part, Plan, RunView, Step, Values, WorkContext
from pipeline.work.stages.embed import embed_range, encoder_of

#: those that have no vector yet get one on the way
_SHARD_TEXTS = 1_000


@dataclass(frozen=True, slots=True)
class JudgeStage:
    """Parameters: `rater`, `limit`; a run keeps to the space that was in use when it began. Raters that wait for a
    server have a stage of their own, on another queue."""

    name: str = "judge"
    queue: str = "cpu"
    what: str = "judging"
    in_shards: bool = False
    limit_seconds: int = 3600
    shard_texts: int = _SHARD_TEXTS

    def plan(self, ctx: WorkContext, params: Mapping[str, Any]) -> Plan:
        """Ranges of the texts in scope."""
        space = params.get("encoder") or space_in_use(ctx.engine, ctx.settings)
        rater = rater_of(ctx, params["rater"], space)
        limit = params.get("limit")
        if stage_of(rater) != self.name:
            raise UsageError(f"rater {params['rater']!r} judges in the stage `{stage_of(rater)}`, not in `{self.name}`")
        with open_session(ctx.engine) as session, session.begin():
            if rater.needs_vectors:
                register_encoder(session, encoder_of(ctx, space))
            who = rater_id(session, rater.ref, rater.details)
            spans, _ = spans_of_texts(session, size=self.shard_texts, limit=limit)
            missing = len(not_judged(session, who, sample(limit)))
        return Plan(
            f"{rater.ref.kind}:{rater.ref.name}",
            [Part(span) for span in spans],
            missing,
            {"rater": params["rater"], "limit": limit, "version": rater.ref.version, "encoder": space},
        )

    def work(self, ctx: WorkContext, run: RunView, part: Part, step: Step) -> Values:
        """Judge the texts of a range that the rater has not judged; vectors that it needs are computed first."""
        space = run.params.get("encoder")
        rater = rater_of(ctx, run.params["rater"], space)
        if rater.ref.version != run.params["version"]:
            raise UsageError(
                f"the run is of version {run.params['version']} of {rater.ref.name} and this worker has "
                f"{rater.ref.version}: give all workers the same taxonomy and settings, and start the run anew"
            )
        encoder = encoder_of(ctx, space) if rater.needs_vectors else None
        chosen = texts_in(part.span)
        # before vectors are computed: what is ingested meanwhile has none, and is for the next run
        with open_session(ctx.engine) as session, session.begin():
            who = rater_id(session, rater.ref, rater.details)
            missing = not_judged(session, who, chosen)
            total = len(session.scalars(chosen).all())
        if encoder is not None:
            embed_range(ctx, encoder, chosen, lambda session, _: step(session, 0))
        counts: Values = {"present": total - len(missing)} | new_counts()
        work = Work(run.id, who)
        judge_each(ctx.engine, rater, work, missing, ctx.taxonomy.version, counts, step, encoder=encoder)
        # each shard may find the budget spent; numbers are added up, words are not
        counts["stopped"] = [counts["stopped"]] if counts["stopped"] else []
        return counts

    def reduce(self, ctx: WorkContext, session: Session, run: RunView, counts: Values) -> Values:
        """Nothing is left to do."""
        stopped = counts.get("stopped", [])
        return (
            {"rater": run.slice.partition(":")[2], "present": 0}
            | new_counts()
            | counts
            | {"stopped": stopped[0] if stopped else None}
        )


def rater_of(ctx: WorkContext, name: str | None, space: str | None = None) -> Rater:
    """The rater of that name, or of the settings, with the encoder of a space (None: the one in use); made once a
    process.

    Raises:
        UsageError: there is none.
    """
    name = known_rater(ctx.settings, name)
    space = space or space_in_use(ctx.engine, ctx.settings)
    return ctx.keep(
        ("rater", name, ctx.taxonomy.version, space, load_raters(ctx.settings).get(name)),
        lambda: make_rater(name, ctx.settings, ctx.taxonomy, ctx.engine, lambda: encoder_of(ctx, space)),
    )
