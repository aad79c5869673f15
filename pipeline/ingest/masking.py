"""Hide personal data before any rater, model or volunteer sees a text.

Placeholders are words in angle brackets, so that models learn them as one token and people can read on. What is hidden:
addresses of pages, e-mail addresses, MyKad numbers, telephone numbers, handles of users.
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
# Malaysian mobile (01x) and fixed lines (03, 04-09), Singapore and Indonesia with their country codes, and other
# numbers in international form. Amounts, years and scores are shorter or grouped in another way.
_PHONE = re.compile(
    r"""(?x)(?<![\w.,/-])
    (?:
        (?:\+?6?[ -]?)?0?1\d(?:[ -.]?\d){7,8}
      | (?:\+?60[ -]?|0)(?:3[ -]?\d{4}|[4-79][ -]?\d{3}|8\d[ -]?\d{3})[ -]?\d{3,4}
      | \+\d{1,3}(?:[ -.]?\d){7,12}
    )(?![\w/]|[.,]\d)"""
)
_USER = re.compile(r"(?<![\w@/.])@[A-Za-z0-9_](?:[A-Za-z0-9_.]{0,28}[A-Za-z0-9_])?")
#: a text with none of these characters holds nothing to hide
_SUSPECT = re.compile(r"[@\d]|://|\.[A-Za-z]")


def mask(text: str) -> str:
    """The text with personal data replaced by placeholders. Masking twice changes nothing."""
    if _SUSPECT.search(text) is None:
        return text
    text = _URL.sub(URL, text)
    if "@" in text:
        text = _EMAIL.sub(EMAIL, text)
        text = _USER.sub(USER, text)
    text = _MYKAD.sub(MYKAD, text)
    return _PHONE.sub(PHONE, text)
