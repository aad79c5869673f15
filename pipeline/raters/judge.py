"""The stage that asks a rater for its verdicts, once a text.

A rater that computes is given a portion of texts at a time, and each portion is committed. One that is asked over a
network (`StreamingRater`) takes texts as it gets on, and what it answered is committed as it comes.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Engine, Select, func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import UsageError
from pipeline.judgement import RaterKind
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.llm.budget import Allowance
from pipeline.llm.cache import keep_replies
from pipeline.raters.make import make_rater
from pipeline.raters.protocol import Answers, NoVerdict, Rater, StreamingRater, TextToJudge
from pipeline.runs.ranges import spans_of_texts, texts_in
from pipeline.runs.stage import Part, Plan, RunView, Step, WorkContext
from pipeline.runs.values import Values
from pipeline.store.session import open_session
from pipeline.store.texts import sample
from pipeline.vectors.embed import embed_range, encoder_of
from pipeline.vectors.encoders.protocol import Encoder
from pipeline.vectors.spaces import space_in_use
from pipeline.vectors.table import get_vectors, register_encoder

#: texts judged and committed together
CHUNK = 1_000
#: texts in a shard: those that have no vector yet get one on the way
_SHARD_TEXTS = 1_000
#: a slow language model gives one verdict in some seconds
_LLM_SHARD_TEXTS = 200


@dataclass(frozen=True, slots=True)
class JudgeReport:
    """What one run added."""

    rater: str
    judged: int
    present: int
    #: texts by the reason why there is no verdict
    no_verdict: Mapping[str, int]
    #: texts that each label is now asserted on by this rater, of those judged in this call
    asserted: Mapping[str, int]
    #: replies that were paid for, and verdicts that came from replies of an earlier time
    replies: int = 0
    cached: int = 0
    #: tokens in prompts and replies, and what they cost
    tokens: int = 0
    cost: float = 0.0
    #: names that a language model gave and that are no labels, by how often
    invented: Mapping[str, int] = field(default_factory=dict)
    #: why it stopped before all texts were judged, if it did
    stopped: str | None = None


@dataclass(frozen=True, slots=True)
class JudgeParams:
    """Who judges, and how much."""

    #: `bootstrap`, or the name of a language model that is described
    rater: str
    #: keep to the first so many texts in scope (see `sample`)
    limit: int | None = None
    #: stop before a rater that is paid takes more tokens, or costs more; None: no limit
    most_tokens: int | None = None
    most_cost: float | None = None


@dataclass(frozen=True, slots=True)
class JudgeStage:
    """Have a rater judge the texts that it has not judged yet.

    A run keeps to the space of vectors that was in use when it began.

    Raises:
        UsageError: there is no such rater, or this worker has another version of it.
        LlmError: its server cannot be asked which models it has.
    """

    name: str = "judge"
    report: type[JudgeReport] = JudgeReport
    queue: str = "cpu"
    what: str = "judging"
    in_shards: bool = False
    together: bool = False
    limit_seconds: int = 3600
    shard_texts: int | None = None

    def queue_of(self, slice: str) -> str:
        """A language model computes elsewhere, so its shards only wait."""
        return "io" if slice.startswith(f"{RaterKind.LLM}:") else self.queue

    def plan(self, home: WorkContext, params: JudgeParams) -> Plan:
        """Ranges of the texts in scope, and what may be spent by all of them together."""
        space = space_in_use(home.engine, home.settings)
        rater = rater_of(home, params.rater, space)
        size = self.shard_texts or (_LLM_SHARD_TEXTS if isinstance(rater, StreamingRater) else _SHARD_TEXTS)
        with home.begin() as session:
            if rater.needs_vectors:
                register_encoder(session, encoder_of(home, space))
            who = rater_id(session, rater.ref, rater.details)
            spans, _ = spans_of_texts(session, size=size, limit=params.limit)
            missing = len(not_judged(session, who, sample(params.limit)))
            allowed = allowance(session, rater, params.most_tokens, params.most_cost)
        return Plan(
            f"{rater.ref.kind}:{rater.ref.name}",
            [Part(span) for span in spans],
            missing,
            {"rater": params.rater, "limit": params.limit, "version": rater.ref.version, "encoder": space},
            {"allowed": asdict(allowed)},
        )

    def work(self, home: WorkContext, run: RunView, part: Part, step: Step) -> Values:
        """Judge the texts of a range that the rater has not judged; vectors that it needs are computed first."""
        space = run.params.get("encoder")
        rater = rater_of(home, run.params["rater"], space)
        if rater.ref.version != run.params["version"]:
            raise UsageError(
                f"the run is of version {run.params['version']} of {rater.ref.name} and this worker has "
                f"{rater.ref.version}: give all workers the same taxonomy and raters, and start the run anew"
            )
        encoder = encoder_of(home, space) if rater.needs_vectors else None
        chosen = texts_in(part.span)
        # Read before vectors are computed: a text that is ingested meanwhile has none, and is for the next run.
        with home.begin() as session:
            who = rater_id(session, rater.ref, rater.details)
            missing = not_judged(session, who, chosen)
            total = len(session.scalars(chosen).all())
        if encoder is not None:
            embed_range(home, encoder, chosen, step, counted=False)
        counts: Values = {"present": total - len(missing)} | new_counts()
        judge_missing(
            home,
            rater,
            who,
            missing,
            run.id,
            counts,
            encoder=encoder,
            allowed=Allowance(**run.prepared.get("allowed", {})),
            step=step,
        )
        return counts

    def reduce(self, home: WorkContext, session: Session, run: RunView, counts: Values) -> JudgeReport:
        """The counts of all parts."""
        values: Values = {"rater": run.slice.partition(":")[2], "present": 0} | new_counts() | counts
        return JudgeReport(**values)


def new_counts() -> dict[str, Any]:
    """The counts of a run, before anything is judged."""
    return {"judged": 0, "no_verdict": {}, "asserted": {}}


def allowance(session: Session, rater: Rater, tokens: int | None, cost: float | None) -> Allowance:
    """What a rater may spend, if it is one that is paid."""
    return rater.allowance(session, tokens, cost) if isinstance(rater, StreamingRater) else Allowance()


def not_judged(session: Session, who: int, chosen: Select[uuid.UUID]) -> list[uuid.UUID]:
    """Those of the chosen texts that a rater has not judged, in order."""
    ids_of, j = chosen.subquery(), store.Judgement
    done = select(j.text_id).where(j.rater_id == who, j.text_id == ids_of.c.id).exists()
    return list(session.scalars(select(ids_of.c.id).where(~done).order_by(ids_of.c.id)))


def judge_missing(
    home: WorkContext,
    rater: Rater,
    who: int,
    ids: Sequence[uuid.UUID],
    run_id: int,
    counts: dict[str, Any],
    *,
    encoder: Encoder | None,
    allowed: Allowance,
    step: Step,
) -> None:
    """Have texts judged and record it, in as many transactions as it takes.

    Args:
        home: what to work with.
        rater: who judges.
        who: the rater's id.
        ids: the texts.
        run_id: the run.
        counts: what is added to, from `new_counts`.
        encoder: where vectors come from, for a rater that needs them.
        allowed: what the rater may have spent in all when it stops.
        step: counts the texts.
    """
    began = time.monotonic()
    for answers in _answers(home.engine, rater, ids, encoder, allowed, run_id):
        verdicts = [answer for answer in answers.given if isinstance(answer, NewJudgement)]
        with home.begin() as session:
            record(session, who, verdicts, taxonomy_version=home.taxonomy.version, run_id=run_id)
            keep_replies(session, answers.paid, run_id)
            counts["judged"] += len(verdicts)
            _tally(counts["no_verdict"], [answer.reason for answer in answers.given if isinstance(answer, NoVerdict)])
            _tally(counts["asserted"], [label for verdict in verdicts for label in verdict.asserted])
            _add(counts, answers.counts)
            done = counts["judged"] + sum(counts["no_verdict"].values())
            step(session, len(answers.given), _pace(counts, done, time.monotonic() - began))


def rater_of(home: WorkContext, name: str, space: str | None = None) -> Rater:
    """The rater of that name, with the encoder of a space (None: the one in use); made once a process.

    Raises:
        UsageError: there is none.
        LlmError: its server cannot be asked which models it has.
    """
    space = space or space_in_use(home.engine, home.settings)
    return home.keep(
        ("rater", name, home.taxonomy.version, space),
        lambda: make_rater(name, home.settings, home.taxonomy, home.engine, lambda: encoder_of(home, space)),
    )


def _answers(
    engine: Engine, rater: Rater, ids: Sequence[uuid.UUID], encoder: Encoder | None, allowed: Allowance, run_id: int
) -> Iterator[Answers]:
    def portions() -> Iterator[list[TextToJudge]]:
        for start in range(0, len(ids), CHUNK):
            with open_session(engine) as session:
                texts = _load(session, ids[start : start + CHUNK], encoder.name if encoder else None)
            yield texts

    if isinstance(rater, StreamingRater):
        yield from rater.stream(portions(), allowed, run_id)
    else:
        for texts in portions():
            yield Answers(list(rater.judge(texts)))


def _load(session: Session, ids: Sequence[uuid.UUID], encoder: str | None) -> list[TextToJudge]:
    t = store.Text
    vectors = get_vectors(session, encoder, ids) if encoder is not None else {}
    rows = session.execute(select(t.id, t.masked).where(t.id == func.any(list(ids))).order_by(t.id))
    return [TextToJudge(text_id, masked, vectors.get(text_id)) for text_id, masked in rows]


def _tally(counts: dict[str, int], names: Sequence[str]) -> None:
    for name in names:
        counts[name] = counts.get(name, 0) + 1


def _add(counts: dict[str, Any], more: Mapping[str, Any]) -> None:
    for name, value in more.items():
        if isinstance(value, Mapping):
            found = counts.setdefault(name, {})
            for key, count in value.items():
                found[key] = found.get(key, 0) + count
        else:
            counts[name] = value if isinstance(value, str) else counts.get(name, 0) + value


def _pace(counts: Mapping[str, Any], done: int, seconds: float) -> str:
    """How it goes, in a few words; nothing where a rater is not paid."""
    if "replies" not in counts or not done:
        return ""
    said = [f"{done / max(seconds, 1e-9):.1f}/s", f"{counts['tokens']:,} tokens"]
    if counts["cost"]:
        said.append(f"{counts['cost']:,.4f} spent")
    said += [f"{reason} {count / done:.1%}" for reason, count in sorted(counts["no_verdict"].items())]
    return ", ".join(said)
