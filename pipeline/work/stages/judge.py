"""A rater's verdicts, a range of texts a shard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from pipeline.errors import UsageError
from pipeline.ledger.book import rater_id
from pipeline.raters.bootstrap import BootstrapRater
from pipeline.raters.judge import CHUNK, judge_chunk, not_judged
from pipeline.store.session import open_session
from pipeline.store.texts import sample
from pipeline.vectors.encoders.protocol import Encoder
from pipeline.vectors.table import register_encoder
from pipeline.work.ranges import spans_of_texts, texts_in
from pipeline.work.stage import Part, Plan, RunView, Step, Values, WorkContext
from pipeline.work.stages.embed import embed_range, encoder_of

#: those that have no vector yet get one on the way
_SHARD_TEXTS = 1_000


@dataclass(frozen=True, slots=True)
class JudgeStage:
    """Parameters: `rater`, `limit`; a run keeps to the space that was in use when it began."""

    name: str = "judge"
    queue: str = "cpu"
    what: str = "judging"
    in_shards: bool = False
    limit_seconds: int = 3600
    shard_texts: int = _SHARD_TEXTS

    def plan(self, ctx: WorkContext, params: Mapping[str, Any]) -> Plan:
        """Ranges of the texts in scope."""
        encoder = encoder_of(ctx, params.get("encoder"))
        rater = rater_of(ctx, params["rater"], encoder)
        limit = params.get("limit")
        with open_session(ctx.engine) as session, session.begin():
            register_encoder(session, encoder)
            who = rater_id(session, rater.ref, rater.details)
            spans, _ = spans_of_texts(session, size=self.shard_texts, limit=limit)
            missing = len(not_judged(session, who, sample(limit)))
        return Plan(
            f"{rater.ref.kind}:{rater.ref.name}",
            [Part(span) for span in spans],
            missing,
            {"rater": params["rater"], "limit": limit, "version": rater.ref.version, "encoder": encoder.name},
        )

    def work(self, ctx: WorkContext, run: RunView, part: Part, step: Step) -> Values:
        """Judge the texts of a range that the rater has not judged; vectors that it needs are computed first."""
        encoder = encoder_of(ctx, run.params.get("encoder"))
        rater = rater_of(ctx, run.params["rater"], encoder)
        if rater.ref.version != run.params["version"]:
            raise UsageError(
                f"the run is of version {run.params['version']} of {rater.ref.name} and this worker has "
                f"{rater.ref.version}: give all workers the same taxonomy, and start the run anew"
            )
        chosen = texts_in(part.span)
        # before vectors are computed: what is ingested meanwhile has none, and is for the next run
        with open_session(ctx.engine) as session, session.begin():
            who = rater_id(session, rater.ref, rater.details)
            missing = not_judged(session, who, chosen)
            total = len(session.scalars(chosen).all())
        if rater.needs_vectors:
            embed_range(ctx, encoder, chosen, lambda session, _: step(session, 0))
        counts: Values = {"judged": 0, "present": total - len(missing), "no_verdict": {}, "asserted": {}}
        for start in range(0, len(missing), CHUNK):
            ids = missing[start : start + CHUNK]
            with open_session(ctx.engine) as session, session.begin():
                judge_chunk(session, rater, who, ids, ctx.taxonomy.version, run.id, counts, encoder=encoder)
                step(session, len(ids))
        return counts

    def reduce(self, ctx: WorkContext, session: Session, run: RunView, counts: Values) -> Values:
        """Nothing is left to do."""
        return {
            "rater": run.slice.partition(":")[2],
            "judged": 0,
            "present": 0,
            "no_verdict": {},
            "asserted": {},
        } | counts


def rater_of(ctx: WorkContext, name: str, encoder: Encoder) -> BootstrapRater:
    """The rater of that name with an encoder, made once a process.

    Raises:
        UsageError: there is none.
    """
    if name != "bootstrap":
        raise UsageError(f"no rater is called {name!r}: this version has bootstrap")
    return ctx.keep(
        ("rater", name, ctx.taxonomy.version, encoder.name),
        lambda: BootstrapRater(ctx.taxonomy, encoder),
    )
