"""Build the wheel and the sdist, check what they say of themselves, and try each in clean environments.

For each Python that is found, and each of the two files, a new virtual environment gets the file with what it needs, in
the versions of constraints.txt, and there, away from the repository:

    pip check
    saring --version          is the version of the file
    saring init               makes a home with its database
    saring train --data ...   trains a tiny model
    saring predict ...        answers with it
    saring down

A line of JSON says what came of each. A Python that is not found is named, and with --require that is an error.

    python tools/release_check.py [--pythons 3.11,3.12,3.13] [--require 3.11] [--only wheel] [--out out/release]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
#: as pyproject.toml names them
PYTHONS = "3.11,3.12,3.13"
#: checks metadata and how the README will look; in an environment of its own, as it is no dependency
_TWINE = "twine>=6,<8"
_CORPUS = ("harassment", "everyday")
_ROWS = 60
#: seconds for one command, the installation included
_LIMIT = 1_200


def main() -> int:
    """Check everything; 1 where something fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pythons", default=PYTHONS)
    parser.add_argument("--require", default="", help="Pythons that must be found, by comma.")
    parser.add_argument("--only", choices=("wheel", "sdist"))
    parser.add_argument("--out", type=Path, default=_ROOT / "out" / "release")
    given = parser.parse_args()
    wanted = [one for one in given.pythons.split(",") if one]
    required = {one for one in given.require.split(",") if one}
    found = {version: find_python(version) for version in wanted}
    absent = [version for version, path in found.items() if path is None]
    wheel, sdist = build(given.out)
    version = version_of(wheel)
    failed = not said("metadata", metadata(given.out, [wheel, sdist]))
    for python, path in found.items():
        for kind, file in (("wheel", wheel), ("sdist", sdist)):
            if path is not None and given.only in (None, kind):
                failed |= not said(f"{kind} on {python}", installed(path, file, version))
    if absent:
        print(json.dumps({"not_tried": absent, "why": "not found on PATH, in pyenv or in uv"}))
    if missing := sorted(required & set(absent)):
        print(f"Python {', '.join(missing)} must be tried and is not found: install it", file=sys.stderr)
    return int(failed or bool(missing))


def find_python(version: str) -> Path | None:
    """A Python of that version that runs: on PATH, or of pyenv, uv or python.org. None: there is none."""
    for path in candidates(version):
        query = [str(path), "-c", "import ensurepip, sys; print('%d.%d' % sys.version_info[:2])"]
        try:
            done = subprocess.run(query, capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0 and done.stdout.strip() == version:
            return path
    return None


def candidates(version: str) -> Iterator[Path]:
    """Places where a Python of that version may lie, the likeliest first."""
    if (on_path := shutil.which(f"python{version}")) is not None:
        yield Path(on_path)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", Path.home() / ".local/share/uv/python"))
    for folder, pattern in ((pyenv / "versions", f"{version}.*"), (uv, f"cpython-{version}.*")):
        for home in sorted(folder.glob(pattern), reverse=True):
            yield home / "bin" / "python3"
    yield Path(f"/usr/local/bin/python{version}")
    yield Path(f"/Library/Frameworks/Python.framework/Versions/{version}/bin/python3")


def build(out: Path) -> tuple[Path, Path]:
    """The wheel, built from the sdist, and the sdist.

    Raises:
        SystemExit: one cannot be built.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    done = run([sys.executable, "-m", "build", "--outdir", str(out), str(_ROOT)], out)
    if done.returncode:
        raise SystemExit(f"the build failed:\n{done.stdout[-2_000:]}{done.stderr[-2_000:]}")
    [wheel], [sdist] = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, sdist


def version_of(wheel: Path) -> str:
    """The version that the name of a wheel says."""
    return wheel.name.split("-")[1]


def metadata(out: Path, files: Sequence[Path]) -> str | None:
    """What is wrong with the files' metadata; None: nothing."""
    place = out / "twine"
    for command in (
        [sys.executable, "-m", "venv", str(place)],
        [str(place / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", _TWINE],
        [str(place / "bin/python"), "-m", "twine", "check", "--strict", *map(str, files)],
    ):
        done = run(command, out)
        if done.returncode:
            return last_line(done)
    shutil.rmtree(place)
    return None


def installed(python: Path, file: Path, version: str) -> str | None:
    """What goes wrong with a file in a clean environment; None: nothing."""
    # the embedded PostgreSQL puts a socket into the home, whose path has to be short
    with tempfile.TemporaryDirectory(prefix="saring-release-", dir="/tmp") as folder:
        place, home = Path(folder, "env"), Path(folder, "home")
        pip = [str(place / "bin/python"), "-m", "pip", "--disable-pip-version-check"]
        saring = str(place / "bin/saring")
        constraints = _ROOT / "constraints.txt"
        rows, texts = Path(folder, "rows.jsonl"), Path(folder, "texts.jsonl")
        rows.write_text("".join(tiny_rows()), encoding="utf-8")
        texts.write_text('{"text": "selamat pagi semua"}\n', encoding="utf-8")
        steps: list[tuple[list[str], str | None]] = [
            ([str(python), "-m", "venv", str(place)], None),
            ([*pip, "install", "--quiet", "--no-compile", "--constraint", str(constraints), str(file)], None),
            ([*pip, "check"], None),
            ([saring, "--version"], rf"^saring {re.escape(version)}\n$"),
            ([saring, "init", "--json"], '"schema":"'),
            ([saring, "train", "--data", str(rows), "--out", str(Path(folder, "model")), "--json"], '"model":"'),
            ([saring, "predict", str(texts), "--model", str(Path(folder, "model"))], '"scores":'),
        ]
        try:
            for command, expected in steps:
                if "--model" in command:
                    [model] = Path(folder, "model").iterdir()
                    command[-1] = str(model)
                what = " ".join(Path(word).name if i == 0 else word for i, word in enumerate(command[:4]))
                try:
                    done = run(command, Path(folder), SARING_HOME=str(home))
                except subprocess.TimeoutExpired:
                    return f"{what}: took longer than {_LIMIT} seconds"
                if done.returncode:
                    return f"{what}: {last_line(done)}"
                if expected is not None and not re.search(expected, done.stdout):
                    return f"{what}: printed {done.stdout[:200]!r}"
        finally:
            if Path(saring).exists():
                run([saring, "down"], Path(folder), SARING_HOME=str(home))
    return None


def tiny_rows() -> Iterator[str]:
    """Labelled lines of the demo corpus, enough for a model of two labels."""
    for name in _CORPUS:
        with (_ROOT / "saring" / "demo" / "corpus" / f"{name}.jsonl").open(encoding="utf-8") as lines:
            for _, line in zip(range(_ROWS), lines, strict=False):
                row = json.loads(line)
                both = {"harassment", "safe for work"}
                yield json.dumps(row | {"not_labels": sorted(both - set(row["labels"]))}) + "\n"


def run(command: Sequence[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command away from the repository, and from what Python is told here."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SARING_", "VIRTUAL_"))}
    return subprocess.run(
        command, cwd=folder, env=kept | variables, capture_output=True, text=True, timeout=_LIMIT, check=False
    )


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """The last that a command said."""
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[-1] if lines else f"ended with {done.returncode}"


def said(what: str, wrong: str | None) -> bool:
    """Print what came of a check; True: it is right."""
    print(json.dumps({"check": what, "right": wrong is None, "wrong": wrong}), flush=True)
    return wrong is None


if __name__ == "__main__":
    raise SystemExit(main())
