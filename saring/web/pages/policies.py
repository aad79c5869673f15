"""The page /policies: how strict the moderation endpoint is for an application, with what to expect of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Form
from fastapi.responses import Response

from pipeline.errors import UsageError
from pipeline.store.tables.accounts import Role
from saring.actions.moderation import policy_figures, remove_policy, set_policy
from saring.web.routing import Pages
from saring.web.visit import Visit

pages = Pages("policies")


@pages.get(role=Role.VIEWER)
def index(visit: Visit) -> Response:
    """All policies, with the precision and recall to expect of each."""
    return visit.page("policies/index.html", policies=policy_figures(visit.home), typed={})


@pages.post("/set", role=Role.MAINTAINER, act="policies.set")
def change(
    visit: Visit,
    name: Annotated[str, Form()],
    default: Annotated[str, Form()] = "",
    label: Annotated[str, Form()] = "",
    target: Annotated[str, Form()] = "",
    store_texts: Annotated[str, Form(pattern="^(|yes|no)$")] = "",
) -> Response:
    """Make a policy, or change its target for one label or for all others; an empty one takes a label's target away."""
    try:
        before = {policy.policy.name: policy.policy for policy in policy_figures(visit.home)}.get(name)
        labels = {key: str(goal) for key, goal in before.labels.items()} if before is not None else {}
        if label and target:
            labels[label] = target
        elif label:
            labels.pop(label, None)
        store = {"yes": True, "no": False}.get(store_texts)
        policy = set_policy(visit.home, name, default or None, labels, store_texts=store)
    except UsageError as error:
        typed = {"name": name, "default": default, "label": label, "target": target, "store_texts": store_texts}
        return visit.wrong(str(error), "policies/index.html", policies=policy_figures(visit.home), typed=typed)
    visit.note(policy=name, store_texts=policy.store_texts)
    return visit.done("/policies", visit.say("The policy is saved. Applications follow within seconds."))


@pages.post("/{name}/remove", role=Role.MAINTAINER, act="policies.remove")
def remove(visit: Visit, name: str) -> Response:
    """Remove a policy that no token uses."""
    remove_policy(visit.home, name)
    return visit.done("/policies", visit.say("The policy is removed."))
