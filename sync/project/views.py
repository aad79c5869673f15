"""The list of tasks that people meet first in Label Studio: without the texts, which it would show unblurred, and
without answers, predictions and scores, by which a second rater would be guided."""

from __future__ import annotations

from sync.api.client import LabelStudio

TITLE = "Saring"
_HIDDEN = [
    "tasks:data.text",
    "tasks:data.why",
    "tasks:data.confidence",
    "tasks:data.queue",
    "tasks:data.batch",
    "tasks:data.text_id",
    "tasks:annotators",
    "tasks:annotations_results",
    "tasks:annotations_ids",
    "tasks:predictions_results",
    "tasks:predictions_score",
    "tasks:predictions_model_versions",
    "tasks:updated_by",
    "tasks:comment_authors",
    "tasks:avg_lead_time",
    "tasks:draft_exists",
    "tasks:file_upload",
    "tasks:storage_filename",
    "tasks:created_at",
    "tasks:updated_at",
]
#: what a list that Saring made hid before it hid answers
_FORMER = [["tasks:data.text", "tasks:data.why"]]


def wire_view(client: LabelStudio, project: int) -> str | None:
    """Make the list unless the project has one, and renew one of ours that nobody changed; what was done, in words.

    People may change it as they like afterwards, so it is known by what it hides.
    """
    from label_studio_sdk.types import ViewDataRequestRequest

    listed = client.views.list(project=project)
    data = {"title": TITLE, "hiddenColumns": {"explore": _HIDDEN, "labeling": _HIDDEN}}
    if not listed:
        client.views.create(project=project, data=ViewDataRequestRequest.model_validate(data))
        return "task list made that keeps texts out of sight"
    former = [{"title": TITLE, "hiddenColumns": {"explore": hidden, "labeling": hidden}} for hidden in _FORMER]
    for view in listed:
        if view.data is not None and _said(view.data) in former:
            client.views.update(str(view.id), project=project, data=ViewDataRequestRequest.model_validate(data))
            return "task list renewed that keeps answers out of sight"
    return None


def _said(data: object) -> object:
    dumped = data if isinstance(data, dict) else data.model_dump(exclude_none=True)  # type: ignore[attr-defined]
    return {name: value for name, value in dumped.items() if name in ("title", "hiddenColumns", "filters", "ordering")}
