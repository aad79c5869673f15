"""Stored translations, and the stage that makes missing ones."""

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
    """Report of one run."""

    translator: str
    language: str
    #: texts that are in that language already
    already: int
    translated: int
    #: texts that were translated before
    present: int
    #: number of texts by the reason why there is no translation
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
    """Translations by masked text: stored ones, and missing ones, which are made and stored now.

    `told` is called with each new batch, failures and costs included.
    """
    with open_session(engine) as session:
        bodies = stored(session, texts, language, translator.name)
    missing = list(dict.fromkeys(text for text in texts if text not in bodies))
    for batch in translator.translate(missing, language, run_id=run_id or None) if missing else ():
        with open_session(engine) as session, session.begin():
            keep(session, batch, language, translator.name, run_id or None)
        told(batch)
        bodies |= batch.bodies
    return bodies


@dataclass(frozen=True, slots=True)
class TranslateParams:
    """Parameters of a translation run."""

    language: Language = "ms"
    #: the translator: a rater's name, or `seq2seq:PATH`; None: the default language model
    by: str | None = None
    #: number of texts in scope, the first in order of id (see `sample`); None: all
    limit: int | None = None
    #: limits on the tokens and the cost of a language model; None: no limit
    most_tokens: int | None = None
    most_cost: float | None = None


@dataclass(frozen=True, slots=True)
class TranslateStage:
    """Translate the texts in scope that are in another language and have no translation by this translator.

    Raises:
        UsageError: no translator has that name.
        LlmError: the server refuses the key, or does not answer.
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
        """The queue of a run: `io` for a language model, whose shards mostly wait for its server."""
        return "io" if slice.startswith("llm:") else self.queue

    def plan(self, home: WorkContext, params: TranslateParams) -> Plan:
        """Divide the texts in scope into ranges, and set the limits for all of them together."""
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
        """Translate the texts of a range that have no translation, in portions."""
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
        for batch in translator.translate(missing, language, run_id=run.id) if missing else ():
            with home.begin() as session:
                keep(session, batch, language, translator.name, run.id)
                _count(counts, batch)
                step(session, len(batch.bodies) + sum(batch.failed.values()))

    def reduce(self, home: WorkContext, session: Session, run: RunView, counts: Values) -> TranslationReport:
        """Report the sums of all parts."""
        who, _, language = run.slice.rpartition(":")
        values: Values = {"translated": 0, "present": 0} | counts
        return TranslationReport(translator=who, language=language, already=run.prepared["already"], **values)


def _foreign(chosen: Select[uuid.UUID], language: str) -> Select[uuid.UUID]:
    """Ids of the chosen texts that are not in the language, in order."""
    t, ids = store.Text, chosen.subquery()
    other = func.coalesce(t.language, "") != language
    return select(t.id).join(ids, ids.c.id == t.id).where(other).order_by(t.id)


def stored(session: Session, texts: Sequence[str], language: Language, translator: str) -> dict[str, str]:
    """Stored translations of masked texts, by text."""
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


def keep(session: Session, batch: Translated, language: Language, translator: str, run_id: int | None) -> None:
    """Store translations in the caller's transaction; paid replies are stored already."""
    rows = [
        {
            "source_id": text_id(text),
            "language": language,
            "translator": translator,
            "body": body,
            "run_id": run_id,
        }
        for text, body in batch.bodies.items()
    ]
    if rows:
        session.execute(insert(store.Translation).on_conflict_do_nothing(), rows)


def _count(counts: dict[str, Any], batch: Translated) -> None:
    for name, more in (
        ("translated", len(batch.bodies)),
        ("tokens", sum(paid.reply.prompt_tokens + paid.reply.completion_tokens for paid in batch.paid)),
        ("cost", sum(paid.cost for paid in batch.paid)),
    ):
        counts[name] += more
    counts["failed"] = dict(Counter(counts["failed"]) + Counter(batch.failed))
