"""What running services keep: the keys and messages in the broker, and the locks that an older process would take."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from pipeline.runs.tasks import send_shards
from pipeline.settings import Settings
from saring.services import ensure_broker
from saring.services.valkey import client
from saring.workers.app import job_sender, make_app
from saring.workers.schedule import renew_schedule

_UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@dataclass(frozen=True)
class Home:
    """What a task works with, as far as sending needs it."""

    engine: Engine
    stages: dict[str, Any]

    def context(self) -> Home:
        return self

    def forget(self) -> None:
        pass


@pytest.fixture
def settings(new_home: Path) -> Settings:
    return Settings(home=new_home)


@pytest.fixture
def broker(settings: Settings) -> Iterator[Any]:
    with client(ensure_broker(settings)) as connection:
        yield connection


def test_messages_name_jobs_and_no_module(settings: Settings, broker: Any, engine: Engine) -> None:
    job_sender(settings)("saring.pull", {"project": 1})
    home = Home(engine, {})
    app = make_app(ensure_broker(settings), home, settings)
    send_shards(app, home, 7, [0, 1])
    send_shards(app, home, 8, [])
    app.close()

    keys = {key.decode() for key in broker.keys("*")}
    # the rest are kombu's
    assert {re.sub(_UUID, "ID", key) for key in keys if not key.startswith("_kombu.")} == {
        *("cpu", "io", "celery-taskset-meta-ID.s")
    }
    assert (broker.llen("cpu"), broker.llen("io")) == (2, 2)
    sent = [json.loads(message) for queue in ("cpu", "io") for message in broker.lrange(queue, 0, -1)]
    assert {(one["headers"]["task"], *map(str, body(one)[0])) for one in sent} == {
        ("saring.shard", "7", "0"),
        ("saring.shard", "7", "1"),
        ("saring.reduce", "8"),
        ("saring.pull",),
    }
    assert {one["content-type"] for one in sent} == {"application/json"}
    whole = json.dumps([sent, [body(one) for one in sent]])
    named = set(re.findall(r"\b(?:pipeline|saring|sync|ml_backend)\.\w+", whole))
    assert named == {"saring.shard", "saring.reduce", "saring.pull"}


def test_the_schedule_is_kept_under_names_that_the_next_version_finds(settings: Settings, broker: Any) -> None:
    app = make_app(ensure_broker(settings), settings=settings)
    assert sorted(renew_schedule(app, settings)) == [
        *("drift", "notices", "predict-ahead", "pull", "reconcile", "reembed", "refill", "retrain", "start", "sweep")
    ]
    assert renew_schedule(app, settings) == []
    app.close()
    assert {key.decode() for key in broker.keys("*")} == {
        "redbeat::schedule",
        "redbeat:drift",
        "redbeat:notices",
        "redbeat:predict-ahead",
        "redbeat:pull",
        "redbeat:reconcile",
        "redbeat:reembed",
        "redbeat:refill",
        "redbeat:retrain",
        "redbeat:start",
        "redbeat:sweep",
    }
    kept = json.loads(broker.hget("redbeat:sweep", "definition"))
    assert (kept["name"], kept["task"]) == ("sweep", "saring.sweep")
    assert kept["schedule"] == {"__type__": "interval", "every": 15.0, "relative": False}


def test_what_the_database_itself_calls_is_there(engine: Engine) -> None:
    """Functions and triggers that migrations made, and the channel on which runs are followed."""
    with engine.connect() as connection:
        functions = connection.execute(
            text("SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prolang <> 13")
        ).all()
        ours = {name: source for name, source in functions if name.startswith(("refuse_", "tell_"))}
        triggers = connection.scalars(text("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1")).all()
        version = connection.scalars(text("SELECT version_num FROM alembic_version")).all()
    assert set(ours) == {
        *(
            "refuse_change_of_audit",
            "refuse_change_of_consensus",
            "refuse_change_of_filter_cut",
            "refuse_change_of_judgement",
            "refuse_change_of_judgement_but_erasure",
            "refuse_change_of_test_set",
            "tell_of_run",
        )
    }
    assert "pg_notify('saring_run'" in ours["tell_of_run"]
    assert set(triggers) >= {
        "judgement_append_only",
        "judgement_unchanged",
        "run_told",
        "consensus_append_only",
        "filter_cut_append_only",
        "test_set_frozen",
    }
    assert version >= ["0007"]


def body(message: Any) -> Any:
    """What a message carries: arguments, named arguments, what comes next."""
    return json.loads(base64.b64decode(message["body"]))
