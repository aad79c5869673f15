"""Reading replies: damage is mended, and what was meant is never guessed at."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.raters.llm.reply import LabelNames, ReplyVerdict, Unusable, parse_reply
from pipeline.taxonomy import load_taxonomy

TAXONOMY = load_taxonomy()
NAMES = LabelNames.of(TAXONOMY)
HATE = frozenset({"hate"})


def read(text: str, **more: str) -> ReplyVerdict | Unusable:
    return parse_reply(text, NAMES, **more)


GOOD = '{"labels": ["hate", "racist"], "confidence": 0.8, "explanation": "aimed at a people"}'


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"Here is my answer:\n{GOOD}\nI hope that helps!",
        f"<think>is it {{hate}}? yes</think>\n{GOOD}",
        GOOD.replace('"', "'"),
        GOOD.replace("]", ",]").replace("}", ",}"),
        GOOD.removesuffix("}"),
        f"{GOOD}\n{GOOD}",
        GOOD.replace("hate", "HATE SPEECH").replace("racist", "Racist"),
        GOOD.replace('"labels"', '"Labels"').replace("0.8", '"80%"'),
        GOOD.replace("0.8", "80"),
        GOOD.replace('["hate", "racist"]', '"hate, racist"'),
        GOOD.replace('["hate", "racist"]', '{"hate": true, "racist": true, "porn": false}'),
        GOOD.replace('["hate", "racist"]', '[{"label": "hate"}, {"label": "racist"}]'),
    ],
)
def test_one_answer_in_many_forms(text: str) -> None:
    found = read(text)
    assert isinstance(found, ReplyVerdict)
    assert found.labels == {"hate", "racist"}
    assert (found.confidence, found.explanation) == (0.8, "aimed at a people")


DRAFT = '{"labels": ["porn"], "confidence": 0.9, "explanation": "draft"}'


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("<think>", "</think>"),
        ("", "</think>"),
        ("<thinking>", "</thinking>"),
        ("<thought>", "</thought>"),
        ("<reasoning>", "</reasoning>"),
        ("<seed:think>", "</seed:think>"),
        ("[THINK]", "[/THINK]"),
        ("◁think▷", "◁/think▷"),
        ("<unused94>thought\n", "<unused95>"),
        ("<|channel>thought\n", "<channel|>"),
        ("<|begin_of_thought|>", "<|end_of_thought|><|begin_of_solution|>"),
        ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
        ("analysis", "assistantfinal"),
        ("", "<|start|>assistant<|channel|>final <|constrain|>json<|message|>"),
    ],
)
@pytest.mark.parametrize("length", [0, 30_000])
def test_the_answer_is_what_stands_after_the_thought(begin: str, end: str, length: int) -> None:
    thought = f"One reading: {DRAFT} but {'so ' * length}no: {{it}} is a joke."
    for answer in (GOOD, f"```json\n{GOOD}\n```", f"{GOOD}<|return|>", f"So: {GOOD}"):
        found = read(f"{begin}{thought}{end}\n\n{answer}")
        assert isinstance(found, ReplyVerdict)
        assert found.labels == {"hate", "racist"}
    for cut in (DRAFT, f"{thought} {DRAFT}", ""):
        if begin and (cut or begin != "analysis"):
            assert read(f"{begin}{cut}") == Unusable("cut off")
        assert read(f"{begin}{thought}{end}") == Unusable("empty reply")


def test_a_thought_without_marks_that_was_cut_is_no_answer() -> None:
    for text in (f"Hmm, first: {DRAFT} but", f"{DRAFT} is one reading, but", f"Hmm {DRAFT[:-30]}"):
        assert read(text, finish="length") == Unusable("cut off")
    # what is nothing but the answer is one, even if its last line was cut
    for text in (GOOD, f"```json\n{GOOD}", GOOD[:-12], f"<think>hm</think>{GOOD[:-12]}"):
        found = read(text, finish="length")
        assert isinstance(found, ReplyVerdict)
        assert found.labels == {"hate", "racist"}


def test_marks_that_an_answer_quotes_are_part_of_it() -> None:
    quoting = '{"labels": ["hate"], "explanation": "it says </think> and <think>"}'
    for text in (quoting, f"Here: {quoting}", f"<think>{DRAFT}</think>{quoting}"):
        found = read(text)
        assert isinstance(found, ReplyVerdict)
        assert (found.labels, found.explanation) == (HATE, "it says </think> and <think>")


def test_reasons_after_the_answer_do_not_hide_it() -> None:
    found = read(f"{GOOD}\n<reasoning>or {DRAFT}?</reasoning>")
    assert isinstance(found, ReplyVerdict)
    assert found.labels == {"hate", "racist"}


@pytest.mark.parametrize("number", ["9" * 400, "-" + "9" * 400, "1" + "0" * 5_000, '"' + "9" * 400 + '"'])
def test_a_number_of_hundreds_of_digits_is_no_confidence(number: str) -> None:
    found = read(f'{{"labels": ["hate"], "confidence": {number}}}')
    assert isinstance(found, ReplyVerdict)
    assert (found.labels, found.confidence) == (HATE, None)


def test_an_invented_label_can_be_stored_whatever_it_is() -> None:
    found = read('{"labels": ["hate", "a\\u0000b", "c\\ud800d"]}')
    assert isinstance(found, ReplyVerdict)
    assert found.invented == ("ab", "c?d")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty reply"),
        ("  \n", "empty reply"),
        ("<think>hm</think>", "empty reply"),
        ("I'm sorry, but I can't help with that.", "refused"),
        ("I cannot assist with labelling this.", "refused"),
        ("Maaf, saya tidak dapat membantu.", "refused"),
        ("The text is hateful.", "no JSON"),
        ("[1, 2]", "no JSON"),
        ('{"verdict": "hate"}', "no list of labels"),
        ('{"labels": null}', "no list of labels"),
        ('{"labels": [1]}', "no list of labels"),
        ('{"labels": {"hate": 0.6}}', "no list of labels"),
        ('{"labels": ["toxic"]}', "invented label"),
        ('{"labels": ["hate", "safe for work"]}', "labels that exclude each other"),
        ('{"labels": ["hate"]} {"labels": ["porn"]}', "several answers"),
        ('{"labels": ["hate", "rac', "cut off"),
        ('{"labels": ["hate", ', "cut off"),
    ],
)
def test_what_says_nothing_is_called_what_it_is(text: str, reason: str) -> None:
    found = read(text)
    assert isinstance(found, Unusable)
    assert found.reason == reason


def test_what_the_server_says_of_a_reply_counts() -> None:
    assert read(GOOD, finish="content_filter") == Unusable("refused")
    assert read(GOOD, refusal="no") == Unusable("refused")
    assert read('{"labels": ["hate"], "confidence": 0.9, "explan', finish="length") == ReplyVerdict(
        HATE, 0.9, mended=True
    )
    assert read("Let me think about this at leng", finish="length") == Unusable("cut off")


def test_invented_labels_are_named_beside_real_ones() -> None:
    assert read('{"labels": ["hate", "toxicity"]}') == ReplyVerdict(HATE, invented=("toxicity",))


@pytest.mark.parametrize("said", ["7", "-1", '"high"', "true", "null", "1e999", '"nan"', "[]"])
def test_a_confidence_that_is_none_is_left_out(said: str) -> None:
    found = read(f'{{"labels": ["hate"], "confidence": {said}}}')
    assert isinstance(found, ReplyVerdict)
    assert (found.labels, found.confidence) == (HATE, None)


def test_no_label_is_a_verdict_too() -> None:
    assert read('{"labels": []}') == ReplyVerdict(frozenset())
    assert read('{"labels": ["none"]}') == ReplyVerdict(frozenset())


def test_only_labels_that_were_asked_about_count() -> None:
    names = LabelNames.of(TAXONOMY, ["porn"])
    # it was not asked about hate, and what it said of porn is that it is none
    assert parse_reply('{"labels": ["hate"]}', names) == ReplyVerdict(frozenset())
    assert parse_reply('{"labels": ["hate", "porn"]}', names) == ReplyVerdict(frozenset({"porn"}))
    assert parse_reply('{"labels": ["spam"]}', names) == Unusable("invented label", ("spam",))


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.sampled_from(TAXONOMY.keys),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["labels", "confidence", "explanation"]), inner),
    max_leaves=12,
)


@given(st.text() | st.text(alphabet="{}[]\",:'\\ labelshate`\n\ud800\0") | _JSON.map(json.dumps))
def test_nothing_makes_it_fail_and_no_label_is_invented(text: str) -> None:
    found = read(text)
    if isinstance(found, ReplyVerdict):
        assert found.labels <= set(TAXONOMY.keys)
        assert found.confidence is None or 0 <= found.confidence <= 1
        if found.explanation is not None:
            found.explanation.encode()
            assert "\n" not in found.explanation
            assert "\0" not in found.explanation


@given(st.sets(st.sampled_from(["hate", "racist", "porn", "violence"])), st.integers(0, 200))
def test_a_reply_that_breaks_off_gives_all_its_labels_or_none(labels: set[str], end: int) -> None:
    whole = json.dumps({"labels": sorted(labels), "confidence": 0.9, "explanation": "because [it] is"})
    found = read(whole[:end])
    assert isinstance(found, Unusable) or found.labels == labels
