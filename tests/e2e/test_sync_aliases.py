"""A page that somebody edited by hand: choices with an alias and trees of choices, there and back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, select

from pipeline import store
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import AnnotationState, Change
from saring.services import LabelStudioAccess
from sync.pull.pull import pull
from sync.push.why import why
from tests.support.label_studio import TAXONOMY
from tests.support.pushed import Pushed, pushed_project


@pytest.fixture
def pushed(
    engine: Engine, label_studio: LabelStudioAccess, label_studio_api: httpx.Client, tmp_path: Path
) -> Iterator[Pushed]:
    with pushed_project(engine, label_studio, label_studio_api, tmp_path) as made:
        yield made


_TWO = '<Choice value="Hate" alias="2"/><Choice value="porn" alias="3"/>'


@pytest.mark.parametrize(
    ("control", "sent"),
    [
        (f'<Choices name="labels" toName="text" choice="multiple">{_TWO}</Choices>', {"choices": ["2"]}),
        (
            f'<Taxonomy name="labels" toName="text"><Choice value="Harm" alias="h">{_TWO}</Choice></Taxonomy>',
            {"taxonomy": [["h", "2"]]},
        ),
    ],
)
def test_ticks_are_sent_as_the_page_stores_them_and_answers_are_read_as_labels(
    pushed: Pushed, control: str, sent: dict[str, Any]
) -> None:
    page = f'<View><Text name="text" value="$text"/>{control}</View>'
    path = f"/api/projects/{pushed.label_studio_id}/"
    pushed.api.patch(path, json={"label_config": page}).raise_for_status()
    version = pushed.predict().version
    [prediction] = [one for one in pushed.task(0)["predictions"] if one["model_version"] == version]
    assert prediction["result"][0]["value"] == sent
    told = why(pushed.engine, pushed.client, str(pushed.id_of(0)), project=pushed.project, taxonomy=TAXONOMY)
    assert (told.shown, told.reasons) == (["hate"], [])
    assert told.sources["hate"].startswith("LLM stand-in")

    kept = [region | {"origin": "prediction"} for region in prediction["result"]]
    answer = {"result": kept, "parent_prediction": prediction["id"]}
    pushed.api.post(f"/api/tasks/{pushed.id_of(0)}/annotations/", json=answer).raise_for_status()
    report = pull(pushed.engine, pushed.client, taxonomy=TAXONOMY, now=datetime.now(UTC))
    assert (report.counts["judgements"], report.unknown_labels) == (1, {})
    with open_session(pushed.engine) as session:
        [annotation] = session.scalars(select(store.Annotation))
        [judgement] = session.scalars(select(store.Judgement).where(store.Judgement.external_ref.startswith("ls:")))
    assert (annotation.state, annotation.chosen) == (AnnotationState.SUBMITTED, ["hate"])
    assert annotation.change is Change.KEPT
    # only what the page has a choice for is denied
    assert (judgement.asserted, judgement.denied) == (["hate"], ["porn"])
