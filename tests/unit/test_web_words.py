"""The words of the pages: each message has its Malay, and nothing is translated that no page says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from jinja2.ext import babel_extract

from pipeline.taxonomy import load_taxonomy
from saring.web.words import LOCALES, read_catalog

_WEB = Path(__file__).resolve().parents[2] / "saring" / "web"
_VALUES = re.compile(r"%\((\w+)\)s")


def _messages() -> Iterator[tuple[str, str]]:
    """Each message of code and templates, and where it is."""
    for path in sorted(_WEB.rglob("*.py")):
        with path.open("rb") as file:
            for line, message, _, _ in extract("python", file, keywords={"say": None, "marked": None}):
                yield _first(message), f"{path.name}:{line}"
    for path in sorted(_WEB.rglob("*.html")):
        with path.open("rb") as file:
            for line, _, message, _ in babel_extract(file, ("_", "gettext", "ngettext"), [], {"silent": "false"}):
                yield _first(message), f"{path.relative_to(_WEB / 'templates')}:{line}"
    # shown by the practice
    for label in load_taxonomy():
        for miss in label.all_near_misses():
            yield miss.why, f"taxonomy.yaml: {label.key}"


def _first(message: object) -> str:
    found = message[0] if isinstance(message, tuple) else message
    # a message that is a variable was marked where it is written
    return found if isinstance(found, str) else ""


@pytest.fixture(scope="module")
def malay() -> Catalog:
    return read_catalog("ms")


def test_every_message_has_its_malay(malay: Catalog) -> None:
    missing = {}
    for message, place in _messages():
        translated = malay.get(message) if message else None
        if message and (translated is None or not translated.string or translated.fuzzy):
            missing[message] = place
    assert not missing


def test_a_translation_has_the_same_values_as_its_message(malay: Catalog) -> None:
    for message in malay:
        if message.id:
            original = message.id if isinstance(message.id, str) else " ".join(message.id)
            translated = message.string if isinstance(message.string, str) else " ".join(message.string)
            assert set(_VALUES.findall(original)) >= set(_VALUES.findall(translated)), original


def test_nothing_is_translated_that_no_page_says(malay: Catalog) -> None:
    said = {message for message, _ in _messages()}
    known = {message.id if isinstance(message.id, str) else message.id[0] for message in malay if message.id}
    assert known - said == set()


def test_no_two_files_translate_a_message_differently() -> None:
    seen: dict[str, tuple[str, str]] = {}
    for path in sorted((LOCALES / "ms").glob("*.po")):
        for identity, translated in re.findall(r'^msgid (".+")\nmsgstr (".+")$', path.read_text("utf-8"), re.MULTILINE):
            other, place = seen.setdefault(identity, (translated, path.name))
            assert other == translated, f"{identity} in {place} and {path.name}"
