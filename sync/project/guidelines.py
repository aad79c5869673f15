"""The guidelines that volunteers read first, made from the taxonomy: HTML, as far as Label Studio keeps it.

Examples are few, short, and folded away: nobody has to read abuse to learn that a page is about abuse.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from pipeline.taxonomy import Label, NearMiss, Taxonomy
from sync.project.seal import PLACE, seal

_INTRODUCTION = (
    (
        "en",
        "Tick every label that fits the text, correct what was ticked beforehand, and submit. Judge what the text "
        "says, not who may have written it. Several labels can fit one text. If you can't say, tick only "
        "<b>Can't decide</b>. If you would rather not read a text, <b>skip</b> it: somebody else gets it, and nobody "
        "asks why.",
    ),
    (
        "ms",
        "Tandakan setiap label yang sesuai dengan teks, betulkan label yang sudah ditanda, kemudian hantar. Nilailah "
        "apa yang tertulis, bukan siapa penulisnya. Satu teks boleh ada beberapa label. Jika tidak pasti, tandakan "
        "<b>Tak pasti</b> sahaja. Jika tidak mahu membaca sesuatu teks, <b>langkau</b> sahaja: orang lain akan "
        "menerimanya, dan tiada siapa akan bertanya sebabnya.",
    ),
)
_CARE = (
    (
        "en",
        "Texts stay blurred until you point at them. Take a break whenever you like. To talk to someone, at any hour: "
        "Befrienders KL 03-7627 2929, Talian Kasih 15999, HEAL 15555.",
    ),
    (
        "ms",
        "Teks kekal kabur sehingga anda menghalakan kursor padanya. Berehatlah pada bila-bila masa. Untuk berbual "
        "dengan seseorang, pada bila-bila masa: Befrienders KL 03-7627 2929, Talian Kasih 15999, HEAL 15555.",
    ),
)
#: the varieties that an example is given in
_VARIETIES = ("ms", "en")


def guidelines(taxonomy: Taxonomy) -> str:
    """The instructions of a project, sealed (sync.project.seal); the same for the same taxonomy."""
    parts = [f'<div class="{PLACE}">', *_paragraphs(_INTRODUCTION)]
    for label in taxonomy:
        parts += _about(label, taxonomy)
    parts += [*(_paragraphs(_CARE) if taxonomy.has_harmful else []), "</div>"]
    return seal("\n".join(parts))


def _about(label: Label, taxonomy: Taxonomy) -> list[str]:
    parts = [
        f"<h4>{_text(label.name.en)} / {_text(label.name.ms)} <kbd>{_text(label.hotkey)}</kbd></h4>",
        *_paragraphs((("en", _text(label.definition.en)), ("ms", _text(label.definition.ms)))),
    ]
    if label.excludes:
        named = ", ".join(_text(taxonomy[key].name.en) for key in label.excludes)
        parts.append(f"<p>Never together with / Tidak pernah bersama: {named}</p>")
    exemplars = [_shortest(label.exemplars.get(variety, ())) for variety in _VARIETIES]
    misses = [_shortest_miss(label.near_misses.get(variety, ())) for variety in _VARIETIES]
    fits = [f"<li>{_text(text)}</li>" for text in exemplars if text]
    fits_not = [f"<li>{_text(miss.text)} <i>{_text(miss.why)}</i></li>" for miss in misses if miss]
    if fits or fits_not:
        parts += ["<details><summary>Examples / Contoh</summary>"]
        parts += ["<p>This label / Label ini:</p><ul>", *fits, "</ul>"] if fits else []
        parts += ["<p>Not this label / Bukan label ini:</p><ul>", *fits_not, "</ul>"] if fits_not else []
        parts += ["</details>"]
    return parts


def _paragraphs(texts: Sequence[tuple[str, str]]) -> list[str]:
    return [f'<p lang="{language}">{text}</p>' for language, text in texts]


def _shortest(texts: Sequence[str]) -> str | None:
    return min(texts, key=len, default=None)


def _shortest_miss(misses: Sequence[NearMiss]) -> NearMiss | None:
    return min(misses, key=lambda miss: len(miss.text), default=None)


def _text(value: str) -> str:
    """Escaped as Label Studio's own cleaning leaves it, so that what comes back is what was written."""
    return escape(" ".join(value.split()), quote=False)
