"""The stage that gets a rater's verdicts, once for each text.

A rater that computes here gets a portion of texts at a time, and each portion is committed. A rater behind a network
(`StreamingRater`) takes texts when it can, and its answers are committed as they arrive.
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
from pipeline.ledger.taxonomies import keep_taxonomy
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
#: texts in a shard; missing vectors are computed as part of it
_SHARD_TEXTS = 1_000
#: texts in a shard of a language model, which may take seconds for one verdict
_LLM_SHARD_TEXTS = 200


@dataclass(frozen=True, slots=True)
class JudgeReport:
    """Report of one run."""

    rater: str
    judged: int
    present: int
    #: number of texts by the reason why there is no verdict
    no_verdict: Mapping[str, int]
    #: number of texts judged in this run on which the rater asserts each label
    asserted: Mapping[str, int]
    #: number of paid replies, and of verdicts from replies that were stored before
    replies: int = 0
    cached: int = 0
    #: tokens in prompts and replies, and their cost
    tokens: int = 0
    cost: float = 0.0
    #: names from a language model that are not labels, with their numbers
    invented: Mapping[str, int] = field(default_factory=dict)
    #: number of replies whose tokens are estimated from lengths, because the server does not give them
    estimated: int = 0
    #: parameters that the server refuses, and what was done instead; with the number of processes that found it
    adapted: Mapping[str, int] = field(default_factory=dict)
    #: the reason why it stopped before all texts were judged; None: it did not
    stopped: str | None = None


@dataclass(frozen=True, slots=True)
class JudgeParams:
    """Parameters of a run: the rater and the limits."""

    #: `bootstrap`, or the name of a configured language model
    rater: str
    #: number of texts in scope, the first in order of id (see `sample`); None: all
    limit: int | None = None
    #: limits on the tokens and the cost of a paid rater; None: no limit
    most_tokens: int | None = None
    most_cost: float | None = None


@dataclass(frozen=True, slots=True)
class JudgeStage:
    """Let a rater judge the texts that it has not judged yet.

    A run uses the vector space that was in use when it began.

    Raises:
        UsageError: no rater has that name, or this worker has another version of it.
        LlmError: its server does not list its models.
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
        """The queue of a run: `io` for a language model, whose shards mostly wait for its server."""
        return "io" if slice.startswith(f"{RaterKind.LLM}:") else self.queue

    def plan(self, home: WorkContext, params: JudgeParams) -> Plan:
        """Divide the texts in scope into ranges, and set the limits for all of them together."""
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
        """Judge the texts of a range that the rater has not judged; missing vectors are computed first."""
        space = run.params.get("encoder")
        rater = rater_of(home, run.params["rater"], space)
        if rater.ref.version != run.params["version"]:
            raise UsageError(
                f"the run uses version {run.params['version']} of rater {rater.ref.name}, but this worker has version "
                f"{rater.ref.version}: give all workers the same taxonomy and raters, then start a new run"
            )
        encoder = encoder_of(home, space) if rater.needs_vectors else None
        chosen = texts_in(part.span)
        # Read before vectors are computed: a text that is ingested meanwhile has no vector, and waits for the next run.
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
        """Report the sums of all parts."""
        values: Values = {"rater": run.slice.partition(":")[2], "present": 0} | new_counts() | counts
        return JudgeReport(**values)


def new_counts() -> dict[str, Any]:
    """The counts of a run, before anything is judged."""
    return {"judged": 0, "no_verdict": {}, "asserted": {}}


def allowance(session: Session, rater: Rater, tokens: int | None, cost: float | None) -> Allowance:
    """Limits on the spending of a rater over all runs; none for a rater that costs nothing."""
    return rater.allowance(session, tokens, cost) if isinstance(rater, StreamingRater) else Allowance()


def not_judged(session: Session, who: int, chosen: Select[uuid.UUID]) -> list[uuid.UUID]:
    """The chosen texts that a rater has not judged, in order."""
    ids_of, j = chosen.subquery(), store.Judgement
    judged = select(j.text_id).where(j.rater_id == who, j.text_id == ids_of.c.id).exists()
    return list(session.scalars(select(ids_of.c.id).where(~judged).order_by(ids_of.c.id)))


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
    """Let a rater judge texts, and record its verdicts in several transactions.

    Args:
        home: settings, taxonomy and store.
        rater: the rater.
        who: id of the rater.
        ids: ids of the texts.
        run_id: id of the run.
        counts: counts from `new_counts`, which are updated.
        encoder: the encoder of the vectors, for a rater that needs them.
        allowed: limits on the rater's spending over all runs.
        step: counts the texts as finished.
    """
    began = time.monotonic()
    with home.begin() as session:
        keep_taxonomy(session, home.taxonomy)
    for answers in _answers(home.engine, rater, ids, encoder, allowed, run_id):
        if answers.paid:
            # In a transaction of its own: whatever is wrong with the answers, the replies are kept.
            with home.begin() as session:
                keep_replies(session, answers.paid, run_id)
        verdicts = [answer for answer in answers.given if isinstance(answer, NewJudgement)]
        with home.begin() as session:
            record(session, who, verdicts, taxonomy_version=home.taxonomy.version, run_id=run_id)
            counts["judged"] += len(verdicts)
            _tally(counts["no_verdict"], [answer.reason for answer in answers.given if isinstance(answer, NoVerdict)])
            _tally(counts["asserted"], [label for verdict in verdicts for label in verdict.asserted])
            _add(counts, answers.counts)
            answered = counts["judged"] + sum(counts["no_verdict"].values())
            step(session, len(answers.given), _pace(counts, answered, time.monotonic() - began))


def rater_of(home: WorkContext, name: str, space: str | None = None) -> Rater:
    """The rater of that name, with the encoder of a vector space (None: the one in use); made once in a process.

    Raises:
        UsageError: no rater has that name.
        LlmError: its server does not list its models.
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
            sums = counts.setdefault(name, {})
            for key, count in value.items():
                sums[key] = sums.get(key, 0) + count
        else:
            counts[name] = value if isinstance(value, str) else counts.get(name, 0) + value


def _pace(counts: Mapping[str, Any], answered: int, seconds: float) -> str:
    """Speed, tokens and cost for a progress bar; empty for a rater that costs nothing."""
    if "replies" not in counts or not answered:
        return ""
    figures = [f"{answered / max(seconds, 1e-9):.1f}/s", f"{counts['tokens']:,} tokens"]
    if counts["cost"]:
        figures.append(f"cost {counts['cost']:,.4f}")
    figures += [f"{reason} {count / answered:.1%}" for reason, count in sorted(counts["no_verdict"].items())]
    return ", ".join(figures)
