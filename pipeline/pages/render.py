"""Writing a page into a folder of somebody's choice."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import UsageError


def put_page(folder: Path, name: str, html: str) -> Path:
    """Write a page whole, in place of an older one; its path.

    Raises:
        UsageError: the folder can't be made or written to.
    """
    path = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{name}.new")
        fresh.write_text(html, encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        raise UsageError(f"{folder}: the report cannot be written ({error.strerror}); name another folder") from error
    return path
