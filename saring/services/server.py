"""Starting, finding and stopping one detached server, whatever it serves.

A server inherits an open file that is locked with ``flock``. The kernel drops the lock when the last process that has
the file is gone, so "is a server of this home alive?" has one answer that a crash, a reboot, a reused process id or
another container cannot falsify; and whoever gets the lock is the only one who may start a server.
"""

from __future__ import annotations

import enum
import errno
import fcntl
import logging
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import psutil

from pipeline.errors import ServiceError
from pipeline.progress import Progress
from saring.services.places import Account, Places, give

log = logging.getLogger(__name__)

#: a server that replays its log after a crash says so meanwhile, and may take this long
RECOVERY_SECONDS = 1800.0
#: a server that is alive but cannot be spoken to at all: first start on a slow disk, or out of reach
SILENCE_SECONDS = 120.0
#: from a polite request to stop until a firm one
STOP_SECONDS = 60.0
_POLL_SECONDS = 0.02
_SLOWEST_POLL_SECONDS = 0.25
_KEEP_LOG_BYTES = 8 << 20


class Answer(enum.Enum):
    """The answer of a server to a first contact."""

    READY = enum.auto()
    BUSY = enum.auto()  # there, but starting, recovering or shutting down
    NONE = enum.auto()


class Server(Protocol):
    """The facts by which a server is started and stopped."""

    @property
    def name(self) -> str:
        """As people call it."""

    @property
    def process_name(self) -> str | None:
        """Name of its main process; None where that is an interpreter's, which differs from machine to machine."""

    @property
    def places(self) -> Places:
        """The folders of its home."""

    @property
    def data(self) -> Path:
        """Its folder, which is also its working directory."""

    @property
    def pid_file(self) -> Path:
        """Its main process's id is the first line."""

    @property
    def alive(self) -> Path:
        """Locked while it lives."""

    @property
    def log(self) -> Path:
        """The log file of the server and of its start."""

    @property
    def stop_signals(self) -> Sequence[signal.Signals]:
        """The polite one first."""

    @property
    def as_caller(self) -> bool:
        """True: it runs as the account that starts it, even as root. False: as the servers' account."""

    def environment(self) -> Mapping[str, str]:
        """The environment variables that it gets, and no others. Read when `prepare` is done."""

    def ask(self) -> Answer:
        """Speak to it.

        Raises:
            ServiceError: it is there but will not let us in, or another program answers in its place.
        """

    def prepare(self, account: Account | None, lock: int, /) -> Sequence[str]:
        """Make ready what it needs, and return its command line. Called by one process at a time, none running."""

    def mend(self, account: Account | None, output: str, /) -> bool:
        """Repair what kept it from starting, if that is known how; whether to try again."""


def ensure_running(server: Server, progress: Progress) -> bool:
    """Return when the server is ready, having started it if it wasn't (then True). Any number of callers may race.

    Raises:
        ServiceError: it cannot be started; the message says why, what to do, and names the log.
    """
    if server.ask() is Answer.READY:
        return False
    account = _account(server)
    began = last_sign = time.monotonic()
    started, mended, log_start, pause = False, False, 0, _POLL_SECONDS
    while True:
        with _lock(server, account) as lock:
            if lock is not None:
                if started:
                    output = _tail(server.log, log_start)
                    if mended or not server.mend(account, output):
                        raise ServiceError(_why(server, output))
                    mended = True
                account = _account(server)  # again: someone may have stopped the last server and tidied up
                try:
                    command = server.prepare(account, lock)
                    log_start = _rotate(server.log)
                except OSError as error:
                    raise ServiceError(why(server.name, f"{error.strerror}: {error.filename}", server.log)) from error
                log.info("starting %s for %s", server.name, server.places.home)
                _spawn(command, server, account, lock)
                started, last_sign = True, time.monotonic()
        answer = server.ask()
        now = time.monotonic()
        if answer is Answer.READY:
            return started
        if answer is Answer.BUSY:
            last_sign = now
        progress(0, None, f"waiting for {server.name}")
        if now - last_sign > SILENCE_SECONDS or now - began > RECOVERY_SECONDS:
            raise ServiceError(
                f"{server.name} of {server.places.home} is alive but did not answer for {now - began:.0f} s: run "
                f"`saring down` and then `saring up`, where it was started (log: {server.log})"
            )
        time.sleep(pause)
        pause = min(pause * 1.2, _SLOWEST_POLL_SECONDS)


def stop(server: Server) -> bool:
    """Stop the server and wait until it and its children are gone; False when it wasn't running.

    Raises:
        ServiceError: it cannot be found or does not end.
    """
    if not is_alive(server):
        return False
    for turn, request in enumerate((*server.stop_signals, signal.SIGKILL)):
        process = find_process(server.pid_file, server.process_name, server.data)
        if process is None and turn:
            break
        try:
            if process is not None and request is signal.SIGKILL:
                _kill_group(process)
            elif process is not None:
                process.send_signal(request)
        except (psutil.NoSuchProcess, ProcessLookupError):
            pass
        except (psutil.AccessDenied, PermissionError) as error:
            raise ServiceError(
                f"{server.name} ({server.pid_file} names it) belongs to another user: stop it as that user"
            ) from error
        until = time.monotonic() + STOP_SECONDS
        while time.monotonic() < until:
            if not is_alive(server) or _replaced(server, process):
                return True
            time.sleep(_POLL_SECONDS)
        log.warning("%s did not end %.0f s after %s", server.name, STOP_SECONDS, request.name)
    raise ServiceError(
        f"{server.name} is alive but its process cannot be found from here: stop it where it was started "
        f"(another container?); its data is {server.data}"
    )


def is_alive(server: Server) -> bool:
    """True where a server of this home, or a child of one, is running."""
    if not server.alive.exists():
        return False
    with _lock(server, None, fcntl.LOCK_SH) as lock:
        return lock is None


def find_process(pid_file: Path, name: str | None, cwd: Path) -> psutil.Process | None:
    """The process that `pid_file` names, if it is what it says: an id may have gone to another process since."""
    try:
        process = psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))
        if name in (None, process.name()) and Path(process.cwd()) == cwd.resolve():
            return process
    except (OSError, ValueError, psutil.Error):
        return None
    return None


def run_tool(
    command: Sequence[str], account: Account | None, *, cwd: Path, text: str = "", lock: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program of a server to its end, as `account`, with `text` as its input and nothing of our environment."""
    return subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd=cwd,
        env=plain_environment(),
        umask=0o077,
        pass_fds=() if lock is None else (lock,),
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )


def why(name: str, output: str, where: Path) -> str:
    """One line on why something failed, from what it said last, that ends in what to do."""
    advice = next((advice for sign, advice in _ADVICE if sign in output), "mend that and run `saring up` again")
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if any(word in line for word in ("FATAL", "PANIC", "rror", "annot", "ould not"))]
    reason = _STAMP.sub("", (telling or lines or ["it ended without a word"])[-1])
    return f"{name} did not start: {reason}: {advice} (log: {where})"


#: what PostgreSQL and Valkey write before each line
_STAMP = re.compile(r"^[\d-]+ [\d:.]+ \w+ \[\d+\] |^\d+:\w \d+ \w+ \d+ [\d:.]+ [.*#-] ")

_ADVICE = (
    ("No space left on device", "the disk is full: free some space, or set SARING_HOME to another disk"),
    ("Disk quota exceeded", "the disk quota is used up: free some space, or set SARING_HOME to another disk"),
    ("ermission denied", "give the folder to this user, or set SARING_HOME to one that is"),
    ("Read-only file system", "set SARING_HOME to a disk that can be written"),
    ("could not create shared memory", "allow more shared memory (a container's --shm-size, or kernel.shmmax)"),
    ("could not map anonymous shared memory", "there is too little free memory: end other programs"),
    ("Cannot allocate memory", "there is too little free memory: end other programs"),
    ("not found", "the server program is damaged: install the package again"),
)


def _why(server: Server, output: str) -> str:
    return why(server.name, output, server.log)


@contextmanager
def _lock(server: Server, account: Account | None, kind: int = fcntl.LOCK_EX) -> Iterator[int | None]:
    """The open, locked file of a server that isn't alive; None while one is. Closed afterwards, unlocking unless
    a server inherited it."""
    try:
        lock = os.open(server.alive, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ServiceError(f"cannot open {server.alive}: {error.strerror}; give it to this user") from error
    try:
        give(server.alive, account)
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        yield None
        return
    except OSError as error:
        os.close(lock)
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            raise
        raise ServiceError(
            f"{server.alive} cannot be locked ({error.strerror}): set SARING_HOME to a folder on a local disk"
        ) from error
    try:
        yield lock
    finally:
        os.close(lock)


def _spawn(command: Sequence[str], server: Server, account: Account | None, lock: int) -> None:
    # The shell steps between, so that the server is nobody's child: a killed child stays as a zombie until its parent
    # asks after it, and a zombie's process id counts as taken.
    script = 'exec </dev/null >>"$0" 2>&1; "$@" &'
    process = subprocess.run(
        ["/bin/sh", "-c", script, str(server.log), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
        cwd=server.data,
        env=server.environment(),
        umask=0o077,
        start_new_session=True,
        pass_fds=(lock,),
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )
    if process.returncode:
        raise ServiceError(_why(server, process.stderr))


def _replaced(server: Server, process: psutil.Process | None) -> bool:
    """True where the process is gone and someone has started a new one already."""
    if process is None or process.is_running():
        return False
    return find_process(server.pid_file, server.process_name, server.data) not in (None, process)


def _kill_group(process: psutil.Process) -> None:
    """Kill a server with all its children, which share its process group and no other program does."""
    group = os.getpgid(process.pid)
    if group == os.getpgrp():
        process.kill()
    else:
        os.killpg(group, signal.SIGKILL)


def _account(server: Server) -> Account | None:
    """Make the folders; the account that the server is to run as (None: the caller's)."""
    account = server.places.make()
    return None if server.as_caller else account


def plain_environment() -> dict[str, str]:
    """The environment variables that a server needs: neither a PGDATA nor a locale of the caller."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def _rotate(path: Path) -> int:
    """Set aside a log that has grown large; where the next words begin."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return 0
    if size <= _KEEP_LOG_BYTES:
        return size
    path.replace(path.with_name(path.name + ".1"))
    return 0


def _tail(path: Path, start: int) -> str:
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(64 << 10).decode(errors="replace")
    except FileNotFoundError:
        return ""
