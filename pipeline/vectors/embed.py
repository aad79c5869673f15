"""The stage that gives each text its vector, once, and changes to the wanted encoder's space when that is full."""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass

from sqlalchemy import Select
from sqlalchemy.orm import Session

from pipeline.errors import EncoderError
from pipeline.runs.ranges import spans_of_texts, texts_in
from pipeline.runs.stage import Next, Part, Plan, RunView, Step, WorkContext
from pipeline.runs.values import Values
from pipeline.store.session import open_session
from pipeline.store.texts import sample
from pipeline.vectors.encoders.make import make_encoder, space_name
from pipeline.vectors.encoders.protocol import Encoder
from pipeline.vectors.spaces import active_space, space_in_use, switch
from pipeline.vectors.table import embed_chunk, missing_vectors, register_encoder

log = logging.getLogger(__name__)

STAGE = "embed"
#: an encoder on a processor gives some tens of texts a second: a shard is some ten seconds of work
_SHARD_TEXTS = 500
#: texts that are embedded and committed together: a death loses some seconds of work
_STEP_TEXTS = 500
#: how often texts that came meanwhile are embedded before the change of space is left to the next run
_MOST_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class EmbedParams:
    """Which vectors to compute."""

    #: name of an encoder; None: the settings' encoder, and the one in use
    encoder: str | None = None
    #: keep to the first so many texts in scope (see `sample`)
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class EmbedReport:
    """How many of the chosen texts were embedded now, and how many had a vector."""

    encoder: str
    embedded: int
    present: int
    #: the space that the stages work in afterwards, and whether that changed
    in_use: str | None = None
    switched: bool = False


@dataclass(frozen=True, slots=True)
class EmbedStage:
    """Compute the missing vectors.

    Without a name, the space that the settings name becomes the one in use, once no text lacks a vector there.

    Raises:
        EncoderError: the wanted encoder can't be used.
    """

    name: str = STAGE
    report: type[EmbedReport] = EmbedReport
    queue: str = "cpu"
    what: str = "embedding"
    in_shards: bool = False
    together: bool = False
    limit_seconds: int = 3600
    shard_texts: int = _SHARD_TEXTS

    def plan(self, home: WorkContext, params: EmbedParams) -> Plan:
        """Ranges of the texts in scope."""
        with open_session(home.engine) as session:
            active = active_space(session)
        wanted = space_name(params.encoder or home.settings.encoder)
        beside = active if params.encoder is None and active != wanted else None
        try:
            encoder = encoder_of(home, wanted)
        except EncoderError as error:
            if beside is None:
                raise
            raise EncoderError(f"{error}; until it can be used, all goes on with the vectors of {beside}") from error
        with home.begin() as session:
            register_encoder(session, encoder)
            spans, _ = spans_of_texts(session, size=self.shard_texts, limit=params.limit)
            missing = len(missing_vectors(session, encoder.name, sample(params.limit)))
        kept = {"encoder": params.encoder, "limit": params.limit}
        return Plan(encoder.name, [Part(span) for span in spans], missing, kept, {"beside": beside})

    def work(self, home: WorkContext, run: RunView, part: Part, step: Step) -> Values:
        """Compute the vectors that are missing in a range, in the space in use first."""
        chosen = texts_in(part.span)
        beside = run.prepared.get("beside")
        if beside is not None:
            try:
                embed_range(home, encoder_of(home, beside), chosen, step, counted=False)
            except EncoderError as error:
                log.warning("texts that are new have no vector of %s, which is in use: %s", beside, error)
        encoder = encoder_of(home, run.slice)
        embedded, present = embed_range(home, encoder, chosen, step)
        if part.args.get("last"):
            with home.begin() as session:
                return {"embedded": embedded, "switched": int(switch(session, run.slice, encoder))}
        return {"embedded": embedded, "present": present}

    def reduce(self, home: WorkContext, session: Session, run: RunView, counts: Values) -> EmbedReport | Next:
        """Change to the space, if it is the wanted one and full; if texts came meanwhile, they are next."""
        before, rounds = active_space(session), run.prepared.get("rounds", 0)
        switched = bool(counts.get("switched"))
        if run.params["encoder"] is None and before != run.slice and not run.parked:
            switched = switch(session, run.slice)
            if not switched and run.params["limit"] is None and rounds < _MOST_ROUNDS:
                missing = len(missing_vectors(session, run.slice, sample(None)))
                spans, _ = spans_of_texts(session, size=self.shard_texts)
                # A shard that has few left to do sees to the change as well, since more will have come after it.
                parts = [Part(args={"last": True})] if missing <= self.shard_texts else [Part(span) for span in spans]
                return Next(parts, dict(run.prepared) | {"rounds": rounds + 1}, missing)
            if not switched and run.params["limit"] is None:
                log.warning("%s is full and not in use yet, since texts are being added: embed again", run.slice)
        return EmbedReport(
            encoder=run.slice,
            embedded=counts.get("embedded", 0),
            present=counts.get("present", 0),
            in_use=run.slice if switched else before,
            switched=switched,
        )


def encoder_of(home: WorkContext, name: str | None) -> Encoder:
    """The encoder of that name, or of the space in use; loaded once a process."""
    name = name or space_in_use(home.engine, home.settings)
    return home.keep(("encoder", name), lambda: make_encoder(home.settings, name))


def embed_range(
    home: WorkContext, encoder: Encoder, chosen: Select[uuid.UUID], step: Step, *, counted: bool = True
) -> tuple[int, int]:
    """Embed those of the chosen texts that have no vector.

    Args:
        home: what to work with.
        encoder: gives the vectors.
        chosen: ids of texts.
        step: counts the texts.
        counted: whether the texts are units of the run's work.

    Returns:
        How many texts were embedded, and how many had a vector.
    """
    with open_session(home.engine) as session:
        missing = missing_vectors(session, encoder.name, chosen)
        total = len(session.scalars(chosen).all())
    for start in range(0, len(missing), _STEP_TEXTS):
        ids = missing[start : start + _STEP_TEXTS]
        with home.begin() as session:
            embed_chunk(session, encoder, ids)
            step(session, len(ids) if counted else 0)
    return len(missing), total - len(missing)
