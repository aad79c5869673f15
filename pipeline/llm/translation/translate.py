"""Translations that are stored, and made where they are missing."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Engine, Select, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.llm.budget import Allowance
from pipeline.llm.cache import keep_replies
from pipeline.llm.config import default_rater
from pipeline.llm.translation.make import make_translator
from pipeline.llm.translation.protocol import Language, Translated, Translator
from pipeline.runs.ranges import spans_of_texts, texts_in
from pipeline.runs.stage import Part, Plan, RunView, Step, WorkContext
from pipeline.runs.values import Values
from pipeline.store.session import open_session
from pipeline.store.texts import sample
from pipeline.texts.normalise import text_id

STAGE = "translate"
#: texts looked up and translated together
_PORTION = 500


@dataclass(frozen=True, slots=True)
class TranslationReport:
    """What one run added."""

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


@dataclass(frozen=True, slots=True)
class TranslateParams:
    """What to translate, and who does it."""

    language: Language = "ms"
    #: a rater's name, or `seq2seq:PATH`; None: the language model that judges
    by: str | None = None
    #: keep to the first so many texts in scope (see `sample`)
    limit: int | None = None
    #: stop before a language model takes more tokens, or costs more; None: no limit
    most_tokens: int | None = None
    most_cost: float | None = None


@dataclass(frozen=True, slots=True)
class TranslateStage:
    """Translate the texts in scope that are in another language and have no translation by this translator.

    Raises:
        UsageError: there is no such translator.
        LlmError: the server will not have us, or does not answer.
    """

    name: str = STAGE
    report: type[TranslationReport] = TranslationReport
    queue: str = "cpu"
    what: str = "translating"
    in_shards: bool = False
    together: bool = False
    limit_seconds: int = 3600
    shard_texts: int = _PORTION

    def queue_of(self, slice: str) -> str:
        """A language model computes elsewhere, so its shards only wait."""
        return "io" if slice.startswith("llm:") else self.queue

    def plan(self, home: WorkContext, params: TranslateParams) -> Plan:
        """Ranges of the texts in scope, and what may be spent by all of them together."""
        by = params.by or default_rater(home.settings)
        translator = make_translator(
            by, home.settings, home.engine, most_tokens=params.most_tokens, most_cost=params.most_cost
        )
        with home.begin() as session:
            spans, total = spans_of_texts(session, size=self.shard_texts, limit=params.limit)
            foreign = len(session.scalars(_foreign(sample(params.limit), params.language)).all())
        kept = {"by": by, "language": params.language, "limit": params.limit}
        return Plan(
            f"{translator.name}:{params.language}",
            [Part(span) for span in spans],
            foreign,
            kept,
            {"allowed": asdict(translator.allowance), "already": total - foreign},
        )

    def work(self, home: WorkContext, run: RunView, part: Part, step: Step) -> Values:
        """Translate what is missing of a range, in portions."""
        language: Language = run.params["language"]
        translator = home.keep(
            ("translator", run.id),
            lambda: make_translator(
                run.params["by"], home.settings, home.engine, allowance=Allowance(**run.prepared["allowed"])
            ),
        )
        with home.begin() as session:
            ids = list(session.scalars(_foreign(texts_in(part.span), language)))
        counts: Values = {"translated": 0, "present": 0, "failed": {}, "tokens": 0, "cost": 0.0}
        for start in range(0, len(ids), _PORTION):
            self._portion(home, run, translator, ids[start : start + _PORTION], counts, step)
        return counts

    def _portion(
        self,
        home: WorkContext,
        run: RunView,
        translator: Translator,
        ids: Sequence[uuid.UUID],
        counts: Values,
        step: Step,
    ) -> None:
        t, language = store.Text, run.params["language"]
        with home.begin() as session:
            rows = session.scalars(select(t.masked).where(t.id == func.any(list(ids))).order_by(t.id))
            texts = list(dict.fromkeys(rows))
            known = stored(session, texts, language, translator.name)
            step(session, len(ids) - len(texts) + len(known))
        counts["present"] += len(known)
        missing = [text for text in texts if text not in known]
        for batch in translator.translate(missing, language) if missing else ():
            with home.begin() as session:
                keep(session, batch, language, translator.name, run.id)
                _count(counts, batch)
                step(session, len(batch.bodies) + sum(batch.failed.values()))

    def reduce(self, home: WorkContext, session: Session, run: RunView, counts: Values) -> TranslationReport:
        """The counts of all parts."""
        who, _, language = run.slice.rpartition(":")
        values: Values = {"translated": 0, "present": 0} | counts
        return TranslationReport(translator=who, language=language, already=run.prepared["already"], **values)


def _foreign(chosen: Select[uuid.UUID], language: str) -> Select[uuid.UUID]:
    """Ids of those of the chosen texts that are not in the language, in order."""
    t, ids = store.Text, chosen.subquery()
    other = func.coalesce(t.language, "") != language
    return select(t.id).join(ids, ids.c.id == t.id).where(other).order_by(t.id)


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
