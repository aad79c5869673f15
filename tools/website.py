"""Build the documentation site: the pages of `docs/`, and reference pages made from the code, with Zensical.

    python tools/website.py          # out/site
    python tools/website.py --serve  # and serve it at http://127.0.0.1:8765

A warning of Zensical, such as a link that leads nowhere, ends it with an error.
"""

from __future__ import annotations

import argparse
import http.server
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

from _reference import PAGES

_ROOT = Path(__file__).resolve().parents[1]
_SOURCE, _SITE = _ROOT / "out" / "site-source", _ROOT / "out" / "site"
#: pages beside the code that the site has too
_BESIDE = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)
_PORT = 8765


def compose(to: Path) -> None:
    """Copy the pages into the folder that Zensical reads, with links that hold there, and write the reference."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(_ROOT / "docs", to, ignore=shutil.ignore_patterns("*.json", "*.yml"))
    for name in _BESIDE:
        shutil.copy(_ROOT / name, to / name)
    for page in to.rglob("*.md"):
        inside = page.relative_to(to)
        original = _ROOT / inside if inside.name in _BESIDE else _ROOT / "docs" / inside
        parts = _FENCE.split(page.read_text(encoding="utf-8"))
        parts[::2] = [_LINK.sub(partial(_relink, original=original, inside=inside), part) for part in parts[::2]]
        page.write_text("".join(parts), encoding="utf-8")
    (to / "decisions" / "index.md").write_text(_decisions(to / "decisions"), encoding="utf-8")
    (to / "reference").mkdir()
    for name, make in PAGES.items():
        (to / "reference" / name).write_text(make(), encoding="utf-8")


def _relink(match: re.Match[str], *, original: Path, inside: Path) -> str:
    picture, words, target = match.groups()
    name, mark, anchor = target.partition("#")
    if re.match(r"[a-z]+:", target) or not name:
        return match.group(0)
    there = (original.parent / name).resolve()
    if there == _ROOT / "docs" / "decisions":
        page = Path("decisions/index.md")
    elif there.is_relative_to(_ROOT / "docs"):
        page = there.relative_to(_ROOT / "docs")
        if page.suffix not in {".md", ".png", ".webp", ".svg"}:
            return f"`docs/{page}`"
    elif there.name in _BESIDE and there.parent == _ROOT:
        page = Path(there.name)
    else:
        # code is not part of the site
        return words if words.startswith("`") else f"{words} (`{there.relative_to(_ROOT)}`)"
    return f"{picture}[{words}]({os.path.relpath(page, inside.parent)}{mark}{anchor})"


def _decisions(folder: Path) -> str:
    lines = ["# Decisions", "", "A page for each choice that others will ask about.", ""]
    for page in sorted(folder.glob("[0-9]*.md")):
        title = page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        lines.append(f"- [{title}]({page.name})".replace(". ", r"\. ", 1))
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the documentation site.")
    parser.add_argument("--serve", action="store_true", help=f"serve it on port {_PORT}")
    serve = parser.parse_args().serve
    compose(_SOURCE)
    zensical = Path(sys.executable).with_name("zensical")
    done = subprocess.run(
        [zensical, "build", "--strict", "--clean"], cwd=_ROOT, check=False, text=True, capture_output=True
    )
    if done.returncode != 0:
        sys.exit(f"the site was not built:\n{done.stdout}{done.stderr}")
    print(f"out/site: {len(list(_SITE.rglob('*.html')))} pages")
    if serve:
        handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(_SITE))
        print(f"http://127.0.0.1:{_PORT}")
        http.server.ThreadingHTTPServer(("127.0.0.1", _PORT), handler).serve_forever()


if __name__ == "__main__":
    main()
