"""The folders of the embedded servers of one home, and the account that they run as.

HOME/services/postgres/       PostgreSQL's data
HOME/services/valkey/         Valkey's configuration and append-only file
HOME/services/run/            their Unix sockets; in the temporary folder where this path is too long for one
HOME/services/*.log           what they say
HOME/services/*.alive         locked by a server, and by its children, for as long as any of them lives
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import pwd
import re
import secrets
import stat
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ServiceError

log = logging.getLogger(__name__)

#: the account that the servers run as when Saring is run by root: PostgreSQL refuses to be root
ROOT_RUNS_AS = "pgserver"
#: `sun_path` holds 104 bytes on macOS and 108 on Linux, the closing NUL included
_LONGEST_SOCKET_PATH = 103
_LONGEST_SOCKET_NAME = len("/.s.PGSQL.5432")
#: these need no quoting in a configuration file, a connection string or a URL's query
_PLAIN_PATH = re.compile(r"[A-Za-z0-9 _/.-]+")
#: not `tempfile.gettempdir()`: processes of one home must agree whatever their TMPDIR says
_SHORT = Path("/tmp")  # noqa: S108 - a private folder with a checked owner is made in it


@dataclass(frozen=True, slots=True)
class Account:
    """A system account."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Places:
    """The files of one home's servers."""

    home: Path

    @property
    def services(self) -> Path:
        """Everything that belongs to the servers."""
        return self.home / "services"

    @property
    def run(self) -> Path:
        """The folder of the sockets: the same for every process of this home, and of no other home."""
        inside = self.services / "run"
        if len(os.fsencode(inside)) + _LONGEST_SOCKET_NAME <= _LONGEST_SOCKET_PATH and _PLAIN_PATH.fullmatch(
            str(inside)
        ):
            return inside
        # The token tells a home from an earlier one at the same path, the path tells it from a copy of itself.
        token = self._token.read_bytes() if self._token.is_file() else b""
        name = hashlib.blake2b(token + b"\0" + os.fsencode(self.services.resolve()), digest_size=8).hexdigest()
        return _SHORT / f"saring-{name}"

    @property
    def _token(self) -> Path:
        return self.services / "id"

    def make(self) -> Account | None:
        """Make the folders, readable by nobody else, and return the account to run servers as (None: the caller's).

        Raises:
            ServiceError: a folder cannot be made or belongs to someone else.
        """
        try:
            if not self.home.exists():
                self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
                account = _server_account(self.home)
                if account is not None:  # the servers' account may pass, and no one else
                    os.chown(self.home, -1, account.gid)
                    self.home.chmod(0o710)
            account = _server_account(self.home)
            self.services.mkdir(exist_ok=True, mode=0o700)
            give(self.services, account)
            if not self._token.exists():
                fresh = self.services / f"id.{secrets.token_hex(4)}"
                fresh.write_text(secrets.token_hex(16))
                give(fresh, account)
                fresh.rename(self._token)
            if account is not None:
                let_through(self.services, account)
            _make_private(self.run, account)
        except FileExistsError as error:
            raise ServiceError(f"{error.filename} is in the way: a folder is needed there; move the file") from error
        except OSError as error:
            raise ServiceError(
                f"cannot make {error.filename or self.services}: {error.strerror}; "
                "give it to this user, or set SARING_HOME to a folder on a local disk that it may write"
            ) from error
        return account

    def tidy(self) -> None:
        """Remove the folder of the sockets if it is outside the home and no server uses it."""
        if self.run.parent == _SHORT:
            with contextlib.suppress(OSError):
                self.run.rmdir()


def give(path: Path, account: Account | None) -> None:
    """Make `account` the owner of what lies at `path`, all the way down, unless it already is."""
    if account is None or path.lstat().st_uid == account.uid:
        return
    for folder, _, files in os.walk(path):
        for name in files:
            os.chown(Path(folder, name), account.uid, account.gid, follow_symlinks=False)
        os.chown(folder, account.uid, account.gid)
    if not path.is_dir():
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def let_through(path: Path, account: Account) -> None:
    """Let `account` pass through (not list) the folders above `path`: for root's own home and the like."""
    for folder in path.resolve().parents:
        status = folder.stat()
        if status.st_uid == account.uid:
            needed = stat.S_IXUSR
        elif status.st_gid == account.gid:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not status.st_mode & needed:
            log.warning("letting account %s pass (not list) %s: servers cannot be root", account.name, folder)
            folder.chmod(stat.S_IMODE(status.st_mode) | needed)


def let_run(program: Path, trees: Sequence[Path], account: Account) -> None:
    """Let `account` run `program`, which needs `trees`: a package that root installed may be for root alone."""
    let_through(program, account)
    if program.stat().st_mode & stat.S_IXOTH:
        return
    log.warning("letting account %s run %s: servers cannot be root", account.name, program)
    for tree in trees:
        for path in (tree, *tree.rglob("*")):
            if not path.is_symlink():
                mode = stat.S_IMODE(path.stat().st_mode)
                path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))
    let_through(program, account)


def _make_private(folder: Path, account: Account | None) -> None:
    folder.mkdir(exist_ok=True, mode=0o700)
    status = folder.lstat()
    trusted = {os.geteuid()} | ({account.uid} if account else set())
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in trusted:
        raise ServiceError(f"{folder} belongs to someone else: remove it, or set SARING_HOME to a shorter path")
    folder.chmod(0o700)
    give(folder, account)


def _server_account(home: Path) -> Account | None:
    if os.geteuid() != 0:
        return None
    owner = home.stat().st_uid
    known = _by_uid(owner) if owner else None
    return known or _by_name(ROOT_RUNS_AS) or _new_account()


def _by_uid(uid: int) -> Account | None:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:  # the owner comes from another machine or container
        return None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _by_name(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


@contextlib.contextmanager
def _no_other_makes_it() -> Iterator[None]:
    """Hold a lock on the folder of accounts: two `useradd` at once fail, or make two accounts of one name."""
    folder = os.open("/etc", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _new_account() -> Account:
    command = ["useradd", "--system", "--no-create-home", "--shell", "/bin/false", ROOT_RUNS_AS]
    reason = "useradd is not installed"
    with _no_other_makes_it():
        account = _by_name(ROOT_RUNS_AS)
        if account is None:
            with contextlib.suppress(FileNotFoundError):
                reason = subprocess.run(command, capture_output=True, text=True, check=False).stderr.strip()
            account = _by_name(ROOT_RUNS_AS)
    if account is None:
        raise ServiceError(
            f"PostgreSQL does not run as root, and account `{ROOT_RUNS_AS}` cannot be made ({reason}): "
            "make it, run Saring as a plain user, or set SARING_DATABASE_URL"
        )
    log.info("made system account %s for the embedded servers", ROOT_RUNS_AS)
    return account
