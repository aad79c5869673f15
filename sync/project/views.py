"""The list of tasks that people meet first in Label Studio: without the texts, which it would show unblurred."""

from __future__ import annotations

from sync.api.client import LabelStudio

TITLE = "Saring"
_HIDDEN = ["tasks:data.text", "tasks:data.why"]


def wire_view(client: LabelStudio, project: int) -> bool:
    """Make the list unless the project has one; whether it was made.

    People may change it as they like afterwards, so it is known by being there.
    """
    from label_studio_sdk.types import ViewDataRequestRequest

    if client.views.list(project=project):
        return False
    data = {"title": TITLE, "hiddenColumns": {"explore": _HIDDEN, "labeling": _HIDDEN}}
    client.views.create(project=project, data=ViewDataRequestRequest.model_validate(data))
    return True
