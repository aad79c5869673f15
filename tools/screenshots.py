"""Take the pictures of the dashboard in docs/images/web: every page, in both languages and themes, desktop and phone.
With --labelling, take those of Label Studio's labelling page in docs/images instead.

The store is invented (`tests/support/big_store.py`), so a picture shows nobody's text. Pictures are WebP, small enough
to be kept in the repository. A page that is new is found by itself; pictures of pages that are gone are removed.

    python tools/screenshots.py --labelling [--only WORDS] [--out docs/images]
    python tools/screenshots.py [--texts 20000] [--home FOLDER] [--only WORDS] [--out docs/images/web]
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_ROOT))

from PIL import Image  # noqa: E402
from playwright.sync_api import Browser, Page  # noqa: E402
from sqlalchemy import select  # noqa: E402

from pipeline import store  # noqa: E402
from pipeline.settings import Settings  # noqa: E402
from pipeline.store import make_engine, open_session  # noqa: E402
from pipeline.store.migrate import upgrade  # noqa: E402
from pipeline.store.tables.accounts import Role  # noqa: E402
from pipeline.taxonomy import load_taxonomy  # noqa: E402
from saring.services import ensure_database, stop_services  # noqa: E402
from saring.web.app import route_table  # noqa: E402
from tests.support.big_store import fill_store  # noqa: E402
from tests.support.browser import DESKTOP, PHONE, new_context, open_browser  # noqa: E402
from tests.support.installed import NO_BROWSER, find_browser  # noqa: E402
from tests.support.web import Web, serving_web  # noqa: E402
from tests.support.web_pages import ASKED, Kind, Place, find_places  # noqa: E402

_LANGUAGES, _THEMES = ("en", "ms"), ("light", "dark")
_WINDOWS = {"desktop": DESKTOP, "phone": PHONE}
_LOCALES = {"en": "en-GB", "ms": "ms-MY"}
#: pictures of wide windows are names smaller by this
_SMALLER = 0.75
_QUALITY = 38


def main() -> None:
    """Take all pictures, and say how large they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--home", type=Path, help="keep the store here, or use the one that is here")
    parser.add_argument("--only", default="", help="only pages whose name contains this")
    parser.add_argument("--out", type=Path, help="default: docs/images/web, or docs/images with --labelling")
    parser.add_argument("--labelling", action="store_true", help="take those of the labelling page")
    options = parser.parse_args()
    images = _ROOT / "docs" / "images"
    options.out = options.out or (images if options.labelling else images / "web")
    program = find_browser()
    if program is None:
        raise SystemExit(NO_BROWSER)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.labelling:
        from labelling_screenshots import take_labelling_pictures

        with open_browser(program) as browser:
            print(*take_labelling_pictures(browser, options.out, options.only), sep="\n")
        return
    names: set[str] = set()
    with _served(options.texts, options.home) as web, open_browser(program) as browser:
        places, _ = find_places(web.client(Role.OWNER), route_table())
        complete = [place for place in places if place.kind is Kind.PAGE and place.address not in ASKED[1:]]
        pages = [place for place in complete if options.only in place.name]
        for language, theme, window in product(_LANGUAGES, _THEMES, _WINDOWS):
            page = _signed_in(web, browser, language, theme, window)
            for place in pages:
                name = f"{place.name}-{language}-{theme}-{window}.webp"
                (options.out / name).write_bytes(_picture(page, place))
                names.add(name)
            page.context.close()
    if not options.only:
        for old in options.out.glob("*.webp"):
            if old.name not in names:
                old.unlink()
    size = sum(file.stat().st_size for file in options.out.glob("*.webp"))
    print(f"{len(names)} pictures of {len(pages)} pages; {size / 1e6:.1f} MB in {options.out}")


def _signed_in(web: Web, browser: Browser, language: str, theme: str, window: str) -> Page:
    """A page of an owner who has chosen these."""
    client = web.client(Role.OWNER)
    how = {"viewport": _WINDOWS[window], "locale": _LOCALES[language], "color_scheme": theme}
    context = new_context(browser, web.url, **how, reduced_motion="reduce")
    cookie = {"name": "saring_session", "value": client.cookies["saring_session"], "url": web.url}
    context.add_cookies([cookie])  # type: ignore[list-item]
    return context.new_page()


def _picture(page: Page, place: Place) -> bytes:
    """A picture of what the window shows first."""
    page.goto(place.address, wait_until="load")
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    if picture.width == DESKTOP["width"]:
        picture = picture.resize((round(picture.width * _SMALLER), round(picture.height * _SMALLER)), Image.LANCZOS)
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=_QUALITY, method=6)
    return out.getvalue()


@contextmanager
def _served(texts: int, kept: Path | None) -> Iterator[Web]:
    """The dashboard over a filled store."""
    home = kept or Path(tempfile.mkdtemp(prefix="saring-pictures-"))
    home.mkdir(parents=True, exist_ok=True)
    settings = Settings(home=home)
    try:
        url = ensure_database(settings)
        engine = make_engine(url)
        upgrade(engine)
        with open_session(engine) as session:
            empty = session.scalars(select(store.Text.id).limit(1)).first() is None
        if empty:
            fill_store(engine, load_taxonomy(), settings, texts=texts)
        engine.dispose()
        with serving_web(home, url) as web:
            yield web
    finally:
        stop_services(settings)
        if kept is None:
            shutil.rmtree(home)


if __name__ == "__main__":
    main()
