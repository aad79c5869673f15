"""Backups: made while people write, restored into an empty home, compared row by row; damaged ones are refused."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from pipeline.settings import Settings
from pipeline.store import make_engine
from pipeline.store.migrate import drift
from saring.backup.archive import writing
from saring.backup.belongings import copy_sqlite
from saring.backup.manifest import MANIFEST, SEAL, Manifest, Table, piece_name
from saring.services import ensure_database, stop_services
from tests.support.backup import TAXONOMY, World, after_it, contents, count, files_of, make_world, repacked, run
from tests.support.commands import answered, refused, typed
from tests.support.waiting import until
from tests.support.worker import is_waiting_for_a_lock


@pytest.fixture
def opened() -> Iterator[Callable[[str], Engine]]:
    """Makes engines that are closed when the test ends."""
    made: list[Engine] = []

    def make(url: str) -> Engine:
        made.append(make_engine(url))
        return made[-1]

    yield make
    for engine in made:
        engine.dispose()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    folder = Path(tempfile.mkdtemp(prefix="saring-test-", dir="/tmp"))
    settings = Settings(home=folder / "home")
    made: World | None = None
    try:
        made = make_world(folder, settings)
        yield made
    finally:
        if made is not None:
            made.engine.dispose()
        stop_services(settings)
        shutil.rmtree(folder)


def test_what_was_backed_up_while_people_wrote_comes_back_and_work_goes_on_from_there(
    world: World, new_home: Path, tmp_path: Path, opened: Callable[[str], Engine]
) -> None:
    home = new_home / "home"
    saved = world.said["tables"]["judgement"]
    assert world.judgements[0] < saved < world.judgements[1]
    assert (saved - world.judgements[0]) % 2 == 0, "whole transactions only"

    said = answered(run(home, "restore", str(world.backup), "--json"))
    assert said["tables"] == world.said["tables"]
    # the home uses its own
    assert said["set_taxonomy"] is None
    assert (home / "taxonomy.yaml").read_text() == TAXONOMY
    assert said["set_settings"] == {"seed": 7}

    engine = opened(ensure_database(Settings(home=home)))
    assert contents(engine, home) == contents(world.engine, world.settings.home, judgements=saved)
    assert drift(engine) == []
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(text("DELETE FROM judgement"))
    for folder in ("models", "snapshots"):
        assert files_of(home / folder) == files_of(world.settings.home / folder) != {}

    predicted = run(home, "predict", given='{"text": "kau ni menyusahkan orang la"}')
    assert "using the champion" in predicted.stderr
    [champion] = (home / "models").iterdir()
    assert json.loads(predicted.stdout)["model"] == champion.name

    # numbers are given out from where they were, and new vectors find their partition
    (tmp_path / "new.jsonl").write_text('{"id": "n", "text": "kedai tu buka pukul sembilan pagi esok"}\n')
    variables = {"SARING_TAXONOMY": str(home / "taxonomy.yaml")}
    runs = count(engine, "run")
    assert answered(run(home, "ingest", str(tmp_path / "new.jsonl"), "--source", "more", "--json"))["new"] == 1
    assert answered(run(home, "judge", "--rater", "bootstrap", "--limit", "30", "--json", **variables))["judged"] == 10
    assert count(engine, "run") > runs
    assert count(engine, "text_vector") == 30


def test_the_archive_is_for_its_owner_and_verify_says_what_it_is(world: World, tmp_path: Path) -> None:
    assert world.backup.stat().st_mode & 0o777 == 0o600
    seen = answered(run(tmp_path, "backup", "--verify", str(world.backup), "--json"))
    assert seen["whole"] is True
    assert (seen["tables"], seen["files"]) == (world.said["tables"], world.said["files"])
    assert sorted(path.name for path in world.backup.parent.iterdir()) == [
        "first.tar.zst",
        "home",
        "labels.yaml",
        "rows.jsonl",
    ], "nothing half-written is left"
    assert str(world.backup) in refused(world.run("backup", str(world.backup)), 2)


def test_label_studio_comes_back_with_its_secrets_and_without_what_is_made_anew(
    world: World, environment: dict[str, str], new_home: Path
) -> None:
    said = answered(typed(environment, "restore", str(world.backup), "--json"))
    assert said["label_studio"] is True
    folder = new_home / "services" / "label-studio"
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
        *(".env", "owner.json", "port", "label_studio.sqlite3", "media/upload/a.png")
    }
    assert (folder / "owner.json").stat().st_mode & 0o777 == 0o600


def test_a_sqlite_database_is_copied_as_it_is_at_one_moment(tmp_path: Path, world: World) -> None:
    path = tmp_path / "there is a #.sqlite3"
    stop, done = threading.Event(), []
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE task (id integer primary key, body text)")

    def write() -> None:
        with closing(sqlite3.connect(path, timeout=30)) as database:
            while not stop.is_set():
                with database:
                    database.executemany("INSERT INTO task (body) VALUES (?)", [("x" * 2_000,)] * 2)
                done.append(2)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(5):
            after_it(done, 1, "it is written to")
            copy_sqlite(path, tmp_path / f"{number}.sqlite3")
            with closing(sqlite3.connect(tmp_path / f"{number}.sqlite3")) as copy:
                assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                assert copy.execute("SELECT count(*) > 0, count(*) % 2 FROM task").fetchone() == (1, 0)
    finally:
        stop.set()
        thread.join()
    assert {file.name for file in tmp_path.glob("?.sqlite3*")} == {f"{number}.sqlite3" for number in range(5)}


def _shorter(world: World, to: Path) -> Path:
    whole = world.backup.read_bytes()
    to.write_bytes(whole[: len(whole) * 2 // 3])
    return to


def _other_model(world: World, to: Path) -> Path:
    return repacked(
        world.backup,
        to,
        lambda name, data: (name, data[:-1] + b"!" if name.endswith("/model.skops") else data),
    )


def _other_rows(world: World, to: Path) -> Path:
    return repacked(
        world.backup,
        to,
        lambda name, data: (name, data.replace(b"harassment", b"hate", 1) if "/judgement/" in name else data),
    )


def _less(world: World, to: Path) -> Path:
    return repacked(world.backup, to, lambda name, data: None if name.endswith(".parquet") else (name, data))


def _other_manifest(world: World, to: Path) -> Path:
    return repacked(
        world.backup, to, lambda name, data: (name, data.replace(b'"0', b'"1') if name == "manifest.json" else data)
    )


def _outside(world: World, to: Path) -> Path:
    return repacked(world.backup, to, lambda name, data: ("../evil" if name == "taxonomy.yaml" else name, data))


def _no_archive(_: World, to: Path) -> Path:
    to.write_bytes(b"SELECT 1;\n" * 1_000)
    return to


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (_shorter, "cut short"),
        (_other_model, "/model.skops was altered"),
        (_other_rows, "table judgement was altered"),
        (_less, ".parquet was altered or is missing"),
        (_other_manifest, "manifest.json was altered"),
        (_outside, "'../evil'"),
        (_no_archive, "altered"),
    ],
)
def test_a_damaged_archive_is_named_and_nothing_is_written(
    world: World, environment: dict[str, str], new_home: Path, tmp_path: Path, make: Callable[..., Path], named: str
) -> None:
    archive = make(world, tmp_path / "damaged.tar.zst")
    said = refused(typed(environment, "restore", str(archive)))
    assert said.startswith(f"saring: {archive}: ")
    assert named in said
    assert refused(typed(environment, "backup", "--verify", str(archive))) == said
    assert list(new_home.iterdir()) == []


def test_a_schema_of_the_future_is_refused(
    world: World, environment: dict[str, str], new_home: Path, tmp_path: Path
) -> None:
    later: dict[str, bytes] = {}

    def change(name: str, data: bytes) -> tuple[str, bytes]:
        if name == "manifest.json":
            later[name] = json.dumps(json.loads(data) | {"schema_revision": "9999", "saring": "7.0"}).encode()
            return name, later[name]
        return name, hashlib.sha256(later["manifest.json"]).hexdigest().encode() if name == "manifest.sha256" else data

    archive = repacked(world.backup, tmp_path / "later.tar.zst", change)
    assert "made by Saring 7.0 with schema 9999" in refused(typed(environment, "restore", str(archive)))
    assert list(new_home.iterdir()) == []


def _of_the_first_schema(to: Path) -> Path:
    """A backup as the first version might have made it."""
    columns = ("id", "name", "licence", "url", "redistributable", "created_at")
    rows = b"5\tlama\t\\N\t\\N\tt\t2025-01-02 03:04:05.678901+00\n"
    table = Table(
        name="source",
        columns=columns,
        rows=1,
        sha256=hashlib.sha256(rows).hexdigest(),
        pieces=1,
        counters={"id": 8},
    )
    manifest = Manifest(
        saring="0.0",
        created_at=datetime.now(UTC),
        schema_revision="0001",
        taxonomy_version="t",
        label_studio=False,
        settings={},
        tables=(table,),
        files=(),
        missing={},
    )
    written = manifest.model_dump_json().encode()
    with writing(to) as archive:
        archive.add(piece_name("source", 0), rows)
        archive.add(MANIFEST, written)
        archive.add(SEAL, hashlib.sha256(written).hexdigest().encode())
    return to


def test_an_older_schema_is_brought_up_to_date(
    empty_database_url: str, new_home: Path, tmp_path: Path, opened: Callable[[str], Engine]
) -> None:
    archive = _of_the_first_schema(tmp_path / "old.tar.zst")
    said = answered(run(new_home, "restore", str(archive), "--json", SARING_DATABASE_URL=empty_database_url))
    assert said["schema_was"] == "0001" < said["schema"]
    engine = opened(empty_database_url)
    assert drift(engine) == []
    with engine.begin() as connection:
        new = connection.execute(text("INSERT INTO source (name) VALUES ('baru') RETURNING id")).scalar_one()
    assert new == 9, "numbers that were given out once are not given out again"


def test_an_empty_store_of_a_newer_schema_is_left_alone(
    environment: dict[str, str], new_home: Path, tmp_path: Path
) -> None:
    archive = _of_the_first_schema(tmp_path / "old.tar.zst")
    assert "is newer than the backup's (0001)" in refused(typed(environment, "restore", str(archive)))


def test_a_home_that_holds_something_is_left_alone(world: World, environment: dict[str, str], new_home: Path) -> None:
    mine = new_home / "models" / "mine" / "model.json"
    mine.parent.mkdir(parents=True)
    mine.write_text("{}")
    assert "is not empty (there is models/mine)" in refused(typed(environment, "restore", str(world.backup)))
    assert [*new_home.rglob("*")] == [mine.parent.parent, mine.parent, mine]


def test_a_store_that_holds_something_is_left_alone(
    world: World, environment: dict[str, str], new_home: Path, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO source (name) VALUES ('mine')"))
    assert "the database holds rows already" in refused(typed(environment, "restore", str(world.backup)))
    assert list(new_home.iterdir()) == []
    assert count(engine, "source") == 1


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        # before the rows are committed: the store speaks of where it came from last
        ("alembic_version", 0),
        # after it: only the statistics of the database are missing, which a lock on one of its own tables holds up
        ("pg_catalog.pg_opfamily", 1),
    ],
)
def test_killed_half_way_and_run_again_it_ends_in_the_same_store(
    world: World, environment: dict[str, str], new_home: Path, engine: Engine, table: str, rows: int
) -> None:
    command = [sys.executable, "-m", "saring", "restore", str(world.backup)]
    with engine.connect() as connection, connection.begin():
        connection.execute(text(f"LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE"))
        process = subprocess.Popen(command, env=environment)
        until(lambda: process.poll() is not None or is_waiting_for_a_lock(engine), "it waits for the table")
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    alone = "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database()"
    engine.dispose()
    with engine.connect() as connection, connection.execution_options(isolation_level="AUTOCOMMIT"):
        until(lambda: connection.execute(text(alone)).scalar_one(), "the server has noticed")
    assert count(engine, "source") == rows

    answered(typed(environment, "restore", str(world.backup), "--json"))
    saved = world.said["tables"]["judgement"]
    assert contents(engine, new_home) == contents(world.engine, world.settings.home, judgements=saved)
    assert drift(engine) == []
    assert files_of(new_home / "models") == files_of(world.settings.home / "models")
    assert {path.name for path in new_home.iterdir()} == {"models", "snapshots", "learnt", "services", "taxonomy.yaml"}
    assert "is not empty" in refused(typed(environment, "restore", str(world.backup)))


def test_stopped_while_files_are_put_in_place_it_goes_on_with_the_same_backup_only(
    world: World, environment: dict[str, str], new_home: Path, engine: Engine, tmp_path: Path
) -> None:
    (new_home / "snapshots").touch()
    assert refused(typed(environment, "restore", str(world.backup)))
    assert count(engine, "text") == 0
    assert files_of(new_home / "models") != {}
    (new_home / "snapshots").unlink()

    other = tmp_path / "other.tar.zst"
    answered(world.run("backup", str(other), "--json"))
    assert "restoring another backup was interrupted" in refused(typed(environment, "restore", str(other)))
    answered(typed(environment, "restore", str(world.backup), "--json"))
    assert count(engine, "judgement") == world.said["tables"]["judgement"]
    assert files_of(new_home / "snapshots") == files_of(world.settings.home / "snapshots")


def test_a_model_that_is_gone_is_named_or_left_out_when_asked(
    world: World, environment: dict[str, str], new_home: Path, engine: Engine, tmp_path: Path
) -> None:
    answered(typed(environment, "restore", str(world.backup), "--json"))
    [champion] = (new_home / "models").iterdir()
    champion.rename(tmp_path / "elsewhere")
    target = tmp_path / "second.tar.zst"
    said = refused(typed(environment, "backup", str(target)))
    assert champion.name in said
    assert not target.exists()
    done = answered(typed(environment, "backup", str(target), "--allow-missing", "--json"))
    assert done["missing"] == {f"model {champion.name}": str(champion)}

    # one that lies outside the home comes home
    with engine.begin() as connection:
        connection.execute(text("UPDATE model SET path = :path"), {"path": str(tmp_path / "elsewhere")})
    answered(typed(environment, "backup", str(tmp_path / "third.tar.zst"), "--json"))
    with tarfile.open(
        fileobj=pa.CompressedInputStream(pa.OSFile(str(tmp_path / "third.tar.zst")), "zstd"), mode="r|"
    ) as tar:
        assert f"models/{champion.name}/model.skops" in [member.name for member in tar]


def test_a_backup_may_lie_at_an_address(world: World, environment: dict[str, str], new_home: Path) -> None:
    address = f"memory://{uuid.uuid4().hex}/"
    said = answered(world.run("backup", address, "--json"))
    assert said["archive"].startswith(address)
    assert "exists" in refused(world.run("backup", said["archive"]), 2)
    assert answered(typed(environment, "restore", said["archive"], "--json"))["tables"] == said["tables"]


def test_one_thing_at_a_time(new_home: Path) -> None:
    assert "--verify" in refused(run(new_home, "backup"), 2)
    assert "--verify" in refused(run(new_home, "backup", "a", "--verify", "b"), 2)
    assert "cannot be read" in refused(run(new_home, "restore", str(new_home / "none.tar.zst")))
    assert list(new_home.iterdir()) == []
