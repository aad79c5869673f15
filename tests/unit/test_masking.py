"""Personal data hidden before anyone sees a text."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.texts.masking import bare, mask, words

_NAME = st.text("abcdefghijklmnopqrstuvwxyz0123456789_", min_size=1, max_size=20)
_DIGIT = st.sampled_from("0123456789")
_SEPARATOR = st.sampled_from(("", "-", " "))


def digits(count: int) -> st.SearchStrategy[str]:
    return st.text(_DIGIT, min_size=count, max_size=count)


emails = st.builds(
    "{}{}@{}.{}".format,
    st.sampled_from("abcdefghijXYZ0123"),
    st.text("abcXYZ019._%+-", max_size=20),
    st.text("abcxyz019-", min_size=1, max_size=15),
    st.sampled_from(("com", "com.my", "edu.my", "co.id", "org", "gov.my")),
)
handles = st.builds("@{}".format, _NAME)
mobiles = st.builds(
    "{}1{}{}{}{}{}".format,
    st.sampled_from(("0", "+60", "60", "+60 ", "+60-", "60-")),
    _DIGIT,
    _SEPARATOR,
    digits(3),
    _SEPARATOR,
    digits(4) | digits(5),
)
landlines = st.builds(
    "{}{}{}{}{}".format, st.sampled_from(("03", "+603", "603")), _SEPARATOR, digits(4), _SEPARATOR, digits(4)
)
indonesian = st.builds(
    "{}{}{}{}{}{}".format,
    st.sampled_from(("08", "+628", "628", "+62 8")),
    digits(2),
    _SEPARATOR,
    digits(4),
    _SEPARATOR,
    digits(3) | digits(4),
)
mykads = st.builds(
    lambda year, month, day, place, number, separator: separator.join(
        (f"{year}{month:02}{day:02}", f"{place:02}", number)
    ),
    digits(2),
    st.integers(1, 12),
    st.integers(1, 28),
    st.integers(1, 16),
    digits(4),
    st.sampled_from(("-", " ", "")),
)
urls = st.builds(
    "{}{}{}".format,
    st.sampled_from(("https://", "http://", "www.", "bit.ly/", "t.me/", "https://shop.my/", "wa.me/")),
    st.text("abcxyz019", min_size=1, max_size=12),
    st.sampled_from(("", ".com", ".com.my/x?y=1&z=2", "/path#part")),
)
before = st.sampled_from(("", "hubungi ", "(", '"', "baris\n", "WhatsApp: ", "Ali, ", "😀 "))
after = st.sampled_from(("", " ya", ")", '"', "!", ". Terima kasih", ", nanti", "\nbaris", "?", " 😀"))
personal = emails | handles | mobiles | landlines | indonesian | mykads | urls
messy = st.lists(
    personal
    | st.sampled_from((" ", "  ", ".", "@", "-", "<", ">", "<url>", "<user>", "/", "://", "www.", "+", "0", "a"))
).map("".join) | st.text("ab01@.-/:<>+() w", max_size=40)


@given(before, emails, after)
@example("", "a@b-c.co.id", "")
def test_no_email_address_survives(start: str, address: str, end: str) -> None:
    masked = mask(start + address + end)
    assert masked == f"{start}<email>{end}"


@given(before, handles, after)
@example(".", "@ali", "")
@example("RT ", "@@ali", ": hai")
def test_no_handle_survives(start: str, handle: str, end: str) -> None:
    assert mask(start + handle + end) == f"{start}<user>{end}"


@given(before, mobiles | landlines | indonesian, after)
@example("", "012 - 345 6789", "")
@example("", "(03) 8888 1234", " ext")
@example("", "(04)8888123", "")
@example("", "+65 9123 4567", "")
def test_no_telephone_number_survives(start: str, number: str, end: str) -> None:
    assert mask(start + number + end) in (f"{start}<phone>{end}", f"{start}<mykad>{end}")


@given(before, mykads, after)
def test_no_identity_card_number_survives(start: str, number: str, end: str) -> None:
    assert mask(start + number + end) == f"{start}<mykad>{end}"


@given(before, urls, st.sampled_from(("", " ya", "\nbaris")))
def test_no_address_of_a_page_survives(start: str, url: str, end: str) -> None:
    assert mask(start + url + end) == f"{start}<url>{end}"


@given(st.text() | messy)
def test_masking_twice_changes_nothing(text: str) -> None:
    masked = mask(text)
    assert mask(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "harga RM1,234.50 je",
        "tahun 2023/2024",
        "skor 3-0, minit 90+4",
        "jumpa @ 5pm",
        "1.5 juta orang",
        "no. 12, jalan 3/4",
        "10-12-2021",
        "covid-19 20 kes 300 mati",
        "betul ke...tak",
        "akhir ayat.Mula ayat",
        "7 x 24 jam",
        "",
    ],
)
def test_ordinary_numbers_and_signs_stay(text: str) -> None:
    assert mask(text) == text


def test_what_surrounds_a_secret_stays() -> None:
    text = "RT @ali.baba: call 012-345 6789 atau e-mel ali@x.com.my, IC 900101-14-5566. Lihat https://t.co/abc?x=1 ok"
    assert mask(text) == "RT <user>: call <phone> atau e-mel <email>, IC <mykad>. Lihat <url> ok"


def test_words_are_letters_without_case_and_without_placeholders() -> None:
    assert words(bare("Hai <user>, TENGOK <url> 2x SANGAT-sangat Ñandú")) == [
        "hai",
        "tengok",
        "x",
        "sangat",
        "sangat",
        "ñandú",
    ]
