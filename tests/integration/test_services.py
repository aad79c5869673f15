"""The embedded servers, from a user's side: they start, are shared, and come back after whatever happened to them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url

from pipeline.errors import ServiceError
from pipeline.settings import Settings
from saring.services import (
    ServiceStatus,
    ensure_broker,
    ensure_database,
    service_status,
    start_services,
    stop_services,
)
from saring.services.valkey import client

_ROOT = Path(__file__).resolve().parents[2]
_START = "import sys; from pathlib import Path; from pipeline.settings import Settings; import saring.services as s; "
_SECRET = "nobody should read this in a log"


def connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(plain, autocommit=True)


def one(url: str, statement: str) -> object:
    with connect(url) as connection:
        row = connection.execute(statement.encode()).fetchone()
        assert row is not None
        return row[0]


def states(settings: Settings) -> dict[str, ServiceStatus]:
    return {status.name: status for status in service_status(settings)}


def pids(settings: Settings) -> dict[str, int]:
    found = {name: status.pid for name, status in states(settings).items()}
    return {name: pid for name, pid in found.items() if pid is not None}


def start_elsewhere(home: Path, what: str = "start_services") -> subprocess.Popen[bytes]:
    code = f"{_START} s.{what}(Settings(home=Path(sys.argv[1])))"
    return subprocess.Popen([sys.executable, "-c", code, str(home)], cwd=_ROOT)


def kill(pid: int) -> None:
    process = psutil.Process(pid)
    process.kill()
    wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


def wait_until(happened: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.005)


@pytest.fixture
def settings(new_home: Path) -> Settings:
    return Settings(home=new_home)


@pytest.fixture
def long_home(new_home: Path) -> Iterator[Path]:
    home = new_home / ("a home with spaces, and 'quotes' $HOME " + "x" * 80)
    yield home
    stop_services(Settings(home=home))


def test_servers_outlive_who_started_them_and_are_found_by_others(settings: Settings) -> None:
    with start_elsewhere(settings.home) as starter:
        assert starter.wait() == 0
    before = pids(settings)
    assert len(before) == 2
    endpoints = start_services(settings)
    assert pids(settings) == before
    assert one(endpoints.database_url, "SELECT 1") == 1
    assert client(endpoints.redis_url).ping()


def test_any_number_of_processes_may_start_them_at_once(settings: Settings) -> None:
    starters = [start_elsewhere(settings.home) for _ in range(5)]
    assert [starter.wait() for starter in starters] == [0] * 5
    assert len(pids(settings)) == 2
    running = [p for p in psutil.process_iter(["name", "cmdline"]) if str(settings.home) in " ".join(_cmdline(p))]
    assert sorted(p.info["name"] for p in running) == ["postgres", "valkey-server"]


def _cmdline(process: psutil.Process) -> list[str]:
    return [str(part) for part in process.info["cmdline"] or []]


def test_stopping_ends_them_and_the_status_says_so(settings: Settings) -> None:
    assert {s.state for s in service_status(settings)} == {"stopped"}
    assert stop_services(settings) == []
    start_services(settings)
    assert {s.state for s in service_status(settings)} == {"ready"}
    before = [psutil.Process(pid) for pid in pids(settings).values()]
    assert stop_services(settings) == ["Valkey", "PostgreSQL"]
    assert {s.state for s in service_status(settings)} == {"stopped"}
    assert not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in before)


def test_the_store_has_pgvector_and_keeps_what_was_committed(settings: Settings) -> None:
    url = ensure_database(settings)
    assert str(one(url, "SHOW server_version")).startswith("18.")
    assert one(url, "SELECT '[1,2]'::halfvec <-> '[1,2]'::halfvec") == 0
    assert {one(url, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "full_page_writes")} == {"on"}
    assert one(url, "SHOW jit") == "off"
    assert one(url, "SHOW listen_addresses") == ""


def test_nobody_else_can_reach_the_servers(settings: Settings) -> None:
    start_services(settings)
    services = settings.home / "services"
    assert services.stat().st_mode & 0o077 == 0
    for pid in pids(settings).values():
        assert [c for c in psutil.Process(pid).net_connections("inet") if c.status == psutil.CONN_LISTEN] == []


def test_two_homes_do_not_meet(settings: Settings, new_home: Path) -> None:
    other = Settings(home=new_home / "other")
    try:
        first, second = ensure_database(settings), ensure_database(other)
        with connect(first) as connection:
            connection.execute("CREATE TABLE only_here (x int)")
        assert one(second, "SELECT to_regclass('only_here')") is None
        assert pids(settings)["PostgreSQL"] != pids(other)["PostgreSQL"]
    finally:
        stop_services(other)


def test_killed_servers_come_back_with_everything(settings: Settings) -> None:
    endpoints = start_services(settings)
    with connect(endpoints.database_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS x")
        client(endpoints.redis_url).rpush("work", "a", "b")
        for pid in pids(settings).values():
            kill(pid)
    endpoints = start_services(settings)
    assert one(endpoints.database_url, "SELECT count(*) FROM kept") == 1000
    assert client(endpoints.redis_url).lrange("work", 0, -1) == [b"a", b"b"]


def test_leavings_of_a_reboot_do_not_stop_the_next_start(settings: Settings) -> None:
    endpoints = start_services(settings)
    services = settings.home / "services"
    left = [services / "postgres" / "postmaster.pid", services / "run" / ".s.PGSQL.5432.lock"]
    texts = [path.read_text() for path in left]
    old = str(pids(settings)["PostgreSQL"])
    stop_services(settings)
    # The process id that the dead server had is another program's by now: this one's.
    for path, text in zip(left, texts, strict=True):
        path.write_text(text.replace(old, str(os.getpid()), 1))
        shutil.chown(path, services.stat().st_uid)
    (services / "valkey" / "valkey.pid").write_text(f"{os.getpid()}\n")
    for name in (".s.PGSQL.5432", "valkey.sock"):
        (services / "run" / name).touch()
    assert {s.state for s in service_status(settings)} == {"stopped"}
    assert stop_services(settings) == []
    assert start_services(settings) == endpoints
    assert {s.state for s in service_status(settings)} == {"ready"}


def test_being_killed_in_the_middle_of_the_first_start(settings: Settings) -> None:
    services = settings.home / "services"
    starter = start_elsewhere(settings.home, "ensure_database")
    wait_until(lambda: any(services.glob("postgres.new-*/base")))
    starter.kill()
    starter.wait()
    assert one(ensure_database(settings), "SELECT 1") == 1
    assert list(services.glob("postgres.new-*")) == []


def test_an_append_only_file_that_a_power_cut_damaged_is_mended(settings: Settings) -> None:
    url = ensure_broker(settings)
    client(url).rpush("work", "a", "b")
    stop_services(settings)
    (newest,) = (settings.home / "services" / "valkey" / "appendonlydir").glob("*.incr.aof")
    with newest.open("ab") as file:
        file.write(b"\0" * 4096)
    assert client(ensure_broker(settings)).lrange("work", 0, -1) == [b"a", b"b"]
    assert list((settings.home / "services" / "valkey").glob("damaged-*/*.incr.aof"))


def test_long_and_awkward_paths(long_home: Path) -> None:
    settings = Settings(home=long_home)
    endpoints = start_services(settings)
    assert one(endpoints.database_url, "SHOW data_directory") == str(long_home / "services" / "postgres")
    client(endpoints.redis_url).set("a", 1)
    stop_services(settings)
    assert start_services(settings) == endpoints
    assert client(endpoints.redis_url).get("a") == b"1"


def test_a_home_that_is_copied_or_moved_is_a_home_of_its_own(long_home: Path) -> None:
    settings = Settings(home=long_home)
    with connect(ensure_database(settings)) as connection:
        connection.execute("CREATE TABLE original (x int)")
    stop_services(settings)
    copied = Settings(home=long_home.with_name("c" * 90))
    shutil.copytree(long_home, copied.home, copy_function=_copy_with_owner)
    shutil.chown(copied.home / "services" / "postgres", (long_home / "services").stat().st_uid)
    (copied.home / "services" / "postgres").chmod(0o700)
    try:
        first, second = ensure_database(settings), ensure_database(copied)
        assert first != second
        with connect(second) as connection:
            connection.execute("DROP TABLE original")
        assert one(first, "SELECT to_regclass('original')") == "original"
    finally:
        stop_services(copied)


def _copy_with_owner(source: str, target: str) -> str:
    shutil.copy2(source, target)
    shutil.chown(target, Path(source).stat().st_uid)
    return target


def test_addresses_in_the_settings_replace_the_servers(new_home: Path) -> None:
    home = new_home / "unused"
    settings = Settings(
        home=home,
        database_url=SecretStr("postgres://me:hunter2@localhost:1/x"),
        redis_url=SecretStr("redis://:hunter2@localhost:1/0"),
    )
    endpoints = start_services(settings)
    assert endpoints.database_url == "postgresql+psycopg://me:hunter2@localhost:1/x"
    assert endpoints.redis_url == "redis://:hunter2@localhost:1/0"
    assert stop_services(settings) == []
    found = service_status(settings)
    assert {(s.state, s.embedded) for s in found} == {("unreachable", False)}
    assert "hunter2" not in repr(found) + repr(endpoints)
    assert not home.exists()


def test_an_address_that_is_none_is_named(new_home: Path) -> None:
    for wrong in ("localhost", "mysql://localhost/x"):
        with pytest.raises(ServiceError, match="SARING_DATABASE_URL"):
            ensure_database(Settings(home=new_home, database_url=SecretStr(wrong)))


@pytest.mark.parametrize("start", [ensure_database, ensure_broker])
def test_a_home_that_cannot_be_one_is_one_clear_line(new_home: Path, start: Callable[[Settings], str]) -> None:
    (new_home / "file").touch()
    for home in (new_home / "file", new_home / "file" / "below"):
        with pytest.raises(ServiceError, match=r"^cannot make .*SARING_HOME|^.* is in the way: .*$") as raised:
            start(Settings(home=home))
        assert "\n" not in str(raised.value)


def test_why_a_server_does_not_start_is_said_with_its_log(settings: Settings) -> None:
    ensure_database(settings)
    stop_services(settings)
    data = settings.home / "services" / "postgres"
    with (data / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    with pytest.raises(ServiceError, match=r"^PostgreSQL did not start: FATAL: .* errors.*postgres\.log") as raised:
        ensure_database(settings)
    assert "\n" not in str(raised.value)
    (data / "PG_VERSION").write_text("16\n")
    with pytest.raises(ServiceError, match="made by PostgreSQL 16"):
        ensure_database(settings)


def test_logs_hold_no_texts(settings: Settings) -> None:
    url = ensure_database(settings)
    with connect(url) as connection:
        connection.execute("CREATE TABLE texts (body text CHECK (length(body) < 5))")
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute("INSERT INTO texts VALUES (%s)", [_SECRET])
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute(f"INSERT INTO texts VALUES ('{_SECRET}')".encode())
    said = (settings.home / "services" / "postgres.log").read_text()
    assert "texts_body_check" in said
    assert _SECRET not in said


_AS_PLAIN_USER = (
    _START
    + """
import os, redis.asyncio, psycopg, sqlalchemy, saring.services.valkey
home = Path(sys.argv[1])
if os.geteuid() == 0:
    os.chown(home, 65534, 65534)
    os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
settings = Settings(home=home)
endpoints = s.start_services(settings)
assert s.start_services(settings) == endpoints
owners = {os.stat(path).st_uid for path in (home / "services").rglob("*")}
assert owners == {os.geteuid()}, owners
assert [x.state for x in s.service_status(settings)] == ["ready", "ready"]
if sys.argv[2] == "stop":
    assert s.stop_services(settings) == ["Valkey", "PostgreSQL"]
"""
)


def test_a_plain_user_needs_nothing_from_root(new_home: Path) -> None:
    subprocess.run([sys.executable, "-c", _AS_PLAIN_USER, str(new_home), "stop"], cwd=_ROOT, check=True)


def test_root_and_the_owner_of_a_home_share_its_servers(new_home: Path, settings: Settings) -> None:
    subprocess.run([sys.executable, "-c", _AS_PLAIN_USER, str(new_home), "leave"], cwd=_ROOT, check=True)
    before = pids(settings)
    start_services(settings)
    assert pids(settings) == before
    assert stop_services(settings) == ["Valkey", "PostgreSQL"]
    start_services(settings)
    stop_services(settings)
    # and what this user started leaves nothing that the owner may not use
    subprocess.run([sys.executable, "-c", _AS_PLAIN_USER, str(new_home), "stop"], cwd=_ROOT, check=True)


def test_stopping_waits_for_no_client(settings: Settings) -> None:
    url = ensure_database(settings)
    with connect(url) as connection:
        assert stop_services(settings) == ["PostgreSQL"]
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_a_server_that_ignores_a_polite_request_is_still_stopped(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saring.services.server.STOP_SECONDS", 0.5)
    ensure_broker(settings)
    os.kill(pids(settings)["Valkey"], signal.SIGSTOP)
    assert stop_services(settings) == ["Valkey"]
    assert client(ensure_broker(settings)).ping()
