"""The peers of a page: the least that a page with a database can take, and Label Studio's list of tasks.

    python benchmarks/_web_peers.py PORT

serves the former: Starlette on the same server, one query that asks for nothing, one line of HTML. The database's
address comes from SARING_DATABASE_URL.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from pipeline.settings import Settings
from pipeline.store import make_engine
from pipeline.taxonomy import load_taxonomy
from saring.services import ensure_label_studio, stop_services
from sync.api.client import LabelStudio, identity
from sync.project.label_config import label_config

#: tasks in one call
_CALL = 5_000
#: what a page of Label Studio's list holds
_PAGE = 30


def main() -> None:
    """Serve one page with one query."""
    engine = make_engine(os.environ["SARING_DATABASE_URL"])

    def hello(_: Request) -> HTMLResponse:
        with engine.connect() as connection:
            number = connection.execute(text("SELECT 1")).scalar_one()
        return HTMLResponse(f"<!doctype html><title>{number}</title>")

    app = Starlette(routes=[Route("/", hello)])
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", http="httptools")


@contextmanager
def label_studio_list(texts: Sequence[str], repeats: int) -> Iterator[list[float]]:
    """Seconds until Label Studio's server answers with the first page of a list of these tasks."""
    home = Path(tempfile.mkdtemp(prefix="saring-bench-"))
    settings = Settings(home=home)
    try:
        access = ensure_label_studio(settings)
        with LabelStudio(access.url, access.api_key) as client:
            created = client.create_project(title="Peer", label_config=label_config(load_taxonomy()))
            project = identity(created)[0]
            for start in range(0, len(texts), _CALL):
                rows = [{"data": {"text": line}} for line in texts[start : start + _CALL]]
                client.import_tasks(project, rows)
        headers = {"Authorization": f"Token {access.api_key}"}
        query = {"project": project, "page": 1, "page_size": _PAGE, "fields": "task_only"}
        with httpx.Client(base_url=access.url, headers=headers, timeout=120, trust_env=False) as web:
            seconds = []
            for turn in range(repeats + 2):
                start_at = time.perf_counter()
                web.get("/api/tasks", params=query).raise_for_status()
                if turn >= 2:
                    seconds.append(time.perf_counter() - start_at)
        yield seconds
    finally:
        stop_services(settings)


if __name__ == "__main__":
    main()
