"""A home of its own with a real Label Studio, a project with tasks, our pages, and a browser that looks at them.

For scripts, which have no fixtures.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser

from pipeline.settings import Settings
from pipeline.store import make_engine
from pipeline.store.migrate import upgrade
from saring.services import LabelStudioAccess, ensure_database, ensure_label_studio, stop_services
from sync.api.client import LabelStudio
from tests.support.browser import open_browser
from tests.support.installed import NO_BROWSER, find_browser
from tests.support.label_studio import Line, make_project, push_all, queue
from tests.support.web import Web, serving_web


@dataclass(frozen=True, slots=True)
class PhoneHome:
    """A home whose tasks can be answered."""

    web: Web
    browser: Browser
    label_studio: LabelStudioAccess
    #: number of the project in Label Studio
    project: int


@contextmanager
def phone_home(lines: Sequence[Line]) -> Iterator[PhoneHome]:
    """Make a home with one task for each line, and remove it at the end.

    Raises:
        SystemExit: there is no browser.
    """
    program = find_browser()
    if program is None:
        raise SystemExit(NO_BROWSER)
    home = Path(tempfile.mkdtemp(prefix="saring-phone-"))
    settings = Settings(home=home)
    try:
        url = ensure_database(settings)
        engine = make_engine(url)
        upgrade(engine)
        access = ensure_label_studio(settings)
        with LabelStudio(access.url, access.api_key) as client:
            made = make_project(engine, client)
            queue(engine, lines, home)
            push_all(engine, client, made.project_id)
        with serving_web(home, url) as web, open_browser(program) as browser:
            yield PhoneHome(web, browser, access, made.label_studio_id)
        engine.dispose()
    finally:
        stop_services(settings)
        shutil.rmtree(home)
