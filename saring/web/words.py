"""The words of the pages, in English and Malay.

Messages are written in English in templates and code. Their Malay is in files `locale/ms/*.po`, one for each page,
which are read at the start: there is nothing to compile.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

LOCALES = Path(__file__).parent / "locale"
Words = NullTranslations


def marked(message: str) -> str:
    """A message that is translated later, where it is shown."""
    return message


#: values of the store that pages show as words
VALUES = (
    marked("volunteer"),
    marked("viewer"),
    marked("reviewer"),
    marked("maintainer"),
    marked("owner"),
    marked("gold"),
    marked("silver"),
    marked("pseudo"),
    marked("contested"),
    marked("unknown"),
)


def read_catalog(language: str) -> Catalog:
    """All messages of a language."""
    merged = Catalog(locale=language)
    for path in sorted((LOCALES / language).glob("*.po")):
        with path.open("rb") as file:
            for message in read_po(file, locale=language, charset="utf-8"):
                if message.id:
                    merged[message.id] = message
    return merged


@cache
def all_words() -> Mapping[str, Words]:
    """The words of each language."""
    compiled = io.BytesIO()
    write_mo(compiled, read_catalog("ms"))
    compiled.seek(0)
    return {"en": NullTranslations(), "ms": Translations(compiled)}
