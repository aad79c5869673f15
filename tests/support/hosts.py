"""Two workers on two hosts, with a network between them and the servers that can be cut silently.

Used by `benchmarks/partition.py` and by the tests. A host is a network namespace with a host name of its own. The store
and the broker each have a network to themselves, a bridge in a third namespace, so that a host can be cut off from one
and still reach the other. A cut takes the host's cable out of the bridge: its link stays up, and whatever either side
sends is lost, as when a firewall forgets a connection or a switch dies. Neighbours are written down beforehand, so that
no ARP tells anyone.
"""

from __future__ import annotations

import contextlib
import enum
import gc
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import Engine, delete, func, insert, select, text

from pipeline import store
from pipeline.runs.book import open_run
from pipeline.runs.tasks import send_shards
from pipeline.settings import Settings
from pipeline.store import make_engine, open_session
from pipeline.store.migrate import upgrade
from pipeline.store.tables.core import RunState
from pipeline.store.tables.work import ShardState
from pipeline.texts.normalise import text_id
from pipeline.vectors.embed import EmbedParams, EmbedStage
from saring.context import Context
from saring.demo.plant import read_corpus
from saring.services.places import Account, Places, give
from saring.services.postgres import DATABASE, Postgres
from saring.services.server import plain_environment
from saring.services.valkey import Valkey
from saring.workers.app import make_app
from saring.workers.environment import WorkEnvironment
from tests.support.namespaces import DEADLINE, POLL_SECONDS, NotInTime, ip, remove_namespace, spawned, wait_for_answer

_ROOT = Path(__file__).resolve().parents[2]
_POSTGRES_PORT, _VALKEY_PORT = 5432, 6379


class Net(enum.Enum):
    """Networks of a host; the value is the number of the network in addresses."""

    STORE = 77
    BROKER = 78

    @property
    def word(self) -> str:
        """For interfaces, and people."""
        return self.name.lower()

    def address(self, number: int) -> str:
        """Of the servers (1), or of a host."""
        return f"10.{self.value}.0.{number}"

    def hardware(self, number: int) -> str:
        """The same in the layer below."""
        return f"02:00:00:00:{self.value:02x}:{number:02x}"


@dataclass
class Host:
    """A machine with a worker."""

    name: str
    number: int
    namespace: str
    folder: Path
    worker: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """Log of its worker."""
        return self.folder / "worker.log"


@dataclass
class Cluster:
    """Servers, hosts and the networks between them."""

    folder: Path
    hosts: Sequence[Host]
    namespace: str
    ctx: Context
    #: the broker's address, as this process reaches it
    broker_url: str = field(repr=False)
    texts: int = 0

    @property
    def engine(self) -> Engine:
        """The store, by a way that is never cut."""
        return self.ctx.engine

    def cut(self, host: Host, net: Net) -> None:
        """Lose every packet between a host and the servers of a network, in both directions."""
        ip("-n", self.namespace, "link", "set", "dev", _port(host, net), "nomaster")

    def heal(self, host: Host, net: Net) -> None:
        """Undo a cut."""
        ip("-n", self.namespace, "link", "set", "dev", _port(host, net), "master", net.word)

    @contextlib.contextmanager
    def held_up_run(self, stage: EmbedStage) -> Iterator[int]:
        """Have the workers embed all texts anew, no shard further than where it says how far it is, until the block
        ends. Held up only once it was sent, a run may be over by then."""
        self.forget_vectors()
        env = WorkEnvironment(lambda: self.ctx)
        app = make_app(self.broker_url, env)
        run_id, numbers = open_run(self.engine, stage.name, stage.plan(self.ctx, EmbedParams()))
        with self.held_up(run_id):
            send_shards(app, env, run_id, numbers)
            app.close()
            # The application listens for the chord's result, and would go on when the broker is gone.
            del app
            gc.collect()
            yield run_id

    def forget_vectors(self) -> None:
        """Make all texts work again."""
        with open_session(self.engine) as session, session.begin():
            session.execute(delete(store.Vector))

    def run(self, run_id: int) -> store.Run:
        """Read a run."""
        with open_session(self.engine) as session:
            run = session.get(store.Run, run_id)
        assert run is not None, "runs are never removed"
        return run

    def shards(self, run_id: int) -> Sequence[store.Shard]:
        """Of a run."""
        with open_session(self.engine) as session:
            return session.scalars(
                select(store.Shard).where(store.Shard.run_id == run_id).order_by(store.Shard.number)
            ).all()

    def is_over(self, run_id: int) -> bool:
        """True where a run has ended."""
        return self.run(run_id).state is not RunState.RUNNING

    def takers(self, run_id: int) -> set[str]:
        """Hosts that had a shard of a run in hand last."""
        return {shard.worker.partition(":")[0] for shard in self.shards(run_id) if shard.worker is not None}

    def at_work(self, run_id: int) -> set[str]:
        """Hosts that have a shard of a run in hand now."""
        return {
            shard.worker.partition(":")[0]
            for shard in self.shards(run_id)
            if shard.state is ShardState.RUNNING and shard.worker is not None
        }

    def waiting(self) -> int:
        """Sessions of the store that wait for what another holds."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        with self.engine.connect() as connection:
            return int(connection.execute(text(query)).scalar_one())

    @contextlib.contextmanager
    def held_up(self, run_id: int) -> Iterator[None]:
        """Let no shard of a run come further than where it says how far it is, until the block ends."""
        with open_session(self.engine) as session, session.begin():
            session.get(store.Run, run_id, with_for_update=True)
            yield

    def violations(self, run_id: int) -> list[str]:
        """Violations of a run that has ended, and of its vectors; empty if there are none."""
        run, shards = self.run(run_id), self.shards(run_id)
        with open_session(self.engine) as session:
            v = store.Vector
            vectors, distinct = session.execute(select(func.count(), func.count(v.text_id.distinct()))).one()
        counted = sum(shard.counts.get("embedded", 0) + shard.counts.get("present", 0) for shard in shards)
        reported = (run.result or {}).get("embedded", 0) + (run.result or {}).get("present", 0)
        wrong = []
        if run.state is not RunState.DONE or run.error is not None:
            wrong.append(f"the run ended as {run.state} ({run.error})")
        if any(shard.state is not ShardState.DONE for shard in shards):
            wrong.append(f"shards are {sorted({str(shard.state) for shard in shards})}")
        if (vectors, distinct) != (self.texts, self.texts):
            wrong.append(f"{self.texts} texts have {vectors} vectors, of {distinct} texts")
        if counted != self.texts or reported != self.texts:
            wrong.append(f"{self.texts} texts, shards counted {counted} and the run {reported}")
        if run.progress_done != self.texts:
            wrong.append(f"{self.texts} texts, progress says {run.progress_done}")
        return wrong

    def words(self, lines: int = 40) -> str:
        """The last lines of the logs of the workers."""
        kept_lines = []
        for host in self.hosts:
            kept = host.log.read_text(errors="replace").splitlines()[-lines:] if host.log.exists() else []
            kept_lines += [f"--- {host.name}", *kept]
        return "\n".join(kept_lines)

    def until(self, condition: Callable[[], bool], what: str, seconds: float = DEADLINE) -> None:
        """Wait for a condition.

        Raises:
            NotInTime: it is not met in time, or a worker ended.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            ended = [host.name for host in self.hosts if host.worker is None or host.worker.poll() is not None]
            if ended or time.monotonic() > deadline:
                why = f"the worker of {ended[0]} ended" if ended else f"not in {seconds:.0f} s"
                raise NotInTime(f"{why}: {what}\n{self.words()}")
            time.sleep(POLL_SECONDS)


@contextlib.contextmanager
def cluster(texts: int, *, look_seconds: float = 1.0, resend_seconds: float = 3.0) -> Iterator[Cluster]:
    """Hosts `a` and `b`, each with a worker that takes one job at a time, and a store with some texts of the demo.
    The regular jobs are sent from `a`. All of it is gone when the block ends.

    Args:
        texts: how many.
        look_seconds: between two sweeps.
        resend_seconds: of nothing happening, until what waits is sent again.
    """
    name = f"saring-{os.getpid()}-{secrets.token_hex(2)}"
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=tempfile.gettempdir()))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        hosts = [Host(letter, 10 + i, f"{name}-{letter}", folder / letter) for i, letter in enumerate("ab")]
        server = f"{name}-server"
        for namespace in (server, *(host.namespace for host in hosts)):
            ip("netns", "add", namespace)
            stack.callback(remove_namespace, namespace)
        _connect(server, hosts)
        passwords = {net: secrets.token_hex(8) for net in Net}
        places = Places(folder / "server")
        account = places.make()
        assert account is not None, "whoever makes namespaces is root, and PostgreSQL refuses to be"
        database_url = stack.enter_context(_postgres(places, server, account, passwords[Net.STORE]))
        broker_url = stack.enter_context(_valkey(places, server, account, passwords[Net.BROKER]))
        settings = Settings(home=folder / "front", database_url=database_url, redis_url=broker_url)
        ctx = Context(settings)
        stack.callback(ctx.close)
        made = Cluster(folder, hosts, server, ctx, broker_url)
        made.texts = _put_texts(made.engine, texts)
        environment = {
            "SARING_DATABASE_URL": f"postgresql://saring:{passwords[Net.STORE]}@{Net.STORE.address(1)}:{_POSTGRES_PORT}/{DATABASE}",
            "SARING_REDIS_URL": f"redis://:{passwords[Net.BROKER]}@{Net.BROKER.address(1)}:{_VALKEY_PORT}/0",
            "SARING_LOOK_SECONDS": str(look_seconds),
            "SARING_RESEND_SECONDS": str(resend_seconds),
            # There is nothing to pull from.
            "SARING_PULL_SECONDS": "3600",
            "SARING_QUEUE_LOW": "0",
            # With an engine that loads slowly, one host would do all the work meanwhile.
            "SARING_ENCODER_ENGINE": "wheel",
        }
        for host in hosts:
            stack.enter_context(_worker(host, environment, ["--beat"] if host is hosts[0] else []))
        made.until(lambda: all((host.folder / "ready").exists() for host in hosts), "the workers take work")
        yield made


def _connect(server: str, hosts: Sequence[Host]) -> None:
    for net in Net:
        # The address is set, because it would otherwise be the lowest of its ports' and change with them.
        ip("-n", server, "link", "add", "name", net.word, "address", net.hardware(1), "type", "bridge")
        ip("-n", server, "addr", "add", f"{net.address(1)}/24", "dev", net.word)
        ip("-n", server, "link", "set", "dev", net.word, "up")
        for host in hosts:
            end = ["name", net.word, "address", net.hardware(host.number), "netns", host.namespace]
            ip("-n", server, "link", "add", "name", _port(host, net), "type", "veth", "peer", *end)
            ip("-n", server, "link", "set", "dev", _port(host, net), "master", net.word, "up")
            ip("-n", host.namespace, "addr", "add", f"{net.address(host.number)}/24", "dev", net.word)
            ip("-n", host.namespace, "link", "set", "dev", net.word, "up")
            for namespace, other in ((host.namespace, 1), (server, host.number)):
                known = [net.address(other), "lladdr", net.hardware(other), "dev", net.word, "nud", "permanent"]
                ip("-n", namespace, "neigh", "replace", *known)


def _port(host: Host, net: Net) -> str:
    return f"{host.name}-{net.word}"


@contextlib.contextmanager
def _postgres(places: Places, namespace: str, account: Account, password: str) -> Iterator[str]:
    """The embedded server's cluster, served on an address too; the store's address on its socket."""
    server = Postgres(places)
    with Path(os.devnull).open() as no_lock:
        command = [*server.prepare(account, no_lock.fileno()), "-c", f"listen_addresses={Net.STORE.address(1)}"]
    with (server.data / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all all {Net.STORE.address(0)}/24 scram-sha-256\n")
    # The data is thrown away.
    command += ["-c", "fsync=off"]
    with _serving(command, namespace, account, server.data, server.log, signal.SIGQUIT) as process:
        wait_for_answer(process, server.log, lambda: server.connect().close(), psycopg.OperationalError)
        with server.connect() as connection:
            connection.execute(sql.SQL("ALTER ROLE saring PASSWORD {}").format(sql.Literal(password)))
        engine = make_engine(server.url())
        upgrade(engine)
        engine.dispose()
        yield server.url()


@contextlib.contextmanager
def _valkey(places: Places, namespace: str, account: Account, password: str) -> Iterator[str]:
    """The embedded broker, served on an address too; its address on its socket."""
    server = Valkey(places)
    command = [*server.prepare(account, 0), "--bind", Net.BROKER.address(1), "--port", str(_VALKEY_PORT)]
    command += ["--requirepass", password]
    with _serving(command, namespace, account, server.data, server.log, signal.SIGTERM) as process:
        wait_for_answer(process, server.log, lambda: server.socket.stat(), FileNotFoundError)
        yield server.url().replace("redis+socket://", f"redis+socket://:{password}@")


@contextlib.contextmanager
def _serving(
    command: Sequence[str], namespace: str, account: Account, folder: Path, log: Path, stop: signal.Signals
) -> Iterator[subprocess.Popen[bytes]]:
    run_as = ["--setgid", str(account.gid), "--setuid", str(account.uid)]
    with spawned(namespace, run_as, command, plain_environment(), folder, log, 0o077) as process:
        give(log, account)
        try:
            yield process
        finally:
            # The server is stopped in order, because its shared memory would outlive it otherwise.
            process.send_signal(stop)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)


@contextlib.contextmanager
def _worker(host: Host, environment: dict[str, str], arguments: Sequence[str]) -> Iterator[None]:
    host.folder.mkdir()
    own = {name: value for name, value in os.environ.items() if not name.startswith(("SARING_", "PG", "CELERY_"))}
    own |= environment | {
        "SARING_HOME": str(host.folder / "home"),
        "SARING_READY_FILE": str(host.folder / "ready"),
        "PYTHONPATH": str(_ROOT),
        "OMP_NUM_THREADS": "1",
    }
    named = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', host.name]
    command = [*named, sys.executable, "-m", "saring", "worker", "--concurrency", "1", *arguments]
    with spawned(host.namespace, [], command, own, host.folder, host.log, -1) as host.worker:
        yield


def _put_texts(engine: Engine, count: int) -> int:
    distinct = {text_id(line.text): line for line in read_corpus() if line.labels}
    rows = [
        {"id": key, "body": line.text, "masked": line.text, "language": line.language}
        for key, line in list(distinct.items())[:count]
    ]
    with open_session(engine) as session, session.begin():
        session.execute(insert(store.Text), rows)
    return len(rows)
