"""The common part of servers that listen on a port of this machine: a port that stays, and an id that is written down.

Label Studio keeps the address of the ML backend, and people keep that of Label Studio, so a home's ports are chosen
once. They lie below those that the system hands out by itself, which anyone may get at any time.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from pipeline.errors import ServiceError

if TYPE_CHECKING:
    import httpx

HOST = "127.0.0.1"
_FIRST, _LAST = 18_000, 31_999
_TRIES = 100


@dataclass(frozen=True, slots=True)
class Port:
    """The port of one server of one home, kept in a file."""

    file: Path
    #: as people call the server
    name: str
    #: the number that somebody chose, and the setting that says so; it counts from the next start on
    chosen: int | None = None
    setting: str = ""

    def number(self) -> int | None:
        """The port; None when none has been chosen yet."""
        try:
            return int(self.file.read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError as error:
            raise ServiceError(f"{self.file} holds no port: remove it, and another is chosen") from error

    def url(self) -> str | None:
        """The server's address; None when no port has been chosen yet."""
        number = self.number()
        return None if number is None else f"http://{HOST}:{number}"

    def claim(self) -> int:
        """The port, chosen now if need be; for whoever is about to start the server.

        Raises:
            ServiceError: another program listens there.
        """
        kept = self.number()
        number = self.chosen or kept or _free()
        if not is_free(number):
            raise ServiceError(self.taken() or f"port {number} of {self.name} is taken")
        if number != kept:
            fresh = self.file.with_name(f"{self.file.name}.new")
            fresh.write_text(f"{number}\n")
            fresh.replace(self.file)
        return number

    def taken(self) -> str | None:
        """A message on who listens on the port of a stopped server, and what to do; None when nobody does."""
        number = self.chosen or self.number()
        if number is None or is_free(number):
            return None
        mend = f"set {self.setting} to another" if self.chosen else f"remove {self.file} to have another port chosen"
        return (
            f"port {number} of {self.name} is taken by {_holder(number)}: end that, or {mend}, and run `saring up` and "
            "`saring sync setup`"
        )


def get(url: str, *, timeout: float, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """Ask a server of this machine over plain HTTP.

    By default httpx reads the certificates of all authorities for each such question, which takes a hundred times
    longer than the rest of it, and whoever waits for a server asks many times.

    Raises:
        httpx.TransportError: there is no answer.
    """
    # Most who import this module ask nobody.
    import ssl

    import httpx

    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.get(url, headers=headers, timeout=timeout, trust_env=False, verify=nobody)


def is_free(number: int) -> bool:
    """True where a server could listen on the port. Connections that a dead one left half closed don't count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, number))
            probe.listen(1)
        except OSError:
            return False
        return True


def with_pid_file(path: Path, command: Sequence[str]) -> list[str]:
    """The command, run so that the id of its process is in a file before it begins."""
    return ["/bin/sh", "-c", 'echo $$ >"$1"; shift; exec "$@"', "sh", str(path), *command]


def _free() -> int:
    for _ in range(_TRIES):
        number = _FIRST + secrets.randbelow(_LAST - _FIRST + 1)
        if is_free(number):
            return number
    raise ServiceError(f"no port between {_FIRST} and {_LAST} of {HOST} is free: end some other programs")


def _holder(number: int) -> str:
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            here = connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (number,)
            if here and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return "another program"
