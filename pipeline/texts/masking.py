"""Hide personal data before any rater, model or volunteer sees a text.

Placeholders are words in angle brackets, so that models learn them as one token and people can read the text. Masked
are addresses of pages, e-mail addresses, MyKad numbers, telephone numbers, and user names.
"""

from __future__ import annotations

import re

URL, EMAIL, MYKAD, PHONE, USER = "<url>", "<email>", "<mykad>", "<phone>", "<user>"
PLACEHOLDER = re.compile("|".join((URL, EMAIL, MYKAD, PHONE, USER)))

_URL = re.compile(
    r"""(?ix)
    \b(?:https?://|www\.)[^\s<>"']+
    | \b(?:t\.co|bit\.ly|wa\.me|t\.me|fb\.me|goo\.gl|youtu\.be|shope\.ee|tinyurl\.com)/[^\s<>"']+
    | (?<![\w@.])(?:[a-z0-9-]+\.)+(?:com|net|org|edu|gov|info|my|sg|id|io|co|me|tv|app|xyz|online|site)
      (?:\.my|\.sg|\.id)?\b(?:/[^\s<>"']*)?(?!\w|@)
    """
)
_EMAIL = re.compile(r"(?i)(?<![\w.+-])[a-z0-9][a-z0-9._%+-]{0,63}@[a-z0-9-]+(?:\.[a-z0-9-]+)+")
# YYMMDD-PB-###G: a possible date, and a place of birth that has been issued (01-59 states and former codes,
# 60-93 born abroad; National Registration Department's list of state and country codes).
_MYKAD = re.compile(
    r"""(?x)(?<![\d-])
    \d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])
    (?:-(?:0[1-9]|[1-8]\d|9[0-3])-|\ (?:0[1-9]|[1-8]\d|9[0-3])\ |(?:0[1-9]|[1-8]\d|9[0-3]))
    \d{4}(?![\d-])"""
)
# Malaysian mobile (01x) and fixed lines (03, 04-09), Indonesian mobile (08xx), and any number in international form.
# Amounts, years and scores are shorter or grouped in another way.
_PHONE = re.compile(
    r"""(?x)(?<![\w.,/-])
    (?:
        (?:\+?60[ -]?)?0?1\d(?:[ ]-[ ]|[ .-]?)\d(?:[ .-]?\d){6,7}
      | (?:\+?60[ -]?|0)(?:3[ -]?\d{4}|[4-79][ -]?\d{3}|8\d[ -]?\d{3})[ -]?\d{3,4}
      | \(0\d{1,2}\)[ -]?\d{3,4}[ -]?\d{4}
      | (?:\+?62[ -]?|0)8(?:[ .-]?\d){8,11}
      | \+\d{1,3}(?:[ .-]?\d){7,12}
    )(?![\w/]|[.,]\d)"""
)
_USER = re.compile(r"(?<!\w)@+[A-Za-z0-9_](?:[A-Za-z0-9_.]{0,28}[A-Za-z0-9_])?")
#: part of every address of a page
_DOTTED = re.compile(r"://|\.[^\s.]")
#: part of every MyKad and telephone number
_DIGITS = re.compile(r"\d(?:[ .()-]{0,3}\d){7}")
_WORD = re.compile(r"[^\W\d_]+")


def mask(text: str) -> str:
    """Replace personal data in a text by placeholders. Masking twice changes nothing."""
    # A replacement can make the text beside it match. Each round leaves fewer characters to mask, so this ends.
    while (masked := _mask_once(text)) != text:
        text = masked
    return text


def _mask_once(text: str) -> str:
    if "@" in text:
        text = _EMAIL.sub(EMAIL, text)
    if _DOTTED.search(text) is not None:
        text = _URL.sub(URL, text)
    if "@" in text:
        text = _USER.sub(USER, text)
    if _DIGITS.search(text) is not None:
        text = _MYKAD.sub(MYKAD, text)
        text = _PHONE.sub(PHONE, text)
    return text


def bare(masked: str) -> str:
    """Replace each placeholder of a masked text by a blank."""
    return PLACEHOLDER.sub(" ", masked) if "<" in masked else masked


def words(bared: str) -> list[str]:
    """Words of a text without placeholders: runs of letters, casefolded."""
    return _WORD.findall(bared.casefold())
