"""Take the pictures of the volunteers' pages in docs/images/phone: each step, in both languages, on an emulated phone.

A home of its own is made with a real Label Studio and invented texts, and removed at the end.

    python tools/phone_screenshots.py [--out docs/images/phone]
"""

from __future__ import annotations

import argparse
import io
import sys
from datetime import UTC, datetime
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_ROOT))

from PIL import Image  # noqa: E402
from playwright.sync_api import Page, expect  # noqa: E402
from sqlalchemy import select  # noqa: E402

from pipeline import store  # noqa: E402
from pipeline.store.tables.volunteers import AnswerKind  # noqa: E402
from saring.accounts.people import set_preferences  # noqa: E402
from saring.accounts.volunteers import ask_to_join, let_in  # noqa: E402
from saring.actions import norming  # noqa: E402
from saring.actions.volunteers import approve, leave  # noqa: E402
from sync.quality.divided import monday  # noqa: E402
from tests.support.browser import PHONE, new_context  # noqa: E402
from tests.support.label_studio import Line  # noqa: E402
from tests.support.phone_home import phone_home  # noqa: E402
from tests.support.web import Web  # noqa: E402

_LANGUAGES = ("ms", "en")
_QUALITY = 55
_TEXTS = (
    Line(
        "Orang dari kampung sebelah itu semuanya penipu, jangan beri mereka masuk ke kedai kita.",
        ("hate",),
        priority=1.0,
    ),
    Line("Orang macam mereka memang tidak boleh dipercayai, semua sama sahaja.", ("hate",), priority=0.95),
    Line("Jalan ke bandar ditutup esok dari jam 8 pagi hingga 12 tengah hari.", ("informative",), priority=0.9),
    Line("Selamat pagi semua, sudah sarapan?", ("safe for work",), priority=0.8),
)

#: answers to the first text, with what their givers wrote
_REASONS = (
    (("hate",), "Ia menuduh semua orang dari satu kampung, bukan seorang sahaja."),
    (("safe for work",), "Mungkin dia baru ditipu dan sedang marah."),
)


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=_ROOT / "docs" / "images" / "phone")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with phone_home(_TEXTS) as home:
        _divide(home.web)
        for language in _LANGUAGES:
            # each language has the same texts: those of the one before are given back
            context = new_context(home.browser, home.web.url, viewport=PHONE, has_touch=True, is_mobile=True)
            _walk(home.web, context.new_page(), language, options.out)
            context.close()
    print(f"{len(list(options.out.glob('*.webp')))} pictures in {options.out}")


def _divide(web: Web) -> None:
    """The texts are those of the week, and two volunteers have answered the first one."""
    now = datetime.now(UTC)
    week = monday(now)
    with web.home.begin() as session:
        texts = session.execute(select(store.Text.id, store.Text.masked)).all()
        order = [line.text for line in _TEXTS]
        session.add(store.NormingWeek(week=week, looked_at=now))
        session.flush()
        for text_id, masked in texts:
            place = order.index(masked) + 1
            session.add(
                store.NormingText(week=week, place=place, text_id=text_id, labels=["hate"], division=1 / (place + 2))
            )
    for number, (labels, reason) in enumerate(_REASONS):
        with web.home.begin() as session:
            person, _ = ask_to_join(session, f"jiran-{number}")
            let_in(session, person.id, user=f"90{number}", token=b"of nobody")
        norming.vote(web.home, person.id, week, 1, AnswerKind.LABELS, labels, reason)


def _walk(web: Web, page: Page, language: str, out: Path) -> None:
    """From the invitation to the first answers."""

    def take(name: str) -> None:
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        picture.save(out / f"{name}-{language}.webp", "WEBP", quality=_QUALITY, method=6)

    page.goto(f"/join?language={language}")
    take("join")
    with web.home.begin() as session:
        person, token = ask_to_join(session, f"aina-{language}", language=language)
        set_preferences(session, person.id, language=language)
    approve(web.home, person.id)
    page.goto(f"/enter/{token}")
    take("enter")
    page.locator("main button").tap()
    expect(page.locator("#task")).to_be_visible(timeout=30_000)
    take("label")
    page.locator("#show").tap()
    take("shown")
    page.locator('[data-label="safe for work"]').tap()
    page.context.set_offline(True)
    page.locator("#submit").tap()
    expect(page.locator("#offline")).to_be_visible()
    take("offline")
    page.context.set_offline(False)
    expect(page.locator("#waiting")).to_be_hidden(timeout=30_000)
    page.goto("/me")
    take("me")
    page.goto("/practice")
    page.locator("summary .show").tap()
    take("practice")
    page.locator("main button.main").tap()
    page.locator("summary .show").tap()
    take("checked")
    page.goto("/norming")
    take("norming")
    page.locator("ol.topics a").first.tap()
    page.locator("summary .show").first.tap()
    take("norming-blind")
    page.locator('input[value="hate"]').check()
    page.locator('button[value="labels"]').tap()
    expect(page.locator("ul.reasons, .reasons")).to_be_visible()
    page.locator("summary .show").first.tap()
    take("norming-heard")
    leave(web.home, person.id)


if __name__ == "__main__":
    main()
