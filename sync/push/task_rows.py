"""Tasks and predictions as Label Studio takes them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline import store
from pipeline.preannotation import Proposal
from pipeline.preannotation.label_studio_format import LABELS, TEXT, Control, own_control, score_of
from pipeline.preannotation.told import panel
from pipeline.taxonomy import Taxonomy
from sync.api.client import LabelStudio

#: the control of the page that Saring makes, where each choice is a label's key
OWN = Control(LABELS, TEXT, TEXT, multiple=True)


def task_row(
    task: store.Task,
    public_id: uuid.UUID,
    text: str,
    language: str | None,
    proposal: Proposal,
    version: str,
    control: Control = OWN,
) -> dict[str, Any]:
    """A task as Label Studio imports it, with its prediction: one without ticks, in its place, for a blind task."""
    shown = not task.blind
    result = prediction_result(proposal, control) if shown else []
    return {
        "data": {
            "text": text,
            "text_id": str(public_id),
            "batch": task.batch,
            "why": panel(proposal.told) if shown else "",
            "confidence": proposal.confidence if shown else None,
            "queue": task.strategy,
            "lang": language,
        },
        "predictions": [{"result": result, "score": score_of(task.priority), "model_version": version}],
    }


def asks_for(raters: int) -> dict[str, Any]:
    """The fields by which a task waits for so many raters. Label Studio does not look again whether a task is done when
    its overlap changes, so it is told.
    """
    return {"overlap": raters, "is_labeled": False}


def prediction_result(proposal: Proposal, control: Control = OWN) -> list[dict[str, Any]]:
    """The ticked labels, as Label Studio writes them."""
    return [control.region(proposal.labels, proposal.scores, proposal.confidence)] if proposal.labels else []


def control_of(client: LabelStudio, project: store.Project, taxonomy: Taxonomy) -> Control:
    """The control of a project's page that takes labels: somebody may have edited the page by hand."""
    page = client.project(project.label_studio_id).label_config or ""
    return own_control(page, taxonomy) or OWN


def prediction_rows(
    project_id: int, version: str, tasks: Sequence[store.Task], proposals: Mapping[uuid.UUID, Proposal]
) -> list[dict[str, Any]]:
    """Rows of the table of predictions; for a blind task, the labels that would have been ticked, to compare with."""
    return [
        {
            "project_id": project_id,
            "version": version,
            "text_id": task.text_id,
            "labels": list(proposals[task.text_id].labels),
            "scores": dict(proposals[task.text_id].scores),
            "why": dict(proposals[task.text_id].why),
        }
        for task in tasks
    ]
