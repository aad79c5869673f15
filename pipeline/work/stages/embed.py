"""Vectors, a range of texts a shard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select
from sqlalchemy.orm import Session

from pipeline.store.session import open_session
from pipeline.store.texts import sample
from pipeline.vectors.embed import embed_chunk, missing_vectors
from pipeline.vectors.encoders import Encoder, make_encoder
from pipeline.vectors.table import register_encoder
from pipeline.work.ranges import spans_of_texts, texts_in
from pipeline.work.stage import Part, Plan, RunView, Step, Values, WorkContext

#: an encoder on a processor gives some tens of texts a second: a shard is some ten seconds of work
_SHARD_TEXTS = 500
#: and what a death loses some seconds
_STEP_TEXTS = 128


@dataclass(frozen=True, slots=True)
class EmbedStage:
    """Parameters: `encoder` (name; None: the settings'), `limit`."""

    name: str = "embed"
    queue: str = "cpu"
    what: str = "embedding"
    in_shards: bool = False
    limit_seconds: int = 3600
    shard_texts: int = _SHARD_TEXTS

    def plan(self, ctx: WorkContext, params: Mapping[str, Any]) -> Plan:
        """Ranges of the texts in scope."""
        encoder = encoder_of(ctx, params.get("encoder"))
        limit = params.get("limit")
        with open_session(ctx.engine) as session, session.begin():
            register_encoder(session, encoder)
            spans, _ = spans_of_texts(session, size=self.shard_texts, limit=limit)
            missing = len(missing_vectors(session, encoder.name, sample(limit)))
        return Plan(
            encoder.name, [Part(span) for span in spans], missing, {"encoder": params.get("encoder"), "limit": limit}
        )

    def work(self, ctx: WorkContext, run: RunView, part: Part, step: Step) -> Values:
        """Compute the vectors that are missing in a range."""
        encoder = encoder_of(ctx, run.params["encoder"])
        embedded, present = embed_range(ctx, encoder, texts_in(part.span), step)
        return {"embedded": embedded, "present": present}

    def reduce(self, ctx: WorkContext, session: Session, run: RunView, counts: Values) -> Values:
        """Nothing is left to do."""
        return {"encoder": run.slice, "embedded": counts.get("embedded", 0), "present": counts.get("present", 0)}


def encoder_of(ctx: WorkContext, name: str | None) -> Encoder:
    """The encoder of that name, or of the settings; loaded once a process."""
    name = name or ctx.settings.encoder
    return ctx.keep(("encoder", name), lambda: make_encoder(ctx.settings.model_copy(update={"encoder": name})))


def embed_range(ctx: WorkContext, encoder: Encoder, chosen: Select[Any], step: Step) -> tuple[int, int]:
    """Embed those of the chosen texts that have no vector; how many were, and how many had one."""
    with open_session(ctx.engine) as session:
        missing = missing_vectors(session, encoder.name, chosen)
        total = len(session.scalars(chosen).all())
    for start in range(0, len(missing), _STEP_TEXTS):
        ids = missing[start : start + _STEP_TEXTS]
        with open_session(ctx.engine) as session, session.begin():
            embed_chunk(session, encoder, ids)
            step(session, len(ids))
    return len(missing), total - len(missing)
