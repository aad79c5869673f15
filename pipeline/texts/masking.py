"""Hide personal data before any rater, model or volunteer sees a text.

Placeholders are words in angle brackets, so that models learn them as one token and people can read the text. Masked
are addresses of pages, e-mail addresses, MyKad numbers, telephone numbers, user names, numbers of passports, of the old
identity card, of soldiers and police officers, of bank accounts and bank cards, and of cars. Names of people are not.

Patterns look at a shadow of the text, in which wide digits are ASCII digits, every dash is a hyphen, and invisible
characters are gone; what they find is replaced in the text itself. A number that says little alone (an account, a
passport, a car) is masked only beside words that say what it is.

The work is linear in the length of the text: each repetition has a bound or is possessive, each look around a number
reads at most `_AROUND` characters, and there are at most `_ROUNDS` rounds. This file needs nothing but Python, since
it goes with models that are shared.
"""

from __future__ import annotations

import re
from collections.abc import Callable

URL, EMAIL, MYKAD, PHONE, USER = "<url>", "<email>", "<mykad>", "<phone>", "<user>"
#: passports, old identity cards, soldiers and police officers; bank accounts and cards; cars
ID, ACCOUNT, PLATE = "<id>", "<account>", "<plate>"
PLACEHOLDER = re.compile("|".join((URL, EMAIL, MYKAD, PHONE, USER, ID, ACCOUNT, PLATE)))

#: a replacement can make the text beside it match, so masking is repeated at most so often
_ROUNDS = 4
#: characters before and after a number that are searched for words that say what it is
_AROUND = 48

_Accept = Callable[[re.Match[str]], bool]

# An address of a mail box, also with its signs written out or in brackets, as people write to deceive programs.
_AT = r"(?:\ ?[\[({]\ ?(?:at|@)\ ?[\])}]\ ?)"
_DOT = r"(?:\.|\ ?[\[({]\ ?(?:dot|\.)\ ?[\])}]\ ?)"
_MAILERS = r"(?:gmail|googlemail|yahoo|ymail|rocketmail|hotmail|outlook|live|icloud|proton(?:mail)?)"
_ENDS = r"(?:com|net|org|edu|gov|my|sg|id)"
_EMAIL = re.compile(
    rf"""(?xi)(?:\bmailto:)?(?<![A-Za-z0-9_.+-])
    (?:
        [a-z0-9][a-z0-9._%+-]{{0,63}}@[a-z0-9-]{{1,63}}(?:\.[a-z0-9-]{{1,63}}){{1,8}}
      | [a-z0-9][a-z0-9._%+-]{{0,63}}\ ?@\ ?{_MAILERS}\ ?\.\ ?com(?:\.[a-z]{{2}})?\b
      | [a-z0-9][a-z0-9_%+-]{{0,63}}(?:{_DOT}[a-z0-9_%+-]{{1,63}}){{0,3}}{_AT}
        [a-z0-9-]{{1,63}}(?:{_DOT}[a-z0-9-]{{1,63}}){{1,4}}
      | [a-z0-9][a-z0-9._%+-]{{0,63}}@[a-z0-9-]{{1,63}}(?:{_DOT}[a-z0-9-]{{1,63}}){{1,4}}
      | [a-z0-9][a-z0-9._%+-]{{0,63}}\ ?@\ ?[a-z0-9-]{{1,63}}(?:\ dot\ [a-z0-9-]{{1,63}}){{0,2}}\ dot\ {_ENDS}\b
      | [a-z0-9][a-z0-9._%+-]{{0,63}}(?:\ dot\ [a-z0-9._%+-]{{1,63}}){{0,3}}[ ]at[ ]
        [a-z0-9-]{{1,63}}(?:\ dot\ [a-z0-9-]{{1,63}}){{0,2}}\ dot\ {_ENDS}\b
    )"""
)
_SPELLED = re.compile(r"(?i)[\[({] ?(?:at|@|dot|\.) ?[\])}]| dot ")

_URL = re.compile(
    r"""(?xi)
    (?:h(?:tt|xx|\*\*)ps?|ftp)(?:\[:\]|:)//[^\s<>"']++
    | (?<![A-Za-z0-9_])www\.[^\s<>"']++
    | (?<![A-Za-z0-9_@.])(?<![A-Za-z0-9_]-)
      (?:[a-z0-9][a-z0-9-]{0,62}+(?:\.|\ ?[\[(](?:\.|dot)[\])]\ ?)){1,8}
      (?:
          (?:com|net|org|edu|gov|info|my|sg|id|io|co|tv|app|xyz|online|site|shop|store|club|vip|biz|asia|website|test)
          (?:\.my|\.sg|\.id)?\b(?:/[^\s<>"']*+)?
        | (?:me|ee|ly|gl|gle|gg|be|ai|bio|us|cc|to|gd|link|page|live|top|dev|cloud|tech|blog|news|ph|th|uk|eu|fb|world)
          /[^\s<>"']++
      )(?!\w|@)
    """
)
#: part of every address of a page
_DOTTED = re.compile(r"(?i)://|\[:\]|\.[^\s.]|[\[(](?:\.|dot)[\])]")

# Vowel signs of Indic scripts, Thai and Lao are no letters for Python, and people have them in their names.
_SIGNS = "\u0300-\u036f\u064b-\u0655\u0900-\u0dff\u0e00-\u0eff"
_USER = re.compile(
    rf"(?<![\w@])(?:@++(?:[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{{1,8}}+"
    rf"|[\w{_SIGNS}](?:[\w{_SIGNS}.]{{0,28}}[\w{_SIGNS}])?))+"
)
_ONE_USER = re.compile(r"@+[^@]+")
#: a user name after the name of its platform; one of letters only could be any word, so it must look like a name
_NAMED_USER = re.compile(
    r"""(?xi)(?<![a-z0-9])
    (?:ig|insta|instagram|tiktok|twitter|fb|facebook|tele|telegram|threads|snapchat|wechat|discord)
    (?:\ id)?(?:\ ?[:=]\ ?|\ -\ |\ (?=[a-z0-9.]{0,30}_))
    (?P<secret>(?=[a-z.]{0,30}[0-9_]|[a-z]{2,30}\.[a-z])(?=[0-9_.]{0,30}[a-z])[a-z0-9_][a-z0-9_.]{1,28}[a-z0-9_](?:\#\d{4})?)(?!\w)
    """
)
_NAMING = re.compile(r"[:=_]| - ")

_DATE = r"\d\d(?:(?:0[13578]|1[02])(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)(?:0[1-9]|[12]\d|30)|02(?:0[1-9]|[12]\d))"
#: places of birth that have been issued (National Registration Department's list of states and countries)
_PLACE = r"(?:0[1-9]|1[0-6]|2[1-9]|[3-5]\d|6[0-8]|7[124-9]|8[2-9]|9[0-389])"
# YYMMDD-PB-###G. With signs between, a place that has not been issued is taken for an error of writing.
_MYKAD = re.compile(
    rf"""(?x)(?<!\d)(?<!\d[-.])(?<!\s\#)(?<!\A\#)
    (?:
        {_DATE}(?P<sign>\ ?[-./_•·]\ ?)(?:0[1-9]|[1-8]\d|9[0-389])(?:\ ?[-./_•·]\ ?)\d{{4}}
      | {_DATE}\ (?:0[1-9]|[1-8]\d|9[0-389])\ \d{{4}}
      | {_DATE}(?:\ ?-\ ?)?{_PLACE}(?:\ ?-\ ?)?\d{{4}}
    )(?!\d|[.-]\d|[A-Za-z]\d)"""
)

_GAP = r"(?:\ -\ |[ ._-])?"
# The country, then nothing or the zero that is only dialled inside it; or that zero alone.
_HOME = r"(?:(?:\(\+?60\)|\+?6\ ?0|0060)(?:[ .-]|\(0\)){0,2}0?|0)"
_PHONE = re.compile(
    rf"""(?xi)(?<![\d\#])(?<!\d[.-])(?<!\d[a-z])
    (?:
        # mobile, 01x and seven or eight digits
        (?:{_HOME}[ ]?1[ ]?\d|\((?:0|\+?60)1\d\)){_GAP}\d(?:[ ._-]?\d){{6}}\d?
        # fixed lines: 03 and eight digits, 04-07 and 09 and seven, 08x and six
      | (?:{_HOME}[ ]?3|\((?:0|\+?60)3\)){_GAP}\d{{4}}{_GAP}\d{{4}}
      | (?:{_HOME}[ ]?[4-79]|\((?:0|\+?60)[4-79]\)){_GAP}\d{{3}}{_GAP}\d{{4}}
      | (?:{_HOME}[ ]?8\d|\((?:0|\+?60)8\d\)){_GAP}\d{{3}}{_GAP}\d{{3,4}}
        # Indonesian mobile
      | (?:\+?62[ -]?|0)8(?:[ .-]?\d){{8,11}}
        # the trunk's zero left out
      | 1\d-\d{{3,4}}[ -]?\d{{4}}
        # free of charge, and shared costs; groups of three are an amount
      | (?!1\ \d{{3}}\ \d{{3}}\ \d{{3}}(?!\d))1[ -]?[3-9]00(?:[ -]?\d){{6}}
        # any country
      | \+\d{{1,3}}(?:[ .-]?\d){{7,12}}
    )(?!\d|\.\d|[a-z]\d)"""
)
#: after words that announce it, a number needs no zero at its beginning
_PHONE_ALONE = re.compile(r"(?<![\d#.,-])\d(?:[ -]?\d){7,9}(?!\d|[.,]\d)")
_PHONE_WORDS = re.compile(
    r"(?i)\b(?:tel|telefon|telephone|phone|fon|hp|h/p|wasap|wassap|wasep|whatsapp|ws|call|hubungi|sms)"
    r"(?: (?:no|nombor|number))?[ .:=-]{0,3}$"
)

_SMALL_WORDS = (
    r"(?:[ .:=\#()-]|\b(?:no|num|number|nombor|saya|aku|dia|kami|is|ialah|malaysia|bank|acc|akaun|account)\b){0,12}"
)
_BANKS = (
    r"(?:maybank|mbb|cimb|public\ ?bank|pbe|rhb|hong\ leong(?:\ bank)?|hlb|ambank|bank\ islam|bimb|bank\ rakyat|bsn"
    r"|agro\ ?bank|affin(?:\ bank)?|alliance(?:\ bank)?|muamalat|ocbc|uob|hsbc|bca|bri|bni|mandiri|btn|tabung\ haji)"
)
_ACCOUNT = re.compile(r"(?<![\d#.,])\d(?:[ -]?\d){6,18}(?!\d|[.,]\d)")
_BANK_BEFORE = re.compile(rf"(?i)\b{_BANKS}{_SMALL_WORDS}$".replace(r"\ ", " "))
_BANK_AFTER = re.compile(rf"(?i)[ (,-]{{1,3}}{_BANKS}\b".replace(r"\ ", " "))
_ACCOUNT_BEFORE = re.compile(
    rf"(?i)\b(?:no\.? ?)?(?:akaun|account|acc|a/c|rek|rekening|kad kredit|kad debit|credit card){_SMALL_WORDS}$"
)
_MONEY_BEFORE = re.compile(r"(?i)(?:\brm|\brp|\bidr|\bmyr|\busd|[$€£]) ?$")
_CARD = re.compile(r"(?:\d{4}[ -]?){3}\d{4}|3[47]\d\d[ -]?\d{6}[ -]?\d{5}")

_ID = re.compile(r"(?<![A-Za-z0-9#])(?:[A-Za-z]{1,2}[/-]?)?\d{5,8}[A-Za-z]?(?![A-Za-z0-9])")
_ID_BEFORE = re.compile(
    rf"""(?xi)(?:
        \b(?:ic|k/?p|kad\ pengenalan|nric)[ .(:]{{0,3}}(?:lama|old){_SMALL_WORDS}
      | (?P<passport>\b(?:passport|pasport|paspor){_SMALL_WORDS})
      | \b(?:no\.?|nombor|number)\ ?(?:tentera|polis|askar|anggota)[ .:=-]{{0,3}}
      | \b(?:tentera|army|police|military)\ (?:no|id|number)\b[ .:=-]{{0,3}}
    )$"""
)

_PLATE = re.compile(r"(?<![A-Za-z0-9#@])(?P<letters>[A-Za-z]{1,3}) ?(?P<number>\d{1,4})(?: ?[A-Z](?!\w))?(?!\w|[.,]\d)")
_PLATE_BEFORE = re.compile(
    r"(?i)\b(?:(?P<sure>plat|plate|pendaftaran)|kereta|motor|motosikal|lori|van|teksi|bas|myvi|axia|bezza|viva|kancil"
    r"|alza|saga|wira|waja|persona|iriz|vios|hilux|city|civic|ertiga)"
    r"(?: (?:no|number|nombor|kereta|motor|hitam|putih|merah|biru|hijau|kuning|kelabu|perak|plat)\b)?[ .:=]{1,3}$"
)
#: letters before a number that are no car
_NO_PLATE = re.compile(r"(?i)BMW|MPV|SUV|RON|RM|KM|CC|NO|JPJ|SPM|EV|DI|KE|JAM|THN|ADA|RX|GT|X")
_YEAR = re.compile(r"(?:19|20)\d\d")

_DIGIT = re.compile(r"\d")
#: part of every account, identity and telephone number
_DIGITS = re.compile(r"\d(?:[^\S\n]?[ ._()/•·-]{0,3}\d){4}")
_WORD = re.compile(r"[^\W\d_]+")

_INVISIBLE = "\u200b"
_SHADOW: dict[int, int] = {
    **{0xFF01 + i: 0x21 + i for i in range(94)},
    # digits of other scripts and styles
    **{
        zero + i: 0x30 + i
        for zero in (0x660, 0x6F0, 0x966, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6)
        for i in range(10)
    },
    **dict.fromkeys((0x2010, 0x2011, 0x2012, 0x2013, 0x2014, 0x2015, 0x2043, 0x2212, 0xFE58, 0xFE63), 0x2D),
    **dict.fromkeys((0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000), 0x20),
    **dict.fromkeys((0x2024, 0x2027, 0x2219, 0x3002, 0xFE52, 0xFF61), 0x2E),
    0xFE6B: 0x40,
    **dict.fromkeys(
        (
            *(0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x20E3, 0x3164, 0xFEFF, 0xFFA0),
            *range(0x180B, 0x1810),
            *range(0x200B, 0x2010),
            *range(0x202A, 0x202F),
            *range(0x2060, 0x2070),
            *range(0xFE00, 0xFE10),
            *range(0xFFF9, 0xFFFC),
            *range(0xE0000, 0xE0200),
        ),
        ord(_INVISIBLE),
    ),
}


def mask(text: str) -> str:
    """Replace personal data in a text by placeholders. The time is linear in the text's length."""
    for _ in range(_ROUNDS):
        masked = _mask_once(text)
        if masked == text:
            break
        text = masked
    return text


def _mask_once(text: str) -> str:
    seen = _Seen(text)
    if "@" in seen.shadow or _SPELLED.search(seen.shadow) is not None:
        seen.hide(_EMAIL, EMAIL)
    if _DOTTED.search(seen.shadow) is not None:
        seen.hide(_URL, URL)
    if "@" in seen.shadow:
        seen.hide(_USER, USER, times=_users)
    if _NAMING.search(seen.shadow) is not None:
        seen.hide(_NAMED_USER, USER)
    if _DIGIT.search(seen.shadow) is not None:
        if _DIGITS.search(seen.shadow) is not None:
            seen.hide(_ACCOUNT, ACCOUNT, _is_account)
            seen.hide(_ID, ID, _is_id)
            seen.hide(_MYKAD, MYKAD)
            seen.hide(_PHONE, PHONE)
            seen.hide(_PHONE_ALONE, PHONE, _is_announced)
        seen.hide(_PLATE, PLATE, _is_plate)
    return seen.text


class _Seen:
    """A text and its shadow."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._look()

    def _look(self) -> None:
        self.shadow = self.text
        #: the place in the text of each character of the shadow; None: the same
        self._places: list[int] | None = None
        if self.text.isascii():
            return
        self.shadow = self.text.translate(_SHADOW)
        if _INVISIBLE in self.shadow:
            self._places = [i for i, c in enumerate(self.shadow) if c != _INVISIBLE]
            self.shadow = self.shadow.replace(_INVISIBLE, "")

    def hide(
        self,
        pattern: re.Pattern[str],
        placeholder: str,
        accept: _Accept | None = None,
        times: Callable[[re.Match[str]], int] | None = None,
    ) -> None:
        """Replace what a pattern finds (its group `secret`, if it has one) and `accept` accepts."""
        group = "secret" if "secret" in pattern.groupindex else 0
        parts, end = [], 0
        for match in pattern.finditer(self.shadow):
            if accept is not None and not accept(match):
                continue
            start, stop = match.span(group)
            if self._places is not None:
                start, stop = self._places[start], self._places[stop - 1] + 1
            parts += [self.text[end:start], placeholder * (1 if times is None else times(match))]
            end = stop
        if parts:
            self.text = "".join((*parts, self.text[end:]))
            self._look()


def _users(match: re.Match[str]) -> int:
    return len(_ONE_USER.findall(match[0]))


def _before(match: re.Match[str]) -> str:
    return match.string[max(0, match.start() - _AROUND) : match.start()]


def _after(match: re.Match[str]) -> str:
    return match.string[match.end() : match.end() + _AROUND]


def _is_account(match: re.Match[str]) -> bool:
    number = "".join(c for c in match[0] if c.isdigit())
    if _CARD.fullmatch(match[0]) is not None and number[0] in "23456" and _luhn(number):
        return True
    before = _before(match)
    if _MONEY_BEFORE.search(before) is not None:
        return False
    if _ACCOUNT_BEFORE.search(before) is not None:
        return True
    beside = _BANK_BEFORE.search(before) is not None or _BANK_AFTER.match(_after(match)) is not None
    return beside and len(number) >= 9


def _luhn(number: str) -> bool:
    """True where the last digit checks the others (ISO/IEC 7812-1, annex B)."""
    doubled = (int(digit) * (1 + i % 2) for i, digit in enumerate(reversed(number)))
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _is_id(match: re.Match[str]) -> bool:
    beside = _ID_BEFORE.search(_before(match))
    return beside is not None and (beside["passport"] is None or match[0][0].isalpha())


def _is_announced(match: re.Match[str]) -> bool:
    return _PHONE_WORDS.search(_before(match)) is not None


def _is_plate(match: re.Match[str]) -> bool:
    letters = match["letters"]
    if _NO_PLATE.fullmatch(letters) is not None or (beside := _PLATE_BEFORE.search(_before(match))) is None:
        return False
    return beside["sure"] is not None or (
        len(letters) > 1 and letters.isupper() and _YEAR.fullmatch(match["number"]) is None
    )


def bare(masked: str) -> str:
    """Replace each placeholder of a masked text by a blank."""
    return PLACEHOLDER.sub(" ", masked) if "<" in masked else masked


def words(bared: str) -> list[str]:
    """Words of a text without placeholders: runs of letters, casefolded."""
    return _WORD.findall(bared.casefold())
