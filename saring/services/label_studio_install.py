"""Label Studio's programs: a virtual environment of its own, made once for a user and shared by all homes.

It is no dependency of Saring's, because it pins old versions of packages that Saring needs newer. A file written last
says that an environment is complete; without it the environment is begun anew.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import platformdirs

from pipeline.errors import ServiceError
from pipeline.progress import Progress
from pipeline.settings import Settings
from saring.services.server import plain_environment

log = logging.getLogger(__name__)

VERSION = "1.23.2"
REQUIREMENT = f"label-studio=={VERSION}"
DATABASE = "label_studio.sqlite3"
#: an environment takes 1 GB, and what is downloaded for it lies beside it for a while
_NEEDED_BYTES = 2 << 30
_WAIT_SECONDS = 0.2
#: says that what lies beside it was made here and may be removed here
_OURS = ".made-by-saring"
_COMPLETE = ".complete"
_TEMPLATE = "template.sqlite3"
_PINNED_FOR = (3, 11)
_WHAT = f"installing Label Studio {VERSION} (1 GB, some minutes, once)"


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment for one requirement."""

    folder: Path
    requirement: str = REQUIREMENT

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def program(self) -> Path:
        """Label Studio's, to be run by `python`: the first line of a script can't hold a long path."""
        return self.folder / "bin" / "label-studio"

    @property
    def template(self) -> Path:
        """A database with the schema and nobody in it, which spares each home the migrations."""
        return self.folder / _TEMPLATE

    @property
    def log(self) -> Path:
        """The log of pip."""
        return self.folder.with_name(f"{self.folder.name}.log")

    def is_complete(self) -> bool:
        """True where it is whole, for this requirement, and the Python that it was made with is still there."""
        try:
            return (self.folder / _COMPLETE).read_text() == self.requirement and self.python.exists()
        except OSError:
            return False


def environment(settings: Settings) -> Environment:
    """The folder of Label Studio's environment: outside any home, since it holds nothing of one."""
    cache = platformdirs.user_cache_path("saring", appauthor=False)
    return Environment((settings.label_studio_env or cache / f"label-studio-{VERSION}").expanduser().absolute())


def ensure_installed(made: Environment, progress: Progress, finish: Callable[[Environment, int], None]) -> None:
    """Make the environment unless it is complete. Any number of processes may ask at once: one works, others wait.

    Args:
        made: what is to be there.
        progress: called at each line of pip, which does not say how many there will be.
        finish: what remains to be done after the installation; it gets the open file that is locked meanwhile.

    Raises:
        ServiceError: it cannot be made; the message says why and what to do.
    """
    if made.is_complete():
        return
    try:
        made.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(made.folder.with_name(f"{made.folder.name}.lock"), progress) as lock:
            if not made.is_complete():
                _begin_anew(made)
                _install(made, progress, lock)
                finish(made, lock)
                fresh = made.folder / f"{_COMPLETE}.new"
                fresh.write_text(made.requirement)
                fresh.rename(made.folder / _COMPLETE)
    except OSError as error:
        raise ServiceError(
            f"Label Studio's environment cannot be made: {error.filename or made.folder}: {error.strerror}; "
            "set SARING_LABEL_STUDIO_ENV to a folder that this user may write"
        ) from error


def make_template(made: Environment, lock: int) -> None:
    """Migrate an empty database, once: it takes longer than all the rest of a start.

    Raises:
        ServiceError: Label Studio's own program fails.
    """
    scratch = made.folder / "first-run"
    scratch.mkdir()
    command = [str(made.python), str(made.program), "init", "--quiet", "--no-browser"]
    with made.log.open("a") as file:
        process = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
            cwd=scratch,
            env=server_environment(scratch),
            pass_fds=(lock,),
        )
    if process.returncode or not (scratch / DATABASE).is_file():
        raise ServiceError(
            f"Label Studio was installed but does not run: see {made.log}, then remove {made.folder} to begin anew"
        )
    copy_database(scratch / DATABASE, made.template)
    # the secret key in it is nobody's: each home makes its own
    shutil.rmtree(scratch)


def copy_database(source: Path, target: Path) -> None:
    """Copy a SQLite database, whole or not at all, readable by nobody else."""
    fresh = target.with_name(f"{target.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(fresh)) as new:
        old.backup(new)
    fresh.replace(target)


def server_environment(data: Path) -> dict[str, str]:
    """The environment variables of every Label Studio process of ours: its folder, and no calls to the outside.

    It looks each setting up as `LABEL_STUDIO_X`, then `HEARTEX_X`, then `X`, so nothing of the caller's may pass.
    """
    return plain_environment() | {
        "HOME": str(data),
        "LC_ALL": "C.UTF-8",
        # its own option for this is read too late to count
        "LOG_LEVEL": "ERROR",
        "LABEL_STUDIO_BASE_DATA_DIR": str(data),
        # usage statistics, the question whether there is a newer version, and error reports of server and browser
        "LABEL_STUDIO_COLLECT_ANALYTICS": "0",
        "LABEL_STUDIO_LATEST_VERSION_CHECK": "0",
        "LABEL_STUDIO_SENTRY_DSN": "",
        "LABEL_STUDIO_FRONTEND_SENTRY_DSN": "",
        # it would serve files of this machine that happen to lie where it looks for them
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "false",
    }


@contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[int]:
    """Hold the lock at `path`. What is started meanwhile gets the file too, so that a pip whose parent was killed keeps
    others out until it ends."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                progress(0, None, "waiting for another process that installs Label Studio")
                time.sleep(_WAIT_SECONDS)
        yield lock
    finally:
        os.close(lock)


def _begin_anew(made: Environment) -> None:
    ours = made.folder / _OURS
    if made.folder.exists() and not ours.exists() and any(made.folder.iterdir()):
        raise ServiceError(
            f"{made.folder} holds something else: set SARING_LABEL_STUDIO_ENV to a folder that is empty or not there"
        )
    if ours.exists():
        log.warning("%s is not complete: it is made anew", made.folder)
        # the mark goes last, so that what a killed process leaves is still known as ours
        for path in made.folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path != ours:
                path.unlink()
    made.folder.mkdir(exist_ok=True, mode=0o700)
    ours.touch()
    free = shutil.disk_usage(made.folder).free
    if free < _NEEDED_BYTES:
        raise ServiceError(
            f"Label Studio needs {_NEEDED_BYTES >> 30} GB in {made.folder.parent} and {free >> 20} MB are free: free "
            "some space, or set SARING_LABEL_STUDIO_ENV to a folder on another disk"
        )


def _install(made: Environment, progress: Progress, lock: int) -> None:
    runner, wanted = _pip_runner(), made.requirement
    venv = [sys.executable, "-m", "venv", str(made.folder)]
    pip = [str(made.python), *(["-m", "pip"] if runner is None else [str(runner)]), "install"]
    steps: tuple[Sequence[str], ...] = (
        venv if runner is None else [*venv, "--without-pip"],
        # most of what comes along is never imported, so nothing is compiled before it is: that would double the time
        [*pip, "--no-compile", "--no-input", "--disable-pip-version-check", "--progress-bar", "off", *_pins(), wanted],
    )
    log.info("installing %s in %s", made.requirement, made.folder)
    progress(0, None, _WHAT)
    with made.log.open("w") as file:
        for command in steps:
            last: list[str] = []
            with subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=_pip_environment(),
                pass_fds=(lock,),
            ) as process:
                assert process.stdout is not None
                try:
                    for line in process.stdout:
                        file.write(line)
                        last.append(line.strip())
                        progress(0, None, _WHAT)
                except BaseException:
                    process.terminate()
                    raise
            if process.returncode:
                raise ServiceError(
                    f"Label Studio cannot be installed: {_reason(last)}: check the network and pip's index "
                    f"(PIP_INDEX_URL) and run it again, or set LABEL_STUDIO_URL to a server of yours (log: {made.log})"
                )


def _pip_runner() -> Path | None:
    """The file by which the pip of this Python works for another one (`pip --python`); None: there is no such pip.

    It may be newer than the one that a new environment gets, which takes twice as long.
    """
    pip = find_spec("pip")
    if pip is None or pip.origin is None:
        return None
    runner = Path(pip.origin).with_name("__pip-runner__.py")
    return runner if runner.is_file() else None


def _pins() -> Sequence[str]:
    # the pins are those of one Python; another may need other releases
    if sys.version_info[:2] != _PINNED_FOR:
        return ()
    return ("--constraint", str(files("saring.services").joinpath("label_studio_constraints.txt")))


def _pip_environment() -> Mapping[str, str]:
    # the index, proxy and certificates of the caller count, but not where he has packages put
    unwanted = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_CONSTRAINT")
    return {name: value for name, value in os.environ.items() if name not in unwanted} | {"PIP_USER": "0"}


def _reason(output: Sequence[str]) -> str:
    """The line that tells most: the first error that pip names, else its last word."""
    lines = [line for line in output if line]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines[-1:] or ["pip ended without a word"])[0]
