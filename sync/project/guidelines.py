"""The guidelines that volunteers read first, made from the taxonomy: HTML, as far as Label Studio keeps it.

They come once in each language; the second is folded away. Examples are few, short, and folded away too: nobody has to
read abuse to learn that a page is about abuse.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from pipeline.taxonomy import Bilingual, Label, NearMiss, Taxonomy
from sync.project.care import HELP_LINES
from sync.project.language import Language
from sync.project.seal import PLACE, seal

_OPEN = Bilingual(
    en="Tap or click the text to read it. Tap it again to hide it.",
    ms="Ketik atau klik teks untuk membacanya. Ketik sekali lagi untuk menyembunyikannya.",
)
_RULES = (
    Bilingual(
        en="Tick every label that fits, and untick those that don't. The ticks were made by programs, which are often "
        "wrong.",
        ms="Tandakan setiap label yang sesuai, dan buang tanda yang tidak sesuai. Tanda itu dibuat oleh program, yang "
        "sering tersilap.",
    ),
    Bilingual(
        en="Judge what the text says, not who may have written it.",
        ms="Nilailah apa yang tertulis, bukan siapa penulisnya.",
    ),
    Bilingual(en="Several labels can fit one text.", ms="Satu teks boleh ada beberapa label."),
)
_NONE = Bilingual(
    en="If no label fits, tick <b>None of these</b>.",
    ms="Jika tiada label yang sesuai, tandakan <b>Tiada satu pun</b>.",
)
_REST = (
    Bilingual(
        en="If you can't say, tick only <b>Can't decide</b>.", ms="Jika tidak pasti, tandakan <b>Tak pasti</b> sahaja."
    ),
    Bilingual(
        en="If you would rather not read a text, <b>skip</b> it: somebody else gets it, and nobody asks why.",
        ms="Jika tidak mahu membaca sesuatu teks, <b>langkau</b> sahaja: orang lain akan menerimanya, dan tiada siapa "
        "akan bertanya sebabnya.",
    ),
)
_CARE = Bilingual(
    en=f"Take a break whenever you like. To talk to someone: {HELP_LINES.en}.",
    ms=f"Berehatlah pada bila-bila masa. Untuk berbual dengan seseorang: {HELP_LINES.ms}.",
)
_NEVER_WITH = Bilingual(en="Never together with", ms="Tidak pernah bersama")
_EXAMPLES = Bilingual(en="Examples", ms="Contoh")
_THIS, _NOT_THIS = Bilingual(en="This label", ms="Label ini"), Bilingual(en="Not this label", ms="Bukan label ini")
_IN = Bilingual(en="In English", ms="Dalam bahasa Melayu")
#: the varieties that an example is given in
_VARIETIES = ("ms", "en")


def guidelines(taxonomy: Taxonomy, language: Language = Language.EN) -> str:
    """The instructions of a project, sealed (sync.project.seal); the same for the same arguments.

    Args:
        taxonomy: the labels.
        language: the one that is not folded away.
    """
    second = language.other
    parts = [
        f'<div class="{PLACE}">',
        *_in_language(taxonomy, language),
        f'<details lang="{second}"><summary>{second.of(_IN)}</summary>',
        *_in_language(taxonomy, second),
        "</details>",
        "</div>",
    ]
    return seal("\n".join(parts))


def _in_language(taxonomy: Taxonomy, language: Language) -> list[str]:
    rules = [
        *([_OPEN] if taxonomy.has_harmful else []),
        *_RULES,
        *([_NONE] if taxonomy.none_label is None else []),
        *_REST,
        *([_CARE] if taxonomy.has_harmful else []),
    ]
    parts = [f'<div lang="{language}"><ul>', *(f"<li>{language.of(rule)}</li>" for rule in rules), "</ul>"]
    for label in taxonomy:
        parts += _about(label, taxonomy, language)
    return [*parts, "</div>"]


def _about(label: Label, taxonomy: Taxonomy, language: Language) -> list[str]:
    parts = [
        f"<h4>{_text(language.of(label.name))} <kbd>{_text(label.hotkey)}</kbd></h4>",
        f"<p>{_text(language.of(label.definition))}</p>",
    ]
    if label.excludes:
        named = ", ".join(_text(language.of(taxonomy[key].name)) for key in label.excludes)
        parts.append(f"<p>{language.of(_NEVER_WITH)}: {named}</p>")
    exemplars = [_shortest(label.exemplars.get(variety, ())) for variety in _VARIETIES]
    misses = [_shortest_miss(label.near_misses.get(variety, ())) for variety in _VARIETIES]
    fits = [f"<li>{_text(text)}</li>" for text in exemplars if text]
    fits_not = [f"<li>{_text(miss.text)} <i>{_text(miss.why)}</i></li>" for miss in misses if miss]
    if fits or fits_not:
        parts += [f"<details><summary>{language.of(_EXAMPLES)}</summary>"]
        parts += [f"<p>{language.of(_THIS)}:</p><ul>", *fits, "</ul>"] if fits else []
        parts += [f"<p>{language.of(_NOT_THIS)}:</p><ul>", *fits_not, "</ul>"] if fits_not else []
        parts += ["</details>"]
    return parts


def _shortest(texts: Sequence[str]) -> str | None:
    return min(texts, key=len, default=None)


def _shortest_miss(misses: Sequence[NearMiss]) -> NearMiss | None:
    return min(misses, key=lambda miss: len(miss.text), default=None)


def _text(value: str) -> str:
    """Escaped as Label Studio's own cleaning leaves it, so that what comes back is what was written."""
    return escape(" ".join(value.split()), quote=False)
