"""Translations that are stored, and made where they are missing."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.llm.cache import keep_replies
from pipeline.llm.translation.protocol import Language, Translated, Translator
from pipeline.progress import Progress, silent
from pipeline.runs.record import stage_run
from pipeline.store.session import open_session
from pipeline.store.texts import sample
from pipeline.texts.normalise import text_id

STAGE = "translate"
#: texts looked up and translated together
_PORTION = 500


@dataclass(frozen=True, slots=True)
class TranslationReport:
    """What one call of `translate_texts` added."""

    translator: str
    language: str
    #: texts that are in that language as they are
    already: int
    translated: int
    #: translated before
    present: int
    #: texts by the reason why there is no translation
    failed: dict[str, int] = field(default_factory=dict)
    tokens: int = 0
    cost: float = 0.0


def translated(
    engine: Engine,
    translator: Translator,
    texts: Sequence[str],
    language: Language,
    *,
    run_id: int | None = None,
    told: Callable[[Translated], None] = lambda _: None,
) -> dict[str, str]:
    """Masked texts to their translations: the stored ones, and the missing ones made and stored now.

    `told` is called with what was made, failures and costs included.
    """
    with open_session(engine) as session:
        found = stored(session, texts, language, translator.name)
    missing = list(dict.fromkeys(text for text in texts if text not in found))
    for some in translator.translate(missing, language) if missing else ():
        with open_session(engine) as session, session.begin():
            keep(session, some, language, translator.name, run_id or None)
        told(some)
        found |= some.bodies
    return found


def translate_texts(
    engine: Engine,
    translator: Translator,
    language: Language,
    *,
    limit: int | None = None,
    progress: Progress = silent,
) -> TranslationReport:
    """Translate the texts in scope that are in another language and have no translation by this translator.

    Args:
        engine: the store.
        translator: who translates.
        language: into which.
        limit: keep to the first so many texts in scope (see `sample`).
        progress: told of every portion.

    Raises:
        RunConflict: the same translator is at work on that language in another process.
        LlmError: the server will not have us, or does not answer.
    """
    t = store.Text
    with stage_run(
        engine, STAGE, slice=f"{translator.name}:{language}", params={"limit": limit}, progress=progress
    ) as run:
        with open_session(engine) as session:
            chosen = sample(limit).subquery()
            other = func.coalesce(t.language, "") != language
            ids = list(session.scalars(select(t.id).join(chosen, chosen.c.id == t.id).where(other).order_by(t.id)))
            already = session.execute(select(func.count()).select_from(chosen)).scalar_one() - len(ids)
        run.counts = {
            "texts": len(ids),
            "already": already,
            "translated": 0,
            "present": 0,
            "failed": {},
            "tokens": 0,
            "cost": 0.0,
        }
        done, what = 0, f"translating into {language}"
        for start in range(0, len(ids), _PORTION):
            portion = ids[start : start + _PORTION]
            with open_session(engine) as session:
                rows = session.scalars(select(t.masked).where(t.id == func.any(portion)).order_by(t.id))
                texts = list(dict.fromkeys(rows))
                known = stored(session, texts, language, translator.name)
            run.counts["present"] += len(known)
            done += len(portion) - len(texts) + len(known)
            missing = [text for text in texts if text not in known]
            for some in translator.translate(missing, language) if missing else ():
                with open_session(engine) as session, session.begin():
                    keep(session, some, language, translator.name, run.id)
                    _count(run.counts, some)
                    done += len(some.bodies) + sum(some.failed.values())
                    run.advance(done, len(ids), what)
                    run.save(session)
            run.advance(done, len(ids), what)
    counts = {name: value for name, value in run.counts.items() if name != "texts"}
    return TranslationReport(translator.name, language, **counts)


def stored(session: Session, texts: Sequence[str], language: Language, translator: str) -> dict[str, str]:
    """Those of the masked texts that were translated before."""
    t = store.Translation
    by_id: dict[uuid.UUID, list[str]] = {}
    for text in texts:
        by_id.setdefault(text_id(text), []).append(text)
    rows = session.execute(
        select(t.source_id, t.body).where(
            t.source_id == func.any(list(by_id)), t.language == language, t.translator == translator
        )
    )
    return {text: body for source, body in rows for text in by_id[source]}


def keep(session: Session, some: Translated, language: Language, translator: str, run_id: int | None) -> None:
    """Write translations and what was paid for them, in the caller's transaction."""
    keep_replies(session, some.paid, run_id)
    rows = [
        {
            "source_id": text_id(text),
            "language": language,
            "translator": translator,
            "body": body,
            "run_id": run_id,
        }
        for text, body in some.bodies.items()
    ]
    if rows:
        session.execute(insert(store.Translation).on_conflict_do_nothing(), rows)


def _count(counts: dict[str, Any], some: Translated) -> None:
    for name, more in (
        ("translated", len(some.bodies)),
        ("tokens", sum(one.reply.prompt_tokens + one.reply.completion_tokens for one in some.paid)),
        ("cost", sum(one.cost for one in some.paid)),
    ):
        counts[name] += more
    counts["failed"] = dict(Counter(counts["failed"]) + Counter(some.failed))
