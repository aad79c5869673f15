"""From the tasks of a project as they are to the ledger: only differences are written, so repeats change nothing."""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.preannotation.label_studio_format import Reading
from pipeline.store.tables.human_loop import AnnotationState, InterventionKind, TaskState
from pipeline.taxonomy import Taxonomy
from sync.pull.annotations import COUNTED, Malformed, Name, Said, Shown, Ticked, moment, name_of, read_annotation
from sync.pull.authorship import GONE, author_of, deleter_of, is_as_noted, may_take_back
from sync.pull.task_texts import TaskText, texts_of_tasks

Json = dict[str, Any]
#: what people are called in the ledger; the version is their account
RATER = "label-studio"
_Key = tuple[int, datetime]


@dataclass(slots=True)
class Applied:
    """Counts of a batch of tasks."""

    counts: Counter[str] = field(default_factory=Counter)
    #: labels that the taxonomy does not know, and how often they were met
    unknown: Counter[str] = field(default_factory=Counter)
    #: tasks whose annotations differed from what was stored
    changed: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Verdicts:
    """Verdicts to be recorded, by rater and taxonomy version, in the order in which they were given."""

    by_rater: dict[tuple[int, str], list[tuple[datetime, NewJudgement]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def add(self, rater: int, taxonomy_version: str, at: datetime, verdict: NewJudgement) -> None:
        self.by_rater[rater, taxonomy_version].append((at, verdict))


def apply_tasks(
    session: Session,
    project: store.Project,
    tasks: Sequence[Json],
    *,
    taxonomy: Taxonomy,
    languages: Sequence[str],
    maintainer: str,
    reading: Reading | None = None,
    run_id: int | None = None,
    gone: Sequence[int] = (),
) -> Applied:
    """Make the ledger say of these tasks what Label Studio says of them, in the caller's transaction.

    Args:
        session: an open session.
        project: the project they are in.
        tasks: whole tasks, as `LabelStudio.whole_tasks` gives them: with all their annotations.
        taxonomy: the labels in force.
        languages: those that count as in scope, for texts that people brought to Label Studio.
        maintainer: Label Studio user id of the account whose deletions count as a maintainer's.
        reading: what the choices of the project mean; None: they are the names that the taxonomy knows.
        run_id: the run that brings them.
        gone: ids of tasks that are no longer there, whose annotations are to be taken back.
    """
    applied = Applied()
    texts = texts_of_tasks(session, project, tasks, languages=languages, run_id=run_id, counts=applied.counts)
    mirrored = _mirrored(session, project, [*texts, *gone])
    shown = _Configs(session, project, taxonomy, reading or Reading())
    recalled = _Recalled(session, project, texts.values())
    rows = _rows(session, project, texts.values())
    raters = _Raters(session)
    verdicts = _Verdicts()
    for task in tasks:
        place = texts.get(task.get("id"))  # type: ignore[arg-type]
        if place is None:
            continue
        before = mirrored.pop(place.task_id, {})
        counted = 0
        for raw in task.get("annotations") or ():
            try:
                name = name_of(raw)
            except Malformed as problem:
                applied.counts[str(problem)] += 1
                continue
            old = before.pop((name.id, name.created_at), None)
            noted = raters.user_of(old.rater_id) if old is not None else ""
            if not name.rater and noted:
                # the account was removed; whose it was is known here, and stays
                name = replace(name, rater=noted)
                raw = raw | {"completed_by": int(noted)}
            content = read_annotation(
                raw,
                taxonomy=taxonomy,
                shown=shown.at(name.updated_at),
                known=_known(old),
                recalled=recalled.of(place, name.created_at),
            )
            author = author_of(name, content, old, noted)
            if author not in (name.rater, noted):
                kind = InterventionKind.WRITTEN if old is None else InterventionKind.CHANGED
                _note(session, project, kind, name, rater=noted or name.rater, actor=author, applied=applied)
            _compare(session, project, place, name, content, old, raters.id_of(author), verdicts, applied)
            counted += content.counts
        began = _began(task)
        for old in before.values():
            # an earlier task had this id: what was said of that one stays, as it does wherever a task is removed
            if old.state in GONE or (began is not None and old.created_at < began):
                continue
            said_by = raters.user_of(old.rater_id)
            if old.state not in COUNTED or may_take_back(task, said_by, maintainer):
                _forget(old, verdicts, applied)
            else:
                _hold(session, project, old, said_by, deleter_of(task), applied)
                # whoever deleted it may have had a word of their own in it
                _take_back(old, raters.known(deleter_of(task)), verdicts)
        _set_state(rows.get(place.row_text_id), project, counted)
    for lost in mirrored.values():
        for old in lost.values():
            _forget(old, verdicts, applied)
    session.flush()
    for (rater, version), some in sorted(verdicts.by_rater.items()):
        some.sort(key=lambda timed: timed[0])
        got = record(session, rater, [timed for _, timed in some], taxonomy_version=version, run_id=run_id)
        applied.counts["judgements"] += got.new
        applied.counts["revisions"] += got.revised
    return applied


def _compare(
    session: Session,
    project: store.Project,
    place: TaskText,
    name: Name,
    content: Said,
    old: store.Annotation | None,
    rater: int,
    verdicts: _Verdicts,
    applied: Applied,
) -> None:
    applied.unknown.update(content.unknown)
    ref = reference(project.id, name.id, name.created_at)
    # the text of a task can be changed under an answer, which was given to the text before
    text_id = old.text_id if old is not None and is_as_noted(name, old) else place.text_id
    own = old is not None and old.rater_id == rater and old.state in COUNTED
    if old is not None and own and old.text_id != text_id:
        verdicts.add(rater, content.taxonomy_version, name.updated_at, _withdrawal(old.text_id, ref))
    if content.counts:
        verdict = NewJudgement(
            text_id, content.chosen, content.denied, explanation=content.explanation, external_ref=ref
        )
        verdicts.add(rater, content.taxonomy_version, name.updated_at, verdict)
    elif own:
        verdicts.add(rater, content.taxonomy_version, name.updated_at, _withdrawal(text_id, ref))
    if old is None:
        applied.counts["annotations"] += 1
        applied.counts[f"new {content.state}"] += 1
        if content.problem is not None:
            applied.counts[content.problem] += 1
        applied.changed.add(place.task_id)
        old = store.Annotation(
            project_id=project.id, label_studio_id=name.id, created_at=name.created_at, task_id=place.task_id
        )
        session.add(old)
    elif old.updated_at != name.updated_at or old.state is not content.state:
        applied.counts["updated"] += 1
        if content.problem is not None:
            applied.counts[content.problem] += 1
        applied.changed.add(place.task_id)
    old.updated_at, old.text_id, old.rater_id, old.task_id = name.updated_at, text_id, rater, place.task_id
    old.state, old.chosen, old.unknown = content.state, sorted(content.chosen), sorted(content.unknown)
    old.predicted = sorted(content.ticked.labels) if content.ticked is not None else None
    old.prediction_version = content.ticked.version if content.ticked is not None else None
    old.change, old.lead_time, old.comment, old.blind = content.change, content.lead_time, content.comment, place.blind


def _forget(old: store.Annotation, verdicts: _Verdicts, applied: Applied) -> None:
    """Take back what is no longer there."""
    if old.state in GONE:
        return
    if old.state in COUNTED:
        _take_back(old, old.rater_id, verdicts)
    old.state = AnnotationState.DELETED
    applied.counts["deleted"] += 1
    applied.changed.add(old.task_id)


def _take_back(old: store.Annotation, rater: int | None, verdicts: _Verdicts) -> None:
    if rater is not None:
        ref = reference(old.project_id, old.label_studio_id, old.created_at)
        verdicts.add(rater, "", old.updated_at, _withdrawal(old.text_id, ref))


def _hold(
    session: Session, project: store.Project, old: store.Annotation, rater: str, actor: str, applied: Applied
) -> None:
    """Note that somebody deleted another's annotation, whose judgement counts until a maintainer agrees."""
    name = Name(old.label_studio_id, old.created_at, old.updated_at, rater)
    _note(session, project, InterventionKind.DELETED, name, rater=rater, actor=actor, applied=applied)
    old.state = AnnotationState.HELD
    applied.changed.add(old.task_id)


def _note(
    session: Session,
    project: store.Project,
    kind: InterventionKind,
    name: Name,
    *,
    rater: str,
    actor: str,
    applied: Applied,
) -> None:
    session.add(
        store.Intervention(
            project_id=project.id,
            label_studio_id=name.id,
            annotation_created_at=name.created_at,
            kind=kind,
            rater=rater,
            actor=actor or None,
        )
    )
    applied.counts[f"{kind} by another account"] += 1


def reference(project: int, annotation: int, created_at: datetime) -> str:
    """The name of an annotation in the ledger: ids are given again after a removal, moments are not."""
    return f"ls:{project}:{annotation}:{created_at.astimezone(UTC).isoformat()}"


def _withdrawal(text_id: uuid.UUID, ref: str) -> NewJudgement:
    return NewJudgement(text_id, external_ref=ref, withdrawn=True)


def _began(task: Json) -> datetime | None:
    try:
        return moment(task.get("created_at"))
    except Malformed:
        return None


def _known(old: store.Annotation | None) -> Ticked | None:
    if old is None or old.predicted is None:
        return None
    return Ticked(frozenset(old.predicted), old.prediction_version)


def _rows(session: Session, project: store.Project, places: Iterable[TaskText]) -> dict[uuid.UUID, store.Task]:
    """Our records of the tasks, by text."""
    t = store.Task
    texts = [place.row_text_id for place in places]
    query = select(t).where(t.project_id == project.id, t.text_id == func.any(texts))
    return {row.text_id: row for row in session.scalars(query)}


def _set_state(task: store.Task | None, project: store.Project, counted: int) -> None:
    # one that is being sent is the push's, which looks for those
    if task is not None and task.state is not TaskState.PUSHING:
        # a task that wants another rater is still served, so it needs predictions; to a personal project comes no other
        wanted = task.overlap if project.volunteer is None else 1
        task.state = TaskState.DONE if counted >= wanted else TaskState.OPEN


def _mirrored(
    session: Session, project: store.Project, tasks: Sequence[int]
) -> dict[int, dict[_Key, store.Annotation]]:
    a = store.Annotation
    mirrored: dict[int, dict[_Key, store.Annotation]] = defaultdict(dict)
    for row in session.scalars(select(a).where(a.project_id == project.id, a.task_id == func.any(list(tasks)))):
        mirrored[row.task_id][row.label_studio_id, row.created_at.astimezone(UTC)] = row
    return mirrored


class _Raters:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._ids: dict[str, int] = {}

    def id_of(self, user: str) -> int:
        if user not in self._ids:
            self._ids[user] = rater_id(self._session, RaterRef(RaterKind.HUMAN, RATER, user))
        return self._ids[user]

    def known(self, user: str) -> int | None:
        """Id of a rater that the store has; None: it has none of that account."""
        r = store.Rater
        query = select(r.id).where(r.kind == RaterKind.HUMAN, r.name == RATER, r.version == user)
        return self._session.execute(query).scalar_one_or_none()

    def user_of(self, rater: int) -> str:
        return self._session.get_one(store.Rater, rater).version


class _Configs:
    """The labels that the project showed at each moment."""

    def __init__(self, session: Session, project: store.Project, taxonomy: Taxonomy, reading: Reading) -> None:
        c = store.ProjectConfig
        rows = session.scalars(select(c).where(c.project_id == project.id).order_by(c.since))
        self._rows = [
            (row.since, Shown(frozenset(row.labels), row.taxonomy_version, reading, row.empty_is_none)) for row in rows
        ]
        self._default = Shown(None, taxonomy.version, reading)

    def at(self, moment: datetime) -> Shown:
        in_force = [shown for since, shown in self._rows if since <= moment]
        return in_force[-1] if in_force else self._rows[0][1] if self._rows else self._default


class _Recalled:
    """Our own records of the labels that were ticked on a task at a moment."""

    def __init__(self, session: Session, project: store.Project, places: Iterable[TaskText]) -> None:
        b, p = store.PredictionBatch, store.Prediction
        batches = session.scalars(
            select(b).where(b.project_id == project.id, b.shown_at.is_not(None)).order_by(b.shown_at)
        )
        self._shown: Sequence[tuple[datetime, str]] = [(row.shown_at, row.version) for row in batches if row.shown_at]
        rows = session.execute(
            select(p.version, p.text_id, p.labels).where(
                p.project_id == project.id,
                p.version == func.any([version for _, version in self._shown]),
                p.text_id == func.any([place.text_id for place in places]),
            )
        )
        self._ticked = {(version, text_id): labels for version, text_id, labels in rows}

    def of(self, place: TaskText, at: datetime) -> Ticked | None:
        version = next((version for since, version in reversed(self._shown) if since <= at), None)
        if version is None or place.blind:
            return None
        labels = self._ticked.get((version, place.text_id))
        return Ticked(frozenset(labels), version) if labels is not None else None
