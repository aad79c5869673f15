"""Pictures of Label Studio's labelling page for docs/images: in both languages and themes, desktop, tablet and phone.

The texts are mild and made up. It is called by tools/screenshots.py.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser
from sqlalchemy import Engine

from pipeline.settings import Settings
from pipeline.store import make_engine
from pipeline.store.migrate import upgrade
from saring.services import LabelStudioAccess, ensure_database, ensure_label_studio, stop_services
from sync.api.client import LabelStudio
from sync.project.language import Language
from tests.support.label_studio import Line, make_project, push_all, queue
from tests.support.labelling_page import WINDOWS, opened, sign_up

_TEXTS = (
    Line("orang macam dia ni memang tak patut duduk taman kita", ("hate",)),
    Line("resipi nasi lemak mak aku memang sedap, sambal dia manis pedas", ("safe for work",)),
    Line("jalan utama ditutup pukul lapan malam ini kerana banjir", ("informative",)),
)
_QUALITY = 40
#: pictures of wide windows are made smaller by this
_SMALLER = 0.75


def take_labelling_pictures(browser: Browser, out: Path, words: str = "") -> list[str]:
    """Take the pictures whose names contain `words`; their names."""
    names = []
    with _served() as (engine, access), LabelStudio(access.url, access.api_key) as client:
        folder = Path(tempfile.mkdtemp(prefix="saring-texts-"))
        project = make_project(engine, client, title="Saring")
        queue(engine, _TEXTS, folder)
        push_all(engine, client, project.project_id)
        shutil.rmtree(folder)
        cookies = sign_up(access)
        for language in Language:
            make_project(engine, client, title=None, language=language, now=datetime.now(UTC))
            for window, theme in product(WINDOWS, ("light", "dark")):
                name = f"labelling-{window}-{language}-{theme}.webp"
                if words in name:
                    (out / name).write_bytes(_picture(browser, access, cookies, window, theme, project.label_studio_id))
                    names.append(name)
    return names


def _picture(
    browser: Browser, access: LabelStudioAccess, cookies: dict[str, str], window: str, theme: str, project: int
) -> bytes:
    with opened(browser, access, cookies, window, theme) as desk:
        desk.open(project)
        desk.close_guidelines()
        if window != "phone":
            desk.press(desk.cover)
            desk.press(desk.page.locator(".saring-why .ant-collapse-header"))
            desk.page.get_by_text("A language model says so.").first.wait_for(state="visible")
        picture = Image.open(io.BytesIO(desk.page.screenshot(animations="disabled"))).convert("RGB")
    if picture.width > WINDOWS["phone"][0]:
        picture = picture.resize(
            (round(picture.width * _SMALLER), round(picture.height * _SMALLER)), Image.Resampling.LANCZOS
        )
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=_QUALITY, method=6)
    return out.getvalue()


@contextmanager
def _served() -> Iterator[tuple[Engine, LabelStudioAccess]]:
    """A store and a Label Studio of their own."""
    home = Path(tempfile.mkdtemp(prefix="saring-pictures-"))
    settings = Settings(home=home)
    try:
        engine = make_engine(ensure_database(settings))
        upgrade(engine)
        yield engine, ensure_label_studio(settings)
        engine.dispose()
    finally:
        stop_services(settings)
        shutil.rmtree(home)
