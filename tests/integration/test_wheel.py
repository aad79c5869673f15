"""The wheel holds all that an install needs, and works away from the repository."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("pipeline", "saring", "sync", "ml_backend")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(_ROOT)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("saring-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel, and with what it needs out of this one."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--no-compile", str(wheel)], check=True)
    query = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([python, "-c", query], check=True, capture_output=True, text=True).stdout.strip()
    # A folder named in a .pth file is searched, but its own .pth files, such as an editable install's, are not read.
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    Path(site, "borrowed.pth").write_text("".join(f"{path}\n" for path in sorted(borrowed)))
    return folder / "bin"


def run(command: list[str], home: Path, **variables: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"SARING_HOME": str(home)} | variables
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_carries_every_file_of_the_packages(wheel: Path) -> None:
    carried = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        str(path.relative_to(_ROOT))
        for package in _PACKAGES
        for path in (_ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert wanted - carried == set()
    assert {"pipeline/taxonomy.yaml", "pipeline/py.typed", "pipeline/store/migrations/env.py"} <= carried
    assert any(name.startswith("pipeline/store/migrations/versions/") for name in carried)
    assert any(name.startswith("saring/demo/corpus/") for name in carried)
    assert any(name.endswith("licenses/LICENSE") for name in carried)
    assert not [name for name in carried if name.startswith(("tests/", "benchmarks/", "docs/"))]


def test_it_works_away_from_the_repository(installed: Path, new_home: Path, empty_database_url: str) -> None:
    script = "import pipeline.taxonomy as t; print(t.__file__, len(t.load_taxonomy().labels))"
    where, labels = run([str(installed / "python"), "-c", script], new_home).split()
    assert not Path(where).is_relative_to(_ROOT)
    assert labels == "11"
    assert "doctor" in run([str(installed / "saring"), "--help"], new_home)
    shown = run([str(installed / "saring"), "init", "--json"], new_home, SARING_DATABASE_URL=empty_database_url)
    assert '"schema_before":null' in shown


def test_what_is_imported_is_declared() -> None:
    names = {canonicalize_name(Requirement(line).name) for line in declared()}
    undeclared = {
        f"{path.relative_to(_ROOT)} imports {module}" for path, module in imports() if not names & distributions(module)
    }
    assert undeclared == set()


def test_what_is_declared_is_imported_or_explained() -> None:
    used = {name for _, module in imports() for name in distributions(module)}
    lines = (_ROOT / "pyproject.toml").read_text().splitlines()
    unexplained = {
        line
        for line in declared()
        if canonicalize_name(Requirement(line).name) not in used
        if not any(f'"{line}"' in written and "  # " in written for written in lines)
    }
    assert unexplained == set()


def declared() -> list[str]:
    """Requirements of the base install and of every extra but that of developers."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    return [*project["dependencies"], *(line for name, lines in extras.items() if name != "dev" for line in lines)]


def imports() -> list[tuple[Path, str]]:
    """Other programs' modules that the packages import, each with the file that does."""
    return [
        (path, module)
        for package in _PACKAGES
        for path in (_ROOT / package).rglob("*.py")
        # those go along with an exported model, and find there what they need
        if path.parent.name != "exported"
        for module in imported(path)
        if module not in sys.stdlib_module_names and module not in _PACKAGES
    ]


@cache
def distributions(module: str) -> frozenset[str]:
    """The packages that a module may come from. An extra that isn't installed has no known ones: those are guessed."""
    guessed = {"umap": ["umap-learn"]}.get(module, [module])
    return frozenset(canonicalize_name(name) for name in installed_distributions().get(module, guessed))


@cache
def installed_distributions() -> Mapping[str, list[str]]:
    # reads what every package holds
    return importlib.metadata.packages_distributions()


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found
