"""The ML backend and the webhook of a project: exactly one of each is ours, and other people's are left alone.

The webhook is made before the backend: Label Studio makes one of its own for a new backend, without any credentials,
unless there is one with that address already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.backend_credentials import WEBHOOK_HEADER, BackendCredentials
from pipeline.errors import LabelStudioError, LabelStudioRefused, UncertainOutcome
from sync.api.client import Json, LabelStudio

if TYPE_CHECKING:
    from label_studio_sdk.types import MlBackend, Webhook

    _Listed = TypeVar("_Listed", MlBackend, Webhook)

#: What Label Studio calls our backend. It stands in a project's `model_version` for "ask the backend while people
#: wait", so no version of predictions may be called so.
BACKEND_TITLE = "Saring"
#: What a pull would want to be woken for. Not for tasks made: our own pushes would send them all back.
ACTIONS = (
    "ANNOTATION_CREATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATIONS_DELETED",
    "TASKS_DELETED",
)
_CONNECTED = "CO"


@dataclass(slots=True)
class Wiring:
    """The changes of a connection, and what people should know of it."""

    connected: bool = False
    changed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    #: other people's backends and webhooks, which were left alone
    others: list[str] = field(default_factory=list)


def wire(client: LabelStudio, project: int, backend_url: str, credentials: BackendCredentials) -> Wiring:
    """See to it that the project has our backend and our webhook, once, with the right credentials.

    A backend that does not answer, or whose address Label Studio refuses, is a warning: the loop does without.
    """
    base = backend_url.rstrip("/")
    wiring = Wiring()
    backends = _by_id(client.ml.list(project=project))
    _wire_webhook(client, project, base, credentials, backends, wiring)
    _wire_backend(client, project, base, credentials, backends, wiring)
    return wiring


def backend_titles(client: LabelStudio, project: int) -> set[str]:
    """Titles of the project's backends: as a `model_version` each means a live one."""
    return {str(backend.title) for backend in client.ml.list(project=project)}


def _wire_webhook(
    client: LabelStudio,
    project: int,
    base: str,
    credentials: BackendCredentials,
    backends: Sequence[MlBackend],
    wiring: Wiring,
) -> None:
    wanted: Json = {
        "url": f"{base}/webhook",
        "send_payload": True,
        "send_for_all_actions": False,
        "headers": {WEBHOOK_HEADER: credentials.webhook_secret},
        "is_active": True,
        "actions": list(ACTIONS),
    }
    # those that Label Studio made for backends of ours have nothing but the address to tell them by
    addresses = {f"{_base(backend)}/webhook" for backend in backends if _is_ours(backend, base)} | {wanted["url"]}
    ours: list[Webhook] = []
    for hook in _by_id(client.webhooks.list(project=str(project))):
        if str(hook.url).rstrip("/") in addresses or WEBHOOK_HEADER in (hook.headers or {}):
            ours.append(hook)
        else:
            wiring.others.append(f"webhook {hook.id} to {_plain(hook.url)}")
    try:
        if not ours:
            client.webhooks.create(project=project, **wanted)
            wiring.changed.append("webhook made")
        elif any(_comparable(getattr(ours[0], name)) != _comparable(value) for name, value in wanted.items()):
            client.webhooks.update(_id(ours[0]), **wanted)
            wiring.changed.append("webhook repaired")
    except UncertainOutcome:
        wiring.warnings.append("it is not known whether the webhook was made: run `saring sync setup` again")
    except LabelStudioError as error:
        wiring.warnings.append(f"no webhook, so annotations are pulled by the schedule only: {_advice(error, base)}")
    for hook in ours[1:]:
        client.webhooks.delete(_id(hook))
        wiring.changed.append("doubled webhook removed")


def _wire_backend(
    client: LabelStudio,
    project: int,
    base: str,
    credentials: BackendCredentials,
    backends: Sequence[MlBackend],
    wiring: Wiring,
) -> None:
    wanted: Json = {
        "url": base,
        "title": BACKEND_TITLE,
        "project": project,
        "auth_method": "BASIC_AUTH",
        "basic_auth_user": credentials.user,
    }
    secret: Json = {"basic_auth_pass": credentials.password}
    # the one at the right address first, so that it is the one that stays
    ours = sorted(
        (other for other in backends if _is_ours(other, base)), key=lambda other: (_base(other) != base, _id(other))
    )
    for other in backends:
        if other not in ours:
            wiring.others.append(f"ML backend {other.title!r} at {_plain(other.url)}")
    for other in ours[1:]:
        client.ml.delete(_id(other))
        wiring.changed.append("doubled ML backend removed")
    try:
        if not ours:
            client.ml.create(**wanted, **secret)
            wiring.changed.append("ML backend connected")
        elif not _is_right(ours[0], wanted):
            client.ml.update(_id(ours[0]), **wanted, **secret)
            wiring.changed.append("ML backend repaired")
        wiring.connected = True
    except UncertainOutcome:
        wiring.warnings.append("it is not known whether the ML backend was connected: run `saring sync setup` again")
    except LabelStudioError as error:
        wiring.warnings.append(
            f"the ML backend is not connected, so only predictions written ahead are shown: {_advice(error, base)}"
        )
    first = min(backends, key=_id, default=None)
    if first is not None and first not in ours:
        wiring.warnings.append(
            f"Label Studio asks only a project's first ML backend, which here is {first.title!r}, not Saring's: "
            "remove it if Saring is to answer"
        )


def _is_right(backend: MlBackend, wanted: Json) -> bool:
    """True where it answers and has our settings. Its password cannot be read; a wrong one ends in an error state."""
    same = all(getattr(backend, name) == value for name, value in wanted.items() if name != "url")
    return same and _base(backend) == wanted["url"] and backend.state == _CONNECTED


def _is_ours(backend: MlBackend, base: str) -> bool:
    return backend.title == BACKEND_TITLE or _base(backend) == base


def _base(backend: MlBackend) -> str:
    return str(backend.url or "").rstrip("/")


def _id(listed: MlBackend | Webhook) -> int:
    """Its number, which Label Studio always gives, and the SDK does not promise."""
    return int(listed.id or 0)


def _by_id(listed: Sequence[_Listed]) -> list[_Listed]:
    return sorted(listed, key=_id)


def _comparable(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value


def _plain(url: object) -> str:
    """An address without what may be secret in it."""
    bare = str(url).split("?", 1)[0]
    scheme, _, rest = bare.partition("://")
    return f"{scheme}://{rest.rsplit('@', 1)[-1]}" if rest else bare


def _advice(error: LabelStudioError, base: str) -> str:
    words = str(error)
    if isinstance(error, LabelStudioRefused) and "reserved network" in words:
        return (
            f"Label Studio refuses private addresses such as {base}: start it with USE_DEFAULT_BANNED_SUBNETS=0, or "
            "set SARING_BACKEND_URL to an address that it accepts"
        )
    if "health check failed" in words or "authentication" in words.lower():
        return f"Label Studio cannot use {base}: start it with `saring up`, then run `saring sync setup` again"
    return f"{words.rstrip('.')}; see `saring doctor`"
