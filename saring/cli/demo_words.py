"""Last lines of `saring demo`: commands that work as they are printed, whatever settings their reader has."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from saring.demo.loop import LoopResult


def program() -> str:
    """The word that starts this Saring in a shell: `saring` if the shell finds this one, else its path."""
    own = Path(sys.executable).parent / "saring"
    in_path = shutil.which("saring")
    if in_path is not None and Path(in_path).absolute() == own.absolute():
        return "saring"
    return shlex.quote(str(own)) if own.is_file() else f"{shlex.quote(sys.executable)} -m saring"


def start_of(home: Path, environ: Mapping[str, str], label_studio_env: Path | None = None) -> str:
    """The start of a command for the demo's home.

    The demo uses no settings of its reader, such as a taxonomy or a database. So its commands take them away too.

    Args:
        home: the demo's folder.
        environ: the reader's environment.
        label_studio_env: where Label Studio is installed, so that `up` does not install it again; None: the default.
    """
    kept = {"SARING_HOME": home}
    if label_studio_env is not None:
        kept["SARING_LABEL_STUDIO_ENV"] = label_studio_env.expanduser().absolute()
    others = sorted(name for name in environ if name.upper().startswith("SARING_") and name not in kept)
    words = [f"{name}={shlex.quote(str(value))}" for name, value in kept.items()]
    if others:
        words = ["env", *(f"-u {shlex.quote(name)}" for name in others), *words]
    return " ".join([*words, program()])


def goodbye(start: str, loop: LoopResult | None, *, keep: bool) -> list[str]:
    """The last lines of the demo. A command stands alone on its line, indented, so that it can be copied.

    Args:
        start: the start of each command, from `start_of`.
        loop: the results of the part with volunteers; None: it was left out.
        keep: True: everything is still running.
    """
    lines = []
    if loop is not None:
        if not keep:
            lines += ["Everything is stopped again. To start it:", f"  {start} up"]
        lines += [
            f"Label Studio: {loop.url}, as {loop.email}; the password is in {loop.password_file}",
            f"Open {loop.project_url} and click *Label All Tasks*: some labels are ticked already; "
            "*Why these labels?* gives the reasons.",
            "To see the volunteers' results:",
            f"  {start} sync quality",
        ]
        if loop.example_task is not None:
            lines += ["To see why labels are ticked on a task:", f"  {start} sync why {loop.example_task}"]
    return [*lines, "To stop all services:", f"  {start} down"]
