"""The stage that computes vectors of texts, and activates the wanted vector space when it is complete."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

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
#: texts in a shard: about ten seconds of work for an encoder on a CPU
_SHARD_TEXTS = 500
#: texts that are embedded and committed together: a crash loses some seconds of work
_STEP_TEXTS = 500
#: number of times that new texts are embedded before the activation is left to the next run
_MOST_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class EmbedParams:
    """Parameters of an embedding run."""

    #: name of an encoder; None: the encoder of the settings, and the one in use
    encoder: str | None = None
    #: number of texts in scope, the first in order of id (see `sample`); None: all
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class ParkedText:
    """A text that the encoder has no vector for, with the reason. The next run tries it again."""

    text: uuid.UUID
    reason: str


@dataclass(frozen=True, slots=True)
class EmbedReport:
    """Numbers of texts that were embedded now, and of texts that had a vector already."""

    encoder: str
    embedded: int
    present: int
    #: the space in use afterwards, and True where it was changed
    in_use: str | None = None
    switched: bool = False
    #: texts without a vector, each with the reason
    parked: Sequence[ParkedText] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class EmbeddedRange:
    """Numbers of texts that were embedded now, and of texts that had a vector; and texts that have none."""

    embedded: int
    present: int
    parked: tuple[ParkedText, ...] = ()


@dataclass(frozen=True, slots=True)
class EmbedStage:
    """Compute the missing vectors.

    Without a name, the encoder of the settings is used, and its space is activated when every text has a vector there.

    Raises:
        EncoderError: the wanted encoder cannot be used.
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
        """Divide the texts in scope into ranges."""
        with open_session(home.engine) as session:
            active = active_space(session)
        wanted = space_name(params.encoder or home.settings.encoder)
        beside = active if params.encoder is None and active != wanted else None
        try:
            encoder = encoder_of(home, wanted)
        except EncoderError as error:
            if beside is None:
                raise
            raise EncoderError(f"{error}; until it can be used, the vectors of {beside} stay in use") from error
        with home.begin() as session:
            register_encoder(session, encoder)
            spans, _ = spans_of_texts(session, size=self.shard_texts, limit=params.limit)
            missing = len(missing_vectors(session, encoder.name, sample(params.limit)))
        kept = {"encoder": params.encoder, "limit": params.limit}
        return Plan(encoder.name, [Part(span) for span in spans], missing, kept, {"beside": beside})

    def work(self, home: WorkContext, run: RunView, part: Part, step: Step) -> Values:
        """Compute the missing vectors of a range, in the space in use first."""
        chosen = texts_in(part.span)
        beside = run.prepared.get("beside")
        if beside is not None:
            try:
                embed_range(home, encoder_of(home, beside), chosen, step, counted=False)
            except EncoderError as error:
                log.warning("new texts have no vector of %s, which is in use: %s", beside, error)
        encoder = encoder_of(home, run.slice)
        counts = embed_range(home, encoder, chosen, step)
        parked = [{"text": str(each.text), "reason": each.reason} for each in counts.parked]
        if part.args.get("last"):
            known = {uuid.UUID(text) for text in part.args.get("parked", ())} | {each.text for each in counts.parked}
            with home.begin() as session:
                switched = switch(session, run.slice, encoder, parked=known)
            return {"embedded": counts.embedded, "switched": int(switched), "parked": parked}
        return {"embedded": counts.embedded, "present": counts.present, "parked": parked}

    def reduce(self, home: WorkContext, session: Session, run: RunView, counts: Values) -> EmbedReport | Next:
        """Activate the space if it is wanted and complete; if there are new texts, embed them next."""
        before, rounds = active_space(session), run.prepared.get("rounds", 0)
        switched = bool(counts.get("switched"))
        # A text may be tried in several rounds.
        reasons = {uuid.UUID(each["text"]): str(each["reason"]) for each in counts.get("parked", ())}
        if run.params["encoder"] is None and before != run.slice and not run.parked:
            switched = switch(session, run.slice, parked=reasons)
            if not switched and run.params["limit"] is None and rounds < _MOST_ROUNDS:
                missing = len(set(missing_vectors(session, run.slice, sample(None))) - set(reasons))
                spans, _ = spans_of_texts(session, size=self.shard_texts)
                # A shard with few texts activates the space itself, since new texts may arrive after it.
                last = Part(args={"last": True, "parked": sorted(str(text) for text in reasons)})
                parts = [last] if missing <= self.shard_texts else [Part(span) for span in spans]
                return Next(parts, dict(run.prepared) | {"rounds": rounds + 1}, missing)
            if not switched and run.params["limit"] is None:
                log.warning("%s is not in use yet, because texts are being added: run `saring embed` again", run.slice)
        return EmbedReport(
            encoder=run.slice,
            embedded=counts.get("embedded", 0),
            present=counts.get("present", 0),
            in_use=run.slice if switched else before,
            switched=switched,
            parked=[ParkedText(text, reasons[text]) for text in sorted(reasons)],
        )


def encoder_of(home: WorkContext, name: str | None) -> Encoder:
    """The encoder of that name, or of the space in use; loaded once in a process."""
    name = name or space_in_use(home.engine, home.settings)
    return home.keep(("encoder", name), lambda: make_encoder(home.settings, name))


def embed_range(
    home: WorkContext, encoder: Encoder, chosen: Select[uuid.UUID], step: Step, *, counted: bool = True
) -> EmbeddedRange:
    """Embed the chosen texts that have no vector.

    Args:
        home: settings, taxonomy and store.
        encoder: the encoder.
        chosen: a query of text ids.
        step: counts the texts as finished.
        counted: True: the texts are units of the run's work.

    A text that the encoder has no vector for is logged and left, and the others get theirs.

    Raises:
        EncoderError: no text can be encoded.
    """
    with open_session(home.engine) as session:
        missing = missing_vectors(session, encoder.name, chosen)
        total = len(session.scalars(chosen).all())
    parked: list[ParkedText] = []
    for start in range(0, len(missing), _STEP_TEXTS):
        ids = missing[start : start + _STEP_TEXTS]
        with home.begin() as session:
            failed = embed_chunk(session, encoder, ids)
            step(session, len(ids) if counted else 0)
        for text_id, reason in failed.items():
            log.warning("text %s has no vector of %s: %s", text_id, encoder.name, reason)
            parked.append(ParkedText(text_id, reason))
    return EmbeddedRange(len(missing) - len(parked), total - len(missing), tuple(parked))
