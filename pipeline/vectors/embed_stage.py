"""Vectors, a range of texts a shard."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select
from sqlalchemy.orm import Session

from pipeline.errors import EncoderError
from pipeline.runs.ranges import spans_of_texts, texts_in
from pipeline.runs.stage import Next, Part, Plan, RunView, Step, Values, WorkContext
from pipeline.store.session import open_session
from pipeline.store.texts import sample
from pipeline.vectors.embed import embed_chunk, missing_vectors
from pipeline.vectors.encoders.make import make_encoder, space_name
from pipeline.vectors.encoders.protocol import Encoder
from pipeline.vectors.spaces import active_space, space_in_use, switch
from pipeline.vectors.table import register_encoder

log = logging.getLogger(__name__)

#: an encoder on a processor gives some tens of texts a second: a shard is some ten seconds of work
_SHARD_TEXTS = 500
#: and what a death loses some seconds
_STEP_TEXTS = 128
#: how often the texts that came meanwhile are looked for, before the next run is left to change the space
_MOST_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class EmbedStage:
    """Parameters: `encoder` (name; None: the settings', and the one in use), `limit`.

    Without a name, the space that the settings name becomes the one in use, once no text lacks a vector there.
    """

    name: str = "embed"
    queue: str = "cpu"
    what: str = "embedding"
    in_shards: bool = False
    limit_seconds: int = 3600
    shard_texts: int = _SHARD_TEXTS

    def plan(self, ctx: WorkContext, params: Mapping[str, Any]) -> Plan:
        """Ranges of the texts in scope."""
        named, limit = params.get("encoder"), params.get("limit")
        with open_session(ctx.engine) as session:
            active = active_space(session)
        wanted = space_name(named or ctx.settings.encoder)
        beside = active if named is None and active != wanted else None
        try:
            encoder = encoder_of(ctx, wanted)
        except EncoderError as error:
            if beside is None:
                raise
            raise EncoderError(f"{error}; until it can be used, all goes on with the vectors of {beside}") from error
        with open_session(ctx.engine) as session, session.begin():
            register_encoder(session, encoder)
            spans, _ = spans_of_texts(session, size=self.shard_texts, limit=limit)
            missing = len(missing_vectors(session, encoder.name, sample(limit)))
        kept = {"encoder": named, "limit": limit}
        return Plan(encoder.name, [Part(span) for span in spans], missing, kept, {"beside": beside})

    def work(self, ctx: WorkContext, run: RunView, part: Part, step: Step) -> Values:
        """Compute the vectors that are missing in a range, in the space in use first."""
        chosen = texts_in(part.span)
        beside = run.prepared.get("beside")
        if beside is not None:
            try:
                embed_range(ctx, encoder_of(ctx, beside), chosen, lambda session, _: step(session, 0))
            except EncoderError as error:
                log.warning("texts that are new have no vector of %s, which is in use: %s", beside, error)
        encoder = encoder_of(ctx, run.slice)
        embedded, present = embed_range(ctx, encoder, chosen, step)
        if part.args.get("last"):
            with open_session(ctx.engine) as session, session.begin():
                return {"embedded": embedded, "switched": int(switch(session, run.slice, encoder))}
        return {"embedded": embedded, "present": present}

    def reduce(self, ctx: WorkContext, session: Session, run: RunView, counts: Values) -> Values | Next:
        """Change to the space, if it is the wanted one and full; if texts came meanwhile, they are next."""
        before, rounds = active_space(session), run.prepared.get("rounds", 0)
        switched = bool(counts.get("switched"))
        if run.params["encoder"] is None and before != run.slice and not run.parked:
            switched = switch(session, run.slice)
            if not switched and run.params["limit"] is None and rounds < _MOST_ROUNDS:
                missing = len(missing_vectors(session, run.slice, sample(None)))
                spans, _ = spans_of_texts(session, size=self.shard_texts)
                # a shard that has few left to do sees to the change as well, since more will have come after it
                parts = [Part(args={"last": True})] if missing <= self.shard_texts else [Part(span) for span in spans]
                return Next(parts, dict(run.prepared) | {"rounds": rounds + 1}, missing)
        return {
            "encoder": run.slice,
            "embedded": counts.get("embedded", 0),
            "present": counts.get("present", 0),
            "in_use": run.slice if switched else before,
            "switched": switched,
        }


def encoder_of(ctx: WorkContext, name: str | None) -> Encoder:
    """The encoder of that name, or of the space in use; loaded once a process."""
    name = name or space_in_use(ctx.engine, ctx.settings)
    return ctx.keep(("encoder", name), lambda: make_encoder(ctx.settings, name))


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
