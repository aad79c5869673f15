"""Why a task shows the ticks that it shows, or none."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import Engine, select

from pipeline import store
from pipeline.errors import LabelStudioMissing, UsageError
from pipeline.preannotation.label_studio_format import reading_of
from pipeline.store.public_ids import PublicIds
from pipeline.store.session import open_session
from pipeline.store.tables.human_loop import TaskState
from pipeline.taxonomy import Taxonomy
from sync.api.client import LabelStudio
from sync.known import follow_address
from sync.pull.annotations import labels_in

if TYPE_CHECKING:
    from label_studio_sdk.types import LseProjectResponse, MlBackend, RoleBasedTask


@dataclass(slots=True)
class Explanation:
    """The labels that a volunteer sees ticked on a task, and the reasons."""

    project: str
    task: int
    text_id: str
    #: why the task was queued
    queued: str
    #: None: unknown, because a person chose the text
    inclusion_probability: float | None
    #: labels that are ticked when the page is opened
    shown: list[str] = field(default_factory=list)
    #: version of the predictions that is shown
    version: str | None = None
    #: where each tick comes from
    sources: dict[str, str] = field(default_factory=dict)
    #: what keeps ticks from being shown, or is worth knowing; what to do about it
    reasons: list[str] = field(default_factory=list)


def why(
    engine: Engine, client: LabelStudio, wanted: str, *, taxonomy: Taxonomy, project: int | None = None
) -> Explanation:
    """Explain the ticks of a task.

    Args:
        engine: the store.
        client: the server.
        wanted: Label Studio's id of the task, or the id of its text.
        taxonomy: the labels.
        project: our own id of the project, where several have that text.

    Raises:
        UsageError: no task of Saring's is meant.
    """
    task, of = _find(engine, client, wanted, project)
    explanation = Explanation(
        project=of.title,
        task=task.label_studio_id or 0,
        text_id=str(task.text_id),
        queued=f"{task.strategy}: {task.reason}",
        inclusion_probability=task.inclusion_probability,
    )
    if task.state is TaskState.PUSHING or task.label_studio_id is None:
        explanation.reasons.append("it was being sent when something broke off: run `saring sync push`")
        return explanation
    try:
        there = client.tasks.get(str(task.label_studio_id))
    except LabelStudioMissing:
        explanation.reasons.append("the task is no longer in Label Studio; `saring sync reconcile` notes that")
        return explanation
    settings = client.project(of.label_studio_id)
    backends = client.ml.list(project=of.label_studio_id)
    _explain(explanation, task, of, there, settings, backends, taxonomy)
    with open_session(engine) as session:
        kept = (
            session.get(store.Prediction, (of.id, explanation.version, task.text_id)) if explanation.version else None
        )
        explanation.sources = (
            {label: str(kept.why.get(label, "")) for label in explanation.shown} if kept is not None else {}
        )
    return explanation


def _explain(
    explanation: Explanation,
    task: store.Task,
    project: store.Project,
    there: RoleBasedTask,
    settings: LseProjectResponse,
    backends: Sequence[MlBackend],
    taxonomy: Taxonomy,
) -> None:
    """Follow Label Studio's own rules for what it shows."""
    live = next((backend for backend in backends if backend.title == settings.model_version), None)
    explanation.version = settings.model_version or None
    if settings.show_collab_predictions is False:
        explanation.reasons.append("the project is set not to show predictions: run `saring sync setup`")
    if explanation.version is None:
        explanation.reasons.append("the project shows no version of predictions: run `saring sync predict`")
    elif live is not None:
        explanation.reasons.append(
            f"the project asks its ML backend {explanation.version!r} for every task, and shows nothing when that is "
            "slow or down: run `saring sync setup`"
        )
    elif explanation.version != project.model_version:
        explanation.reasons.append(
            f"somebody had the project show {explanation.version!r}, and the newest predictions are "
            f"{project.model_version!r}: run `saring sync setup`"
        )
    if task.blind:
        explanation.reasons.append(
            "the task is a blind one, drawn to measure how much ticks sway people: nothing is ticked"
        )
    predictions = there.predictions or []
    here = [prediction for prediction in predictions if prediction.model_version == explanation.version]
    if not here:
        versions = sorted({str(prediction.model_version) for prediction in predictions})
        others = f"its ticks come from an older model ({', '.join(versions)})" if versions else "it has no ticks yet"
        explanation.reasons.append(f"{others}: `saring sync predict` renews them")
        return
    reading = reading_of(settings.label_config or "", taxonomy)
    ticked, strange = labels_in(here[-1].result, taxonomy, reading)
    lacking = sorted((ticked - reading.labels) | strange)
    if lacking:
        explanation.reasons.append(f"the project has no label {', '.join(lacking)}: run `saring sync setup`")
    explanation.shown = [key for key in taxonomy.keys if key in ticked & reading.labels]
    if not ticked and not strange and not task.blind:
        explanation.reasons.append("no label is likelier than not, so nothing is ticked")


def _find(engine: Engine, client: LabelStudio, wanted: str, project: int | None) -> tuple[store.Task, store.Project]:
    t, p = store.Task, store.Project
    query = select(t, p).join(p, p.id == t.project_id).where(p.url == client.url).order_by(p.id.desc())
    if project is not None:
        query = query.where(p.id == project)
    with open_session(engine) as session:
        if wanted.isdecimal() and len(wanted) <= 10 and int(wanted) < 2**31:
            query = query.where(t.label_studio_id == int(wanted))
        else:
            try:
                query = query.where(t.text_id.in_(PublicIds.of_store(session).candidates(uuid.UUID(wanted))))
            except ValueError:
                raise UsageError(f"{wanted!r} is neither a task's number nor a text's id") from None
        follow_address(session, client)
        session.commit()
        row = session.execute(query).first()
    if row is None:
        raise UsageError(f"no task {wanted} was pushed from here to {client.url}: see `saring queue show`")
    return row[0], row[1]
