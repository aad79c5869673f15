"""The stage that asks a rater for its verdicts, once a text."""

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
from pipeline.progress import Progress, silent
from pipeline.raters.protocol import Batch, NoVerdict, Rater, TextToJudge, Work
from pipeline.runs import ActiveRun, stage_run
from pipeline.store.session import open_session
from pipeline.store.texts import sample
from pipeline.translation.stored import stored_translations
from pipeline.vectors.embed import embed
from pipeline.vectors.encoders.protocol import Encoder
from pipeline.vectors.table import get_vectors

#: texts loaded together, and judged together by a rater that need not wait
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
    #: of language models, in and out
    tokens: int = 0
    cost: float = 0.0
    #: why it ended before all texts were judged
    stopped: str | None = None


def stage_of(rater: Rater) -> str:
    """What the stage is called with a rater: those that wait for a server do so on workers of their own."""
    return "judge-llm" if rater.waits else "judge"


def new_counts() -> dict[str, Any]:
    """Counters of a run that judges, before it does."""
    return {"judged": 0, "no_verdict": {}, "asserted": {}, "tokens": 0, "cost": 0.0, "stopped": None}


def judge_texts(
    engine: Engine,
    rater: Rater,
    *,
    taxonomy_version: str,
    encoder: Encoder | None = None,
    limit: int | None = None,
    progress: Progress = silent,
) -> JudgeReport:
    """Have `rater` judge the texts that it has not judged yet; what comes is committed as it comes.

    Args:
        engine: the store.
        rater: who judges.
        taxonomy_version: the taxonomy that the rater was made from.
        encoder: where vectors come from, for a rater that needs them; missing ones are computed first.
        limit: keep to the first so many texts in scope (see `sample`).
        progress: told of every commit.
    """
    if rater.needs_vectors and encoder is not None:
        embed(engine, encoder, limit=limit, progress=progress)
    ref = rater.ref
    with stage_run(
        engine,
        stage_of(rater),
        slice=f"{ref.kind}:{ref.name}",
        params={"limit": limit, "version": ref.version},
        progress=progress,
    ) as run:
        with open_session(engine) as session, session.begin():
            who = rater_id(session, ref, rater.details)
            chosen = sample(limit)
            total = session.execute(select(func.count()).select_from(chosen.subquery())).scalar_one()
            missing = not_judged(session, who, chosen)
        run.counts = {"texts": total, "present": total - len(missing)} | new_counts()
        speaker = _Speaker(run, len(missing), f"judging ({ref.name})")
        speaker(0)

        def recorded(session: Session, count: int) -> None:
            speaker(count)
            run.save(session)

        judge_each(engine, rater, Work(run.id, who), missing, taxonomy_version, run.counts, recorded, encoder=encoder)
    return JudgeReport(rater=ref.name, **{name: run.counts[name] for name in ("present", *new_counts())})


def not_judged(session: Session, who: int, chosen: Select[uuid.UUID]) -> list[uuid.UUID]:
    """Those of the chosen texts that a rater has not judged, in order."""
    ids_of, j = chosen.subquery(), store.Judgement
    done = select(j.text_id).where(j.rater_id == who, j.text_id == ids_of.c.id).exists()
    return list(session.scalars(select(ids_of.c.id).where(~done).order_by(ids_of.c.id)))


def judge_each(
    engine: Engine,
    rater: Rater,
    work: Work,
    ids: Sequence[uuid.UUID],
    taxonomy_version: str,
    counts: dict[str, Any],
    recorded: Callable[[Session, int], None],
    *,
    encoder: Encoder | None,
) -> None:
    """Have texts judged; each batch of answers is a transaction, at the end of which `recorded` is called with their
    number. Adds to `counts` (see `new_counts`)."""

    def chunks() -> Iterator[Sequence[TextToJudge]]:
        for start in range(0, len(ids), CHUNK):
            with open_session(engine) as session:
                loaded = _load(session, ids[start : start + CHUNK], rater, encoder)
            # no transaction is open while a server is waited for
            yield loaded

    for batch in rater.judge(chunks(), work):
        verdicts = [answer for answer in batch.answers if isinstance(answer, NewJudgement)]
        _count(counts, batch, verdicts)
        with open_session(engine) as session, session.begin():
            record(session, work.rater_id, verdicts, taxonomy_version=taxonomy_version, run_id=work.run_id)
            recorded(session, len(batch.answers))


def _load(session: Session, ids: Sequence[uuid.UUID], rater: Rater, encoder: Encoder | None) -> list[TextToJudge]:
    t = store.Text
    wants_vectors = rater.needs_vectors and encoder is not None
    vectors = get_vectors(session, encoder.name, ids) if wants_vectors and encoder is not None else {}
    language = rater.needs_translation
    translations = stored_translations(session, language, ids) if language is not None else {}
    rows = session.execute(select(t.id, t.masked).where(t.id == func.any(list(ids))).order_by(t.id))
    return [TextToJudge(text_id, masked, vectors.get(text_id), translations.get(text_id)) for text_id, masked in rows]


def _count(counts: dict[str, Any], batch: Batch, verdicts: Sequence[NewJudgement]) -> None:
    counts["judged"] += len(verdicts)
    _tally(counts["no_verdict"], [a.reason for a in batch.answers if isinstance(a, NoVerdict)])
    _tally(counts["asserted"], [label for v in verdicts for label in v.asserted])
    counts["tokens"] += batch.tokens
    counts["cost"] = round(counts["cost"] + batch.cost, 9)
    counts["stopped"] = batch.stopped or counts["stopped"]


def _tally(counts: dict[str, int], names: Sequence[str]) -> None:
    for name in names:
        counts[name] = counts.get(name, 0) + 1


@dataclass(slots=True)
class _Speaker:
    """Says how far it is: texts, and beside them their pace, what they cost, and the share of each failure."""

    run: ActiveRun
    total: int
    what: str
    done: int = 0
    began: float = field(default_factory=time.monotonic)

    def __call__(self, count: int) -> None:
        self.done += count
        counts = self.run.counts
        said = []
        if counts["tokens"]:
            pace = self.done / max(1e-9, time.monotonic() - self.began)
            said = [f"{pace:,.1f}/s", f"{counts['tokens']:,} tokens"]
            said += [f"cost {counts['cost']:.4g}"] if counts["cost"] else []
        said += [f"{why} {count / self.done:.1%}" for why, count in sorted(counts["no_verdict"].items())]
        self.run.advance(self.done, self.total, self.what, " · ".join(said))
