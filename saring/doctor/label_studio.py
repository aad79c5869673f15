"""The known traps of Label Studio, looked for in the one that is used. Only questions are asked; nothing is written.

What each trap does was seen on version 1.23.2.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import httpx

from pipeline.errors import TaxonomyError, first_line
from pipeline.preannotation.label_studio_format import NONE_OF_THESE, read_config
from pipeline.settings import Settings
from pipeline.taxonomy import Taxonomy, load_taxonomy
from saring.doctor.check import Check, Verdict
from saring.services import LabelStudioAccess, label_studio_access, loop_status
from saring.services.label_studio import LabelStudio
from saring.services.label_studio_install import VERSION, environment
from saring.services.places import Places
from saring.services.programs import Backend
from saring.services.server import is_alive

_KNOWN = VERSION.rsplit(".", 1)[0]
#: the mark in the description of a project that Saring set up
_MARK = "saring:"
#: a question about ML backends has the server ask each of them first, which may take some seconds apiece
_SECONDS = httpx.Timeout(30, connect=5)
_PAGE = 100
_LEGACY_OFF = "legacy token authentication has been disabled"

Json = dict[str, Any]


def installation(settings: Settings) -> Iterable[Check]:
    """Check that the embedded one can be started."""
    if settings.label_studio_url is not None:
        return
    programs = environment(settings)
    if programs.is_complete():
        yield Check("Label Studio program", Verdict.OK, f"{VERSION} in {programs.folder}")
    else:
        mend = "run `saring up`, which installs it (1 GB), or set LABEL_STUDIO_URL to a server of yours"
        yield Check("Label Studio program", Verdict.WARN, "not installed yet", mend)
    server = LabelStudio(Places(settings.home), programs)
    for service in (server, Backend(settings)):
        taken = None if is_alive(service) else service.port.taken()
        if taken is not None:
            fault, _, mend = taken.partition(": ")
            yield Check(f"{service.name} port", Verdict.FAIL, fault, mend)


def server(settings: Settings) -> Iterable[Check]:
    """Check that the server lets us in, and is set up so that people see what they should."""
    access = label_studio_access(settings)  # which says what is wrong with the settings
    if access is None or (access.embedded and loop_status(settings)[0].state != "ready"):
        return  # nothing to ask yet, and the check of the services says so
    try:
        client = httpx.Client(
            base_url=access.url, timeout=_SECONDS, follow_redirects=True, trust_env=not access.embedded
        )
    except httpx.InvalidURL as error:
        mend = "write it as https://labels.example.org"
        yield Check("Label Studio server", Verdict.FAIL, f"LABEL_STUDIO_URL is not an address: {error}", mend)
        return
    with client:
        try:
            refused = _let_in(client, access)
            if refused is not None:
                yield refused
                return
            yield Check("Label Studio token", Verdict.OK, _kind(access.api_key))
            yield _version(client)
            projects = _projects(client)
            backends = {project["id"]: _list(client, "/api/ml", project["id"]) for project in projects}
            yield from _backend_address(
                settings, access, [backend for listed in backends.values() for backend in listed]
            )
            yield check_accounts(embedded=access.embedded, maintainers=settings.label_studio_maintainers)
            taxonomy = _taxonomy(settings)
            for project in projects:
                yield from check_answers(project, taxonomy)
                hooks = _list(client, "/api/webhooks/", project["id"])
                yield from check_project(project, backends[project["id"]], hooks, _own_backend(settings))
        except httpx.RequestError as error:
            yield _silent(access, error)
        except (httpx.HTTPStatusError, ValueError, KeyError, TypeError) as error:
            reason = first_line(error)
            mend = "see whether LABEL_STUDIO_URL is the address of Label Studio itself, its path included"
            yield Check(
                "Label Studio server", Verdict.FAIL, f"{access.url} does not answer as it should: {reason}", mend
            )


def check_project(project: Json, backends: list[Json], hooks: list[Json], own: str | None) -> Iterator[Check]:
    """The faults of one project, from the server's settings of it.

    Args:
        project: the project.
        backends: the ML backends that are connected to it.
        hooks: its webhooks.
        own: the address of our ML backend, if it has one yet.
    """
    name = f"Label Studio project {project['id']}"
    titles = [str(backend.get("title")) for backend in backends]
    if len(backends) > 1:
        mend = "remove all but one in the project's settings, Model: only the first is asked, and each slows every page"
        yield Check(name, Verdict.FAIL, f"{len(backends)} ML backends: {', '.join(titles)}", mend)
    shown = str(project.get("model_version") or "")
    if shown and shown in titles:
        yield Check(
            name,
            Verdict.FAIL,
            f"it shows the live answers of ML backend {shown!r}: pages wait for it, and stay empty when it is down",
            "run `saring sync setup`: predictions that were written ahead are shown instead",
        )
    elif not shown and project.get("total_predictions_number"):
        yield Check(
            name,
            Verdict.FAIL,
            f"{project['total_predictions_number']} predictions are stored and none is shown: no version is chosen",
            "run `saring sync push`, or choose a version in the project's settings, Annotation, Live predictions",
        )
    connected = {_base(str(backend.get("url", ""))) for backend in backends} | ({_base(own)} if own else set())
    for hook in hooks:
        base, _, last = str(hook.get("url", "")).rstrip("/").rpartition("/")
        if last == "webhook" and _base(base) not in connected and hook.get("is_active", True):
            yield Check(
                name,
                Verdict.WARN,
                f"webhook {hook['id']} goes to {_shown(base)}, where no ML backend of this project is (any more)",
                "remove it in the project's settings, Webhooks: each submission waits for it, up to a second",
            )


def check_answers(project: Json, taxonomy: Taxonomy | None) -> Iterator[Check]:
    """Check that a text which no label fits can be answered on the page that a project has now.

    Args:
        project: the project.
        taxonomy: the labels in force; None: they cannot be read, which another check says.
    """
    shown = read_config(str(project.get("label_config") or ""))
    if taxonomy is None or shown is None or taxonomy.none_label in shown.labels:
        return
    if not any(NONE_OF_THESE in choices for choices in shown.choices.values()):
        yield Check(
            f"Label Studio project {project['id']}",
            Verdict.WARN,
            "a text that no label fits cannot be answered: no label means that, and the page has no 'None of these'",
            "run `saring sync setup`, which adds the choice; no answer is lost",
        )


def _taxonomy(settings: Settings) -> Taxonomy | None:
    try:
        return load_taxonomy(settings.taxonomy_file)
    except TaxonomyError:
        return None


def check_accounts(*, embedded: bool, maintainers: Sequence[str]) -> Check:
    """Say what volunteers' accounts can do, which no question to the server tells.

    Args:
        embedded: it is the one that Saring runs.
        maintainers: addresses of accounts that may do everything in it; `*`: every account.
    """
    name = "Label Studio accounts"
    if embedded and "*" not in maintainers:
        return Check(name, Verdict.OK, "volunteers reach their own work only")
    if embedded:
        mend = "name maintainers' addresses in SARING_LABEL_STUDIO_MAINTAINERS, and restart"
        return Check(name, Verdict.WARN, "SARING_LABEL_STUDIO_MAINTAINERS=* lets every account do everything", mend)
    return Check(
        name,
        Verdict.WARN,
        "in the community edition every account can read, change and remove everything",
        "make a backup (`saring backup`) before you invite people, and put the proxy of docs/volunteers.md before it",
    )


def _let_in(client: httpx.Client, access: LabelStudioAccess) -> Check | None:
    """Log the client in; what is wrong when that is refused."""
    name = "Label Studio token"
    if _kind(access.api_key) == _PERSONAL:
        answer = client.post("/api/token/refresh/", json={"refresh": access.api_key})
        if answer.status_code in (400, 401, 403):
            fault = f"the personal access token is refused: {_detail(answer)}"
            mend = "make another in Label Studio's Account & Settings and set LABEL_STUDIO_API_KEY to it"
            return Check(name, Verdict.FAIL, fault, mend)
        answer.raise_for_status()
        client.headers["Authorization"] = f"Bearer {answer.json()['access']}"
    else:
        client.headers["Authorization"] = f"Token {access.api_key}"
    answer = client.get("/api/current-user/whoami")
    if answer.status_code in (401, 403):
        if _LEGACY_OFF in answer.text:
            mend = (
                "turn legacy tokens on in Label Studio's Organization, Access Token Settings, or set "
                "LABEL_STUDIO_API_KEY to a personal access token"
            )
            return Check(name, Verdict.FAIL, "legacy tokens are turned off", mend)
        fault = f"it is refused: {_detail(answer)}"
        mend = "copy the token from Label Studio's Account & Settings and set LABEL_STUDIO_API_KEY to it"
        return Check(name, Verdict.FAIL, fault, mend)
    answer.raise_for_status()
    if "email" not in answer.json():
        raise ValueError("no account in its answer")
    return None


def _version(client: httpx.Client) -> Check:
    version = str(client.get("/api/version").raise_for_status().json()["release"])
    if version.split(".")[:2] == _KNOWN.split("."):
        return Check("Label Studio version", Verdict.OK, version)
    mend = f"Saring is tested with {_KNOWN}: what it relies on may differ; use that version, or try on a copy first"
    return Check("Label Studio version", Verdict.WARN, version, mend)


def _backend_address(settings: Settings, access: LabelStudioAccess, backends: list[Json]) -> Iterator[Check]:
    """Check that Label Studio can be expected to call the ML backend. Its own refusals show only when it is tried."""
    if access.embedded and settings.backend_url is None:
        return  # both on loopback, which the embedded one is allowed to call
    url = _own_backend(settings)
    name = "ML backend address"
    if settings.backend_url is None:
        if not _is_loopback(httpx.URL(access.url).host):
            fault = f"Label Studio at {access.url} cannot reach an ML backend on this machine's loopback"
            yield Check(name, Verdict.WARN, fault, "set SARING_BACKEND_URL to an address that it can reach")
            return
        host = "127.0.0.1"
    else:
        host = httpx.URL(settings.backend_url).host
    if url is not None and any(_base(str(backend.get("url", ""))) == _base(url) for backend in backends):
        yield Check(name, Verdict.OK, f"{_shown(url)}, connected")
        return
    if not _is_private(host):
        return
    if access.embedded:
        if not any(host == allowed.partition(":")[0] for allowed in settings.label_studio_may_call):
            fault = f"{host} is a private address, and the embedded Label Studio calls no such one but Saring's own"
            mend = "unset SARING_BACKEND_URL, or name the address in SARING_LABEL_STUDIO_MAY_CALL, and restart"
            yield Check(name, Verdict.FAIL, fault, mend)
        return
    yield Check(
        name,
        Verdict.WARN,
        f"{host} is a private address, and Label Studio {_KNOWN} refuses those unless it is told otherwise",
        "where Label Studio runs, set USE_DEFAULT_BANNED_SUBNETS=0; `saring sync setup` shows whether that is needed",
    )


def _silent(access: LabelStudioAccess, error: httpx.RequestError) -> Check:
    reason = first_line(error)
    if "CERTIFICATE" in reason.upper():
        mend = "give its certificate's authority in SSL_CERT_FILE, or use the name that the certificate is for"
    elif access.embedded:
        mend = "run `saring down` and `saring up`"
    else:
        mend = "start it, or correct LABEL_STUDIO_URL"
    return Check("Label Studio server", Verdict.FAIL, f"{access.url} does not answer: {reason}", mend)


def _projects(client: httpx.Client) -> list[Json]:
    """The projects that Saring set up."""
    projects: list[Json] = []
    page = 1
    while True:
        answer = client.get("/api/projects/", params={"page": page, "page_size": _PAGE}).raise_for_status().json()
        projects += answer["results"]
        if len(projects) >= answer["count"] or not answer["results"]:
            return [project for project in projects if _MARK in str(project.get("description") or "")]
        page += 1


def _list(client: httpx.Client, path: str, project: int) -> list[Json]:
    listed = client.get(path, params={"project": project}).raise_for_status().json()
    return list(listed["results"] if isinstance(listed, dict) else listed)


def _own_backend(settings: Settings) -> str | None:
    return settings.backend_url or Backend(settings).port.url()


def _base(url: str) -> str:
    """An address without what may differ between two ways to write it."""
    return _shown(url).replace("//localhost", "//127.0.0.1").rstrip("/")


def _shown(url: str) -> str:
    try:
        return str(httpx.URL(url).copy_with(username=None, password=None))
    except httpx.InvalidURL:
        return url


def _is_loopback(host: str) -> bool:
    return any(address.is_loopback for address in _addresses(host))


def _is_private(host: str) -> bool:
    return any(not address.is_global for address in _addresses(host))


def _addresses(host: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        resolved = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:  # a name that only the other machine knows
        return []
    return [ipaddress.ip_address(str(entry[4][0]).split("%")[0]) for entry in resolved]


_PERSONAL, _LEGACY = "a personal access token", "a legacy token"


def _kind(key: str) -> str:
    return _PERSONAL if key.count(".") == 2 and key.startswith("ey") else _LEGACY


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"]).strip()
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"
