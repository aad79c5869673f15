"""The stage that asks a rater for its verdicts, once a text.

A rater that computes is given a portion of texts at a time, and each portion is committed. One that is asked over a
network (`StreamingRater`) takes texts as it gets on, and what it answered is committed as it comes.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, Select, func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.llm.budget import Allowance
from pipeline.llm.cache import keep_replies
from pipeline.progress import Progress, silent
from pipeline.raters.protocol import Answers, NoVerdict, Rater, StreamingRater, TextToJudge
from pipeline.runs.record import stage_run
from pipeline.store.session import open_session
from pipeline.store.texts import sample
from pipeline.vectors.embed import embed
from pipeline.vectors.encoders.protocol import Encoder
from pipeline.vectors.table import get_vectors

#: texts judged and committed together
CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class JudgeReport:
    """What one call of `judge_texts` added."""

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


def judge_texts(
    engine: Engine,
    rater: Rater,
    *,
    taxonomy_version: str,
    encoder: Encoder | None = None,
    limit: int | None = None,
    most_tokens: int | None = None,
    most_cost: float | None = None,
    progress: Progress = silent,
) -> JudgeReport:
    """Have `rater` judge the texts that it has not judged yet; what it said is committed all along.

    Args:
        engine: the store.
        rater: who judges.
        taxonomy_version: the taxonomy that the rater was made from.
        encoder: where vectors come from, for a rater that needs them; missing ones are computed first.
        limit: keep to the first so many texts in scope (see `sample`).
        most_tokens, most_cost: stop before a rater that is paid takes more.
        progress: told of every commit.
    """
    if rater.needs_vectors and encoder is not None:
        embed(engine, encoder, limit=limit, progress=progress)
    ref = rater.ref
    with stage_run(
        engine,
        "judge",
        slice=f"{ref.kind}:{ref.name}",
        params={"limit": limit, "version": ref.version},
        progress=progress,
    ) as run:
        with open_session(engine) as session, session.begin():
            who = rater_id(session, ref, rater.details)
            chosen = sample(limit)
            total = session.execute(select(func.count()).select_from(chosen.subquery())).scalar_one()
            missing = not_judged(session, who, chosen)
            allowed = allowance(session, rater, most_tokens, most_cost)
        run.counts = {"texts": total, "present": total - len(missing)} | new_counts()
        what, began = f"judging ({ref.name})", time.monotonic()
        run.advance(0, len(missing), what)

        def step(session: Session, _: int) -> None:
            done = run.counts["judged"] + sum(run.counts["no_verdict"].values())
            run.advance(done, len(missing), what, _pace(run.counts, done, time.monotonic() - began))
            run.save(session)

        judge_missing(
            engine,
            rater,
            who,
            missing,
            taxonomy_version,
            run.id,
            run.counts,
            encoder=encoder if rater.needs_vectors else None,
            allowed=allowed,
            step=step,
        )
    counts = {name: value for name, value in run.counts.items() if name != "texts"}
    return JudgeReport(rater=ref.name, **counts)


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
    engine: Engine,
    rater: Rater,
    who: int,
    ids: Sequence[uuid.UUID],
    taxonomy_version: str,
    run_id: int,
    counts: dict[str, Any],
    *,
    encoder: Encoder | None,
    allowed: Allowance,
    step: Callable[[Session, int], None],
) -> None:
    """Have texts judged and record it, in as many transactions as it takes; `step` is called last in each.

    Args:
        engine: the store.
        rater: who judges.
        who: the rater's id.
        ids: the texts.
        taxonomy_version: the taxonomy that the rater was made from.
        run_id: the run.
        counts: what is added to, from `new_counts`.
        encoder: where vectors come from, for a rater that needs them.
        allowed: what the rater may have spent in all when it stops.
        step: told how many more texts are done.
    """
    for answers in _answers(engine, rater, ids, encoder, allowed, run_id):
        verdicts = [one for one in answers.given if isinstance(one, NewJudgement)]
        with open_session(engine) as session, session.begin():
            record(session, who, verdicts, taxonomy_version=taxonomy_version, run_id=run_id)
            keep_replies(session, answers.paid, run_id)
            counts["judged"] += len(verdicts)
            _tally(counts["no_verdict"], [one.reason for one in answers.given if isinstance(one, NoVerdict)])
            _tally(counts["asserted"], [label for one in verdicts for label in one.asserted])
            _add(counts, answers.counts)
            step(session, len(answers.given))


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
