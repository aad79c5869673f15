"""Near-duplicates: what is told apart, what isn't, and that likely pairs meet."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.texts.near_duplicates import (
    BANDS,
    ROWS,
    SIMILAR,
    best_match,
    buckets,
    contrasts,
    level,
    near_duplicate_groups,
    packed_buckets,
    shingles,
    similarity,
)

_PROMOTION = (
    "Promosi hebat hujung minggu ini, beli satu percuma satu untuk semua barangan dapur, datang ke kedai kami sekarang"
)
texts = st.text(st.characters(codec="utf-8"), max_size=200)
sentences = st.lists(st.text("abcdefghij", min_size=2, max_size=9), min_size=8, max_size=25).map(" ".join)


@pytest.mark.parametrize(
    "variant",
    [
        _PROMOTION.upper(),
        _PROMOTION.replace(",", "!!"),
        _PROMOTION + " <url> <user>",
        _PROMOTION.replace("hebat", "hebaaaaaat").replace("hebaaaaaat", "hebaat"),
        _PROMOTION + " 50% 2024",
        "😀 " + _PROMOTION,
    ],
)
def test_what_does_not_make_another_text_is_levelled(variant: str) -> None:
    assert similarity(level(_PROMOTION), level(variant)) >= SIMILAR
    assert set(buckets([level(variant)])[0]) & set(buckets([level(_PROMOTION)])[0])


def test_letters_are_repeated_at_most_twice() -> None:
    assert level("Sedaaaaap sangattttt!!!") == level("sedaap sangatt") == "sedaap sangatt"


def test_a_text_of_signs_alone_keeps_them() -> None:
    assert level("12:30  <3") == "12:30 <3"


@given(texts)
def test_levelling_twice_changes_nothing(text: str) -> None:
    assert level(level(text)) == level(text)


@given(texts, texts)
def test_similarity_is_a_symmetric_share(one: str, other: str) -> None:
    one, other = level(one), level(other)
    assert 0 <= similarity(one, other) == similarity(other, one) <= 1
    assert similarity(one, one) == 1
    if one != other and len(one.encode()) >= 24 and len(other.encode()) >= 24:
        a, b = shingles(one), shingles(other)
        assert similarity(one, other) == len(a & b) / len(a | b)


def test_short_texts_are_near_duplicates_only_if_they_are_equal() -> None:
    assert similarity("saya suka kamu", "saya suka kami") == 0
    assert similarity("saya suka kamu", "saya suka kamu") == 1


@given(st.lists(texts.map(level), max_size=12), st.randoms())
def test_the_buckets_of_a_text_do_not_depend_on_its_neighbours(levelled: list[str], rng: random.Random) -> None:
    together = buckets(levelled)
    assert together == [buckets([text])[0] for text in levelled]
    order = list(range(len(levelled)))
    rng.shuffle(order)
    assert buckets([levelled[i] for i in order]) == [together[i] for i in order]


@given(st.lists(texts.map(level), max_size=6))
def test_a_text_has_a_bucket_a_band_or_one_if_it_is_short(levelled: list[str]) -> None:
    for text, found, packed in zip(levelled, buckets(levelled), packed_buckets(levelled), strict=True):
        assert len(found) == (BANDS if len(text.encode()) >= 24 else 1)
        assert all(-(2**63) <= bucket < 2**63 for bucket in found)
        assert np.frombuffer(packed, dtype="<i8").tolist() == found


def test_buckets_stay_as_they_are_from_version_to_version() -> None:
    # stores hold them: with other values a new text would not meet the old ones
    found = buckets([level(_PROMOTION), "ringkas"])
    assert found == [
        [-8943389048657098561, -1063804104815608274, -619785513183780766, 7818767077916545993, -6463200266071463887],
        [122323111869445435],
    ]


@given(sentences)
def test_equal_levelled_texts_share_every_bucket(sentence: str) -> None:
    assume(len(sentence) >= 24)
    one, other = buckets([level(sentence), level(sentence.upper() + " <url>!")])
    assert one == other


def test_pairs_meet_as_often_as_the_theory_says() -> None:
    rng = random.Random(7)
    letters = "abcdefghijklmnopqrstuvwxyz"
    pairs = []
    while len(pairs) < 400:
        words = ["".join(rng.choices(letters, k=rng.randint(3, 8))) for _ in range(30)]
        other = list(words)
        other[rng.randrange(30)] = "".join(rng.choices(letters, k=5))
        one, two = " ".join(words), " ".join(other)
        if similarity(one, two) >= SIMILAR:
            pairs.append((one, two))
    met = sum(bool(set(a) & set(b)) for a, b in zip(*(buckets(side) for side in zip(*pairs, strict=True)), strict=True))
    expected = sum(1 - (1 - similarity(*pair) ** ROWS) ** BANDS for pair in pairs)
    assert met >= expected - 4 * len(pairs) ** 0.5 / 2
    strangers = [" ".join("".join(rng.choices(letters, k=6)) for _ in range(20)) for _ in range(300)]
    found = [bucket for its in buckets(strangers) for bucket in set(its)]
    assert len(set(found)) == len(found)


def test_the_best_match_is_the_most_similar_and_ties_go_to_the_least_key() -> None:
    own = level(_PROMOTION)
    close, closer = level(_PROMOTION + " ya"), own
    far = level("Cuaca hari ini sangat panas dan tiada angin langsung di kampung kami sejak pagi tadi")
    assert best_match(own, [(b"c", close), (b"b", closer), (b"a", far)]) == b"b"
    assert best_match(own, [(b"z", closer), (b"y", closer)]) == b"y"
    assert best_match(own, [(b"a", far)]) is None
    assert best_match(own, []) is None


_NEWS = (
    "Penduduk dinasihatkan supaya tidak melalui jalan itu kerana air semakin naik dan pihak berkuasa sedang "
    "memindahkan semua orang ke dewan sekolah"
)


def test_a_copy_that_was_cut_is_in_the_group_of_its_original() -> None:
    texts = [
        _NEWS,
        f"RT <user>: {_NEWS[:100]}…",
        f"{_NEWS[:103]}... <url>",
        f"RT <user>: {_NEWS}",
        f"{_NEWS[:20]}…",
        "Penduduk dinasihatkan supaya membawa payung kerana hujan dijangka turun sepanjang petang ini di negeri itu",
    ]
    assert near_duplicate_groups(texts) == [0, 0, 0, 0, 4, 5]


def test_copies_that_were_cut_at_different_places_are_one_group_without_their_original() -> None:
    assert near_duplicate_groups([f"RT <user>: {_NEWS[:end]}…" for end in (120, 70, 95)]) == [0, 0, 0]


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [
        ("Aku akan datang esok", "Aku tak akan datang esok", True),
        ("dia seorang yang baik", "dia bukan seorang yang baik", True),
        ("they are kind", "they aren't kind", True),
        ("naik 5 peratus", "naik 50 peratus", True),
        ("semalam dengan Ahmad di pasar", "semalam dengan Siti di pasar", True),
        ("semalam dengan kawan di pasar", "Semalam dengan kawan di pasar!!", False),
        ("orang di situ peramah", "orang di situ pemalas", False),
        ("JANGAN LUPA PAYUNG", "jangan lupa payung", False),
        ("hai <user> apa khabar", "hai apa khabar", False),
    ],
)
def test_a_negation_a_number_or_a_name_makes_similar_texts_differ(one: str, other: str, differ: bool) -> None:
    assert contrasts(one, other) is contrasts(other, one) is differ
