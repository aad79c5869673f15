"""Which words and pairs set a label apart."""

from __future__ import annotations

import math
from collections import Counter

from pipeline.explore.words import stop_words, telling, terms_of


def test_the_weight_is_that_of_the_paper() -> None:
    counts = {"one": Counter({"bola": 6, "hujan": 2}), "other": Counter({"hujan": 12})}
    found = telling(counts, 5, least=1)
    # a label has ten terms on average
    weights = {term.term: term.weight for term in found["one"]}
    assert math.isclose(weights["bola"], 6 / 8 * math.log(1 + 10 / 6))
    assert math.isclose(weights["hujan"], 2 / 8 * math.log(1 + 10 / 14))
    assert [term.term for term in found["one"]] == ["bola", "hujan"]


def test_terms_that_are_rare_or_lighter_than_the_top_are_left_out() -> None:
    counts = {"one": Counter({"bola": 9, "gol": 5, "wasit": 2}), "none": Counter[str]()}
    assert [term.term for term in telling(counts, 5)["one"]] == ["bola", "gol"]
    assert [(term.term, term.count) for term in telling(counts, 1)["one"]] == [("bola", 9)]
    assert telling(counts, 5)["none"] == []


def test_words_that_say_nothing_and_placeholders_are_no_terms_and_part_pairs() -> None:
    words, pairs = terms_of("<user> Nasi lemak yang sedap, the best breakfast in Ipoh <url>")
    assert words == ["nasi", "lemak", "sedap", "best", "breakfast", "ipoh"]
    assert pairs == ["nasi lemak", "best breakfast"]


def test_the_stop_words_are_of_all_three_languages_and_spelt_as_words_are_compared() -> None:
    assert {"yang", "gak", "the", "tidak", "nggak", "don"} <= stop_words()
    assert all(word == word.casefold() and word.isalpha() for word in stop_words())
    assert not {"benci", "bunuh", "stupid", "makan"} & stop_words()
