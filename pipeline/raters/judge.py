"""The stage that asks a rater for its verdicts, once a text."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, Select, func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.progress import Progress, silent
from pipeline.raters.protocol import NoVerdict, Rater, TextToJudge
from pipeline.runs import stage_run
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


def judge_texts(
    engine: Engine,
    rater: Rater,
    *,
    taxonomy_version: str,
    encoder: Encoder | None = None,
    limit: int | None = None,
    progress: Progress = silent,
) -> JudgeReport:
    """Have `rater` judge the texts that it has not judged yet; each chunk is committed, so stopping loses little.

    Args:
        engine: the store.
        rater: who judges.
        taxonomy_version: the taxonomy that the rater was made from.
        encoder: where vectors come from, for a rater that needs them; missing ones are computed first.
        limit: keep to the first so many texts in scope (see `sample`).
        progress: told of every chunk.
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
        run.counts = {"texts": total, "present": total - len(missing), "judged": 0, "no_verdict": {}, "asserted": {}}
        run.advance(0, len(missing), f"judging ({ref.name})")
        for start in range(0, len(missing), CHUNK):
            ids = missing[start : start + CHUNK]
            with open_session(engine) as session, session.begin():
                judge_chunk(session, rater, who, ids, taxonomy_version, run.id, run.counts, encoder=encoder)
                run.advance(start + len(ids), len(missing), f"judging ({ref.name})")
                run.save(session)
    return JudgeReport(
        rater=ref.name,
        judged=run.counts["judged"],
        present=run.counts["present"],
        no_verdict=run.counts["no_verdict"],
        asserted=run.counts["asserted"],
    )


def not_judged(session: Session, who: int, chosen: Select[uuid.UUID]) -> list[uuid.UUID]:
    """Those of the chosen texts that a rater has not judged, in order."""
    ids_of, j = chosen.subquery(), store.Judgement
    done = select(j.text_id).where(j.rater_id == who, j.text_id == ids_of.c.id).exists()
    return list(session.scalars(select(ids_of.c.id).where(~done).order_by(ids_of.c.id)))


def judge_chunk(
    session: Session,
    rater: Rater,
    who: int,
    ids: Sequence[uuid.UUID],
    taxonomy_version: str,
    run_id: int,
    counts: dict[str, Any],
    *,
    encoder: Encoder | None,
) -> None:
    """Have at most `CHUNK` texts judged, record it, and add to `judged`, `no_verdict` and `asserted` of `counts`."""
    answers = list(rater.judge(_load(session, ids, encoder.name if encoder else None)))
    verdicts = [answer for answer in answers if isinstance(answer, NewJudgement)]
    record(session, who, verdicts, taxonomy_version=taxonomy_version, run_id=run_id)
    counts["judged"] += len(verdicts)
    _tally(counts["no_verdict"], [a.reason for a in answers if isinstance(a, NoVerdict)])
    _tally(counts["asserted"], [label for v in verdicts for label in v.asserted])


def _load(session: Session, ids: Sequence[uuid.UUID], encoder: str | None) -> list[TextToJudge]:
    t = store.Text
    vectors = get_vectors(session, encoder, ids) if encoder is not None else {}
    rows = session.execute(select(t.id, t.masked).where(t.id == func.any(list(ids))).order_by(t.id))
    return [TextToJudge(text_id, masked, vectors.get(text_id)) for text_id, masked in rows]


def _tally(counts: dict[str, int], names: Sequence[str]) -> None:
    for name in names:
        counts[name] = counts.get(name, 0) + 1
