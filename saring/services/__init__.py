"""The servers that Saring brings along: PostgreSQL and Valkey, each one detached process for all processes of a home.

A server starts when it is first needed and stays until `saring down`. An address in the settings replaces it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg
import redis
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from pipeline.errors import ServiceError
from pipeline.progress import Progress, silent
from pipeline.settings import Settings
from saring.services import postgres, valkey
from saring.services.places import Places
from saring.services.postgres import Postgres
from saring.services.server import Answer, Server, ensure_running, find_process, is_alive, stop
from saring.services.valkey import Valkey

__all__ = [
    "Endpoints",
    "ServiceStatus",
    "ensure_broker",
    "ensure_database",
    "service_status",
    "start_services",
    "stop_services",
]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the services answer. Addresses may hold passwords, so they aren't shown."""

    #: as SQLAlchemy takes it
    database_url: str = field(repr=False)
    #: as Celery takes it
    redis_url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """How one service is."""

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
        return _database_address(settings.database_url.get_secret_value())
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


def stop_services(settings: Settings) -> list[str]:
    """Stop the embedded services of this home; the names of those that were running.

    Raises:
        ServiceError: one cannot be found or does not end.
    """
    stopped = [server.name for server in _embedded(settings) if stop(server)]
    Places(settings.home).tidy()
    return stopped


def service_status(settings: Settings) -> list[ServiceStatus]:
    """How the services are. Starts nothing."""
    return [_database_status(settings), _broker_status(settings)]


def _embedded(settings: Settings) -> list[Server]:
    places = Places(settings.home)
    servers: list[Server] = []
    if settings.redis_url is None:
        servers.append(Valkey(places))
    if settings.database_url is None:
        servers.append(Postgres(places))
    return servers


def _database_address(given: str) -> str:
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


def _database_status(settings: Settings) -> ServiceStatus:
    if settings.database_url is None:
        server = Postgres(Places(settings.home))
        return _embedded_status(server, postgres.program_version(), server.url())
    url = make_url(_database_address(settings.database_url.get_secret_value()))
    shown = url.render_as_string(hide_password=True)
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        with psycopg.connect(plain, connect_timeout=5) as connection:
            version = connection.info.parameter_status("server_version")
    except psycopg.OperationalError as error:
        return ServiceStatus("PostgreSQL", "unreachable", False, shown, detail=_first_line(error))
    return ServiceStatus("PostgreSQL", "ready", False, shown, version)


def _broker_status(settings: Settings) -> ServiceStatus:
    if settings.redis_url is None:
        server = Valkey(Places(settings.home))
        return _embedded_status(server, valkey.program_version(), server.url())
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
        return ServiceStatus("Redis", "unreachable", False, shown, detail=_first_line(error))
    return ServiceStatus("Redis", "ready", False, shown, str(info.get("valkey_version") or info.get("redis_version")))


def _embedded_status(server: Server, version: str, address: str) -> ServiceStatus:
    answer = server.ask()
    if answer is Answer.NONE and not is_alive(server):
        return ServiceStatus(server.name, "stopped", True, address, version, log=server.log)
    process = find_process(server.pid_file, server.process_name, server.data)
    return ServiceStatus(
        server.name,
        "ready" if answer is Answer.READY else "busy",
        embedded=True,
        address=address,
        version=version,
        pid=process.pid if process else None,
        uptime_s=_uptime(process),
        log=server.log,
    )


def _uptime(process: psutil.Process | None) -> float | None:
    try:
        return None if process is None else max(0.0, time.time() - process.create_time())
    except psutil.NoSuchProcess:
        return None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
