"""One spelling for the many spellings of a word: for features and near-duplicates, never for what is stored or shown.

Folded are invisible characters, marks on letters, letters of other styles, and letters of other scripts that look
alike (the idea of skeletons in Unicode Technical Standard 39; the table here is the part that Malay social text meets);
digits and signs that stand for letters inside a word (`b0d0h`); signs and blanks between the letters of a word
(`b.o.d.o.h`, `b o d o h`); stretched letters; HTML tags and comments. Words that none of this touches stay as they are.

A model names the version that it was trained with (`VERSIONS`): a version that is there never changes. The work is
linear in the length of the text. This file needs nothing but Python, since it goes with models that are shared.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from html import unescape

_PLACEHOLDERS = frozenset(("url", "email", "mykad", "phone", "user", "id", "account", "plate"))
_COMMENT, _END_OF_COMMENT = "<!--", "-->"
_TAG = re.compile(r"<(?P<end>/?)(?P<name>[A-Za-z][A-Za-z0-9]{0,15})(?P<rest>(?:\s[^<>]{0,500})?)\s?/?>")
#: tags that do not part words
_INLINE = frozenset(
    ("a", "b", "big", "em", "font", "i", "mark", "s", "small", "span", "strong", "sub", "sup", "u", "wbr")
)
_ENTITY = re.compile(r"&#?[0-9A-Za-z]{1,24};")
#: an ampersand, however often it was written as an entity
AMPERSANDS = re.compile(r"(?i)&(?:amp;|#0{0,4}38;|#x0{0,4}26;)+")

_INVISIBLE = dict.fromkeys(
    (
        *(0xAD, 0x34F, 0x61C, 0x640, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFEFF, 0xFFA0),
        *range(0x180B, 0x1810),
        *range(0x200B, 0x2010),
        *range(0x202A, 0x202F),
        *range(0x2060, 0x2070),
        *range(0xFE00, 0xFE10),
        *range(0xFFF9, 0xFFFC),
        *range(0xE0000, 0xE0200),
    )
)
#: marks above, below and across letters, and the vowel marks of Arabic script
_MARKS = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u064b-\u0652\u0670\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)


def _alike(*pairs: str) -> dict[int, str]:
    """A table for `str.translate` from pairs of words: what is written, what it looks like."""
    table: dict[int, str] = {}
    for pair in pairs:
        written, looks = pair.split()
        table.update(zip(map(ord, written), looks, strict=True))
    return table


_LOOK_ALIKE = {
    **_alike(
        # Cyrillic, capitals first: some look like another letter than the small one does
        "АВЕНІЈКМОРСЅТУХҮԌԜ abehijkmopcstyxygw",
        "авенікморсѕтухүјһԁԛԝѵӏ abehikmopcstyxyjhdqwvl",
        # Greek
        "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ abezhikmnoptyx",
        "αβεικνορτυχγηωϲϳ abeikvoptuxynwcj",
        # Armenian, Cherokee
        "օոսհցզ onuhgq",
        "ᎪᏴᏟᎠᎬᎻᎫᏦᏞᎷᏢᏚᎢᏙᎳᏃ abcdehjklmpstvwz",
        # Latin letters of phonetics, small capitals, and with strokes
        "ɑɡıɩɪøłħŧɓɗƒɵəʋđ agiiiolhtbdfoevd",
        "ᴀʙᴄᴅᴇꜰɢʜᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ abcdefghjklmnoprstuvwyz",
    ),
    # letters in dark circles and squares, which have no other form in Unicode
    **{start + i: chr(ord("a") + i) for start in (0x1F150, 0x1F170) for i in range(26)},
}

#: digits and signs that stand for a letter, where letters are on both sides
_FOR_LETTERS = str.maketrans("0134578@$!", "oieastbasi")
_INSIDE = re.compile(r"(?<=[^\W\d_])[0134578@$!]{1,3}(?=[^\W\d_])")
#: signs that part no words
_BETWEEN = re.compile(r"(?<=[^\W\d_])[*_~|^`\\]{1,3}(?=[^\W\d_])")
_LETTER = r"[^\W\d_]"
_SPELLED = re.compile(
    rf"(?<![\w'])(?:{_LETTER}(?: {_LETTER}(?!\w)){{3,}}"
    rf"|{_LETTER}{{1,2}}(?:[-.,*_·•/|+~]{_LETTER}{{1,2}}(?!\w)){{2,}})"
)
_PARTING = re.compile(r"[\W_]+")
_STRETCHED = re.compile(r"([^\W\d_])\1{2,}")


def fold(text: str) -> str:
    """The one spelling of a text, in lower case. Placeholders of masked data stay."""
    return _STRETCHED.sub(r"\1", unify(text))


def unify(text: str) -> str:
    """The one spelling of a text, in lower case, with stretched letters left."""
    text = _without_tags(text)
    if not text.isascii():
        # Marks go first: to put many of them into their order takes long.
        text = _MARKS.sub("", text.translate(_INVISIBLE))
        # Capitals are told from small letters before their case is folded: some look like another letter.
        text = unicodedata.normalize("NFKC", text).translate(_LOOK_ALIKE)
        text = _MARKS.sub("", unicodedata.normalize("NFD", text))
        text = unicodedata.normalize("NFC", text).casefold().translate(_LOOK_ALIKE)
    text = text.casefold()
    text = _INSIDE.sub(lambda match: match[0].translate(_FOR_LETTERS), text)
    return _BETWEEN.sub("", join_spelled(text))


def join_spelled(text: str) -> str:
    """A text with letters that stand one by one (`b o d o h`) or two by two (`bo.do.h`) joined to words."""
    return _SPELLED.sub(lambda match: _PARTING.sub("", match[0]), text)


#: how a model's texts are folded, by the name in its settings
NONE, NEWEST = "none", "fold-1"
VERSIONS: Mapping[str, Callable[[str], str]] = {NONE: str.casefold, "fold-1": fold}


def decode(text: str) -> str:
    """A text with the characters that HTML entities stand for."""
    if "&" not in text:
        return text
    # An entity may hold entities.
    for _ in range(3):
        decoded = _ENTITY.sub(lambda match: unescape(match[0]), AMPERSANDS.sub("&", text))
        if decoded == text:
            break
        text = decoded
    return text


def _without_tags(text: str) -> str:
    text = decode(text)
    if "<" not in text:
        return text
    parts, at = [], 0
    # a pattern for comments would read to the end of the text at each one that does not end
    while (start := text.find(_COMMENT, at)) >= 0 and (end := text.find(_END_OF_COMMENT, start)) >= 0:
        parts.append(text[at:start])
        at = end + len(_END_OF_COMMENT)
    return _TAG.sub(_replace_tag, "".join((*parts, text[at:])))


def _replace_tag(match: re.Match[str]) -> str:
    name = match["name"].casefold()
    if name in _PLACEHOLDERS and not match["end"] and not match["rest"]:
        return match[0]
    return "" if name in _INLINE else " "
