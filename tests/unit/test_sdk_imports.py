"""The SDK of Label Studio is imported by whoever speaks to a server, and no sooner: it takes a while."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
#: what the whole of the SDK brings along: tables, XML, makers of sample data
_HEAVY = ("pandas", "lxml", "faker", "jsf", "cv2", "nltk")


def imported_by(code: str) -> set[str]:
    """Packages that a program has imported at its end."""
    report = "print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; {report}"],
        env={"PYTHONPATH": str(_ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("package", ["sync", "saring.cli", "saring.workers"])
def test_no_module_imports_the_sdk(package: str) -> None:
    names = sorted(
        ".".join(file.relative_to(_ROOT).with_suffix("").parts)
        for file in (_ROOT / package.replace(".", "/")).rglob("*.py")
        if file.name not in ("__init__.py", "__main__.py")
    )
    assert names
    assert "label_studio_sdk" not in imported_by(f"import {', '.join(names)}")


def test_what_speaks_to_a_server_imports_the_calls_of_the_sdk_alone() -> None:
    code = "from sync.api.client import LabelStudio; client = LabelStudio('http://127.0.0.1:9', 'key')"
    assert "label_studio_sdk" not in imported_by(code)
    parts = "client.tasks, client.webhooks, client.ml, client.views, client._projects, client._users, client._versions"
    imported = imported_by(f"{code}; {parts}")
    assert "label_studio_sdk" in imported
    assert imported.isdisjoint(_HEAVY)
