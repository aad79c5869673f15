"""From evidence to ticks: weighing, fitting, and the reasons in words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.judgement import Judgement, RaterKind, RaterRef
from pipeline.measure.arrays import UNKNOWN
from pipeline.preannotation import Policy, default_policy
from pipeline.preannotation.evidence import Evidence, Source, gather_evidence
from pipeline.preannotation.policy import FEATURES, LEAST_PAIRS, LEAST_POSITIVES, choose_policy, features_of
from pipeline.preannotation.proposal import confidence, reasons, ticks
from pipeline.preannotation.propose import excludes_of, propose_new
from pipeline.preannotation.told import in_language, panel, tell
from pipeline.taxonomy import load_taxonomy
from tests.support.queue import champion

TAXONOMY = load_taxonomy()
EXCLUDES = excludes_of(TAXONOMY)
SAFE = "safe for work"
_PROBABILITY = st.floats(0.001, 0.999)
_VOTE = st.sampled_from([-1.0, 0.0, 1.0])


def said(number: int, kind: RaterKind, *labels: str, denied: frozenset[str] = frozenset(), **more: object) -> Judgement:
    return Judgement(number, RaterRef(kind, f"{kind}-{number}"), frozenset(labels), denied, **more)  # type: ignore[arg-type]


def probability(policy: Policy, votes: dict[Source, float], champion: float | None = None) -> float:
    """Of one label."""
    scores = np.array([[np.nan if champion is None else champion]])
    return float(policy.probabilities(features_of([Evidence({"hate": votes})], scores, ["hate"]))[0, 0])


# weighing


@given(st.dictionaries(st.sampled_from(list(Source)), _VOTE), st.none() | _PROBABILITY, st.sampled_from(list(Source)))
def test_one_more_voice_for_a_label_never_makes_it_less_likely(
    votes: dict[Source, float], champion: float | None, source: Source
) -> None:
    by_vote = [probability(default_policy(), votes | {source: vote}, champion) for vote in (-1.0, 0.0, 1.0)]
    assert by_vote == sorted(by_vote)
    assert by_vote[0] < by_vote[2]


@given(st.dictionaries(st.sampled_from(list(Source)), _VOTE), _PROBABILITY, _PROBABILITY)
def test_a_surer_champion_never_makes_a_label_less_likely(votes: dict[Source, float], a: float, b: float) -> None:
    low, high = (probability(default_policy(), votes, one) for one in sorted((a, b)))
    assert low <= high


def test_the_champion_alone_is_taken_at_its_word() -> None:
    assert [probability(default_policy(), {}, p) for p in (0.1, 0.5, 0.9)] == pytest.approx([0.1, 0.5, 0.9])
    # but not further than one in a thousand
    assert probability(default_policy(), {}, 1.0) == pytest.approx(0.999, abs=1e-3)


@pytest.mark.parametrize("source", list(Source))
def test_without_a_champion_one_asserting_source_ticks_a_label_and_silence_does_not(source: Source) -> None:
    assert probability(default_policy(), {source: 1.0}) > 0.5
    assert probability(default_policy(), {}) < 0.5


def test_raters_of_one_sort_who_disagree_have_no_voice() -> None:
    evidence = gather_evidence(
        [said(1, RaterKind.LLM, "hate"), said(2, RaterKind.LLM, denied=frozenset({"hate"}))], EXCLUDES
    )
    assert evidence.votes["hate"] == {Source.LLM: 0.0}


def test_what_a_filter_demoted_is_no_vote_and_is_remembered() -> None:
    demoted = said(1, RaterKind.LLM, "hate", "racist", demoted=frozenset({"hate"}))
    evidence = gather_evidence([demoted], EXCLUDES)
    assert "hate" not in evidence.votes and evidence.demoted("hate")
    assert evidence.votes["racist"] == {Source.LLM: 1.0} and not evidence.demoted("racist")
    # a data set's labels are not the filters' to judge
    kept = gather_evidence([said(1, RaterKind.EXTERNAL, "hate", demoted=frozenset({"hate"}))], EXCLUDES)
    assert kept.votes["hate"] == {Source.EXTERNAL: 1.0}


def test_asserting_a_violation_speaks_against_safe_for_work_and_the_other_way_round() -> None:
    assert gather_evidence([said(1, RaterKind.LLM, "hate")], EXCLUDES).votes[SAFE] == {Source.LLM: -1.0}
    assert gather_evidence([said(1, RaterKind.LLM, SAFE)], EXCLUDES).votes["hate"] == {Source.LLM: -1.0}


def test_the_champions_own_words_in_the_ledger_are_no_evidence() -> None:
    assert gather_evidence([said(1, RaterKind.CLASSIFIER, "hate")], EXCLUDES).votes == {}


def test_people_are_kept_apart_from_the_votes() -> None:
    evidence = gather_evidence(
        [said(1, RaterKind.HUMAN, "hate"), said(2, RaterKind.LLM, denied=frozenset({"hate"}))], EXCLUDES
    )
    assert evidence.people["hate"] is True
    assert evidence.votes["hate"] == {Source.LLM: -1.0}


# ticking


@settings(max_examples=60)
@given(st.lists(st.floats(0, 1), min_size=len(TAXONOMY.keys), max_size=len(TAXONOMY.keys)))
def test_labels_that_exclude_each_other_are_never_ticked_together(values: list[float]) -> None:
    scores = dict(zip(TAXONOMY.keys, values, strict=True))
    found = ticks(scores, EXCLUDES)
    assert all(scores[label] >= 0.5 for label in found)
    assert not any(other in EXCLUDES.get(label, ()) for label in found for other in found)
    assert list(found) == [label for label in TAXONOMY.keys if label in found]
    # the likeliest label is ticked wherever any is
    assert bool(found) is (max(values) >= 0.5)
    assert 0 <= confidence(scores, found) <= 1


def test_of_safe_for_work_and_a_violation_the_likelier_is_ticked() -> None:
    assert ticks({"hate": 0.6, SAFE: 0.9}, EXCLUDES) == (SAFE,)
    assert ticks({"hate": 0.9, SAFE: 0.6, "racist": 0.7}, EXCLUDES) == ("hate", "racist")


def test_confidence_is_the_chance_that_no_box_needs_a_change() -> None:
    assert confidence({"hate": 0.9, SAFE: 0.2}, ("hate",)) == pytest.approx(0.9 * 0.8)


def test_nothing_known_ticks_nothing_and_the_panel_says_so() -> None:
    [nothing] = propose_new(["apa khabar"], taxonomy=TAXONOMY, model=None, policy=default_policy())
    assert nothing.labels == ()
    assert panel(nothing.told).splitlines() == [
        "Nothing is ticked, because no label seems likely to us. You may see it otherwise.",
        "Tiada label ditandakan kerana bagi kami tiada label yang mungkin sesuai. Anda boleh berpendapat lain.",
    ]


# fitting


def simulated(texts: int, *, seed: int = 0, lies: float = 0.35) -> tuple[np.ndarray, np.ndarray]:
    """Evidence in which the champion is right and the language model is worse than the fixed weights believe."""
    rng = np.random.default_rng(seed)
    labels = ["hate", "racist", "porn"]
    truth = rng.random((texts, 3)) < 0.25
    champion = 1 / (1 + np.exp(-(np.where(truth, 2.0, -2.0) + rng.normal(0, 1.0, truth.shape))))
    llm = np.where(rng.random(truth.shape) < lies, ~truth, truth)
    evidence = [
        Evidence({label: {Source.LLM: 1.0 if row[i] else -1.0} for i, label in enumerate(labels)}) for row in llm
    ]
    return features_of(evidence, champion, labels), truth.astype(np.int8)


def test_fitted_weights_describe_texts_that_they_never_met_better_and_are_calibrated() -> None:
    features, truth = simulated(400)
    policy = choose_policy(features, truth, champion="sfw-1")
    about = policy.fitted_on
    assert policy.version.startswith("fitted")
    assert about["held_out_log_loss"] < about["fixed_log_loss"]
    assert about["held_out_calibration_error"] < about["fixed_calibration_error"]
    assert (about["texts"], about["pairs"], about["positives"]) == (400, 1200, int(truth.sum()))
    # the language model that often errs is believed less than by rule, and still counts for what it asserts
    assert 0 <= policy.weights[Source.LLM] < default_policy().weights[Source.LLM]
    # on new texts of the same sort
    fresh, fresh_truth = simulated(400, seed=1)

    def loss(one: Policy) -> float:
        p = one.probabilities(fresh)
        return float(-np.mean(np.where(fresh_truth == 1, np.log(p), np.log1p(-p))))

    assert loss(policy) < loss(default_policy())


def test_a_source_that_never_spoke_keeps_its_fixed_weight() -> None:
    policy = choose_policy(*simulated(400), champion=None)
    assert policy.weights[Source.EXTERNAL] == pytest.approx(default_policy().weights[Source.EXTERNAL], abs=1e-3)


def test_evidence_never_counts_against_itself_however_wrong_it_was() -> None:
    features, truth = simulated(300, lies=0.95)
    policy = choose_policy(features, truth, champion=None)
    assert policy.weights[Source.LLM] == 0
    assert probability(policy, {Source.LLM: 1.0}, 0.3) == probability(policy, {Source.LLM: -1.0}, 0.3)


def test_too_little_falls_back_to_the_fixed_weights_and_says_so() -> None:
    features, truth = simulated(20)
    policy = choose_policy(features, truth, champion=None)
    assert policy.version == default_policy().version == "fixed"
    reason = policy.fitted_on["reason"]
    assert "60 usable pairs" in reason and str(LEAST_PAIRS) in reason and str(LEAST_POSITIVES) in reason
    # many pairs, hardly a positive among them
    features, truth = simulated(200)
    truth[:] = 0
    assert choose_policy(features, truth, champion=None).version == "fixed"


def test_fitted_weights_are_used_only_where_they_help_on_held_out_texts() -> None:
    rng = np.random.default_rng(0)
    features, _ = simulated(100)
    fell_back = 0
    for _ in range(8):
        # truth drawn from the fixed weights themselves: nothing is left to learn but accidents
        truth = (rng.random(features.shape[:2]) < default_policy().probabilities(features)).astype(np.int8)
        policy = choose_policy(features, truth, champion=None)
        helps = policy.fitted_on["held_out_log_loss"] < policy.fitted_on["fixed_log_loss"]
        assert (policy.version != "fixed") is helps
        if not helps:
            fell_back += 1
            assert "no better" in policy.fitted_on["reason"]
    assert fell_back


def test_what_people_left_open_is_not_learnt_from() -> None:
    features, truth = simulated(400)
    truth[:, 2] = UNKNOWN
    policy = choose_policy(features, truth, champion=None)
    features[:, 2] = 0.0
    assert policy == choose_policy(features, truth, champion=None)
    assert policy.fitted_on["pairs"] == 800


def test_a_policy_survives_being_written_down() -> None:
    policy = choose_policy(*simulated(400), champion="sfw-1")
    assert Policy.from_dict(policy.to_dict()) == policy
    assert Policy.from_dict(policy.to_dict()).version == policy.version
    assert set(policy.to_dict()["weights"]) == set(FEATURES)


# reasons


def test_the_reasons_name_the_sources_best_first_and_what_a_filter_doubts() -> None:
    evidence = gather_evidence(
        [
            said(1, RaterKind.BOOTSTRAP, "hate", scores={"hate": 0.71}),
            said(2, RaterKind.LLM, "hate", demoted=frozenset({"hate"})),
            said(3, RaterKind.PSEUDO, "hate", scores={"hate": 0.96}),
            said(4, RaterKind.EXTERNAL, "hate"),
        ],
        EXCLUDES,
    )
    found = reasons("hate", evidence, 0.834, {2: "names a group"}, by_people=False)
    assert found.split("; ") == [
        "a program that compares texts with examples 0.71",
        "pseudo-label 0.96",
        "a labelled data set",
        "LLM llm-2: names a group (rejected by a filter)",
        "our model is 83% sure",
    ]


def test_a_volunteer_reads_sentences_without_names_numbers_or_quotations() -> None:
    evidence = gather_evidence(
        [
            said(1, RaterKind.BOOTSTRAP, "hate", scores={"hate": 0.71}),
            said(2, RaterKind.LLM, "hate", demoted=frozenset({"hate"})),
            said(3, RaterKind.PSEUDO, "hate", scores={"hate": 0.96}),
            said(4, RaterKind.EXTERNAL, "hate"),
        ],
        EXCLUDES,
    )
    hate = TAXONOMY["hate"]
    en, ms = tell(hate, evidence, 0.834, by_people=False).split(" / ")
    assert en == (
        f"{hate.name.en}: Our model is 83% sure. A language model says so. A check of ours doubts that. A program "
        "finds the text like examples of this label. A program that was trained for this label says so. A labelled "
        "data set says so."
    )
    assert ms.startswith(f"{hate.name.ms}: Model kami 83% yakin. Satu model bahasa menyatakannya.")
    assert en.count(".") == ms.count(".")


def test_two_language_models_are_told_as_several() -> None:
    evidence = gather_evidence([said(1, RaterKind.LLM, "hate"), said(2, RaterKind.LLM, "hate")], EXCLUDES)
    told = tell(TAXONOMY["hate"], evidence, None, by_people=False)
    assert "Several language models say so." in told and "Beberapa model bahasa menyatakannya." in told


def test_the_panel_has_a_line_a_label_by_its_names_in_both_languages() -> None:
    [found] = propose_new(["hate=0.55"], taxonomy=TAXONOMY, model=champion(TAXONOMY), policy=default_policy())
    hate = TAXONOMY["hate"].name
    assert panel(found.told) == f"{hate.en}: Our model is 55% sure. / {hate.ms}: Model kami 55% yakin."
    assert found.why == {"hate": "our model is 55% sure"}


def test_a_panel_can_be_told_in_one_language() -> None:
    nothing = gather_evidence([], EXCLUDES)
    told = {key: tell(TAXONOMY[key], nothing, 0.55, by_people=False) for key in ("hate", "porn")}
    hate, porn = TAXONOMY["hate"].name, TAXONOMY["porn"].name
    assert in_language(panel(told), "ms") == f"{hate.ms}: Model kami 55% yakin.\n{porn.ms}: Model kami 55% yakin."
    assert in_language(panel(told), "en").startswith(f"{hate.en}: Our model is 55% sure.\n")
    assert in_language("a line of somebody's own", "ms") == "a line of somebody's own"


def test_an_exemplar_is_never_shown_whoever_gave_it() -> None:
    exemplar = TAXONOMY["hate"].all_exemplars()[0]
    evidence = gather_evidence([said(1, RaterKind.LLM, "hate"), said(2, RaterKind.BOOTSTRAP, "hate")], EXCLUDES)
    told = dict.fromkeys((1, 2), f"nearest exemplar, of hate: {exemplar}")
    found = reasons("hate", evidence, None, told, by_people=False)
    assert found == "LLM llm-1; a program that compares texts with examples"
    assert exemplar not in found + tell(TAXONOMY["hate"], evidence, None, by_people=False)


def test_a_source_is_named_once_where_it_says_more_elsewhere() -> None:
    twice = [
        Judgement(number, RaterRef(RaterKind.LLM, "a-model", str(number)), frozenset({"hate"}), frozenset())
        for number in (1, 2)
    ]
    found = reasons("hate", gather_evidence(twice, EXCLUDES), None, {2: "blames a group"}, by_people=False)
    assert found == "LLM a-model: blames a group"


def test_no_person_is_named() -> None:
    evidence = gather_evidence([said(1, RaterKind.HUMAN, "hate")], EXCLUDES)
    assert reasons("hate", evidence, 0.9, {1: "Encik Ahmad kata begitu"}, by_people=True) == "people agreed on it"
    assert "People agreed on it." in tell(TAXONOMY["hate"], evidence, 0.9, by_people=True)


def test_what_a_model_wrote_is_masked_put_on_one_line_and_cut() -> None:
    evidence = gather_evidence([said(1, RaterKind.LLM, "hate")], EXCLUDES)
    told = "hubungi 012-345 6789\natau ali@example.com\n\nracist: <b>made up</b>; " + "panjang " * 60
    words = reasons("hate", evidence, None, {1: told}, by_people=False)
    assert "012-345" not in words and "ali@example.com" not in words
    assert len(words) < 230 and words.endswith("…")
