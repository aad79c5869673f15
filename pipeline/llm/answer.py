"""The answer in a model's output, without what it thought before.

Models that reason write their thoughts first, between marks of many sorts; chat templates often hold the first mark, so
that the output has the last one only. Drafts in a thought look like answers, and never are: the answer is what stands
after the last mark that ends a thought. A thought that does not end has no answer.
"""

from __future__ import annotations

import json
import re

_WORD = r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|analysis|scratchpad|rationale|cot|inner_monologue)"
#: marks that end a thought: of DeepSeek and Qwen, Magistral, Kimi, Seed, harmony (gpt-oss), Cohere, Apertus, MedGemma,
#: Gemma, OpenThinker, Apriel and Granite
_END = re.compile(
    rf"</(?:[a-z]+:)?{_WORD}\s*>"
    r"|\[/think(?:ing)?\]"
    rf"|◁/{_WORD}▷"
    rf"|<\|/{_WORD}\|>"
    rf"|<\|end_(?:of_)?{_WORD}\|>"
    r"|<\|begin_of_solution\|>"
    r"|<\|inner_suffix\|>"
    r"|<\|channel\|>\s*final\b(?:[^<{]|<\|constrain\|>)*<\|message\|>"
    # harmony without its marks, as servers leave it that do not know them
    r"|assistantfinal"
    r"|<channel\|>"
    r"|<unused95>"
    r"|\[BEGIN FINAL RESPONSE\]"
    r"|^\W*Here is my response:",
    re.IGNORECASE | re.MULTILINE,
)
#: marks that begin one
_BEGIN = re.compile(
    rf"<(?:[a-z]+:)?{_WORD}(?:\s[^<>]*)?>"
    r"|\[think(?:ing)?\]"
    rf"|◁{_WORD}▷"
    rf"|<\|{_WORD}\|>"
    rf"|<\|(?:begin_of|start|start_of)_{_WORD}\|>"
    r"|<\|inner_prefix\|>"
    r"|<\|channel\|>\s*(?:analysis|commentary)\b"
    r"|\A\s*analysis(?-i:(?=[A-Z{]))"
    r"|<\|channel>\s*thought\b"
    r"|<unused94>"
    r"|^\W*Here is my thought process:",
    re.IGNORECASE | re.MULTILINE,
)
#: marks of chat templates that end an answer
_AFTER = re.compile(r"(?:<\|(?:return|end|im_end|eot_id|endoftext|eom_id|call)\|>|</s>|<eos>|<end_of_turn>)\s*$")
#: a mark stands in few JSON objects; in a longer text the search for them takes too long
_MOST_OBJECTS = 50


def answer_of(output: str) -> str | None:
    """The part of a model's output that is its answer; None if the output ends within a thought.

    Marks within a JSON object are part of it: a model may quote the text that it judges.
    """
    if _BEGIN.search(output) is None and _END.search(output) is None:
        return _AFTER.sub("", output).strip()
    quoted = _Objects(output)
    ends = [mark for mark in _END.finditer(output) if not quoted.hold(mark.start())]
    start = ends[-1].end() if ends else 0
    begins = [mark for mark in _BEGIN.finditer(output, start) if not quoted.hold(mark.start())]
    if begins:
        return None
    answer = _AFTER.sub("", output[start:]).strip()
    if not answer and ends:
        # Some models give their reasons after the answer.
        first = next((mark for mark in _BEGIN.finditer(output) if not quoted.hold(mark.start())), None)
        if first is not None and first.start() < ends[0].start():
            return output[: first.start()].strip()
    return answer


class _Objects:
    """The outermost JSON objects of a text that are well formed."""

    def __init__(self, text: str) -> None:
        self._spans: list[tuple[int, int]] = []
        decoder, position = json.JSONDecoder(), 0
        for _ in range(_MOST_OBJECTS):
            start = text.find("{", position)
            if start < 0:
                break
            try:
                _, position = decoder.raw_decode(text, start)
            except (ValueError, RecursionError):
                position = start + 1
            else:
                self._spans.append((start, position))

    def hold(self, place: int) -> bool:
        """True where a place is within one of them."""
        return any(start < place < end for start, end in self._spans)
