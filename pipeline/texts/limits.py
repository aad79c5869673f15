"""Limits of what comes from outside. Each door cuts or refuses a longer value before anything else looks at it."""

from __future__ import annotations

#: longest text, in characters; longer texts are documents, not posts
MAX_TEXT = 20_000
#: longest text before repair, which may take out a great many blanks
MAX_RAW_TEXT = 4 * MAX_TEXT
#: longest id, in characters
MAX_ID = 500
#: longest comment that is kept, in characters
MAX_COMMENT = 2_000
#: longest name of a label or of a model's version, in characters
MAX_NAME = 100
#: characters at the end of what is cut in which a blank is looked for
_LAST = 100


def cut(text: str, most: int = MAX_TEXT) -> str:
    """The beginning of a text, at most `most` characters. It ends at a blank if one is near, so no number is halved."""
    if len(text) <= most:
        return text
    beginning = text[:most]
    if text[most].isspace():
        return beginning
    blank = max(beginning.rfind(sign, max(1, most - _LAST)) for sign in " \n\t")
    return beginning[:blank] if blank > 0 else beginning
