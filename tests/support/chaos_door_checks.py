"""What must be true of what phones, applications and browsers were told while everything died (`chaos_door.py`)."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from typing import Any

import httpx
from sqlalchemy import Engine, select

from pipeline import store
from pipeline.judgement import RaterKind
from pipeline.store import open_session
from pipeline.store.tables.accounts import Report
from pipeline.store.tables.volunteers import AnswerState
from saring.services import label_studio_access
from sync.pull.apply import RATER, reference
from tests.support.chaos import World
from tests.support.chaos_door import Phone, Unconfirmed
from tests.support.chaos_verdict import Verdict

_Answer = dict[str, Any]


def hand_in(world: World, *, seconds: float) -> list[str]:
    """Have each phone send what still waits in it, as it does once the network is back; what could not be sent."""
    deadline = time.monotonic() + seconds
    while waiting := [phone for phone in world.door.phones if phone.waiting]:
        if time.monotonic() > deadline:
            break
        for phone in waiting:
            try:
                phone.send()
            except Unconfirmed:
                time.sleep(1)
    return [f"{len(phone.waiting)} answers of account {phone.account} could not be handed in" for phone in waiting]


def waiting_at_the_door(engine: Engine) -> list[str]:
    """What was confirmed and is on its way: answers to Label Studio, runs that no worker has begun."""
    a, q = store.PhoneAnswer, store.RunRequest
    with open_session(engine) as session:
        answers = session.scalars(select(a.id).where(a.state == AnswerState.WAITING)).all()
        requests = session.scalars(select(q.id).where(q.settled_at.is_(None))).all()
    return [*(f"answer {one}" for one in answers), *(f"request {one}" for one in requests)]


def check_phones(engine: Engine, world: World, verdict: Verdict, undelivered: list[str]) -> None:
    """Each answer that a phone was told is kept is that volunteer's annotation once, and their judgement once.

    An answer that corrects another one takes its place: the last one counts.
    """
    wrong = list(undelivered)
    access = label_studio_access(world.settings)
    assert access is not None, "Label Studio runs"
    headers = {"Authorization": f"Token {access.api_key}"}
    with httpx.Client(base_url=access.url, headers=headers, timeout=60, trust_env=False) as api:
        for phone in world.door.phones:
            wrong += [f"the answer to task {one['task']}, which was given out, was refused" for one in phone.lost]
            for (project, task), answers in _by_task(phone).items():
                there = api.get(f"/api/tasks/{task}/").raise_for_status().json()["annotations"]
                own = [row for row in there if str(row["completed_by"]["id"]) == phone.user]
                what = f"volunteer {phone.user}, task {task}, last answer {answers[-1]['kind']} {answers[-1]['labels']}"
                if len(own) != 1:
                    wrong.append(f"{what}: Label Studio has {len(own)} annotations; {_fate(engine, answers)}")
                    continue
                if not _is_annotation(answers[-1], own[0]):
                    wrong.append(f"{what}: Label Studio has {own[0]['result']}; {_fate(engine, answers)}")
                said = _said(engine, phone, project, own[0])
                if problem := _problem(answers, said):
                    wrong.append(f"{what}: {problem}; {_fate(engine, answers)}")
    given = sum(len(phone.kept) for phone in world.door.phones)
    verdict.check("answers of phones that were confirmed, each one annotation and one judgement", given, wrong)
    again = sum(phone.again for phone in world.door.phones)
    verdict.check("answers of phones that were sent again", again, [])


def check_reports(engine: Engine, world: World, verdict: Verdict) -> None:
    """Each report that was confirmed is there once, with its judgement; nothing is there twice."""
    j, r = store.Judgement, store.Rater
    with open_session(engine) as session:
        rows = session.execute(select(Report.account_id, Report.reference, Report.id, Report.judgement_id)).all()
        judgements = session.execute(
            select(j.id, j.external_ref, j.asserted, j.denied)
            .join(r, r.id == j.rater_id)
            .where(r.kind == RaterKind.REPORT)
        ).all()
    kept = {(account, name): (str(number), judgement) for account, name, number, judgement in rows}
    by_report: dict[str, list[Any]] = defaultdict(list)
    for row in judgements:
        by_report[row.external_ref].append(row)
    wrong = []
    confirmed = 0
    for application in world.door.applications:
        for name, (number, labels) in application.reported.items():
            confirmed += 1
            found, judgement = kept.get((application.account, name), ("nothing", None))
            said = [(row.id, list(row.asserted), list(row.denied)) for row in by_report[number]]
            yes, no = ([label for label, value in labels.items() if value is wanted] for wanted in (True, False))
            if found != number or said != [(judgement, yes, no)]:
                wrong.append(f"report {name} was confirmed as {number}; there is {found}, with the judgements {said}")
    extra = set(by_report) - {number for number, _ in kept.values()}
    wrong += [f"a judgement is of the report {number}, which is not there" for number in sorted(extra)]
    verdict.check("reports that were confirmed, each one judgement", confirmed, wrong)


def check_answers(engine: Engine, world: World, verdict: Verdict) -> None:
    """Nobody was answered with an error that no documentation knows, and what was asked for in a browser was begun."""
    door = world.door
    strange = [f"{what} ({count} times)" for what, count in door.line.unexpected.most_common()]
    verdict.check("answers of `saring serve`, each documented", door.line.statuses.total(), strange)
    verdict.check("verdicts", sum(one.verdicts for one in door.applications), [])
    verdict.check("pages that were read", door.maintainer.read, [])
    q, r = store.RunRequest, store.Run
    with open_session(engine) as session:
        requests = {row.id: row for row in session.scalars(select(q))}
        runs = set(session.scalars(select(r.id)))
    lost = [
        f"request {number} ({stage}) has no run and no reason"
        for number, stage in door.maintainer.asked.items()
        if number not in requests or not (set(requests[number].runs) & runs or requests[number].error)
    ]
    verdict.check("runs that were asked for in a browser", len(door.maintainer.asked), lost)


def _by_task(phone: Phone) -> dict[tuple[int, int], list[_Answer]]:
    """The confirmed answers to each task, in order: one, and its corrections."""
    found: dict[tuple[int, int], list[_Answer]] = defaultdict(list)
    for answer in phone.kept:
        found[answer["project"], answer["task"]].append(answer)
    return found


def _is_annotation(answer: _Answer, annotation: _Answer) -> bool:
    """Whether an annotation is what the answer says; of answers without labels, the ledger is asked for more."""
    if annotation["was_cancelled"] or answer["kind"] == "skipped":
        return bool(annotation["was_cancelled"]) and answer["kind"] == "skipped"
    chosen = [choice for region in annotation["result"] for choice in region["value"]["choices"]]
    return answer["kind"] != "labels" or sorted(chosen) == sorted(answer["labels"])


def _said(engine: Engine, phone: Phone, project: int, annotation: _Answer) -> list[store.Judgement]:
    """The judgements that the ledger has of an annotation, under any rater, in order."""
    a, j, r = store.Annotation, store.Judgement, store.Rater
    with open_session(engine) as session:
        made = session.scalars(
            select(a.created_at).where(a.project_id == project, a.label_studio_id == annotation["id"])
        ).all()
        names = [reference(project, annotation["id"], at) for at in made]
        query = (
            select(j)
            .join(r, r.id == j.rater_id)
            .where(r.kind == RaterKind.HUMAN, r.name == RATER, r.version == phone.user, j.external_ref.in_(names))
        )
        return list(session.scalars(query.order_by(j.revision)))


def _problem(answers: list[_Answer], said: list[store.Judgement]) -> str | None:
    """What is wrong with the judgements of a task's answers; None: nothing."""
    last = answers[-1]
    if last["kind"] == "skipped":
        # who skips says nothing; what they said before is taken back
        return None if not said or said[-1].withdrawn else "it was skipped, and the ledger has a judgement"
    if not said:
        return "the ledger has no judgement"
    # each answer is a revision at most: a correction may come before the one that it corrects was pulled
    if len(said) > len(answers):
        return f"{len(said)} judgements of {len(answers)} answers"
    texts = Counter(row.text_id for row in said)
    if len(texts) > 1:
        return f"judgements of {len(texts)} texts"
    verdict = said[-1]
    right = {
        "labels": sorted(verdict.asserted) == sorted(last["labels"]),
        "none": not verdict.asserted and bool(verdict.denied),
        "undecided": not verdict.asserted and not verdict.denied,
    }
    if verdict.withdrawn or not right[last["kind"]]:
        return f"the ledger has {sorted(verdict.asserted)}{', withdrawn' if verdict.withdrawn else ''}"
    return None


def _fate(engine: Engine, answers: list[_Answer]) -> str:
    """What the store says of answers, for the message of a violation."""
    a = store.PhoneAnswer
    with open_session(engine) as session:
        ids = [answer["id"] for answer in answers]
        rows = session.execute(select(a.kind, a.state, a.why, a.annotation_id).where(a.id.in_(ids)).order_by(a.number))
        return f"the store has {[tuple(map(str, row)) for row in rows]}"
