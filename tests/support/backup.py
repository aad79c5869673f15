"""A home with everything that one may have, a backup made of it while people wrote, and what a home holds."""

from __future__ import annotations

import hashlib
import io
import sqlite3
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pyarrow as pa
from sqlalchemy import Engine, text

from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.settings import Settings
from pipeline.store import make_engine, open_session
from pipeline.store.transfer import table_names
from saring.services import ensure_database
from tests.support.commands import answered, typed
from tests.support.waiting import until

CORPUS = Path(__file__).resolve().parents[2] / "saring" / "demo" / "corpus"
_LABEL = """
  - key: {key}
    name: {{en: {key}, ms: {key}}}
    definition: {{en: "It is {key}", ms: "Ia {key}"}}
    benign: {benign}
    excludes: [{excludes}]
    colour: "#00000{hotkey}"
    hotkey: "{hotkey}"
    exemplars: {{en: [{exemplars}]}}
"""
TAXONOMY = "labels:" + "".join(
    _LABEL.format(key=key, benign=benign, excludes=excludes, hotkey=hotkey, exemplars=exemplars)
    for hotkey, (key, benign, excludes, exemplars) in enumerate(
        [
            ("harassment", "false", "safe for work", "you are useless, nobody wants you here, get lost"),
            ("informative", "true", "", "the road is closed, the price is ten ringgit, it opens at nine"),
            ("safe for work", "true", "harassment", "good morning all, thank you teacher, nice weather"),
        ],
        start=1,
    )
)


@dataclass(frozen=True, slots=True)
class World:
    """A home with everything that one may have, and a backup that was made while people wrote."""

    settings: Settings
    engine: Engine
    backup: Path
    #: judgements before the backup was begun, and after it was done
    judgements: tuple[int, int]
    #: what `saring backup --json` printed
    said: Mapping[str, Any]

    def run(self, *words: str, given: str | None = None) -> CompletedProcess[str]:
        return run(self.settings.home, *words, given=given)


def run(home: Path, *words: str, given: str | None = None, **more: str) -> CompletedProcess[str]:
    return typed({"SARING_HOME": str(home), "COLUMNS": "200"} | more, *words, given=given)


def make_world(folder: Path, settings: Settings) -> World:
    home = settings.home
    taxonomy = folder / "labels.yaml"
    taxonomy.write_text(TAXONOMY)
    rows = [
        line
        for name, count in (("harassment", 75), ("informative", 75))
        for line in (CORPUS / f"{name}.jsonl").read_text().splitlines()[:count]
    ]
    (folder / "rows.jsonl").write_text("\n".join(rows) + "\n")
    for words in (
        ("import", str(folder / "rows.jsonl"), "--source", "demo", "--labels-field", "labels"),
        ("embed", "--limit", "20"),
        ("judge", "--rater", "bootstrap", "--limit", "20"),
        ("train",),
    ):
        answered(run(home, *words, "--json", SARING_TAXONOMY=str(taxonomy)))
    _fill_label_studio(home / "services" / "label-studio")
    engine = make_engine(ensure_database(settings))
    archive = folder / "first.tar.zst"
    before = count(engine, "judgement")
    with writing(engine) as wrote:
        after_it(wrote, 3, "somebody judges")
        said = answered(run(home, "backup", str(archive), "--json", SARING_TAXONOMY=str(taxonomy), SARING_SEED="7"))
        after_it(wrote, 3, "they go on judging")
    return World(settings, engine, archive, (before, count(engine, "judgement")), said)


def _fill_label_studio(folder: Path) -> None:
    (folder / "media" / "upload").mkdir(parents=True)
    (folder / "settings").mkdir()
    for name in ("owner.json", "port", "label-studio.pid", "settings/made_anew.py", "media/upload/a.png"):
        (folder / name).write_text(f"{name}\n")
    (folder / ".env").write_text("\nSECRET_KEY=k3y-of_sessions\n")
    (folder / "owner.json").chmod(0o600)
    with closing(sqlite3.connect(folder / "label_studio.sqlite3")) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE task (id integer primary key, body text)")
        database.commit()


@contextmanager
def writing(engine: Engine) -> Iterator[list[int]]:
    """Somebody who judges all the time, two texts in each transaction, until the block ends."""
    done: list[int] = []
    stop = threading.Event()

    def write() -> None:
        with open_session(engine) as session:
            ids = list(session.scalars(text("SELECT id FROM text ORDER BY id LIMIT 2")))
            rater = rater_id(session, RaterRef(RaterKind.HUMAN, "penulis", "1"))
            session.commit()
            while not stop.is_set():
                verdicts = [
                    NewJudgement(one, asserted=frozenset({"informative"}), external_ref=str(len(done))) for one in ids
                ]
                record(session, rater, verdicts, taxonomy_version="t")
                session.commit()
                done.append(len(verdicts))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join()


def after_it(done: Sequence[int], more: int, what: str) -> None:
    """Wait until so much more was done."""
    before = len(done)
    until(lambda: len(done) >= before + more, what)


def count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def contents(engine: Engine, home: Path, *, judgements: int | None = None) -> dict[str, tuple[int, str]]:
    """Rows and a hash of each table, as the database itself shows them; of the ledger, the first so many rows."""
    found = {}
    for table in table_names():
        only = f"WHERE id <= (SELECT id FROM judgement ORDER BY id OFFSET {(judgements or 0) - 1} LIMIT 1)"
        query = f"SELECT replace(t::text, '{home}/', 'HOME/') FROM {table} t"
        with engine.connect() as connection:
            rows = connection.execute(text(f"{query} {only if table == 'judgement' and judgements else ''}"))
            lines = sorted(row for (row,) in rows)
        found[table] = len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return found


def files_of(folder: Path) -> dict[str, str]:
    """Each file below a folder with its hash."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def repacked(archive: Path, to: Path, change: Callable[[str, bytes], tuple[str, bytes] | None]) -> Path:
    """A copy in which pieces are changed or left out (None)."""
    with (
        pa.CompressedInputStream(pa.OSFile(str(archive)), "zstd") as source,
        pa.CompressedOutputStream(pa.OSFile(str(to), "wb"), "zstd") as sink,
        tarfile.open(fileobj=source, mode="r|") as old,
        tarfile.open(fileobj=sink, mode="w|") as new,
    ):
        for member in old:
            stream = old.extractfile(member)
            assert stream is not None
            changed = change(member.name, stream.read())
            if changed is not None:
                made = tarfile.TarInfo(changed[0])
                made.size = len(changed[1])
                new.addfile(made, io.BytesIO(changed[1]))
    return to
