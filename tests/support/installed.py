"""What this machine has: the browser of the tests that look at pages, and Label Studio."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

NO_BROWSER = "no Chromium found: install one (on Debian, `apt-get install chromium`), or set CHROMIUM to its path"
#: why Label Studio could not be installed
NOT_INSTALLED = pytest.StashKey[str]()
_NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_browser() -> Path | None:
    """Return the program that CHROMIUM names, the system's, or the newest that Playwright installed for this user."""
    named = os.environ.get("CHROMIUM")
    if named:
        return Path(named) if Path(named).is_file() else None
    for name in _NAMES:
        program = shutil.which(name)
        if program is not None:
            return Path(program)
    cache = "Library/Caches" if sys.platform == "darwin" else ".cache"
    folder = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / cache / "ms-playwright")
    own = [*folder.glob("chromium*/chrome-*/chrome"), *folder.glob("chromium*/chrome-*/*/Contents/MacOS/Chromium")]
    return max(own, default=None)
