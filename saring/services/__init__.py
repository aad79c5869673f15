"""The services of a home, each one detached process for all processes of the home: PostgreSQL and Valkey, Label Studio,
and Saring's own ML backend, worker, beat and keeper.

A server starts when it is first needed and stays until `saring down`. An address in the settings replaces it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.errors import ServiceError
from pipeline.progress import Progress, silent
from pipeline.settings import Settings
from saring.services.label_studio import OWNER_FILE, LabelStudio
from saring.services.label_studio_install import ensure_installed, environment, make_template
from saring.services.left_out import leave_out, refuse_left_out
from saring.services.loopback import HOST
from saring.services.places import Places
from saring.services.postgres import Postgres
from saring.services.programs import Backend, beat_program, io_worker_program, keeper_program, worker_program
from saring.services.server import Answer, Server, ensure_running, stop
from saring.services.status import (
    ServiceStatus,
    connect_if_running,
    database_address,
    loop_status,
    service_status,
)
from saring.services.valkey import Valkey

__all__ = [
    "Endpoints",
    "LabelStudioAccess",
    "ServiceStatus",
    "connect_if_running",
    "ensure_backend",
    "ensure_broker",
    "ensure_database",
    "ensure_keeper",
    "ensure_label_studio",
    "ensure_worker",
    "install_label_studio",
    "label_studio_access",
    "leave_out",
    "loop_status",
    "owner_file",
    "service_status",
    "start_services",
    "stop_services",
]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The addresses of the services. They may hold passwords, so they aren't shown."""

    #: as SQLAlchemy takes it
    database_url: str = field(repr=False)
    #: as Celery takes it
    redis_url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LabelStudioAccess:
    """The address and token of Label Studio."""

    #: without a slash at the end
    url: str
    #: a legacy token or a personal access token
    api_key: str = field(repr=False)
    #: whether Saring starts and stops it
    embedded: bool
    #: of the owner, to log in with; known of the embedded one only
    email: str | None = None
    password: str | None = field(default=None, repr=False)


def start_services(settings: Settings, progress: Progress = silent) -> Endpoints:
    """Start what isn't running. Safe to call from any number of processes at once.

    Raises:
        ServiceError: one cannot be started; the message says why and what to do.
    """
    return Endpoints(ensure_database(settings, progress), ensure_broker(settings, progress))


def ensure_database(settings: Settings, progress: Progress = silent) -> str:
    """The address of the database, as SQLAlchemy takes it; the embedded server is started if need be.

    Raises:
        ServiceError: it cannot be started, or the address in the settings isn't one.
    """
    if settings.database_url is not None:
        return database_address(settings.database_url.get_secret_value())
    server = Postgres(Places(settings.home))
    if ensure_running(server, progress):
        server.update_extension()
    return server.url()


def ensure_broker(settings: Settings, progress: Progress = silent) -> str:
    """The address of the broker, as Celery takes it; the embedded server is started if need be.

    Raises:
        ServiceError: it cannot be started.
    """
    if settings.redis_url is not None:
        return settings.redis_url.get_secret_value()
    server = Valkey(Places(settings.home))
    ensure_running(server, progress)
    return server.url()


def install_label_studio(settings: Settings, progress: Progress = silent) -> None:
    """Make the environment of the embedded Label Studio, if it is to be used and isn't there.

    Raises:
        ServiceError: it cannot be made; the message says why and what to do.
    """
    if settings.label_studio_url is None:
        ensure_installed(environment(settings), progress, make_template)


def ensure_label_studio(settings: Settings, progress: Progress = silent) -> LabelStudioAccess:
    """The address and token of Label Studio; the embedded one is installed and started if need be.

    Raises:
        ServiceError: it cannot be, or the settings name an address without a key.
        LeftOut: a person left it out.
    """
    if settings.label_studio_url is None:
        server = _label_studio(settings)
        if server.ask() is not Answer.READY:
            refuse_left_out(settings, "label-studio", server.name)
            install_label_studio(settings, progress)
            ensure_running(server, progress)
    access = label_studio_access(settings)
    assert access is not None, "a running server has an address and an owner"
    return access


def label_studio_access(settings: Settings) -> LabelStudioAccess | None:
    """The address and token of Label Studio, running or not; None when the embedded one was never started. Starts
    nothing.

    Raises:
        ServiceError: the settings name an address without a key, or what isn't one.
    """
    if settings.label_studio_url is not None:
        if not settings.label_studio_url.startswith(("http://", "https://")):
            raise ServiceError("LABEL_STUDIO_URL is not an address: write it as https://labels.example.org")
        if settings.label_studio_api_key is None:
            raise ServiceError(
                "LABEL_STUDIO_URL is set and LABEL_STUDIO_API_KEY is not: copy a token from Label Studio's "
                "Account & Settings"
            )
        key = settings.label_studio_api_key.get_secret_value().strip()
        return LabelStudioAccess(settings.label_studio_url.rstrip("/"), key, embedded=False)
    server = _label_studio(settings)
    url, owner = server.port.url(), server.owner()
    if url is None or owner is None:
        return None
    return LabelStudioAccess(url, owner.token, True, owner.email, owner.password)


def owner_file(settings: Settings) -> Path:
    """The file with the name, password and token of the embedded Label Studio's owner."""
    return _label_studio(settings).data / OWNER_FILE


def ensure_backend(settings: Settings, progress: Progress = silent) -> str:
    """The address of the ML backend; our own is started if need be.

    Raises:
        ServiceError: it cannot be started.
        LeftOut: a person left it out.
    """
    if settings.backend_url is not None:
        return settings.backend_url.rstrip("/")
    server = Backend(settings)
    _ensure(server, "backend", settings, progress)
    url = server.port.url()
    assert url is not None, f"a running server has a port on {HOST}"
    return url


def ensure_worker(settings: Settings, progress: Progress = silent) -> None:
    """Start the two workers of this home, and what sends them the regular jobs, if need be.

    Raises:
        ServiceError: one cannot be started.
        LeftOut: a person left them out.
    """
    for make in (worker_program, io_worker_program, beat_program):
        _ensure(make(settings), "worker", settings, progress)


def ensure_keeper(settings: Settings, without: Sequence[str] = (), progress: Progress = silent) -> None:
    """Start what starts the others again when they die, if need be.

    Raises:
        ServiceError: it cannot be started.
    """
    _ensure(keeper_program(settings, without), "keeper", settings, progress)


def _ensure(server: Server, part: str, settings: Settings, progress: Progress) -> None:
    if server.ask() is not Answer.READY:
        refuse_left_out(settings, part, server.name)
    ensure_running(server, progress)


def stop_services(settings: Settings) -> list[str]:
    """Stop whatever of this home runs; the names of those that did.

    Raises:
        ServiceError: one cannot be found or does not end.
    """
    stopped = [server.name for server in _embedded(settings) if stop(server)]
    Places(settings.home).tidy()
    return stopped


def _embedded(settings: Settings) -> list[Server]:
    """All that may run, those first that need the others. Our own are stopped even if an address has replaced them."""
    places = Places(settings.home)
    servers: list[Server] = [
        # first of all, or it would start the others again
        keeper_program(settings),
        beat_program(settings),
        io_worker_program(settings),
        worker_program(settings),
        Backend(settings),
        _label_studio(settings),
    ]
    if settings.redis_url is None:
        servers.append(Valkey(places))
    if settings.database_url is None:
        servers.append(Postgres(places))
    return servers


def _label_studio(settings: Settings) -> LabelStudio:
    own = urlsplit(settings.backend_url or "")
    # a backend that somebody serves on this machine
    addresses = [f"{HOST}:{own.port}"] if own.hostname in (HOST, "localhost") and own.port else []
    return LabelStudio(
        Places(settings.home),
        environment(settings),
        (*addresses, *settings.label_studio_may_call),
        settings.label_studio_maintainers,
        f"{settings.dashboard_url}/join" if settings.dashboard_url and settings.join else None,
        settings.label_studio_port,
    )
