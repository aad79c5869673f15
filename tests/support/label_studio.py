"""The real Label Studio: projects with texts queued or pushed, accounts, and people who annotate over its API."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
from sqlalchemy import Engine, select

from pipeline import store
from pipeline.backend_credentials import BackendCredentials
from pipeline.judgement import RaterKind, RaterRef
from pipeline.preannotation import default_policy
from pipeline.raters.imported import import_labelled
from pipeline.raters.mapping import load_mapping
from pipeline.store.public_ids import PublicIds
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import QueueState
from pipeline.taxonomy import load_taxonomy
from pipeline.texts.ingest import SourceInfo
from saring.services import LabelStudioAccess
from sync.api.client import LabelStudio
from sync.project.projects import SetupReport, setup
from sync.push.push import PushReport, push

TAXONOMY = load_taxonomy()
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """A text, and the labels that a language model gives it."""

    text: str
    labels: tuple[str, ...] = ()
    blind: bool = False
    priority: float = 0.5


def lines(count: int, label: str = "hate") -> list[Line]:
    """Texts that differ, each with one label, the first with the highest priority."""
    return [
        Line(f"ayat ujian nombor {i} tentang perkara {uuid.uuid4().hex[:6]}", (label,), priority=1 - i / (count + 1))
        for i in range(count)
    ]


def queue(engine: Engine, given: Sequence[Line], folder: Path) -> list[uuid.UUID]:
    """Store the texts with a language model's labels, and queue them; their ids, in order."""
    said = folder / f"{uuid.uuid4().hex}.jsonl"
    rows = [{"id": str(i), "text": one.text, "labels": list(one.labels)} for i, one in enumerate(given)]
    said.write_bytes(b"\n".join(map(orjson.dumps, rows)) + b"\n")
    source = SourceInfo(f"test-{uuid.uuid4().hex[:8]}")
    import_labelled(
        engine, [str(said)], source, load_mapping(None, TAXONOMY, "labels"), RaterRef(RaterKind.LLM, "stand-in")
    )
    with open_session(engine) as session, session.begin():
        seen = store.TextSource
        found = session.execute(
            select(seen.external_id, seen.text_id)
            .join(store.Source, store.Source.id == seen.source_id)
            .where(store.Source.name == source.name)
        )
        ids = {int(external_id): text_id for external_id, text_id in found}
        assert len(ids) == len(given), "every text is stored"
        for i, one in enumerate(given):
            session.add(
                store.QueueItem(
                    text_id=ids[i],
                    strategy="random",
                    reason="drawn at random",
                    inclusion_probability=1.0,
                    priority=one.priority,
                    blind=one.blind,
                    expected=list(one.labels),
                    state=QueueState.QUEUED,
                )
            )
    return [ids[i] for i in range(len(given))]


def credentials(engine: Engine) -> BackendCredentials:
    """This test's own: a project is known again by them, and all tests share one Label Studio."""
    return BackendCredentials("label-studio", "password", f"secret of {engine.url.database}")


def make_project(engine: Engine, client: LabelStudio, **how: Any) -> SetupReport:
    """A project of its own for a test, without an ML backend unless one is given."""
    wanted: Json = {
        "taxonomy": TAXONOMY,
        "backend_url": None,
        "credentials": credentials(engine),
        "title": f"Test {uuid.uuid4().hex[:8]}",
        "now": datetime.now(UTC),
    }
    return setup(engine, client, **(wanted | how))


def push_all(engine: Engine, client: LabelStudio, project_id: int, **how: Any) -> PushReport:
    """Push what is queued, with what is ticked by rule."""
    return push(
        engine, client, project_id, taxonomy=TAXONOMY, model=None, policy=default_policy(), sleep=lambda _: None, **how
    )


def tasks_of(engine: Engine, project_id: int) -> dict[uuid.UUID, store.Task]:
    """Our own record of a project's tasks, by text."""
    with open_session(engine) as session:
        return {
            one.text_id: one for one in session.scalars(select(store.Task).where(store.Task.project_id == project_id))
        }


def public_id(engine: Engine, text_id: uuid.UUID) -> str:
    """What a text is called in a task's data."""
    with open_session(engine) as session:
        return str(PublicIds.of_store(session).of(text_id))


def annotate(api: httpx.Client, task: int, labels: Sequence[str], **fields: Any) -> Json:
    """Post an annotation with these ticks, as the account of `api`."""
    region = {
        "id": "labels",
        "from_name": "labels",
        "to_name": "text",
        "type": "choices",
        "value": {"choices": list(labels)},
    }
    body: Json = {"result": [region] if labels else [], "lead_time": 5.0}
    answer = api.post(f"/api/tasks/{task}/annotations/", json=body | fields)
    answer.raise_for_status()
    made: Json = answer.json()
    return made


def human_judgements(engine: Engine) -> list[store.Judgement]:
    """What people said, every revision, in order."""
    j, r = store.Judgement, store.Rater
    with open_session(engine) as session:
        return list(
            session.scalars(select(j).join(r, r.id == j.rater_id).where(r.kind == RaterKind.HUMAN).order_by(j.id))
        )


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account."""

    user_id: int
    #: the server's API in their name, by a legacy token
    api: httpx.Client

    @property
    def rater(self) -> str:
        """What the ledger calls them."""
        return str(self.user_id)


@contextmanager
def logged_in(access: LabelStudioAccess) -> Iterator[httpx.Client]:
    """The owner at the page, with what its forms and scripts send along."""
    with httpx.Client(base_url=access.url, timeout=60, trust_env=False) as browser:
        browser.get("/user/login/")
        form = {"email": access.email, "password": access.password, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        assert browser.post("/user/login/", data=form, headers={"Referer": access.url}).status_code == 302
        browser.headers.update({"X-CSRFToken": browser.cookies["csrftoken"], "Referer": access.url})
        yield browser


@contextmanager
def personal_token(access: LabelStudioAccess) -> Iterator[str]:
    """A personal access token of the owner, who can have one; it is revoked at the end."""
    with logged_in(access) as browser:
        for old in browser.get("/api/token/").raise_for_status().json():
            browser.post("/api/token/blacklist/", json={"refresh": old["token"]})
        token = str(browser.post("/api/token/").raise_for_status().json()["token"])
        try:
            yield token
        finally:
            browser.post("/api/token/blacklist/", json={"refresh": token})


@contextmanager
def invited(access: LabelStudioAccess) -> Iterator[Person]:
    """A new volunteer, who signed up by the invitation."""
    owner = {"Authorization": f"Token {access.api_key}"}
    invite = httpx.get(f"{access.url}/api/invite", headers=owner, trust_env=False).raise_for_status().json()
    with httpx.Client(base_url=access.url, timeout=60, trust_env=False) as browser:
        browser.get(invite["invite_url"])
        form = {
            "email": f"{uuid.uuid4().hex[:10]}@volunteers.example",
            "password": uuid.uuid4().hex,
            "csrfmiddlewaretoken": browser.cookies["csrftoken"],
        }
        browser.post(invite["invite_url"], data=form, headers={"Referer": access.url})
        user_id = int(browser.get("/api/current-user/whoami").raise_for_status().json()["id"])
        token = browser.get("/api/current-user/token").raise_for_status().json()["token"]
    headers = {"Authorization": f"Token {token}"}
    with httpx.Client(base_url=access.url, headers=headers, timeout=60, trust_env=False) as api:
        yield Person(user_id, api)
