"""Why a task in a real Label Studio shows the ticks that it shows, or none: each reason that there can be."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from pipeline import store
from pipeline.errors import UsageError
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import TaskState
from saring.services import LabelStudioAccess
from sync.project.label_config import label_config
from sync.push.why import Explanation, why
from tests.support.backend import served
from tests.support.label_studio import TAXONOMY, Line, credentials, make_project, push_all, queue
from tests.support.pushed import Pushed, pushed_project
from tests.support.taxonomy import taxonomy_of


@pytest.fixture
def pushed(
    engine: Engine, label_studio: LabelStudioAccess, label_studio_api: httpx.Client, tmp_path: Path
) -> Iterator[Pushed]:
    with pushed_project(engine, label_studio, label_studio_api, tmp_path) as found:
        yield found


def explain(pushed: Pushed, wanted: object) -> Explanation:
    return why(pushed.engine, pushed.client, str(wanted), taxonomy=TAXONOMY, project=pushed.project)


def test_why_names_what_is_ticked_and_where_each_tick_comes_from(pushed: Pushed) -> None:
    by_number, by_text = explain(pushed, pushed.id_of(0)), explain(pushed, pushed.texts[0])
    assert by_number == by_text
    assert by_number.shown == ["hate"]
    assert by_number.version == pushed.version
    assert by_number.sources["hate"].startswith("LLM stand-in")
    assert by_number.queued == "random: drawn at random"
    assert by_number.reasons == []
    with pytest.raises(UsageError, match="no task 999999999 was pushed"):
        explain(pushed, 999999999)
    with pytest.raises(UsageError, match="neither a task's number nor a text's id"):
        explain(pushed, "ayat")


def test_why_says_that_a_task_is_blind(pushed: Pushed) -> None:
    found = explain(pushed, pushed.id_of(3))
    assert found.shown == []
    [reason] = found.reasons
    assert "blind" in reason


def test_why_says_what_is_set_wrong_in_the_project(pushed: Pushed) -> None:
    path = f"/api/projects/{pushed.label_studio_id}/"

    def reasons(**fields: Any) -> list[str]:
        pushed.api.patch(path, json=fields).raise_for_status()
        return explain(pushed, pushed.id_of(0)).reasons

    assert "not to show predictions" in reasons(show_collab_predictions=False)[0]
    unset = reasons(show_collab_predictions=True, model_version="")
    assert "shows no version of predictions: run `saring sync predict`" in unset[0]
    assert explain(pushed, pushed.id_of(0)).shown == []
    lacking = label_config(taxonomy_of(label for label in TAXONOMY if label.key != "hate"))
    strange = reasons(model_version=pushed.version, label_config=lacking)
    assert strange == ["the project has no label hate: run `saring sync setup`"]
    assert explain(pushed, pushed.id_of(0)).shown == []


def test_why_says_that_somebody_shows_another_version_or_the_backend(pushed: Pushed) -> None:
    path = f"/api/projects/{pushed.label_studio_id}/"
    other = {"task": pushed.id_of(1), "result": [], "score": 0.1, "model_version": "mine"}
    pushed.api.post("/api/predictions/", json=other).raise_for_status()
    pushed.api.patch(path, json={"model_version": "mine"}).raise_for_status()
    found = explain(pushed, pushed.id_of(0))
    assert "'mine'" in found.reasons[0]
    assert "saring sync setup" in found.reasons[0]
    assert f"from an older model ({pushed.version})" in found.reasons[1]
    with served(pushed.engine, credentials=credentials(pushed.engine)) as backend:
        make_project(pushed.engine, pushed.client, title=None, backend_url=backend.url)
        pushed.api.patch(path, json={"model_version": "Saring"}).raise_for_status()
        live = explain(pushed, pushed.id_of(0)).reasons[0]
    assert "asks its ML backend 'Saring'" in live


def test_why_says_that_a_task_is_gone_or_was_never_sent_or_has_nothing_likely(pushed: Pushed, tmp_path: Path) -> None:
    gone = pushed.id_of(2)
    pushed.api.delete(f"/api/tasks/{gone}/").raise_for_status()
    [reason] = explain(pushed, gone).reasons
    assert "no longer in Label Studio" in reason
    with open_session(pushed.engine) as session, session.begin():
        task = session.get_one(store.Task, (pushed.project, pushed.texts[2]))
        task.label_studio_id, task.state = None, TaskState.PUSHING
    [reason] = explain(pushed, pushed.texts[2]).reasons
    assert "run `saring sync push`" in reason

    [plain] = queue(pushed.engine, [Line(f"ayat biasa {uuid.uuid4().hex[:8]}")], tmp_path)
    push_all(pushed.engine, pushed.client, pushed.project)
    found = explain(pushed, plain)
    assert (found.shown, found.reasons) == ([], ["no label is likelier than not, so nothing is ticked"])
