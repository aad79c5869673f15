"""docs/first-hour.md, command for command, over the real services, with answers by a volunteer of Label Studio."""

from __future__ import annotations

import csv
import json
import os
import re
import uuid
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.taxonomy import load_taxonomy
from saring.demo.volunteers import Persona, Volunteer
from saring.services import LabelStudioAccess
from tests.support.commands import typed
from tests.support.doc_blocks import ROOT, blocks, command_lines
from tests.support.doc_shell import DocShell, check_output
from tests.support.plain_environment import PlainEnvironment

pytestmark = pytest.mark.timeout(1200)

Json = dict[str, Any]
_PAGE = ROOT / "docs" / "first-hour.md"
_ELSEWHERE = "on the other machine"
_WORKBOOK = "saring import aduan-bas.xlsx --source aduan"
_ANSWERS = 30
#: nobody listens there: nothing but the schedule would wake a pull
_NO_BACKEND = "http://127.0.0.1:9"


def truth() -> dict[str, list[str]]:
    """The labels of each complaint, as a careful reader gives them."""
    with (ROOT / "tests/fixtures/aduan_bas_answers.csv").open(encoding="utf-8") as given:
        right = {row["no"]: row["labels"].split() for row in csv.DictReader(given)}
    with (ROOT / "examples/aduan-bas.csv").open(encoding="utf-8-sig") as complaints:
        return {row["Aduan"]: right[row["No"]] for row in csv.DictReader(complaints, delimiter=";")}


def annotation(labels: Collection[str]) -> Json:
    """What the labelling page sends for these labels."""
    name, choices = ("labels", sorted(labels)) if labels else ("undecided", ["none of these"])
    region = {"id": uuid.uuid4().hex[:8], "from_name": name, "to_name": "text", "type": "choices"}
    return {"result": [region | {"value": {"choices": choices}}], "was_cancelled": False, "lead_time": 20.0}


def answer_thirty(access: LabelStudioAccess, project: int) -> None:
    """Sign up by the invitation and answer what Label Studio gives out, as its page does."""
    owner = {"Authorization": f"Token {access.api_key}"}
    invite = httpx.get(f"{access.url}/api/invite", headers=owner, trust_env=False).raise_for_status().json()
    who = Persona(f"nadia-{uuid.uuid4().hex[:6]}", skill=1, trust=0, seconds=20)
    right = truth()
    with closing(Volunteer(access.url, who, uuid.uuid4().hex)) as volunteer:
        volunteer.sign_up(str(invite["invite_url"]))
        for _ in range(_ANSWERS):
            task = volunteer.next_task(project)
            assert task is not None
            volunteer.submit(task, annotation(right[task["data"]["text"]]))


@pytest.fixture
def reader(new_home: Path, database_url: str, label_studio: LabelStudioAccess) -> Iterator[DocShell]:
    """Somebody in a clone of the repository, with an empty home folder and nothing set."""
    services = {
        "SARING_DATABASE_URL": database_url,
        "LABEL_STUDIO_URL": label_studio.url,
        "LABEL_STUDIO_API_KEY": label_studio.api_key,
        "SARING_BACKEND_URL": _NO_BACKEND,
        "COLUMNS": "200",
    }
    (new_home / "reader").mkdir()
    yield DocShell(ROOT, new_home / "reader", services)


def elsewhere(new_home: Path) -> DocShell:
    """The other machine: another home folder, an environment without Saring, and no services."""
    home = new_home / "other"
    home.mkdir()
    PlainEnvironment(home / "env")
    (home / "new.csv").write_text("No;Aduan\nB1;bas lewat satu jam\nB2;pemandu kasar betul\n", encoding="utf-8")
    return DocShell(home, home, {"SARING_HOME": str(home / "saring"), "SARING_DATABASE_URL": "", "PYTHONPATH": ""})


def test_somebody_with_only_this_page_gets_to_a_model_of_their_own(
    reader: DocShell, new_home: Path, label_studio: LabelStudioAccess, label_studio_api: httpx.Client
) -> None:
    printed, versions, project = "", [], 0
    other = None
    for block in blocks(_PAGE):
        if block.not_run is not None:
            continue
        if block.language == "text" and block.title is None:
            check_output(block, printed)
        elif block.language == "yaml":
            assert block.title is not None
            (reader.folder / block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "sh" and block.title == _ELSEWHERE:
            if other is None:
                other = elsewhere(new_home)
                (reader.folder / "model").rename(other.folder / "model")
            printed = "".join(other.run(line).stdout for line in command_lines(block))
        elif block.language == "sh":
            if "saring sync pull" in block.text:
                answer_thirty(label_studio, project)
            printed = ""
            for line in command_lines(block):
                printed += reader.run(line.replace("VERSION", versions[-1] if versions else "VERSION")).stdout
            versions += re.findall(r"^(labels-linear-[\w-]+)  ", printed, re.MULTILINE)
            if "saring sync setup" in block.text:
                projects = label_studio_api.get("/api/projects/").raise_for_status().json()["results"]
                [project] = [one["id"] for one in projects if one["title"] == "Aduan bas"]
        else:
            assert block.language == "csv" or block.title == _WORKBOOK, block.where

    assert len(set(versions)) == 2, "a first model, and one that learnt from people"
    assert other is not None
    scored = [json.loads(line) for line in (other.folder / "scored.jsonl").read_text("utf-8").splitlines()]
    assert [row["model"] for row in scored] == [versions[-1]] * 2
    assert set(scored[0]["scores"]) == {"late", "driver", "condition"}
    assert scored[0]["scores"]["late"] > scored[1]["scores"]["late"]


def test_the_page_begins_the_file_as_it_begins_and_says_what_a_workbook_is_told(tmp_path: Path) -> None:
    shown = {block.title: block.text for block in blocks(_PAGE) if block.language in ("csv", "text")}
    example = (ROOT / "examples/aduan-bas.csv").read_text(encoding="utf-8-sig")
    assert example.startswith(shown["aduan-bas.csv"])
    (tmp_path / "aduan-bas.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        done = typed({"SARING_HOME": os.devnull}, *_WORKBOOK.split()[1:])
    assert (done.returncode, done.stderr) == (1, shown[_WORKBOOK])
    assert set(truth()) == {row["Aduan"] for row in csv.DictReader(example.splitlines(), delimiter=";")}
    assert {key for labels in truth().values() for key in labels} < set(load_taxonomy().keys) | {
        "late",
        "driver",
        "condition",
    }
