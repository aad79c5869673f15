"""Saring's own long-lived processes (ML backend, worker, beat, keeper), kept like the servers that Saring brings along.

They run as whoever starts them, with that person's environment: a worker may need a proxy, a token, or a choice of
accelerators that Saring knows nothing of.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from pipeline.settings import Settings, load_settings_file
from saring.services.loopback import Port, get, with_pid_file
from saring.services.places import Account, Places
from saring.services.server import Answer, find_process, is_alive

#: the file that a worker makes once it takes work
READY_FILE_VARIABLE = "SARING_READY_FILE"
#: what `saring` is run by
SARING: Sequence[str] = (sys.executable, "-m", "saring")
_ASK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Backend:
    """The ML backend of one home: `saring serve`."""

    settings: Settings
    command: Sequence[str] = SARING
    name: str = "ML backend"
    process_name: None = None
    stop_signals: Sequence[signal.Signals] = (signal.SIGTERM,)
    as_caller: bool = True

    @property
    def places(self) -> Places:
        """The folders of its home."""
        return Places(self.settings.home)

    @property
    def data(self) -> Path:
        """Its port and process id."""
        return self.places.services / "backend"

    @property
    def pid_file(self) -> Path:
        """Written before it begins."""
        return self.data / "backend.pid"

    @property
    def alive(self) -> Path:
        """Locked while it lives."""
        return self.places.services / "backend.alive"

    @property
    def log(self) -> Path:
        """The log file."""
        return self.places.services / "backend.log"

    @property
    def port(self) -> Port:
        """The port that it listens on."""
        return Port(self.data / "port", self.name, self.settings.backend_port, "SARING_BACKEND_PORT")

    def environment(self) -> Mapping[str, str]:
        """The caller's, with the settings in force."""
        return settings_environment(self.settings)

    def ask(self) -> Answer:
        """Ask after its health."""
        url = self.port.url()
        if url is None or not is_alive(self):
            return Answer.NONE
        # Most looks end above, without the time that this takes.
        import httpx

        try:
            answer = get(f"{url}/health", timeout=_ASK_SECONDS)
        except httpx.ConnectError:
            return Answer.NONE
        except httpx.TransportError:
            return Answer.BUSY
        return Answer.READY if answer.status_code == httpx.codes.OK else Answer.BUSY

    def prepare(self, _account: Account | None, _lock: int) -> Sequence[str]:
        """Make sure of a port."""
        self.data.mkdir(exist_ok=True, mode=0o700)
        self.pid_file.unlink(missing_ok=True)
        return with_pid_file(self.pid_file, [*self.command, "serve", "--port", str(self.port.claim())])

    def mend(self, _account: Account | None, _said: str) -> bool:
        """There is nothing to mend."""
        return False


@dataclass(frozen=True, slots=True)
class Program:
    """A process of one home that listens nowhere, and makes a file once it is at work."""

    settings: Settings
    #: what it is called, and its folder and files
    name: str
    #: what `saring` is told
    arguments: Sequence[str]
    command: Sequence[str] = SARING
    process_name: None = None
    #: finish what is in hand; or put it back, for the next one to take
    stop_signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGQUIT)
    as_caller: bool = True

    @property
    def places(self) -> Places:
        """The folders of its home."""
        return Places(self.settings.home)

    @property
    def data(self) -> Path:
        """Its process id."""
        return self.places.services / self.name

    @property
    def pid_file(self) -> Path:
        """Written before it begins."""
        return self.data / f"{self.name}.pid"

    @property
    def alive(self) -> Path:
        """Locked while it, or a child of it, lives."""
        return self.places.services / f"{self.name}.alive"

    @property
    def log(self) -> Path:
        """The log file."""
        return self.places.services / f"{self.name}.log"

    @property
    def ready(self) -> Path:
        """Made by it once it is at work."""
        return self.data / "ready"

    def environment(self) -> Mapping[str, str]:
        """The caller's, with the settings in force, and where to say that it is ready."""
        return settings_environment(self.settings) | {READY_FILE_VARIABLE: str(self.ready)}

    def ask(self) -> Answer:
        """Look whether it lives and has said that it is ready."""
        if not self.ready.exists() or not is_alive(self):
            return Answer.NONE
        return Answer.READY if find_process(self.pid_file, self.process_name, self.data) else Answer.NONE

    def prepare(self, _account: Account | None, _lock: int) -> Sequence[str]:
        """Clear what the last one left."""
        self.data.mkdir(exist_ok=True, mode=0o700)
        for left_over in (self.pid_file, self.ready):
            left_over.unlink(missing_ok=True)
        return with_pid_file(self.pid_file, [*self.command, *self.arguments])

    def mend(self, _account: Account | None, _said: str) -> bool:
        """There is nothing to mend."""
        return False


def worker_program(settings: Settings) -> Program:
    """Carries out what needs a processor: shards, trainings."""
    return Program(settings, "worker", ("worker", "--queues", "cpu,gpu"))


def io_worker_program(settings: Settings) -> Program:
    """Carries out what waits for others: pulls, and the looking after runs, which no long shard may hold up."""
    return Program(settings, "io-worker", ("worker", "--queues", "io"))


def beat_program(settings: Settings) -> Program:
    """Sends the regular jobs."""
    return Program(settings, "beat", ("beat",))


def keeper_program(settings: Settings, without: Sequence[str] = ()) -> Program:
    """Starts again what died."""
    left_out = [word for part in without for word in ("--without", part)]
    return Program(settings, "keeper", ("keep", *left_out))


def say_ready() -> None:
    """Tell whoever started this process that it is at work."""
    ready = os.environ.get(READY_FILE_VARIABLE)
    if ready:
        Path(ready).touch(mode=0o600)


def settings_environment(settings: Settings) -> dict[str, str]:
    """The environment of this process, changed so that a child of it has these settings.

    What the home's settings file says is left to the file, so that a change of it reaches the child.
    """
    variables = dict(os.environ)
    written = load_settings_file(settings.home)
    for name in sorted(settings.model_fields_set | {"home"}):
        value = getattr(settings, name)
        if name in written.model_fields_set and value == getattr(written, name) and name != "home":
            continue
        variable = f"SARING_{name}".upper().replace("SARING_LABEL_STUDIO_URL", "LABEL_STUDIO_URL")
        variable = variable.replace("SARING_LABEL_STUDIO_API_KEY", "LABEL_STUDIO_API_KEY")
        if value is None:
            variables.pop(variable, None)
        elif isinstance(value, SecretStr):
            variables[variable] = value.get_secret_value()
        elif isinstance(value, Path):
            # the child runs in another folder
            variables[variable] = str(value.absolute())
        else:
            variables[variable] = ",".join(value) if isinstance(value, tuple) else str(value)
    return variables
