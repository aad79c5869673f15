"""Templates: filled in with a language's words, and with addresses of files that browsers may keep."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from babel.dates import format_date, format_datetime, format_timedelta
from babel.numbers import format_decimal, format_percent
from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context as TemplateContext
from markupsafe import Markup

from pipeline.taxonomy import Taxonomy
from saring.web import charts
from saring.web.sentences import in_words
from saring.web.words import Words, all_words

STATIC = Path(__file__).parent / "static"
#: names of the formats of dates and numbers
_LOCALES = {"en": "en_GB", "ms": "ms_MY"}


class Renderer:
    """The templates, in each language."""

    def __init__(self) -> None:
        self.words: Mapping[str, Words] = all_words()
        self._environments = {language: _environment(language, words) for language, words in self.words.items()}

    def render(self, language: str, template: str, values: Mapping[str, Any]) -> str:
        """Fill in a template of `saring/web/templates`. A missing value is an error."""
        return self._environments[language].get_template(template).render(**values)


def _environment(language: str, words: Words) -> Environment:
    environment = Environment(
        loader=PackageLoader("saring.web"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
        auto_reload=False,
    )
    environment.install_gettext_translations(words, newstyle=True)  # type: ignore[attr-defined]
    locale = _LOCALES[language]

    def when(at: datetime | str | None) -> Markup | str:
        if at is None:
            return "–"
        moment = (datetime.fromisoformat(at) if isinstance(at, str) else at).astimezone(UTC)
        shown = format_datetime(moment, "d MMM y, HH:mm", locale=locale)
        return Markup('<time datetime="{}">{} UTC</time>').format(moment.isoformat(timespec="seconds"), shown)

    def ago(seconds: float) -> str:
        return str(format_timedelta(timedelta(seconds=-seconds), add_direction=True, locale=locale))

    def day(at: date | str) -> str:
        return str(format_date(date.fromisoformat(at) if isinstance(at, str) else at, "d MMM", locale=locale))

    def short_days(values: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
        return [(day(at), value) for at, value in values]

    def number(value: float | None, digits: int = 0) -> str:
        if value is None:
            return "–"
        return str(format_decimal(value, format=f"#,##0{'.' + '0' * digits if digits else ''}", locale=locale))

    def percent(value: float | None, digits: int = 0) -> str:
        if value is None:
            return "–"
        return str(format_percent(value, format=f"0{'.' + '0' * digits if digits else ''}%", locale=locale))

    @pass_context
    def label_name(context: TemplateContext, key: str) -> str:
        taxonomy: Taxonomy = context["taxonomy"]
        if key not in taxonomy:
            return key
        name = taxonomy[key].name
        return name.ms if language == "ms" else name.en

    @pass_context
    def sentence(context: TemplateContext, text: str | None) -> str:
        if not text or language == "en":
            return text or ""
        return in_words(words, text, lambda key: label_name(context, key))

    environment.globals.update(static=static_address, charts=charts)
    environment.filters.update(
        when=when,
        ago=ago,
        day=day,
        short_days=short_days,
        n=number,
        percent=percent,
        label=label_name,
        sentence=sentence,
    )
    return environment


@cache
def static_address(name: str) -> str:
    """The address of a file of `saring/web/static`, which changes with its content."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"
