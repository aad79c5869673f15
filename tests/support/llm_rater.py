"""A language model as a rater of a test's own texts, with waits that a test need not notice."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, func, insert, select

from pipeline import store
from pipeline.llm.config import Limits, LlmConfig
from pipeline.raters.judge import JudgeReport
from pipeline.raters.llm.rater import LlmRater
from pipeline.store import open_session
from pipeline.taxonomy import load_taxonomy
from tests.support.llm_server import MODEL, LlmServer
from tests.support.stages import judge_texts

TAXONOMY = load_taxonomy()
#: retries that a test need not wait for
QUICK = Limits(first_wait=0.01, timeout_seconds=20, concurrency=16, start=4)


def add_texts(engine: Engine, texts: Sequence[str], **more: object) -> list[uuid.UUID]:
    ids = [uuid.UUID(bytes=hashlib.blake2b(text.encode(), digest_size=16).digest()) for text in texts]
    rows = [{"id": id_, "body": f"secret {text}", "masked": text} | more for id_, text in zip(ids, texts, strict=True)]
    with open_session(engine) as session, session.begin():
        session.execute(insert(store.Text), rows)
    return ids


def config_of(server: LlmServer, **more: Any) -> LlmConfig:
    return LlmConfig(**({"name": "stub", "url": server.url, "model": MODEL, "limits": QUICK} | more))


def judge(engine: Engine, config: LlmConfig, **more: Any) -> JudgeReport:
    rater = LlmRater(config, TAXONOMY, engine)
    return judge_texts(engine, rater, taxonomy=TAXONOMY, **more)


def judgements(engine: Engine) -> list[store.Judgement]:
    with open_session(engine) as session:
        return list(session.scalars(select(store.Judgement).order_by(store.Judgement.text_id)))


def count(engine: Engine, table: type[store.Base]) -> int:
    with open_session(engine) as session:
        return session.execute(select(func.count()).select_from(table)).scalar_one()
