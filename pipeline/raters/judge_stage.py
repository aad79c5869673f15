"""A rater's verdicts, a range of texts a shard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.orm import Session

from pipeline.errors import UsageError
from pipeline.judgement import RaterKind
from pipeline.ledger.book import rater_id
from pipeline.llm.budget import Allowance
from pipeline.raters.judge import allowance, judge_missing, new_counts, not_judged
from pipeline.raters.make import make_rater
from pipeline.raters.protocol import Rater, StreamingRater
from pipeline.runs.ranges import spans_of_texts, texts_in
from pipeline.runs.stage import Part, Plan, RunView, Step, Values, WorkContext
from pipeline.store.session import open_session
from pipeline.store.texts import sample
from pipeline.vectors.embed_stage import embed_range, encoder_of
from pipeline.vectors.spaces import space_in_use
from pipeline.vectors.table import register_encoder

#: those that have no vector yet get one on the way
_SHARD_TEXTS = 1_000
#: a slow language model gives one verdict in some seconds
_LLM_SHARD_TEXTS = 200


@dataclass(frozen=True, slots=True)
class JudgeStage:
    """Parameters: `rater`, `limit`, `most_tokens` and `most_cost` (what the run may spend; None: no matter).

    A run keeps to the space that was in use when it began.
    """

    name: str = "judge"
    queue: str = "cpu"
    what: str = "judging"
    in_shards: bool = False
    limit_seconds: int = 3600
    shard_texts: int | None = None

    def queue_of(self, slice: str) -> str:
        """A language model computes elsewhere: its shards only wait."""
        return "io" if slice.startswith(f"{RaterKind.LLM}:") else self.queue

    def plan(self, ctx: WorkContext, params: Mapping[str, Any]) -> Plan:
        """Ranges of the texts in scope."""
        space = params.get("encoder") or space_in_use(ctx.engine, ctx.settings)
        rater = rater_of(ctx, params["rater"], space)
        limit = params.get("limit")
        size = self.shard_texts or (_LLM_SHARD_TEXTS if isinstance(rater, StreamingRater) else _SHARD_TEXTS)
        with open_session(ctx.engine) as session, session.begin():
            if rater.needs_vectors:
                register_encoder(session, encoder_of(ctx, space))
            who = rater_id(session, rater.ref, rater.details)
            spans, _ = spans_of_texts(session, size=size, limit=limit)
            missing = len(not_judged(session, who, sample(limit)))
            allowed = allowance(session, rater, params.get("most_tokens"), params.get("most_cost"))
        return Plan(
            f"{rater.ref.kind}:{rater.ref.name}",
            [Part(span) for span in spans],
            missing,
            {"rater": params["rater"], "limit": limit, "version": rater.ref.version, "encoder": space},
            # all shards together, and whatever is spent before they begin
            {"allowed": asdict(allowed)},
        )

    def work(self, ctx: WorkContext, run: RunView, part: Part, step: Step) -> Values:
        """Judge the texts of a range that the rater has not judged; vectors that it needs are computed first."""
        space = run.params.get("encoder")
        rater = rater_of(ctx, run.params["rater"], space)
        if rater.ref.version != run.params["version"]:
            raise UsageError(
                f"the run is of version {run.params['version']} of {rater.ref.name} and this worker has "
                f"{rater.ref.version}: give all workers the same taxonomy and raters, and start the run anew"
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
        judge_missing(
            ctx.engine,
            rater,
            who,
            missing,
            ctx.taxonomy.version,
            run.id,
            counts,
            encoder=encoder,
            allowed=Allowance(**run.prepared.get("allowed", {})),
            step=step,
        )
        return counts

    def reduce(self, ctx: WorkContext, session: Session, run: RunView, counts: Values) -> Values:
        """Nothing is left to do."""
        return {"rater": run.slice.partition(":")[2], "present": 0} | new_counts() | counts


def rater_of(ctx: WorkContext, name: str, space: str | None = None) -> Rater:
    """The rater of that name, with the encoder of a space (None: the one in use); made once a process.

    Raises:
        UsageError: there is none.
        LlmError: its server cannot be asked which models it has.
    """
    space = space or space_in_use(ctx.engine, ctx.settings)
    return ctx.keep(
        ("rater", name, ctx.taxonomy.version, space),
        lambda: make_rater(name, ctx.settings, ctx.taxonomy, ctx.engine, lambda: encoder_of(ctx, space)),
    )
