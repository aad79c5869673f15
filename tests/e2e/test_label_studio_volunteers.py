"""What a volunteer's account can do in the embedded Label Studio, and what is out of its reach."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect
from sqlalchemy import Engine

from saring.services import LabelStudioAccess
from tests.support.browser import PHONE, open_browser, sticks_out
from tests.support.label_studio import Line, Person, annotate, invited
from tests.support.pulled import World, new_world

pytestmark = pytest.mark.timeout(400)
Json = dict[str, Any]


@pytest.fixture(scope="module")
def world(
    module_engine: Engine, closed_label_studio: LabelStudioAccess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    with new_world(module_engine, closed_label_studio, tmp_path_factory.mktemp("world")) as made:
        made.pool = made.push([Line(f"ayat sukarelawan {i}", ("hate",)) for i in range(6)])
        hook = {"project": made.project.label_studio_id, "url": "http://1.1.1.1/webhook", "is_active": False}
        made.api.post("/api/webhooks/", json=hook | {"headers": {"X-Secret": "a secret"}}).raise_for_status()
        yield made


@pytest.fixture(scope="module")
def aina(closed_label_studio: LabelStudioAccess) -> Iterator[Person]:
    with invited(closed_label_studio) as person:
        yield person


@pytest.fixture(scope="module")
def balan(closed_label_studio: LabelStudioAccess) -> Iterator[Person]:
    with invited(closed_label_studio) as person:
        yield person


@contextmanager
def by_personal_token(person: Person) -> Iterator[httpx.Client]:
    """The same account by a token of the other kind."""
    token = person.api.post("/api/token/").raise_for_status().json()["token"]
    access = httpx.post(f"{person.api.base_url}/api/token/refresh/", json={"refresh": token}, trust_env=False)
    headers = {"Authorization": f"Bearer {access.raise_for_status().json()['access']}"}
    with httpx.Client(base_url=person.api.base_url, headers=headers, timeout=60, trust_env=False) as api:
        yield api


def test_what_a_volunteer_needs_is_open(world: World, aina: Person) -> None:
    project = world.project.label_studio_id
    assert aina.api.get(f"/api/projects/{project}/").json()["title"] == world.project.title
    action = aina.api.post("/api/dm/actions", params={"id": "next_task", "project": project}, json={"project": project})
    task = action.raise_for_status().json()
    assert task["predictions"], "ticks are made ahead"
    draft = {"result": [], "lead_time": 1.0}
    path = f"/api/tasks/{task['id']}/drafts"
    number = aina.api.post(path, json=draft).raise_for_status().json()["id"]
    assert [kept["id"] for kept in aina.api.get(path).raise_for_status().json()] == [number]
    aina.api.patch(f"/api/drafts/{number}/", json=draft).raise_for_status()
    made = annotate(aina.api, task["id"], ["hate"])
    corrected = aina.api.patch(f"/api/annotations/{made['id']}/", json={"lead_time": 7.0})
    assert corrected.raise_for_status().json()["lead_time"] == 7.0
    [own] = aina.api.get(f"/api/tasks/{task['id']}/").raise_for_status().json()["annotations"]
    assert own["id"] == made["id"]


def test_on_a_phone_the_way_in_leads_to_the_projects_and_names_the_easier_page(
    world: World, closed_label_studio: LabelStudioAccess, chromium: Path
) -> None:
    invite = world.api.get("/api/invite").raise_for_status().json()["invite_url"]
    easier = "https://saring.example.org/join"
    with open_browser(chromium) as browser:
        page = browser.new_context(viewport=PHONE, base_url=closed_label_studio.url, has_touch=True).new_page()
        page.goto(invite)
        expect(page.get_by_role("link", name="Saring's own page")).to_have_attribute("href", easier)
        assert sticks_out(page) == []
        page.fill("#email", f"{uuid.uuid4().hex[:10]}@volunteers.example")
        page.fill("#password", uuid.uuid4().hex)
        page.get_by_role("button", name="Create account").click()
        page.wait_for_url("**/projects/")
        link = page.get_by_role("link", name="Saring's page")
        expect(link).to_have_attribute("href", easier)
        project = page.get_by_text(world.project.title)
        expect(project).to_be_visible()
        expect(page.get_by_role("button", name="Create new project")).to_be_hidden()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        project.click()
        page.wait_for_url(f"**/projects/{world.project.label_studio_id}/data**")
        expect(page.get_by_text("Label All Tasks")).to_be_visible()
        for name in ("import button", "export button"):
            expect(page.get_by_role("button", name=name)).to_be_hidden()
        expect(page.get_by_role("link", name="Settings")).to_be_hidden()
        expect(link).to_be_hidden()


def test_what_is_for_maintainers_is_refused_and_changes_nothing(world: World, aina: Person, balan: Person) -> None:
    project, [given] = world.project.label_studio_id, world.take()
    hers = annotate(aina.api, given.task, ["porn"])["id"]
    view = world.api.get("/api/dm/views/", params={"project": project}).json()[0]["id"]
    before = world.api.get(f"/api/projects/{project}/").json()
    task_before = world.api.get(f"/api/tasks/{given.task}/").json()
    bulk = {"selectedItems": {"all": True, "excluded": []}}
    body: Any
    with by_personal_token(balan) as other_way:
        for api in (balan.api, other_way):
            for method, path, body in [
                ("PATCH", f"/api/projects/{project}/", {"title": "Mine"}),
                ("DELETE", f"/api/projects/{project}/", None),
                ("POST", "/api/projects/", {"title": "New"}),
                ("POST", f"/api/projects/{project}/import", [{"text": "apa"}]),
                ("GET", f"/api/projects/{project}/export", None),
                ("GET", f"/api/projects/{project}/exports/", None),
                ("PATCH", f"/api/tasks/{given.task}/", {"data": {"text": "lain"}}),
                ("DELETE", f"/api/tasks/{given.task}/", None),
                ("PATCH", f"/api/annotations/{hers}/", {"result": []}),
                ("DELETE", f"/api/annotations/{hers}/", None),
                ("GET", f"/api/annotations/{hers}/", None),
                ("POST", f"/api/dm/actions?id=delete_tasks&project={project}", bulk),
                ("POST", f"/api/dm/actions?id=delete_tasks_annotations&project={project}&id=next_task", bulk),
                ("PATCH", f"/api/dm/views/{view}?project={project}", {"data": {"hiddenColumns": {}}}),
                ("POST", "/api/webhooks/", {"url": "https://example.org"}),
                ("GET", "/api/webhooks/1/", None),
                ("POST", "/api/ml", {"url": "https://example.org", "project": project}),
                ("GET", "/api/invite", None),
                ("GET", "/api/organizations/1/memberships", None),
                ("POST", "/api/jwt/settings", {"api_tokens_enabled": False}),
                ("GET", f"/projects/{project}/settings", None),
            ]:
                answer = api.request(method, path, json=body)
                assert answer.status_code == 403, f"{method} {path}: {answer.status_code}"
    after = world.api.get(f"/api/projects/{project}/").json()
    assert (after["title"], after["task_number"]) == (before["title"], before["task_number"])
    task = world.api.get(f"/api/tasks/{given.task}/").json()
    assert hers in [kept["id"] for kept in task["annotations"]]
    assert (task["annotations"], task["data"]) == (task_before["annotations"], task_before["data"])


def test_nobody_sees_the_answers_addresses_or_secrets_of_others(world: World, aina: Person, balan: Person) -> None:
    project, [given] = world.project.label_studio_id, world.take()
    annotate(aina.api, given.task, ["racist"])
    address = aina.api.get("/api/current-user/whoami").json()["email"]
    reads = [
        f"/api/tasks/{given.task}/",
        f"/api/tasks/{given.task}/annotations/",
        f"/api/tasks?project={project}&page=1&page_size=30&fields=all",
        f"/api/dm/tasks?project={project}&page=1&page_size=30",
        f"/api/users?project={project}",
        "/api/users",
        f"/api/projects/{project}/",
        "/api/projects?page=1&page_size=30",
        f"/api/webhooks/?project={project}",
        f"/api/ml?project={project}",
    ]
    owner = world.api.get("/api/current-user/whoami").json()["email"]
    answers = {path: balan.api.get(path).text for path in reads}
    for path, text in answers.items():
        for word in (address, owner, "a secret", "racist"):
            # the labels of the page are no answers
            if not (word == "racist" and "/projects" in path):
                assert word not in text, f"{word} in {path}"
    listed = balan.api.get(reads[2]).raise_for_status().json()["tasks"]
    assert {str(task[name]) for task in listed for name in ("annotators", "predictions_score")} <= {"[]", "None"}
    assert all(task["data"]["text"] for task in listed)
    own = balan.api.get("/api/users").raise_for_status().json()
    assert [str(person["id"]) for person in own] == [balan.rater]
    assert balan.api.get(f"/api/projects/{project}/").json().get("token") in ("", None)
    # and whoever wrote it, and the owner, do
    assert "racist" in aina.api.get(reads[1]).text
    assert "racist" in world.api.get(reads[1]).text
    assert "a secret" in world.api.get(reads[8]).text


def test_signing_up_asks_for_nothing_else_and_orders_no_newsletter(
    world: World, closed_label_studio: LabelStudioAccess, aina: Person
) -> None:
    invite = world.api.get("/api/invite").raise_for_status().json()["invite_url"]
    page = httpx.get(f"{closed_label_studio.url}{invite}", trust_env=False).raise_for_status().text
    assert "Daftar" in page
    for word in ("hear about", "how_find_us", "checked", "newsletters_visual", "labelstud.io"):
        assert word not in page
    assert 'name="allow_newsletters" value="false"' in page
    people = world.api.get("/api/users").raise_for_status().json()
    assert [person["allow_newsletters"] for person in people if str(person["id"]) == aina.rater] == [False]


def test_the_guidelines_open_by_themselves_the_first_time_only(
    world: World, closed_label_studio: LabelStudioAccess
) -> None:
    path, [given] = f"/api/projects/{world.project.label_studio_id}/", world.take()
    with invited(closed_label_studio) as newcomer:
        assert newcomer.api.get(path).json()["show_instruction"] is True
        annotate(newcomer.api, given.task, ["hate"])
        assert newcomer.api.get(path).json()["show_instruction"] is False
    assert world.api.get(path).json()["show_instruction"] is True
