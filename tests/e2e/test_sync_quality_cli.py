"""`saring sync quality` as it is typed, on answers that people gave in the real Label Studio."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, select, update

from pipeline import store
from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.store.session import open_session
from saring.services import LabelStudioAccess
from sync.api.client import LabelStudio
from sync.project.projects import SetupReport
from sync.pull.pull import pull
from tests.support.commands import typed
from tests.support.label_studio import TAXONOMY, Line, annotate, invited, lines, make_project, push_all, queue, tasks_of

pytestmark = pytest.mark.timeout(180)

_PLANTED, _OTHERS = 6, 6
SAFE = "safe for work"


def saring(environment: dict[str, str], *words: str, status: int = 0) -> tuple[str, str]:
    """Both outputs of a command."""
    done = typed(environment | {"COLUMNS": "220"}, "sync", "quality", *words)
    assert done.returncode == status, done.stderr
    return done.stdout, done.stderr


def answer(environment: dict[str, str], *words: str) -> dict[str, Any]:
    """The one JSON object on standard output."""
    found = json.loads(saring(environment, *words, "--json")[0])
    assert isinstance(found, dict)
    return found


@dataclass(frozen=True)
class Account:
    id: str
    email: str
    #: the server's API in their name
    api: httpx.Client


@pytest.fixture(scope="module")
def accounts(label_studio: LabelStudioAccess) -> Iterator[list[Account]]:
    """Two people who signed up by the invitation."""
    with invited(label_studio) as aina, invited(label_studio) as bala:
        yield [
            Account(person.rater, person.api.get("/api/current-user/whoami").json()["email"], person.api)
            for person in (aina, bala)
        ]


@pytest.fixture
def project(engine: Engine, client: LabelStudio) -> Iterator[SetupReport]:
    made = make_project(engine, client, harsh_cap=_PLANTED)
    yield made
    client.delete_project(made.label_studio_id)


def bring_home(engine: Engine, client: LabelStudio) -> None:
    pull(engine, client, taxonomy=TAXONOMY, now=datetime.now(UTC))


@pytest.fixture
def annotated(
    engine: Engine,
    client: LabelStudio,
    project: SetupReport,
    accounts: list[Account],
    tmp_path: Path,
) -> SetupReport:
    """Twelve texts, half of them planted: the first person is right, the second ticks `racist` everywhere."""
    planted = queue(engine, lines(_PLANTED), tmp_path)
    queue(engine, [Line(one.text, (SAFE,)) for one in lines(_OTHERS)], tmp_path)
    with open_session(engine) as session, session.begin():
        q = store.QueueItem
        session.execute(update(q).where(q.text_id.in_(planted)).values(gold=True, harsh=True))
        survey = rater_id(session, RaterRef(RaterKind.HUMAN, "kaji-selidik", "2024"))
        hate = frozenset({"hate"})
        known = [NewJudgement(one, hate, frozenset(TAXONOMY.keys) - hate) for one in planted]
        record(session, survey, known, taxonomy_version=TAXONOMY.version)
    assert push_all(engine, client, project.project_id).sent == _PLANTED + _OTHERS
    for text_id, task in tasks_of(engine, project.project_id).items():
        right = "hate" if text_id in planted else SAFE
        for account, label in zip(accounts, (right, "racist"), strict=True):
            annotate(account.api, task.label_studio_id or 0, [label], lead_time=30.0)
    bring_home(engine, client)
    return project


@pytest.mark.usefixtures("annotated")
def test_the_report_has_numbers_for_people_and_figures_for_planted_tasks(
    here: dict[str, str], accounts: list[Account], annotated: SetupReport
) -> None:
    out, _ = saring(here, "--json")
    assert out.count("\n") == 1
    report = json.loads(out)
    assert (report["answers"], report["texts"]) == (24, 12)
    careful, other = (next(one for one in report["raters"] if one["rater"] == who.id) for who in accounts)
    assert careful["annotations"] == other["annotations"] == {"submitted": 12}
    # six tasks whose answer an imported survey gave
    assert (careful["planted"]["tasks"], careful["planted"]["right"]) == (6, 6)
    assert (other["planted"]["tasks"], other["planted"]["right"]) == (6, 0)
    assert careful["planted"]["exact"]["value"] == 1
    assert careful["planted"]["exact"]["low"] < 1
    assert careful["pace"]["median"] == 30
    # who beyond chance never agrees is below nought
    assert report["agreement"]["overall"]["value"] < 0
    # both read six harsh texts, and the second found every text harsh: more than the cap
    days = {one["rater"]: one for one in report["days"]}
    assert (days[accounts[0].id]["harsh"], days[accounts[0].id]["over"]) == (6, False)
    assert (days[accounts[1].id]["harsh"], days[accounts[1].id]["over"]) == (12, True)
    assert days[accounts[0].id]["harsh_minutes"] == pytest.approx(3.0)
    # nobody by name or address
    assert report["names"] == {}
    assert "@" not in out
    assert "aina" not in out and "ayat ujian" not in out


def test_names_are_shown_when_asked_for(here: dict[str, str], accounts: list[Account], annotated: SetupReport) -> None:
    report = answer(here, "--names")
    for one in accounts:
        assert report["names"][one.id] == one.email
    plain, _ = saring(here)
    assert f"#{accounts[0].id}" in plain and "@" not in plain
    assert "24 answers of 2 volunteers on 12 texts" in plain
    assert "too few answers without ticks" in plain


def test_it_says_how_much_of_what_is_known_a_data_set_alone_said(
    here: dict[str, str], engine: Engine, annotated: SetupReport
) -> None:
    assert "rest on imported data sets" not in saring(here)[0]
    with open_session(engine) as session, session.begin():
        q = store.QueueItem
        others = session.scalars(select(q.text_id).where(~q.gold)).all()
        clerks = rater_id(session, RaterRef(RaterKind.EXTERNAL, "kerani", "2024"))
        safe = frozenset({SAFE})
        said = [NewJudgement(one, safe, frozenset(TAXONOMY.keys) - safe) for one in others]
        record(session, clerks, said, taxonomy_version=TAXONOMY.version)
    # both people answered all twelve, and people outside are believed before data sets
    assert "known answers: 12 of 24 rest on imported data sets alone, whose labels may be wrong" in saring(here)[0]
    assert answer(here)["checked_by_data_sets"] == 12


def test_a_report_keeps_to_a_project_and_to_days(here: dict[str, str], annotated: SetupReport) -> None:
    assert answer(here, "--project", str(annotated.label_studio_id))["answers"] == 24
    later = answer(here, "--since", "2999-01-01")
    assert (later["answers"], later["raters"], later["days"]) == (0, [], [])
    _, why = saring(here, "--project", "999999", "--json", status=1)
    assert "no project 999999" in why and "saring sync setup" in why
    assert saring(here, "--since", "yesterday", status=2)[0] == ""


def test_nothing_annotated_yet_is_no_failure_and_needs_no_label_studio(environment: dict[str, str]) -> None:
    report = answer(environment)
    assert (report["answers"], report["texts"], report["agreement"], report["sway"]) == (0, 0, None, None)
    assert (report["raters"], report["careless"], report["days"]) == ([], [], [])
    said, _ = saring(environment)
    assert "There are no answers to measure yet: run `saring sync pull`" in said


def test_harsh_texts_that_were_only_skipped_were_met_all_the_same(
    here: dict[str, str],
    engine: Engine,
    client: LabelStudio,
    project: SetupReport,
    accounts: list[Account],
    tmp_path: Path,
) -> None:
    [text_id] = queue(engine, lines(1), tmp_path)
    with open_session(engine) as session, session.begin():
        session.execute(update(store.QueueItem).values(harsh=True))
    push_all(engine, client, project.project_id)
    task = tasks_of(engine, project.project_id)[text_id]
    annotate(accounts[0].api, task.label_studio_id or 0, [], was_cancelled=True, lead_time=90)
    bring_home(engine, client)
    report = answer(here)
    assert (report["answers"], len(report["days"])) == (0, 1)
    assert (report["days"][0]["harsh"], report["days"][0]["harsh_minutes"]) == (1, 1.5)
    said, _ = saring(here)
    assert "harsh content" in said and f"#{accounts[0].id}" in said


def test_a_volunteer_who_opted_out_of_a_label_meets_none_of_it(
    here: dict[str, str],
    engine: Engine,
    client: LabelStudio,
    accounts: list[Account],
    tmp_path: Path,
) -> None:
    own = make_project(engine, client, volunteer=accounts[0].id, opt_out=["hate"])
    hated = queue(engine, lines(3), tmp_path)
    calm = queue(engine, [Line(one.text, (SAFE,)) for one in lines(2)], tmp_path)
    pushed = push_all(engine, client, own.project_id)
    assert (pushed.sent, pushed.held_back) == (2, 3)
    tasks = tasks_of(engine, own.project_id)
    assert set(tasks) == set(calm) and not set(tasks) & set(hated)
    for task in tasks.values():
        annotate(accounts[0].api, task.label_studio_id or 0, [SAFE])
    bring_home(engine, client)
    report = answer(here, "--project", str(own.label_studio_id))
    [day] = report["days"]
    assert (day["rater"], day["tasks"], day["harsh"], day["harsh_minutes"]) == (accounts[0].id, 2, 0, 0)
    client.delete_project(own.label_studio_id)
