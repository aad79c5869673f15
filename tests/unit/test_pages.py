"""Pages say where things are: links lead somewhere, and paths and names of code that they give are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_PAGES = sorted([*_ROOT.glob("*.md"), *(_ROOT / "docs").rglob("*.md")])
_CODE = [
    path
    for folder in ("pipeline", "saring", "sync", "ml_backend", "tests", "benchmarks")
    for path in sorted((_ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".yaml", ".j2", ".txt"}
]
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_CODE_PATH = re.compile(r"`((?:pipeline|saring|sync|ml_backend|tests|benchmarks|examples|docs)/[\w./-]*)`")
_PAGE_NAME = re.compile(r"\b(docs/[\w./-]+?\.(?:md|json|yml|png))\b")
_LEFT_BY_A_MERGE = re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE)
#: a row of a walk: what happens, a name, its file
_WALK_ROW = re.compile(r"^\| [^|]+ \| `(\w+)` \| `([\w./]+\.py)` \|$", re.MULTILINE)


def relative(page: Path) -> str:
    return str(page.relative_to(_ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", _PAGES, ids=relative)
def test_every_link_to_a_file_leads_to_it(page: Path) -> None:
    broken = []
    for target in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert not broken


@pytest.mark.parametrize("page", _PAGES, ids=relative)
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    named = set(_CODE_PATH.findall(page.read_text(encoding="utf-8")))
    assert not [path for path in sorted(named) if not (_ROOT / path).exists()]


def test_no_merge_left_its_marks() -> None:
    assert not [relative(page) for page in _PAGES if _LEFT_BY_A_MERGE.search(page.read_text(encoding="utf-8"))]


def test_every_page_that_the_code_names_is_there() -> None:
    missing = [
        f"{relative(path)}: {name}"
        for path in [*_CODE, _ROOT / "docker-compose.yml", _ROOT / "Dockerfile", _ROOT / ".env.example"]
        for name in _PAGE_NAME.findall(path.read_text(encoding="utf-8"))
        if not (_ROOT / name).exists()
    ]
    assert not missing


def test_every_page_is_on_the_list_of_pages() -> None:
    listed = set(_LINK.findall((_ROOT / "docs/index.md").read_text(encoding="utf-8")))
    pages = {page.name for page in (_ROOT / "docs").glob("*.md")} - {"index.md"}
    assert pages <= listed


def test_every_name_of_a_walk_is_in_its_file() -> None:
    rows = _WALK_ROW.findall((_ROOT / "docs/architecture.md").read_text(encoding="utf-8"))
    assert len(rows) > 40
    defined: dict[str, set[str]] = {}
    for _, file in rows:
        tree = ast.parse((_ROOT / file).read_text(encoding="utf-8"))
        defined[file] = {
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
        }
    assert not [(name, file) for name, file in rows if name not in defined[file]]


def test_the_readme_and_the_glossary_stay_short() -> None:
    assert len((_ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130
    glossary = (_ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    terms = [row for row in re.findall(r"^\| .*\|$", glossary, re.MULTILINE) if not re.match(r"\| (English|---)", row)]
    assert 20 < len(terms) <= 45
    assert all(len(row.strip("| ").split(" | ")) == 4 for row in terms), "each has its word and its meaning in Malay"
