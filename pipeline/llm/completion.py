"""Reader of chat completions: where in the answer of a server the model's text is, and what it took.

Servers put the text into `content`, as a string or as a list of typed parts; into the arguments of a tool call; or into
a field of their own. Thoughts stand in fields of their own, and are no answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from pipeline.llm.replies import CUT, Form, NoReply, Reply
from pipeline.storable import storable

#: bytes of UTF-8 in a token, a low estimate, so that the number of tokens is a high one
_BYTES_PER_TOKEN = 3
#: a larger number of tokens of one reply is a mistake
_MOST_TOKENS = 50_000_000
#: fields of a message that hold a thought
_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thoughts", "thought", "analysis")
#: fields beside `content` that servers put the text into
_OTHERS = ("text", "output_text", "answer", "response", "output")
#: fields of a message that hold nothing that the model wrote
_ABOUT = frozenset({"role", "name", "id", "type", "object", "refusal", "content", "tool_call_id"})
_LONGEST_FINISH = 100


def read_completion(document: object, form: Form, seconds: float, sent: int) -> Reply | NoReply | None:
    """The first choice of a completion.

    Args:
        document: the answer's JSON.
        form: response format of the request.
        seconds: time of the request.
        sent: length of the request's messages, in bytes of UTF-8; tokens are estimated from it where none are given.

    Returns:
        An empty reply if it has no choice; no reply if there is output that is no answer; None if it is not a
        completion.
    """
    choices = document.get("choices") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(choices, list):
        return None
    choice = _table(choices[0]) if choices else {}
    message = _table(choice.get("message"))
    written = sum(len(text.encode("utf-8", "replace")) for text in _strings(message or choice))
    prompt, completion, estimated = _usage(_table(document.get("usage")), sent, written)
    finish = storable(reason, _LONGEST_FINISH) if isinstance(reason := choice.get("finish_reason"), str) else None

    def reply(text: str, refusal: str | None = None) -> Reply:
        kept_refusal = storable(refusal) if refusal is not None else None
        return Reply(storable(text), finish, kept_refusal or None, prompt, completion, form, seconds, estimated)

    text, refusal = _content(message.get("content"))
    refusal = given if isinstance(given := message.get("refusal"), str) and given else refusal
    if refusal is not None and not text.strip():
        return reply(text, refusal)
    if not text.strip():
        text = next((other for other in _elsewhere(choice, message) if other.strip()), text)
    if not text.strip() and (field := _unread(message)) is not None and finish not in CUT:
        # It is kept, as it was paid for, but not as an answer: another setting of the server may give one.
        whole = reply(_dumped(message) or "\n".join(_strings(message)))
        return NoReply(f"no answer, only {field}", paid=whole)
    return reply(text, refusal)


def _content(content: object) -> tuple[str, str | None]:
    """The text of a message's content, and a refusal in it."""
    if isinstance(content, str):
        return content, None
    if isinstance(content, dict):
        text = _text_of(content)
        # A server may give the JSON that it was asked for as JSON.
        return (text if text is not None else _dumped(content)), None
    if not isinstance(content, list):
        return "", None
    texts, refusal = [], None
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and isinstance(part.get("refusal"), str):
            refusal = part["refusal"]
        elif isinstance(part, dict) and not _is_thought(part) and (text := _text_of(part)) is not None:
            texts.append(text)
    return "".join(texts), refusal


def _text_of(part: Mapping[str, Any]) -> str | None:
    for name in ("text", "output_text", "value", "content"):
        value = part.get(name)
        if isinstance(value, dict):
            value = value.get("value")
        if isinstance(value, str):
            return value
    return None


def _is_thought(part: Mapping[str, Any]) -> bool:
    kind = str(part.get("type", "")).casefold()
    return part.get("thought") is True or "think" in kind or "reason" in kind


def _elsewhere(choice: Mapping[str, Any], message: Mapping[str, Any]) -> Iterator[str]:
    """Answers outside of `content`, the surest first."""
    if isinstance(message.get("parsed"), dict):
        yield _dumped(message["parsed"])
    calls = message.get("tool_calls")
    functions = [_table(_table(call).get("function")) for call in calls] if isinstance(calls, list) else []
    functions.append(_table(message.get("function_call")))
    # Several calls are several answers, as several objects in a text are.
    yield "\n".join(filter(None, (_arguments(function.get("arguments")) for function in functions)))
    for name in _OTHERS:
        for place in (message, choice):
            if isinstance(place.get(name), str):
                yield place[name]
    for name in _THOUGHTS:
        # Some servers take all output for a thought. What is nothing but an object is no thought.
        if isinstance(message.get(name), str) and _is_object(message[name]):
            yield message[name]


def _arguments(value: object) -> str:
    return value if isinstance(value, str) else _dumped(value) if isinstance(value, dict) else ""


def _unread(message: Mapping[str, Any]) -> str | None:
    """The field of a message that holds output, thoughts first; None: no field does."""
    names = [*_THOUGHTS, *(name for name in message if name not in _ABOUT)]
    filled = (name for name in names if any(text.strip() for text in _strings(message.get(name))))
    if (name := next(filled, None)) is None:
        return "content of another sort" if any(_strings(message.get("content"))) else None
    return storable(name, 40)


def _usage(usage: Mapping[str, Any], sent: int, written: int) -> tuple[int, int, bool]:
    """Tokens of the prompt and of the completion; True: at least one of them is estimated.

    A zero is no number of tokens of anything that was sent or written.
    """
    prompt = _first_count(usage, "prompt_tokens", "input_tokens", "prompt_eval_count")
    completion = _first_count(usage, "completion_tokens", "output_tokens", "eval_count")
    total = _first_count(usage, "total_tokens")
    if completion is None and total and prompt and total >= prompt:
        completion = total - prompt
    if not prompt and total and completion and total > completion:
        prompt = total - completion
    estimated = not prompt or completion is None or (completion == 0 and written > 0)
    if not prompt:
        prompt = -(-sent // _BYTES_PER_TOKEN)
    if not completion:
        completion = -(-written // _BYTES_PER_TOKEN)
    return prompt, completion, estimated


def _first_count(usage: Mapping[str, Any], *names: str) -> int | None:
    return next((count for name in names if (count := _count(usage.get(name))) is not None), None)


def _count(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_TOKENS:
        return None
    return value


def _strings(value: object, depth: int = 0) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list) and depth < 8:
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part, depth + 1)


def _is_object(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


def _dumped(value: object) -> str:
    """A value as JSON; empty if it holds what JSON cannot (lone surrogates, huge numbers)."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return ""


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
