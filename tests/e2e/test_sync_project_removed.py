"""A project that somebody removed in Label Studio: nothing that was pulled is lost, and its tasks can be sent again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

from saring.services import LabelStudioAccess
from sync.api.client import LabelStudio
from sync.pull.pull import pull
from tests.support.label_studio import (
    TAXONOMY,
    annotate,
    human_judgements,
    lines,
    make_project,
    push_all,
    queue,
    tasks_of,
)


@pytest.fixture
def client(label_studio: LabelStudioAccess) -> Iterator[LabelStudio]:
    with LabelStudio(label_studio.url, label_studio.api_key, sleep=lambda _: None) as found:
        yield found


def test_the_open_tasks_of_a_project_that_was_removed_can_be_pushed_again(
    engine: Engine, client: LabelStudio, label_studio_api: httpx.Client, tmp_path: Path
) -> None:
    first = make_project(engine, client)
    texts = queue(engine, lines(3), tmp_path)
    push_all(engine, client, first.project_id)
    answered = tasks_of(engine, first.project_id)[texts[0]]
    annotate(label_studio_api, answered.label_studio_id or 0, ["hate"])
    pull(engine, client, taxonomy=TAXONOMY, now=datetime.now(UTC))
    label_studio_api.delete(f"/api/projects/{first.label_studio_id}/").raise_for_status()

    second = make_project(engine, client)
    [warning] = [line for line in second.warnings if "--again" in line]
    assert "with 2 open tasks" in warning
    assert push_all(engine, client, second.project_id).sent == 0
    again = make_project(engine, client, again=True)
    assert "2 texts of removed projects queued again" in again.changed
    assert push_all(engine, client, second.project_id).sent == 2
    assert set(tasks_of(engine, second.project_id)) == set(texts[1:])
    # what was said in the first one was said
    assert len(human_judgements(engine)) == 1
    quiet = make_project(engine, client, again=True, title=None)
    assert (quiet.changed, quiet.warnings) == ((), ())
