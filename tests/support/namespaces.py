"""Network namespaces: whether this machine lets us make them, and processes that run in one."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

NAMESPACES = Path("/run/netns")
#: seconds that any step may take
DEADLINE = 120.0
POLL_SECONDS = 0.05
_TOOLS = ("ip", "nsenter", "unshare", "hostname")


@functools.cache
def why_no_hosts() -> str | None:
    """The reason why this machine cannot make hosts; None if it can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        return f"{', '.join(missing)} not found: install iproute2, util-linux and hostname"
    name = f"saring-probe-{os.getpid()}-{secrets.token_hex(2)}"
    try:
        ip("netns", "add", name)
        try:
            ip("-n", name, "link", "add", "name", "bridge", "type", "bridge")
            ip("-n", name, "link", "add", "name", "a", "type", "veth", "peer", "name", "b")
            run("nsenter", f"--net={NAMESPACES / name}", "unshare", "--uts", "hostname", "probe")
        finally:
            ip("netns", "del", name)
    except HostError as error:
        return str(error)
    return None


class HostError(Exception):
    """An error of the hosts."""


class NotInTime(HostError):
    """Something did not happen before its deadline."""


@contextlib.contextmanager
def spawned(
    namespace: str,
    options: Sequence[str],
    command: Sequence[str],
    environment: dict[str, str],
    folder: Path,
    log: Path,
    umask: int,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a namespace; whatever else is in it then is killed when the block ends."""
    output: IO[bytes]
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["nsenter", f"--net={NAMESPACES / namespace}", *options, "--", *command],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            umask=umask,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for_answer(
    process: subprocess.Popen[bytes], log: Path, ask: Callable[[], Any], not_yet: type[Exception]
) -> None:
    """Wait until a server answers.

    Raises:
        HostError: it ended, or does not in time.
    """
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            ask()
        except not_yet as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise HostError(f"a server did not start: {log.read_text(errors='replace')[-2000:]}") from error
            time.sleep(POLL_SECONDS)
        else:
            return


def remove_namespace(namespace: str) -> None:
    """Kill what is left in a namespace (nothing in it is anyone else's), and remove it."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        left = [int(pid) for pid in ip("netns", "pids", namespace).split()]
        if not left:
            break
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(POLL_SECONDS)
    ip("netns", "del", namespace)


def ip(*arguments: str) -> str:
    """Run iproute2; return its output."""
    return run("ip", *arguments)


def run(*command: str) -> str:
    """Run a tool; return its output.

    Raises:
        HostError: it failed.
    """
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        detail = (result.stderr.strip().splitlines() or [f"status {result.returncode}"])[-1]
        raise HostError(f"`{' '.join(command)}` failed: {detail}")
    return result.stdout
