"""Label Studio, from its own environment: one server for each home, on loopback, with an owner that Saring made up.

Each home has its database, its secret key and its owner. Nothing secret is on a command line, which others can read.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import signal
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from pipeline.errors import ServiceError
from saring.services.label_studio_install import DATABASE, Environment, copy_database, server_environment
from saring.services.loopback import HOST, Port, get, with_pid_file
from saring.services.places import Account, Places
from saring.services.server import Answer, is_alive

if TYPE_CHECKING:
    import httpx

OWNER_FILE = "owner.json"
#: Label Studio's own settings, with a SQLite that several people can write to at once. By default a transaction that
#: reads first and writes then fails at once ("database is locked") if somebody else wrote in between, and page loads
#: do that; one that asks for the right to write when it begins waits for it instead.
_SETTINGS_MODULE = "saring_label_studio_settings"
_SETTINGS = """\
# first, because the next one asks for some of them while it is imported
from core.settings.base import *
from label_studio.core.settings.label_studio import *
from pathlib import Path

from django.core.servers.basehttp import WSGIRequestHandler
from label_studio.core.settings.label_studio import DATABASES, INSTALLED_APPS, MIDDLEWARE, TEMPLATES

INSTALLED_APPS = [*INSTALLED_APPS, "label_studio_guard.GuardConfig"]
MIDDLEWARE = [*MIDDLEWARE, "label_studio_volunteers.Volunteers"]
TEMPLATES[0]["DIRS"] = [str(Path(__file__).with_name("templates")), *TEMPLATES[0]["DIRS"]]
DATABASES["default"]["OPTIONS"] = {
    "timeout": 30,
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode = WAL",
}
# its server sends the head of an answer, then the body, which would wait 40 ms for the caller to acknowledge the head
WSGIRequestHandler.disable_nagle_algorithm = True
"""
#: files that run within Label Studio, in whose environment is Django, by where they lie there
_WITHIN = {
    "label_studio_guard.py": "label_studio_guard.py.in",
    "label_studio_volunteers.py": "label_studio_volunteers.py.in",
    "label_studio_requests.json": "label_studio_requests.json",
    "templates/base.html": "label_studio_base.html.in",
    "templates/users/new-ui/user_base.html": "label_studio_door.html.in",
    "templates/users/new-ui/user_signup.html": "label_studio_signup.html.in",
}
_OWNER = "owner@saring.local"
_ASK_SECONDS = 5.0
#: as Django 5.2 stores a password; it asks for as many rounds
_HASH, _ROUNDS = "pbkdf2_sha256", 1_000_000


@dataclass(frozen=True, slots=True)
class Owner:
    """The account that everything in the embedded Label Studio belongs to."""

    email: str
    password: str = field(repr=False)
    #: a legacy token: 40 hexadecimal digits, which do not expire
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LabelStudio:
    """The Label Studio server of one home."""

    places: Places
    programs: Environment
    #: private addresses that it may call beside the home's own ML backend, as HOST or HOST:PORT
    may_call: Sequence[str] = ()
    #: e-mail addresses of accounts that may do everything beside its owner; `*`: every account
    maintainers: Sequence[str] = ()
    #: address of Saring's own page for volunteers, if people can reach it
    phone_page: str | None = None
    #: its port; None: one that is free
    chosen_port: int | None = None
    name: str = "Label Studio"
    process_name: None = None
    #: its development server ends at once, and SQLite's transactions keep the database whole
    stop_signals: Sequence[signal.Signals] = (signal.SIGTERM,)
    as_caller: bool = True

    @property
    def data(self) -> Path:
        """Its database, media, exports and secret key."""
        return self.places.services / "label-studio"

    @property
    def pid_file(self) -> Path:
        """Written before it begins."""
        return self.data / "label-studio.pid"

    @property
    def alive(self) -> Path:
        """Locked while it lives."""
        return self.places.services / "label-studio.alive"

    @property
    def log(self) -> Path:
        """The log file."""
        return self.places.services / "label-studio.log"

    @property
    def port(self) -> Port:
        """The port that it listens on."""
        return Port(self.data / "port", self.name, self.chosen_port, "SARING_LABEL_STUDIO_PORT")

    @property
    def settings(self) -> Path:
        """The folder of the module with its settings."""
        return self.data / "settings"

    def owner(self) -> Owner | None:
        """The owner; None before the first start.

        Raises:
            ServiceError: the file is damaged or may not be read.
        """
        path = self.data / OWNER_FILE
        try:
            stored = orjson.loads(path.read_bytes())
            return Owner(str(stored["email"]), str(stored["password"]), str(stored["token"]))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise ServiceError(f"{path} is damaged: run `saring down`, remove it, and it is made anew") from error
        except OSError as error:
            raise ServiceError(f"{path} cannot be read ({error.strerror}): run this as its owner") from error

    def environment(self) -> Mapping[str, str]:
        """Its settings, and the owner to be made at the first start."""
        owner = self.owner()
        assert owner is not None, "prepare() makes the owner"
        return server_environment(self.data) | {
            "DJANGO_SETTINGS_MODULE": _SETTINGS_MODULE,
            "PYTHONPATH": str(self.settings),
            "LABEL_STUDIO_USERNAME": owner.email,
            "LABEL_STUDIO_PASSWORD": owner.password,
            "LABEL_STUDIO_USER_TOKEN": owner.token,
            "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
            # whoever can reach the address might otherwise make an account, which sees everything
            "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
            # what it may call beside public addresses: see label_studio_guard.py
            "SARING_BACKEND_PORT_FILE": str(self.places.services / "backend" / "port"),
            "SARING_MAY_CALL": ",".join(self.may_call),
            # what other accounts may do: see label_studio_volunteers.py
            "SARING_MAINTAINERS": ",".join((owner.email, *self.maintainers)),
            "SARING_PHONE_PAGE": self.phone_page or "",
        }

    def ask(self) -> Answer:
        """Ask who we are, with the owner's token: only our own server knows it."""
        url, owner = self.port.url(), self.owner()
        if url is None or owner is None or not is_alive(self):
            return Answer.NONE
        # Most looks end above, without the time that this takes.
        import httpx

        try:
            answer = get(
                f"{url}/api/current-user/whoami",
                headers={"Authorization": f"Token {owner.token}"},
                timeout=_ASK_SECONDS,
            )
        except httpx.ConnectError:
            return Answer.NONE
        except httpx.TransportError:
            return Answer.BUSY
        if answer.status_code == httpx.codes.OK and _email(answer) == owner.email:
            return Answer.READY
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise ServiceError(
                f"Label Studio at {url} no longer takes its owner's token ({_detail(answer)}): run `saring down` and "
                "`saring up`, which puts it in force again"
            )
        if answer.is_server_error:
            return Answer.BUSY
        raise ServiceError(f"what answers at {url} is not this home's Label Studio: run `saring down` and `saring up`")

    def prepare(self, _account: Account | None, _lock: int) -> Sequence[str]:
        """Make the folder, the owner and the database, and see to it that the owner's token works."""
        if not self.programs.is_complete():
            raise ServiceError(f"Label Studio is not installed in {self.programs.folder}: run `saring up`")
        self.data.mkdir(exist_ok=True, mode=0o700)
        self.pid_file.unlink(missing_ok=True)
        self.settings.mkdir(exist_ok=True, mode=0o700)
        (self.settings / f"{_SETTINGS_MODULE}.py").write_text(_SETTINGS)
        for place, name in _WITHIN.items():
            there = self.settings / place
            there.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            there.write_text(files("saring.services").joinpath(name).read_text(encoding="utf-8"), encoding="utf-8")
        number = self.port.claim()
        database = self.data / DATABASE
        known = database.exists()
        owner = self.owner()
        renewed = owner is None
        if owner is None:
            owner = _new_owner(self.data / OWNER_FILE)
        if known:
            _let_in(database, owner, set_password=renewed)
        else:
            copy_database(self.programs.template, database)
        command = [str(self.programs.python), str(self.programs.program), "start", "--no-browser"]
        command += ["--internal-host", HOST, "--port", str(number)]
        return with_pid_file(self.pid_file, command)

    def mend(self, _account: Account | None, _said: str) -> bool:
        """Nothing is mended by guess: the database holds people's work."""
        return False


def _new_owner(path: Path) -> Owner:
    owner = Owner(_OWNER, secrets.token_urlsafe(12), secrets.token_hex(20))
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        fields = {"email": owner.email, "password": owner.password, "token": owner.token}
        file.write(orjson.dumps(fields, option=orjson.OPT_INDENT_2))
    fresh.replace(path)
    return owner


def _let_in(database: Path, owner: Owner, *, set_password: bool) -> None:
    """Put the owner's token in force. Label Studio looks at its own switch for such tokens only when it is new, and
    people may have turned them off, or made the owner another one, since."""
    whose = "(SELECT id FROM htx_user WHERE email = ?)"
    try:
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("UPDATE jwt_auth_jwtsettings SET legacy_api_tokens_enabled = 1")
            connection.execute(
                f"UPDATE authtoken_token SET key = ? WHERE user_id = {whose}",  # noqa: S608 - no value is in it
                (owner.token, owner.email),
            )
            if set_password:
                connection.execute(
                    "UPDATE htx_user SET password = ? WHERE email = ?", (_hashed(owner.password), owner.email)
                )
    except sqlite3.Error as error:
        raise ServiceError(f"{database} cannot be used ({error}): restore it from a backup, or move it away") from error


def _hashed(password: str) -> str:
    salt = secrets.token_hex(11)
    digest = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), _ROUNDS)
    return f"{_HASH}${_ROUNDS}${salt}${base64.b64encode(digest).decode()}"


def _email(answer: httpx.Response) -> str | None:
    try:
        return str(answer.json()["email"])
    except (ValueError, KeyError, TypeError):
        return None


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"]).strip()
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"
