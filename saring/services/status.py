"""The state of the services of a home. Nothing is started."""

from __future__ import annotations

import importlib.metadata
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg

from pipeline.errors import ServiceError, StoreUnavailable, first_line
from pipeline.settings import Settings
from saring.services import label_studio_install, postgres, valkey
from saring.services.label_studio import LabelStudio
from saring.services.places import Places
from saring.services.postgres import Postgres
from saring.services.programs import Backend, beat_program, io_worker_program, keeper_program, worker_program
from saring.services.server import Answer, Server, find_process, is_alive
from saring.services.valkey import Valkey

_ASK_SECONDS = 5.0
_NO_PORT = "(chosen at the first start)"


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """The state of one service."""

    name: str
    #: `ready`, `busy` (starting, recovering or stopping), `stopped`, `unreachable`
    state: str
    #: whether Saring starts and stops it
    embedded: bool
    #: without a password
    address: str
    version: str | None = None
    pid: int | None = None
    uptime_s: float | None = None
    #: where it logs, when it is embedded
    log: Path | None = None
    #: what it said, when it is unreachable
    detail: str | None = None


def service_status(settings: Settings) -> list[ServiceStatus]:
    """The state of the database and the broker."""
    return [_database_status(settings), _broker_status(settings)]


def loop_status(settings: Settings) -> list[ServiceStatus]:
    """The state of Label Studio, the ML backend, the workers, beat and the keeper."""
    version = _version()
    return [
        _label_studio_status(settings),
        _backend_status(settings, version),
        *(
            _embedded_status(make(settings), version, "(none needed)")
            for make in (worker_program, io_worker_program, beat_program, keeper_program)
        ),
    ]


def connect_if_running(settings: Settings) -> psycopg.Connection[Any] | None:
    """A bare connection to the database; None where it does not run. For one look, without what the store needs.

    Raises:
        StoreUnavailable: it runs, and refuses.
        ServiceError: the address in the settings isn't one.
    """
    if settings.database_url is not None:
        try:
            return psycopg.connect(_plain_address(settings.database_url.get_secret_value()), connect_timeout=5)
        except psycopg.OperationalError:
            return None
    server = Postgres(Places(settings.home))
    if server.ask() is not Answer.READY:
        return None
    try:
        return server.connect()
    except psycopg.OperationalError as error:
        raise StoreUnavailable(
            f"the database cannot be reached ({first_line(error)}); run `saring up` or `saring doctor`"
        ) from error


def _plain_address(given: str) -> str:
    """An address of the settings as psycopg takes it."""
    from sqlalchemy import make_url

    return make_url(database_address(given)).set(drivername="postgresql").render_as_string(hide_password=False)


def database_address(given: str) -> str:
    """An address of the settings as SQLAlchemy takes it, with the driver that Saring uses.

    Raises:
        ServiceError: it is none, or that of another kind of database.
    """
    # Who has no database of their own does not wait for this.
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(given)
    except ArgumentError as error:
        raise ServiceError(
            "SARING_DATABASE_URL is not an address: write it as postgresql://USER:PASSWORD@HOST:5432/NAME"
        ) from error
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername != "postgresql+psycopg":
        raise ServiceError(f"SARING_DATABASE_URL names {url.drivername}: only postgresql:// is supported")
    return url.render_as_string(hide_password=False)


def _label_studio_status(settings: Settings) -> ServiceStatus:
    if settings.label_studio_url is None:
        server = LabelStudio(Places(settings.home), label_studio_install.environment(settings))
        return _embedded_status(server, label_studio_install.VERSION, server.port.url() or _NO_PORT)
    return _http_status("Label Studio", settings.label_studio_url.rstrip("/"), "/api/version")


def _backend_status(settings: Settings, version: str | None) -> ServiceStatus:
    if settings.backend_url is None:
        server = Backend(settings)
        return _embedded_status(server, version, server.port.url() or _NO_PORT)
    return _http_status("ML backend", settings.backend_url.rstrip("/"), "/health")


def _http_status(name: str, url: str, path: str) -> ServiceStatus:
    """The state of a server that is not ours, from a page of it that asks for no credentials."""
    import httpx

    try:
        shown = str(httpx.URL(url).copy_with(username=None, password=None))
        answer = httpx.get(f"{url}{path}", timeout=_ASK_SECONDS, follow_redirects=True)
        answer.raise_for_status()
        body = answer.json()
    except httpx.InvalidURL as error:
        return ServiceStatus(name, "unreachable", False, "(not an address)", detail=first_line(error))
    except httpx.HTTPError as error:
        return ServiceStatus(name, "unreachable", False, shown, detail=first_line(error))
    except ValueError:
        return ServiceStatus(name, "unreachable", False, shown, detail="it is not what it should be")
    version = body.get("release") if isinstance(body, dict) else None
    return ServiceStatus(name, "ready", False, shown, str(version) if version else None)


def _database_status(settings: Settings) -> ServiceStatus:
    if settings.database_url is None:
        server = Postgres(Places(settings.home))
        return _embedded_status(server, postgres.program_version(), server.url())
    from sqlalchemy import make_url

    given = settings.database_url.get_secret_value()
    shown = make_url(database_address(given)).render_as_string(hide_password=True)
    try:
        with psycopg.connect(_plain_address(given), connect_timeout=5) as connection:
            version = connection.info.parameter_status("server_version")
    except psycopg.OperationalError as error:
        return ServiceStatus("PostgreSQL", "unreachable", False, shown, detail=first_line(error))
    return ServiceStatus("PostgreSQL", "ready", False, shown, version)


def _broker_status(settings: Settings) -> ServiceStatus:
    if settings.redis_url is None:
        server = Valkey(Places(settings.home))
        return _embedded_status(server, valkey.program_version(), server.url())
    import redis
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    given = settings.redis_url.get_secret_value()
    try:
        shown = make_url(given).render_as_string(hide_password=True)
    except ArgumentError:
        return ServiceStatus(
            "Redis", "unreachable", False, "(not an address)", detail="write SARING_REDIS_URL as redis://HOST:6379/0"
        )
    try:
        with valkey.client(given) as connection:
            info = connection.info("server")
    except (redis.RedisError, ValueError) as error:
        return ServiceStatus("Redis", "unreachable", False, shown, detail=first_line(error))
    return ServiceStatus("Redis", "ready", False, shown, str(info.get("valkey_version") or info.get("redis_version")))


def _embedded_status(server: Server, version: str | None, address: str) -> ServiceStatus:
    trouble = None
    try:
        answer = server.ask()
    except ServiceError as error:
        answer, trouble = Answer.NONE, str(error)
    if answer is Answer.NONE and not is_alive(server):
        return ServiceStatus(server.name, "stopped", True, address, version, log=server.log)
    process = find_process(server.pid_file, server.process_name, server.data)
    return ServiceStatus(
        server.name,
        "unreachable" if trouble else "ready" if answer is Answer.READY else "busy",
        embedded=True,
        address=address,
        version=version,
        pid=process.pid if process else None,
        uptime_s=_uptime(process),
        log=server.log,
        detail=trouble,
    )


def _version() -> str | None:
    try:
        return importlib.metadata.version("saring")
    except importlib.metadata.PackageNotFoundError:  # run from a folder
        return None


def _uptime(process: psutil.Process | None) -> float | None:
    try:
        return None if process is None else max(0.0, time.time() - process.create_time())
    except psutil.NoSuchProcess:
        return None
