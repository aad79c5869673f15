"""Time that the dashboard takes for every page over a store of a million texts, and for the next text to review.

The store is filled by `tests/support/big_store.py`. The dashboard is a process of its own, as `saring serve` starts it;
each page is asked for by somebody who is signed in, over a connection that stays open, after two requests that do not
count. Beside it, in the same run: a page of Starlette with `SELECT 1`, which is the least that any page with a
database takes, and Label Studio's own list of tasks. PostgreSQL logs how long each query takes, so a page's line says
what part of its time that is, and which query took longest. Prints JSON lines, the slowest page last.

    python benchmarks/web.py [--texts 1000000] [--repeats 15] [--home FOLDER] [--label-studio 10000] [--queries]

With `--home` the store is kept in that folder, and used again if it is there.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import psutil
from sqlalchemy import Engine, func, select, text

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._measure import emit
from benchmarks._web_peers import label_studio_list
from pipeline import store
from pipeline.search.near import make_index
from pipeline.settings import Settings
from pipeline.store import make_engine, open_session
from pipeline.store.migrate import upgrade
from pipeline.store.tables.accounts import Role
from pipeline.taxonomy import load_taxonomy
from saring.accounts.people import add_account, all_accounts
from saring.accounts.sessions import begin_session
from saring.services import ensure_database, stop_services
from saring.services.programs import settings_environment
from saring.web.app import route_table
from tests.support.big_store import fill_store
from tests.support.installed import find_browser
from tests.support.web_pages import Kind, Place, find_places

_ROOT = Path(__file__).resolve().parents[1]
_WARM = 2
#: seconds without a query after which nothing is computed in the background
_QUIET_SECONDS = 5
_START_SECONDS = 120
#: milliseconds that a page may take
_TARGET = 300
_AGENT = "Mozilla/5.0 (X11; Linux x86_64) Chrome/150.0"
#: a line of PostgreSQL's log: how long the execution took, and of what
_LOGGED = re.compile(r"duration: ([\d.]+) ms\s+(?:execute [^:]*|statement): (.*?)(?=\n\d{4}-\d\d-\d\d |\Z)", re.DOTALL)
_PARSED = re.compile(r"duration: ([\d.]+) ms")


@dataclass(frozen=True, slots=True)
class Bench:
    """A home with the store, and what serves it."""

    settings: Settings
    engine: Engine
    url: str
    token: str

    def client(self) -> httpx.Client:
        """A browser that an owner is signed in with."""
        headers = {"Accept": "text/html", "User-Agent": _AGENT}
        cookies = {"saring_session": self.token}
        return httpx.Client(base_url=self.url, headers=headers, cookies=cookies, timeout=120, trust_env=False)

    @property
    def log(self) -> Path:
        """PostgreSQL's log."""
        return self.settings.home / "services" / "postgres.log"


def main() -> None:
    """Fill or open the store, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=15, help="requests of each page")
    parser.add_argument("--home", type=Path, help="keep the store here, or use the one that is here")
    parser.add_argument(
        "--label-studio", type=int, default=10_000, metavar="N", help="tasks of the peer; 0: without it"
    )
    parser.add_argument("--only", default="", help="measure only pages whose path contains this")
    parser.add_argument("--queries", action="store_true", help="print each page's slowest query")
    options = parser.parse_args()
    with _bench(options.texts, options.home) as bench:
        _peers(bench, options)
        with bench.client() as client:
            # the first look has the figures computed, which bring links of their own
            find_places(client, route_table(), patience=0)
            _until_quiet(bench.engine)
            places, missing = find_places(client, route_table(), patience=0)
            for path in missing:
                emit("web", {"what": "page", "path": path, "skipped": "no link leads to it"})
            chosen = [place for place in places if place.kind is not Kind.STREAM and options.only in place.address]
            _until_quiet(bench.engine)
            lines = [_page(bench, client, place, options) for place in chosen]
        for line in sorted(lines, key=lambda line: float(str(line["p95_ms"]))):
            emit("web", line)
        if find_browser() is not None and options.only in "/review":
            from benchmarks._web_review import next_item

            emit("web", next_item(bench.url, bench.token, options.repeats))


def _page(bench: Bench, client: httpx.Client, place: Place, options: argparse.Namespace) -> dict[str, object]:
    """The figures of one page."""
    size, status = 0, 0
    seconds = []
    for turn in range(options.repeats + _WARM):
        start = time.perf_counter()
        answer = client.get(place.address)
        if turn >= _WARM:
            seconds.append(time.perf_counter() - start)
        size, status = len(answer.content), answer.status_code
    database, slowest, query, count = _queries(bench, client, place)
    figures = {
        "what": str(place.kind),
        "path": place.address,
        "status": status,
        **_spread(seconds),
        "target_ms": _TARGET,
        "bytes": size,
        "queries": count,
        "database_ms": database,
        "slowest_query_ms": slowest,
    }
    return figures | ({"slowest_query": query} if options.queries else {})


def _queries(bench: Bench, client: httpx.Client, place: Place) -> tuple[float, float, str, int]:
    """Ask once more; PostgreSQL's milliseconds in all and of the slowest query, that query, and the number of all."""
    _log_queries(bench.engine, on=True)
    begun = bench.log.stat().st_size
    client.get(place.address)
    _log_queries(bench.engine, on=False)
    with bench.log.open(encoding="utf-8", errors="replace") as log:
        log.seek(begun)
        logged = log.read()
    executed = [(float(ms), " ".join(query.split())) for ms, query in _LOGGED.findall(logged)]
    executed = [row for row in executed if "pg_reload_conf" not in row[1] and "ALTER SYSTEM" not in row[1]]
    slowest = max(executed, default=(0.0, ""))
    return sum(float(ms) for ms in _PARSED.findall(logged)), slowest[0], slowest[1][:2_000], len(executed)


def _until_quiet(engine: Engine) -> None:
    """Wait until the figures that the first look at the pages asked for are computed, and say how long that took."""
    start = last = time.monotonic()
    while time.monotonic() - last < _QUIET_SECONDS:
        with engine.connect() as connection:
            others = connection.execute(
                text(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND pid <> pg_backend_pid() AND state <> 'idle'"
                )
            ).scalar_one()
        last = time.monotonic() if others else last
        time.sleep(0.2)
    emit("web", {"what": "figures that are computed in the background", "seconds": last - start})


def _log_queries(engine: Engine, *, on: bool) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"ALTER SYSTEM SET log_min_duration_statement = {0 if on else -1}"))
        connection.execute(text("SELECT pg_reload_conf()"))
    # each process reads the settings when it is next at rest
    time.sleep(0.3)


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    times = np.array(seconds) * 1000
    middle, high = np.percentile(times, [50, 95])
    return {"p50_ms": round(float(middle), 1), "p95_ms": round(float(high), 1), "max_ms": round(float(times.max()), 1)}


def _peers(bench: Bench, options: argparse.Namespace) -> None:
    """The least that a page takes, and Label Studio's list."""
    port = _free_port()
    url = bench.engine.url.render_as_string(hide_password=False)
    command = [sys.executable, str(Path(__file__).with_name("_web_peers.py")), str(port)]
    environment = os.environ | {"SARING_DATABASE_URL": url, "PYTHONPATH": str(_ROOT)}
    address = f"http://127.0.0.1:{port}"
    with _process(command, environment, port), httpx.Client(base_url=address, trust_env=False) as client:
        seconds = []
        for turn in range(options.repeats + _WARM):
            start = time.perf_counter()
            client.get("/")
            if turn >= _WARM:
                seconds.append(time.perf_counter() - start)
    emit("web", {"what": "peer", "who": "Starlette with SELECT 1", **_spread(seconds)})
    if options.label_studio:
        with open_session(bench.engine) as session:
            texts = session.scalars(select(store.Text.masked).where(func.length(store.Text.masked) < 2_000))
            sample = list(texts.fetchmany(options.label_studio))
            texts.close()
        with label_studio_list(sample, options.repeats) as seconds:
            emit("web", {"what": "peer", "who": "Label Studio's list", "tasks": len(sample), **_spread(seconds)})


@contextmanager
def _bench(texts: int, kept: Path | None) -> Iterator[Bench]:
    home = kept or Path(tempfile.mkdtemp(prefix="saring-bench-"))
    home.mkdir(parents=True, exist_ok=True)
    settings = Settings(home=home)
    try:
        engine = make_engine(ensure_database(settings))
        upgrade(engine)
        with open_session(engine) as session:
            empty = session.scalars(select(store.Text.id).limit(1)).first() is None
        if empty:
            start = time.perf_counter()
            filled = fill_store(engine, load_taxonomy(), settings, texts=texts)
            seconds = time.perf_counter() - start
            emit("web", {"what": "store", "texts": texts, "annotations": filled.annotations, "seconds": seconds})
            start = time.perf_counter()
            make_index(engine, filled.encoder, memory=psutil.virtual_memory().available // 2)
            emit("web", {"what": "index of likeness", "texts": texts, "seconds": time.perf_counter() - start})
        with open_session(engine) as session, session.begin():
            owner = next((person for person in all_accounts(session) if person.name == "bench"), None)
            owner = owner or add_account(session, "bench", Role.OWNER)
            token = begin_session(session, owner.id, _AGENT)
        port = _free_port()
        command = [sys.executable, "-m", "saring", "serve", "--port", str(port)]
        environment = settings_environment(settings) | {"PYTHONPATH": str(_ROOT)}
        with _process(command, environment, port, home / "serve.log"):
            yield Bench(settings, engine, f"http://127.0.0.1:{port}", token)
        engine.dispose()
    finally:
        stop_services(settings)
        if kept is None:
            shutil.rmtree(home)


@contextmanager
def _process(command: Sequence[str], environment: dict[str, str], port: int, log: Path | None = None) -> Iterator[None]:
    """A server in a process of its own, once it listens."""
    with (log or Path(os.devnull)).open("ab") as output:
        process = subprocess.Popen(command, env=environment, cwd=_ROOT, stdout=output, stderr=output)
    try:
        ended = time.monotonic() + _START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > ended:
                    raise SystemExit(f"{command[-1]} did not start; see {log}") from None
                time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(60)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    main()
