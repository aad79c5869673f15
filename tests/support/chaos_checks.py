"""What must be true of a home's tables and files, whatever was killed (`chaos.py`)."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from sqlalchemy import Engine, func, select, text

from pipeline import store
from pipeline.judgement import RaterKind
from pipeline.models.backends import file_hash
from pipeline.models.linear import ARRAYS
from pipeline.store import make_engine, open_session
from pipeline.store.tables.core import ModelState, RunState
from pipeline.store.tables.human_loop import TaskState
from pipeline.texts.normalise import text_id
from saring.services import ensure_database
from tests.support.chaos import World
from tests.support.chaos_door_checks import check_answers, check_phones, check_reports, hand_in, waiting_at_the_door
from tests.support.chaos_models import ODD, STEADY, said_of
from tests.support.chaos_verdict import Verdict


def settle(world: World, *, seconds: float = 240) -> Verdict:
    """Start everything again, wait until what was asked for is done, and check what must be true."""
    world.saring("up", *world.left_out, retry=True)
    engine = make_engine(ensure_database(world.settings))
    verdict = Verdict()
    undelivered = hand_in(world, seconds=60)
    deadline = time.monotonic() + seconds
    while (running := [*_running(engine), *waiting_at_the_door(engine)]) and time.monotonic() < deadline:
        time.sleep(1)
    endless = [f"{one} never ended" for one in running]
    verdict.check("runs that are over or can be resumed", _runs(engine, world), endless)
    if world.label_studio:
        world.saring("sync", "pull", retry=True)
        report = world.saring("sync", "reconcile", retry=True) or {}
        repaired = report.get("repaired", 0)
        cursor = [f"{repaired} tasks that the cursor had passed were not in the ledger"] if repaired else []
        verdict.check("tasks that a cursor has passed", report.get("tasks", 0), cursor)
        _check_annotations(engine, world, verdict)
        _check_tasks(engine, verdict)
        check_phones(engine, world, verdict, undelivered)
    check_reports(engine, world, verdict)
    check_answers(engine, world, verdict)
    _check_texts(engine, world, verdict)
    _check_judgements(engine, verdict)
    _check_language_models(engine, verdict)
    _check_models(engine, world, verdict)
    _check_test_sets(engine, verdict)
    engine.dispose()
    return verdict


def _running(engine: Engine) -> list[str]:
    r = store.Run
    with open_session(engine) as session:
        return [f"run {run.id} ({run.stage})" for run in session.scalars(select(r).where(r.state == RunState.RUNNING))]


def _runs(engine: Engine, world: World) -> int:
    """Number of the runs that began under load."""
    r = store.Run
    with open_session(engine) as session:
        return session.execute(select(func.count()).where(r.started_at >= world.began_at)).scalar_one()


def _check_annotations(engine: Engine, world: World, verdict: Verdict) -> None:
    """Each annotation that Label Studio confirmed is one judgement, with its labels."""
    j, r, a = store.Judgement, store.Rater, store.Annotation
    with open_session(engine) as session:
        rows = session.execute(
            select(a.label_studio_id, j.asserted, j.revision, j.withdrawn)
            .join(r, r.id == a.rater_id)
            .join(j, (j.rater_id == a.rater_id) & (j.text_id == a.text_id))
            .where(r.kind == RaterKind.HUMAN)
            .where(j.external_ref.contains(func.cast(a.label_studio_id, store.Judgement.external_ref.type)))
            .order_by(a.label_studio_id, j.revision)
        ).all()
    labels_of: dict[int, list[tuple[str, ...]]] = {}
    for number, asserted, _, withdrawn in rows:
        if not withdrawn:
            labels_of.setdefault(number, []).append(tuple(sorted(asserted)))
    wrong = []
    for number, (task, confirmed) in world.annotated.items():
        got = labels_of.get(number, [])
        if got != [confirmed]:
            wrong.append(f"annotation {number} of task {task} has {confirmed}, the ledger has {got or 'nothing'}")
    verdict.check("annotations that Label Studio confirmed, each one judgement", len(world.annotated), wrong)


def _check_tasks(engine: Engine, verdict: Verdict) -> None:
    k = store.Task
    with open_session(engine) as session:
        ids = session.scalars(select(k.label_studio_id).where(k.state.in_((TaskState.OPEN, TaskState.DONE)))).all()
    twice = [f"task {task} stands for {count} texts" for task, count in Counter(ids).items() if count > 1 and task]
    verdict.check("tasks, each of one text", len(ids), twice)


def _check_texts(engine: Engine, world: World, verdict: Verdict) -> None:
    with open_session(engine) as session:
        known = set(session.scalars(select(store.Text.id)))
    lost = [
        f"a text of {len(confirmed)} characters is lost"
        for confirmed in sorted(world.imported | world.ingested)
        if text_id(confirmed) not in known
    ]
    verdict.check("texts that an ingest confirmed under load", len(world.ingested), lost)


def _check_judgements(engine: Engine, verdict: Verdict) -> None:
    """Of one rater's judgements of a text under one reference, each revision is there once, and none is skipped."""
    with open_session(engine) as session:
        total = session.scalar(select(func.count()).select_from(store.Judgement)) or 0
        gaps = session.execute(
            text("""
                SELECT rater_id, count(*), max(revision) FROM judgement
                GROUP BY rater_id, text_id, external_ref HAVING count(*) <> max(revision) - min(revision) + 1
            """)
        ).all()
        machines = session.execute(
            text("""
                SELECT count(*) FROM (
                    SELECT 1 FROM judgement j JOIN rater r ON r.id = j.rater_id WHERE r.kind IN ('bootstrap', 'llm')
                    GROUP BY j.rater_id, j.text_id HAVING count(*) > 1
                ) doubled
            """)
        ).scalar_one()
    wrong = [f"rater {rater}: {count} revisions up to {last}" for rater, count, last in gaps]
    if machines:
        wrong.append(f"{machines} texts were judged twice by the same version of a rater")
    verdict.check("judgements, none doubled", total, wrong)


def _check_language_models(engine: Engine, verdict: Verdict) -> None:
    """Each judgement of a language model is what its server said of that text, however it said it."""
    j, r, t = store.Judgement, store.Rater, store.Text
    with open_session(engine) as session:
        rows = session.execute(
            select(r.name, t.masked, j.asserted)
            .join(r, r.id == j.rater_id)
            .join(t, t.id == j.text_id)
            .where(r.kind == RaterKind.LLM, r.name.in_((STEADY, ODD)))
        ).all()
    for name in (STEADY, ODD):
        own = [(masked, asserted) for rater, masked, asserted in rows if rater == name]
        wrong = [
            f"it said {said_of(masked)} of a text, the ledger has {asserted}"
            for masked, asserted in own
            if list(asserted) != [said_of(masked)]
        ]
        verdict.check(f"judgements of the language model {name}, as it said", len(own), wrong, needed=False)
    verdict.check("judgements of language models", len(rows), [])


def _check_models(engine: Engine, world: World, verdict: Verdict) -> None:
    m = store.Model
    with open_session(engine) as session:
        models = session.scalars(select(m)).all()
        snapshots = session.scalars(select(store.Snapshot)).all()
    wrong = []
    for model in models:
        arrays = Path(model.path) / ARRAYS
        if not arrays.is_file() or file_hash(arrays) != model.artefact_hash:
            wrong.append(f"{model.version} is missing or altered")
    verdict.check("model artefacts with the right hash", len(models), wrong)
    known = {model.version for model in models}
    lost = [f"{version} is lost" for version in sorted(world.trained - known)]
    verdict.check("models that a training confirmed under load", len(world.trained), lost)
    purposes = {model.purpose for model in models if model.state is not ModelState.CANDIDATE} & {"sfw"}
    champions = Counter(model.purpose for model in models if model.state is ModelState.CHAMPION)
    verdict.check(
        "purposes with exactly one champion",
        len(purposes),
        [f"{purpose} has {champions[purpose]} champions" for purpose in purposes if champions[purpose] != 1],
    )
    missing = [f"snapshot {snapshot.hash} has no file" for snapshot in snapshots if not Path(snapshot.path).is_file()]
    verdict.check("snapshots with their file", len(snapshots), missing)


def _check_test_sets(engine: Engine, verdict: Verdict) -> None:
    """Each version of the test set has the rows that it says, and those of all before it."""
    with open_session(engine) as session:
        sets = session.scalars(select(store.TestSet).order_by(store.TestSet.version)).all()
        rows = session.execute(select(store.TestRow.version, store.TestRow.text_id)).all()
    wrong = []
    for test_set in sets:
        members = {text for version, text in rows if version <= test_set.version}
        if len(members) != test_set.rows:
            wrong.append(f"version {test_set.version} says {test_set.rows} rows and has {len(members)}")
    # there is none before enough texts were judged by several people
    verdict.check("versions of the test set, none with a row lost", len(sets), wrong, needed=False)
