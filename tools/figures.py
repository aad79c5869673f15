"""Write the page of figures, its picture, and the figures of other pages from `benchmarks/results.json`.

    python -m tools.figures           # docs/figures.md, docs/images/figures.svg, marks in README.md and docs/
    python -m tools.figures --check   # only say which of them are not what was measured

`tools/_figures.py` says how a page names a figure.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.atomic import write_file
from pipeline.errors import SaringError, UsageError
from tools._claims import read_claims
from tools._figures import BEGIN, END, PICTURE, Result, fill, page_of, results
from tools._ratio_chart import ratio_chart
from tools._results import read_results

_ROOT = Path(__file__).resolve().parents[1]
_PAGE = _ROOT / "docs" / "figures.md"
_READABLE = 0o644


def pages() -> list[Path]:
    """The pages whose figures are claims."""
    return [_ROOT / "README.md", *sorted((_ROOT / "docs").glob("*.md"))]


def made() -> Iterator[tuple[Path, str]]:
    """Each file with what it should hold.

    Raises:
        UsageError: a page names a figure that was not measured, or the page of figures has lost its marks.
    """
    benches, records = read_claims(), read_results()
    for path in pages():
        text = path.read_text(encoding="utf-8")
        if path == _PAGE:
            text = _between_marks(text, page_of(benches, records))
        yield path, fill(path.name, text, benches, records)
    newest = _newest(results(benches, records))
    named = [(f"{one.bench.name}: {one.claim.name}".replace("_", " "), one.ratio) for one in newest]
    ratios = [(name, value) for name, value in named if value is not None]
    behind = sum(value < 1 for _, value in ratios)
    yield (
        _ROOT / "docs" / PICTURE,
        ratio_chart(
            "How many times as good each figure of Saring is as its peer's",
            f"{len(ratios)} claims; in {behind} of them the peer is ahead. The tables of the page have the numbers.",
            ratios,
        ),
    )


def _newest(measured: Iterator[Result]) -> list[Result]:
    """One result for each claim: of the long form, where there is one."""
    chosen: dict[tuple[str, str], Result] = {}
    for result in measured:
        chosen.setdefault((result.bench.name, result.claim.name), result)
    return list(chosen.values())


def _between_marks(text: str, content: str) -> str:
    head, begin, rest = text.partition(BEGIN)
    _, closed, tail = rest.partition(END)
    if not (begin and closed):
        raise UsageError(f"docs/{_PAGE.name}: it has no {BEGIN} and {END}: put them back")
    return f"{head}{BEGIN}\n\n{content}\n\n{END}{tail}"


def stale() -> list[str]:
    """The files that are not what was measured."""
    return [
        str(path.relative_to(_ROOT))
        for path, content in made()
        if not path.exists() or path.read_text(encoding="utf-8") != content
    ]


def write() -> None:
    """Write every file that is not what was measured."""
    for path, content in list(made()):
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            write_file(path, content, mode=_READABLE)
            print(path.relative_to(_ROOT))


def main(arguments: Sequence[str] | None = None) -> int:
    """Write them, or name those that are stale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 where a file is not what was measured")
    options = parser.parse_args(arguments)
    try:
        if options.check:
            old = stale()
            for name in old:
                print(f"{name}: not what was measured; run `python -m tools.figures`")
            return 1 if old else 0
        write()
    except SaringError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
