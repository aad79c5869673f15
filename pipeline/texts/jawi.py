"""Malay in Arabic script (Jawi) told from Arabic, Persian and Urdu by its letters and its common words.

The letters are those of the Jawi alphabet that Arabic lacks (Dewan Bahasa dan Pustaka, "Daftar Kata Bahasa Melayu").
Many texts have none of them, so common words decide there; spellings in use before the reform of 1986 count too.
"""

from __future__ import annotations

import re

#: nga, pa, ga, nya, va: no neighbour in that script has all of them, and each is rare there
_OWN = re.compile("[\u06a0\u06a4\u0762\u06bd\u06cf]")
#: ca, which Persian and Urdu have too
_CA = "\u0686"
#: letters of Persian, Urdu and their neighbours that Jawi lacks
_FOREIGN = re.compile(
    "[\u067e\u0698\u06af\u06cc\u06d2\u06c1\u06be\u0679\u0688\u0691\u06ba\u06c0\u06d5\u06c6\u0695\u06b5]"
)
_WORD = re.compile("[\u0620-\u064a\u066e-\u06d3\u0750-\u077f]+")
#: vowel marks, and the line that stretches a word
_MARKS = re.compile("[\u064b-\u0652\u0670\u0640]")
#: other forms of kaf and ya
_ONE_FORM = str.maketrans({"\u0643": "\u06a9", "\u0649": "\u064a", "\u06cd": "\u064a"})
_COMMON_AS_TEXT = """
اکو ساي کامو کاو کيت کامي مريک ديا دي بلياو اين ايت سيني سيتو سان يڠ دان اتاو تتاڤي اونتوق دڠن دري کڤد کران
تيدق تيدا تق بوکن جاڠن بلوم سوده تله اکن اد اداله ايله بوليه هندق ماهو ڤرلو هاروس داڤت جاد جادي سموا بايق
سديکيت سݢالا تياڤ ستياڤ ساڠت سکالي لاݢي جوݢ هاڽ ساج سهاج کالاو جک بيلا کتيک اڤ اڤا سياڤ مان مڠاڤ بݢايمان
بݢيمان بوات بري بريکن امبيل داتڠ ڤرݢي ڤولڠ ماسوق کلوار دودوق ليهت تڠوق دڠر چاکڤ کات برکات تاڽ جواب تاهو فهم
ايڠت لوڤا سوک سايڠ بنچي تاکوت ماره سديه ساکيت هاتي سنڠ سوسه ݢمبيرا چينتا رندو مالو ملو سابر معاف تريما کاسيه
سلامت ڤاݢي ڤتڠ مالم هاري اسوق سملم کلمارين تاهون بولن ميڠݢو ماکن مکن مينوم تيدور ناسي ايکن اير اءير روتي کوڤي
دوريت رومه سکوله کدأي کداي ڤاسر جالن کمڤوڠ نݢري نݢارا بندر اورڠ اورغ انق ايبو باڤ ايه ادق ابڠ کاکق کاون کاوان
ݢورو چيݢو لاکي ڤرمڤوان بودق بسر کچيل باءيق باءق بأيق باݢوس بوروق بودوه بودو ݢيلا جاهت کوتور چنتيق بارو تتڤ
ساتو دوا تيݢ امڤت ليما بوکو باچا توليس بلاجر کرجا بهاس ملايو مليسيا سده کنا ممڠ بتول بنر ساله سالهڽ منچاري
مليهت منجادي ماسيه ماسڠ دالم لوار اتس باوه دڤن بلاکڠ بکرج مماکن کبون بوڠا ڤوکوق کوچيڠ اڽجيڠ هوجن ڤانس سيجوق
تولوڠ مينتا
"""
_COMMON = frozenset(_COMMON_AS_TEXT.split())
#: words that Arabic, Persian and Urdu use most
_OTHERS_AS_TEXT = """
في من على الى إلى إلي هذا هذه التي الذي ما لا لم ان أن كان مع عن هو هي انا أنا است را که از با به هے کے کی
"""
_OTHERS = frozenset(_OTHERS_AS_TEXT.split())
#: share of common words among the words from which a text is Jawi
_SHARE = 0.25


def has_jawi_letters(text: str) -> bool:
    """True where a text has a letter that Jawi has and Arabic lacks."""
    return _OWN.search(text) is not None


def is_jawi(text: str) -> bool:
    """True where letters or common words say that a text in Arabic script is Malay."""
    if has_jawi_letters(text):
        return True
    tokens = _WORD.findall(_MARKS.sub("", text))
    if not tokens or _FOREIGN.search(text) is not None:
        return False
    arabic = sum(token in _OTHERS or (token.startswith("ال") and len(token) > 4) for token in tokens)
    common = sum(token.translate(_ONE_FORM) in _COMMON for token in tokens)
    if _CA in text and not arabic:
        return True
    return common > arabic and common >= _SHARE * len(tokens) and (common >= 2 or len(tokens) <= 2)
