"""A Python that has the libraries of this one, but not Saring: what we share has to work there.

A virtual environment whose only package folder is named by a `.pth` file. Python does not look into the `.pth` files of
a folder that was added so, and an editable installation of Saring is one of those.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any


class PlainEnvironment:
    """Made in a folder, in well under a second; nothing is installed."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        scheme = sysconfig.get_paths("posix_prefix", {"base": str(folder), "platbase": str(folder)})
        packages = Path(scheme["purelib"])
        ours = {path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")}
        (packages / "libraries.pth").write_text("".join(f"{path}\n" for path in sorted(ours)))
        self._folder = folder
        self._python = folder / "bin" / "python"

    def run(self, code: str, *arguments: str) -> Any:
        """Run Python code in an empty folder; what it printed last, as JSON. Its arguments are in `sys.argv[1:]`.

        Before the code, it is made sure that Saring can't be imported there.
        """
        empty = self._folder / "empty"
        empty.mkdir(exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SARING_"))}
        done = subprocess.run(
            [self._python, "-c", _GUARD + code, *arguments],
            env=kept
            | {
                "HF_HUB_OFFLINE": "1",
                "PYTHONDONTWRITEBYTECODE": "1",
                "HF_HOME": str(self._folder / "hf"),
                "OMP_NUM_THREADS": "1",
            },
            cwd=empty,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])


_GUARD = """\
import importlib.util
for name in ("pipeline", "saring", "sync", "ml_backend"):
    assert importlib.util.find_spec(name) is None, f"{name} can be imported here"
"""
