"""Write docs/label-studio-nginx.conf, a proxy before a Label Studio that Saring does not run, from the same rules that
the embedded one keeps (`saring/services/label_studio_requests.json`).

    python tools/label_studio_proxy.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[1]
RULES = _ROOT / "saring" / "services" / "label_studio_requests.json"
CONF = _ROOT / "docs" / "label-studio-nginx.conf"
_HEAD = """\
# A proxy for volunteers before Label Studio's community edition, which lets every account do everything.
#
# Made by tools/label_studio_proxy.py: change saring/services/label_studio_requests.json instead. It belongs into the
# `http` block of nginx. Volunteers get the address of this server. Saring (LABEL_STUDIO_URL) and maintainers use Label
# Studio's own address, which volunteers must not reach.
#
# It cannot see whose an annotation is. So a volunteer who writes requests by hand can still read and change answers of
# others; Saring records such changes as theirs (docs/sync.md).
"""
_SERVER = """\
server {
    listen 443 ssl;
    server_name labels.example.org;
    ssl_certificate /etc/nginx/labels.pem;
    ssl_certificate_key /etc/nginx/labels.key;
    client_max_body_size 1m;

    location / {
        if ($saring_verdict = refuse) { return 403; }
        if ($saring_verdict = empty) { rewrite ^ /saring-empty-list last; }
        proxy_pass http://127.0.0.1:8080;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-Proto $scheme;
    }
    location = /saring-empty-list {
        internal;
        default_type application/json;
        return 200 "[]";
    }
}
"""


def configuration(rules: dict[str, Any]) -> str:
    """The configuration of nginx for these rules."""
    writes = [
        f'    "~^{rule["method"]} {rule["path"]} {rule.get("args", "[^ ]*")}$" pass; # {rule["why"]}'
        for rule in rules["writes"]
    ]
    refused = [f'    "~^{rule["path"]}$" refuse; # {rule["why"]}' for rule in rules["refused_reads"]]
    empty = [f'    "~^{rule["path"]}$" empty; # {rule["why"]}' for rule in rules["empty_reads"]]
    return "\n".join(
        [
            _HEAD,
            'map "$request_method $uri $args" $saring_write {',
            "    default refuse;",
            *writes,
            "}",
            "map $uri $saring_read {",
            "    default pass;",
            # the first that matches counts
            *empty,
            *refused,
            "}",
            "map $request_method $saring_verdict {",
            "    default $saring_write;",
            '    "~^(GET|HEAD|OPTIONS)$" $saring_read;',
            "}",
            _SERVER,
        ]
    )


def main() -> None:
    """Write the file."""
    CONF.write_text(configuration(json.loads(RULES.read_text(encoding="utf-8"))), encoding="utf-8")
    print(CONF, file=sys.stderr)


if __name__ == "__main__":
    main()
