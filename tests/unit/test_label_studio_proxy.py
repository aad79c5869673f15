"""The proxy before a Label Studio that Saring does not run: from the same rules as the embedded one's."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tools.label_studio_proxy import CONF, RULES, configuration

_RULES: dict[str, Any] = json.loads(RULES.read_text(encoding="utf-8"))


def verdict(method: str, path: str, args: str = "") -> str:
    """What nginx makes of a request: the maps of the file, read as it reads them."""
    maps = {
        name: re.findall(r'"~(.*)" (\w+);', body)
        for name, body in re.findall(r"map [^{]*\$saring_(\w+) \{\n(.*?)\n\}", CONF.read_text(), re.DOTALL)
    }
    read = next((value for pattern, value in maps["read"] if re.search(pattern, path)), "pass")
    write = next((value for pattern, value in maps["write"] if re.search(pattern, f"{method} {path} {args}")), "refuse")
    return read if method in ("GET", "HEAD", "OPTIONS") else write


def test_the_file_is_made_from_the_rules() -> None:
    assert CONF.read_text(encoding="utf-8") == configuration(_RULES), "run `python tools/label_studio_proxy.py`"


@pytest.mark.parametrize(
    ("method", "path", "args", "expected"),
    [
        ("GET", "/projects/1/data", "", "pass"),
        ("GET", "/api/tasks", "project=1", "pass"),
        ("POST", "/api/dm/actions", "id=next_task&tabID=1&project=1", "pass"),
        ("POST", "/api/tasks/7/annotations", "project=1", "pass"),
        ("PATCH", "/api/annotations/7/", "", "pass"),
        ("POST", "/user/login/", "next=/", "pass"),
        ("GET", "/api/ml", "project=1", "empty"),
        ("GET", "/api/webhooks/", "project=1", "empty"),
        ("GET", "/api/webhooks/1/", "", "refuse"),
        ("GET", "/api/projects/1/export", "", "refuse"),
        ("GET", "/api/organizations/1/memberships", "", "refuse"),
        # Label Studio takes the last of several, in whatever spelling
        ("POST", "/api/dm/actions", "id=next_task&id=delete_tasks", "refuse"),
        ("POST", "/api/dm/actions", "id=next_task&i%64=delete_tasks", "refuse"),
        ("POST", "/api/dm/actions", "id=delete_tasks", "refuse"),
        ("POST", "/api/tasks/7/annotations/ x", "", "refuse"),
        ("DELETE", "/api/annotations/7/", "", "refuse"),
        ("PATCH", "/api/projects/1/", "", "refuse"),
        ("PUT", "/api/annotations/7/", "", "refuse"),
        ("POST", "/api/projects/1/import", "", "refuse"),
    ],
)
def test_what_volunteers_need_passes_and_the_rest_does_not(method: str, path: str, args: str, expected: str) -> None:
    assert verdict(method, path, args) == expected
