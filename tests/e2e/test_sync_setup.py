"""The project in a real Label Studio: made once, found again, kept as it should be, and nobody else's touched."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from subprocess import CompletedProcess
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.errors import LabelStudioError, LabelStudioRefused, LabelStudioUnavailable, UncertainOutcome, UsageError
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import ProjectState
from saring.services import LabelStudioAccess
from sync.api.client import LabelStudio
from sync.project.label_config import label_config
from sync.project.projects import SetupReport
from sync.pull.pull import pull
from tests.support.commands import typed
from tests.support.label_studio import annotate, human_judgements, make_project
from tests.support.proxies import Fault, faulty_proxy
from tests.support.taxonomy import make_label, taxonomy_named, taxonomy_of

#: of a request that may be repeated
_TRIES = 4
Json = dict[str, Any]


@pytest.fixture
def client(label_studio: LabelStudioAccess) -> Iterator[LabelStudio]:
    with LabelStudio(label_studio.url, label_studio.api_key, sleep=lambda _: None) as found:
        yield found


def titled(api: httpx.Client, title: str) -> list[Json]:
    """The projects on the server that are called so."""
    found: list[Json] = api.get("/api/projects/", params={"page_size": 1000}).raise_for_status().json()["results"]
    return [one for one in found if one["title"] == title]


def tasks_there(api: httpx.Client, project: int, count: int = 1) -> list[int]:
    """Put tasks into a project by hand; their ids."""
    rows = [{"text": f"ayat {i} {uuid.uuid4().hex[:8]}"} for i in range(count)]
    made = api.post(f"/api/projects/{project}/import", params={"return_task_ids": "true"}, json=rows)
    ids: list[int] = made.raise_for_status().json()["task_ids"]
    return ids


def labels_there(api: httpx.Client, project: int) -> str:
    return str(api.get(f"/api/projects/{project}/").raise_for_status().json()["label_config"])


def shown(engine: Engine) -> list[list[str]]:
    """The labels that were noted as shown, in order of time."""
    c = store.ProjectConfig
    with open_session(engine) as session:
        return [list(one.labels) for one in session.scalars(select(c).order_by(c.since))]


def as_if_shown_for_an_hour(engine: Engine) -> None:
    """What was shown for less than a second may count as never shown, since the server's clock is known no better."""
    c = store.ProjectConfig
    with open_session(engine) as session:
        session.execute(update(c).values(since=c.since - timedelta(hours=1)))
        session.commit()


def projects_noted(engine: Engine) -> dict[int, ProjectState]:
    with open_session(engine) as session:
        return {one.label_studio_id: one.state for one in session.scalars(select(store.Project))}


def settled(report: SetupReport) -> bool:
    """Whether there was nothing to do and nothing to say."""
    return not report.created and not report.changed and not report.warnings


def test_the_page_of_a_new_project_is_the_taxonomys_and_serves_in_our_order(
    engine: Engine, client: LabelStudio, label_studio_api: httpx.Client
) -> None:
    made = make_project(engine, client)
    assert made.created
    assert made.warnings == ()
    there = label_studio_api.get(f"/api/projects/{made.label_studio_id}/").json()
    assert made.url == f"{client.url}/projects/{there['id']}"
    assert made.title == there["title"]
    assert there["sampling"] == "Uncertainty sampling"
    assert there["skip_queue"] == "REQUEUE_FOR_OTHERS"
    assert there["enable_empty_annotation"] is False
    assert "Can't decide" in there["expert_instruction"]
    assert shown(engine) == [list(made.labels)]
    [view] = label_studio_api.get("/api/dm/views/", params={"project": there["id"]}).json()
    assert "tasks:data.text" in view["data"]["hiddenColumns"]["explore"]


def test_a_second_setup_only_looks(engine: Engine, label_studio: LabelStudioAccess) -> None:
    with (
        faulty_proxy(label_studio.url) as proxy,
        LabelStudio(proxy.url, label_studio.api_key, sleep=lambda _: None) as client,
    ):
        made = make_project(engine, client, title=None)
        assert made.created
        there = client.project(made.label_studio_id)
        proxy.seen.clear()
        again = make_project(engine, client, title=None)
        assert settled(again)
        assert again.project_id == made.project_id
        assert {one.split()[0] for one in proxy.seen} == {"GET"}
        assert client.project(made.label_studio_id) == there
        assert len(shown(engine)) == 1


@pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.BAD_GATEWAY_AFTER, Fault.HALF_BODY, Fault.NOT_JSON])
def test_a_project_whose_making_was_not_noted_is_found_by_its_mark(
    engine: Engine, label_studio: LabelStudioAccess, label_studio_api: httpx.Client, fault: Fault
) -> None:
    title = f"Marked {uuid.uuid4().hex[:8]}"
    with (
        faulty_proxy(label_studio.url) as proxy,
        LabelStudio(proxy.url, label_studio.api_key, sleep=lambda _: None) as client,
    ):
        proxy.fail(fault, "POST", "/api/projects/")
        with pytest.raises(UncertainOutcome):
            make_project(engine, client, title=title)
        [there] = titled(label_studio_api, title)
        assert projects_noted(engine) == {}

        found = make_project(engine, client, title=title)
        assert not found.created
        assert found.label_studio_id == there["id"]
        assert settled(make_project(engine, client, title=title))
    assert len(titled(label_studio_api, title)) == 1
    # who annotated before the note may have seen anything, so only from the note on are labels known to be shown
    assert shown(engine) == [[], list(found.labels)]


def test_a_project_that_never_came_to_be_is_made_by_the_next_setup(
    engine: Engine, label_studio: LabelStudioAccess, label_studio_api: httpx.Client
) -> None:
    title = f"Late {uuid.uuid4().hex[:8]}"
    with (
        faulty_proxy(label_studio.url) as proxy,
        LabelStudio(proxy.url, label_studio.api_key, sleep=lambda _: None) as client,
    ):
        proxy.fail(Fault.NEVER_ARRIVES, "POST", "/api/projects/")
        with pytest.raises(UncertainOutcome):
            make_project(engine, client, title=title)
        assert titled(label_studio_api, title) == []
        assert make_project(engine, client, title=title).created
    assert len(titled(label_studio_api, title)) == 1


def test_a_project_that_was_removed_is_not_confused_with_one_that_has_its_number(
    engine: Engine, client: LabelStudio, label_studio_api: httpx.Client
) -> None:
    first = make_project(engine, client)
    label_studio_api.delete(f"/api/projects/{first.label_studio_id}/").raise_for_status()
    other = label_studio_api.post("/api/projects/", json={"title": "somebody else's"}).raise_for_status().json()
    # as after the server was set up anew: the number that we noted is another project's now
    with open_session(engine) as session, session.begin():
        session.get_one(store.Project, first.project_id).label_studio_id = other["id"]

    second = make_project(engine, client)
    assert second.created
    assert second.label_studio_id != other["id"]
    assert second.project_id != first.project_id
    kept = label_studio_api.get(f"/api/projects/{other['id']}/").json()
    assert kept["title"] == "somebody else's"
    assert kept["label_config"] == other["label_config"]
    assert projects_noted(engine) == {other["id"]: ProjectState.GONE, second.label_studio_id: ProjectState.OPEN}


def test_what_is_a_matter_of_taste_is_left_to_people_and_the_rest_is_put_right(
    engine: Engine, client: LabelStudio, label_studio_api: httpx.Client
) -> None:
    made = make_project(engine, client)
    path = f"/api/projects/{made.label_studio_id}/"
    taste = {"title": "Ours now", "color": "#00FF00", "maximum_annotations": 3, "description": "no mark here"}
    harm = {"sampling": "Sequential sampling", "show_instruction": False, "enable_empty_annotation": True}
    label_studio_api.patch(path, json=taste | harm).raise_for_status()
    again = make_project(engine, client, title=None)
    assert again.project_id == made.project_id
    assert again.title == "Ours now"
    there = label_studio_api.get(path).json()
    assert {name: there[name] for name in ("title", "color", "maximum_annotations")} == {
        name: taste[name] for name in ("title", "color", "maximum_annotations")
    }
    assert there["description"].startswith("no mark here\n")
    assert (there["sampling"], there["show_instruction"]) == ("Uncertainty sampling", True)
    assert there["enable_empty_annotation"] is False
    assert set(again.changed) == {f"{name} set" for name in (*harm, "description")}
    assert settled(make_project(engine, client, title=None))


def test_a_page_that_was_edited_by_hand_is_refused_with_the_difference_and_overwritten_by_force(
    engine: Engine, client: LabelStudio, label_studio_api: httpx.Client
) -> None:
    made = make_project(engine, client)
    path = f"/api/projects/{made.label_studio_id}/"
    edited = labels_there(label_studio_api, made.label_studio_id).replace('value="racist"', 'value="unkind"')
    label_studio_api.patch(path, json={"label_config": edited}).raise_for_status()
    with pytest.raises(LabelStudioError) as caught:
        make_project(engine, client)
    said = str(caught.value)
    assert f"project {made.label_studio_id} at {client.url}" in said
    assert 'value="unkind"' in said
    assert "--force" in said
    assert "\n" not in said
    assert labels_there(label_studio_api, made.label_studio_id) == edited

    forced = make_project(engine, client, force=True)
    assert "labels: added racist; dropped unkind" in forced.changed
    assert 'value="unkind"' not in labels_there(label_studio_api, made.label_studio_id)
    assert settled(make_project(engine, client, title=None))


def test_instructions_that_were_edited_by_hand_stay_with_a_word_about_it(
    engine: Engine, client: LabelStudio, label_studio_api: httpx.Client
) -> None:
    made = make_project(engine, client)
    path = f"/api/projects/{made.label_studio_id}/"
    label_studio_api.patch(path, json={"expert_instruction": "<p>ask Aina</p>"}).raise_for_status()
    [warning] = make_project(engine, client, title=None).warnings
    assert "edited by hand" in warning
    assert label_studio_api.get(path).json()["expert_instruction"] == "<p>ask Aina</p>"
    assert make_project(engine, client, title=None, force=True).changed == ("expert_instruction set",)
    assert settled(make_project(engine, client, title=None))


def test_a_label_that_comes_keeps_annotations_and_is_not_held_against_them(
    engine: Engine, client: LabelStudio, label_studio_api: httpx.Client
) -> None:
    made = make_project(engine, client, taxonomy=taxonomy_named("hate", "porn"))
    [task] = tasks_there(label_studio_api, made.label_studio_id)
    before = annotate(label_studio_api, task, ["hate"])
    wider = taxonomy_named("hate", "porn", "racist")
    changed = make_project(engine, client, taxonomy=wider, title=None)
    assert "labels: added racist" in changed.changed
    after = label_studio_api.get(f"/api/annotations/{before['id']}/").json()
    assert (after["result"], after["updated_at"]) == (before["result"], before["updated_at"])
    assert shown(engine)[0] == ["hate", "porn"]
    assert shown(engine)[-1] == ["hate", "porn", "racist"]

    pull(engine, client, taxonomy=wider, now=datetime.now(UTC))
    [judgement] = human_judgements(engine)
    assert (judgement.asserted, judgement.denied) == (["hate"], ["porn"])


def test_a_label_that_is_renamed_takes_what_was_said_under_its_old_name(
    engine: Engine, client: LabelStudio, label_studio_api: httpx.Client
) -> None:
    made = make_project(engine, client, taxonomy=taxonomy_named("hate", "porn"))
    [task] = tasks_there(label_studio_api, made.label_studio_id)
    annotate(label_studio_api, task, ["hate"])
    renamed = taxonomy_of([make_label("hostility", 0, aliases=("hate",)), make_label("porn", 1)])
    changed = make_project(engine, client, taxonomy=renamed, title=None)
    assert "labels: renamed hate to hostility" in changed.changed
    assert 'value="hostility"' in labels_there(label_studio_api, made.label_studio_id)

    pull(engine, client, taxonomy=renamed, now=datetime.now(UTC))
    [judgement] = human_judgements(engine)
    assert judgement.asserted == ["hostility"]


@pytest.mark.parametrize("kept_in", ["annotations", "drafts"])
def test_a_label_in_use_is_dropped_only_when_that_is_asked_for(
    engine: Engine, client: LabelStudio, label_studio_api: httpx.Client, kept_in: str
) -> None:
    made = make_project(engine, client, taxonomy=taxonomy_named("hate", "porn", "racist"))
    there = labels_there(label_studio_api, made.label_studio_id)
    tasks = tasks_there(label_studio_api, made.label_studio_id, 2)
    for task in tasks:
        said = _region(["porn", "hate"])
        path = f"/api/tasks/{task}/{kept_in}/" if kept_in == "annotations" else f"/api/tasks/{task}/drafts"
        label_studio_api.post(path, json={"result": said, "lead_time": 1}).raise_for_status()
    fewer = taxonomy_named("hate")
    for how in ({}, {"force": True}):
        with pytest.raises(LabelStudioError, match=r"labels that annotations or drafts use: 'porn' \(2\);"):
            make_project(engine, client, taxonomy=fewer, title=None, **how)
    assert labels_there(label_studio_api, made.label_studio_id) == there
    assert shown(engine) == [["hate", "porn", "racist"]]

    done = make_project(engine, client, taxonomy=fewer, title=None, drop_labels=True)
    assert "labels: dropped porn, racist" in done.changed
    assert labels_there(label_studio_api, made.label_studio_id) == label_config(fewer)
    kept = label_studio_api.get(f"/api/tasks/{tasks[0]}/").json()[kept_in]
    assert [one["result"][0]["value"]["choices"] for one in kept] == [["porn", "hate"]]


@pytest.mark.parametrize("fault", [Fault.NEVER_ARRIVES, Fault.LOST_ANSWER])
def test_a_change_of_labels_that_broke_off_counts_only_what_was_surely_shown(
    engine: Engine, label_studio: LabelStudioAccess, fault: Fault
) -> None:
    old, new = taxonomy_named("hate", "porn"), taxonomy_named("hate", "racist")
    with (
        faulty_proxy(label_studio.url) as proxy,
        LabelStudio(proxy.url, label_studio.api_key, sleep=lambda _: None) as client,
    ):
        made = make_project(engine, client, taxonomy=old)
        as_if_shown_for_an_hour(engine)
        proxy.fail(fault, "PATCH", f"/api/projects/{made.label_studio_id}/", times=_TRIES)
        with pytest.raises(LabelStudioUnavailable):
            make_project(engine, client, taxonomy=new, title=None)
        assert shown(engine) == [["hate", "porn"], ["hate"]]
        make_project(engine, client, taxonomy=new, title=None)
        assert label_config(new) == client.project(made.label_studio_id).label_config
        assert shown(engine)[:1] == [["hate", "porn"]]
        assert shown(engine)[-1] == ["hate", "racist"]
        assert all(labels == ["hate"] for labels in shown(engine)[1:-1])
        assert settled(make_project(engine, client, taxonomy=new, title=None))


def test_what_is_set_for_volunteers_is_kept_until_it_is_set_anew(engine: Engine, client: LabelStudio) -> None:
    made = make_project(engine, client, opt_out=["lucah", "SELF-HARM", "porn"], harsh_cap=3)
    assert (made.opt_out, made.harsh_cap) == (("self-harm", "porn"), 3)
    again = make_project(engine, client, title=None)
    assert (again.opt_out, again.harsh_cap) == (("self-harm", "porn"), 3)
    none = make_project(engine, client, title=None, opt_out=[], harsh_cap=0)
    assert (none.opt_out, none.harsh_cap) == ((), 0)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"title": "ab"}, "2 characters.*3 to 50"),
        ({"title": "x" * 51}, "51 characters.*3 to 50"),
        ({"harsh_cap": -1}, "-1.*0 or more"),
        ({"opt_out": ["hate", "unheard of"]}, "'unheard of'.*labels are hate, "),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_made(
    engine: Engine, client: LabelStudio, label_studio_api: httpx.Client, wanted: Json, said: str
) -> None:
    before = label_studio_api.get("/api/projects/").json()["count"]
    with pytest.raises(UsageError, match=said):
        make_project(engine, client, **wanted)
    assert label_studio_api.get("/api/projects/").json()["count"] == before
    assert projects_noted(engine) == {}


def test_the_project_of_one_volunteer_stands_beside_the_one_for_everyone(engine: Engine, client: LabelStudio) -> None:
    everyone = make_project(engine, client)
    aina = make_project(engine, client, volunteer="7", opt_out=["porn"])
    assert aina.created
    assert aina.label_studio_id != everyone.label_studio_id
    assert (aina.volunteer, everyone.volunteer) == ("7", None)
    assert make_project(engine, client, title=None).project_id == everyone.project_id
    again = make_project(engine, client, title=None, volunteer="7")
    assert (again.project_id, again.opt_out) == (aina.project_id, ("porn",))


def test_a_wrong_token_makes_nothing(engine: Engine, label_studio: LabelStudioAccess) -> None:
    with (
        LabelStudio(label_studio.url, "0" * 40) as stranger,
        pytest.raises(LabelStudioRefused, match="LABEL_STUDIO_API_KEY"),
    ):
        make_project(engine, stranger)
    assert projects_noted(engine) == {}


def saring(
    environment: dict[str, str], access: LabelStudioAccess, *words: str, key: str | None = None
) -> CompletedProcess[str]:
    given = {"LABEL_STUDIO_URL": access.url, "LABEL_STUDIO_API_KEY": key or access.api_key, "COLUMNS": "200"}
    return typed(environment | given, *words)


def test_the_command_makes_a_project_and_says_so(
    environment: dict[str, str], label_studio: LabelStudioAccess, session: Session
) -> None:
    title = f"By command {uuid.uuid4().hex[:8]}"
    words = ("sync", "setup", "--no-backend", "--title", title, "--opt-out", "lucah", "--harsh-cap", "4")
    done = saring(environment, label_studio, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith(f"Project '{title}' is created ({label_studio.url}/projects/")
    # a volunteer's backend is somewhere else, and down
    down = {"SARING_BACKEND_URL": "http://127.0.0.1:9"}
    again = saring(environment | down, label_studio, "sync", "setup", "--json")
    assert again.returncode == 0, again.stderr
    found = json.loads(again.stdout)
    assert (found["created"], found["title"], found["opt_out"], found["harsh_cap"]) == (False, title, ["porn"], 4)
    assert found["backend"] is False
    assert any("http://127.0.0.1:9" in warning for warning in found["warnings"])
    assert session.scalar(select(func.count()).select_from(store.Project)) == 1


def test_the_command_says_in_one_line_what_is_wrong(
    environment: dict[str, str], label_studio: LabelStudioAccess
) -> None:
    refused = saring(environment, label_studio, "sync", "setup", "--no-backend", key="0" * 40)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "LABEL_STUDIO_API_KEY" in refused.stderr
    assert "0" * 40 not in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    unknown = saring(environment, label_studio, "sync", "setup", "--no-backend", "--for", "nobody@example.org")
    assert unknown.returncode == 2
    assert "nobody@example.org" in unknown.stderr


def _region(labels: list[str]) -> list[Json]:
    choices = {"choices": labels}
    return [{"id": "labels", "from_name": "labels", "to_name": "text", "type": "choices", "value": choices}]
