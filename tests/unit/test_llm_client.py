"""One client and a real server that speaks a dialect, or does not answer with an answer."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.errors import LlmError, LlmUnavailable
from pipeline.llm.asker import messages
from pipeline.llm.client import LlmClient, find_model
from pipeline.llm.config import Limits, LlmConfig
from pipeline.llm.dialect import FIRST_FEW
from pipeline.llm.replies import NoReply, Reply
from tests.support import llm_server
from tests.support.llm_server import MODEL, LlmServer, verdict

GOOD = verdict("safe for work")
SCHEMA = {"type": "object"}
QUICK = Limits(first_wait=0.01, timeout_seconds=20, patience=1, breaker=3)


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with LlmServer() as server:
        yield server


def config_of(server: LlmServer, **more: Any) -> LlmConfig:
    return LlmConfig(**({"name": "stub", "url": server.url, "model": MODEL, "limits": QUICK} | more))


def ask(config: LlmConfig, *texts: str) -> tuple[list[Reply | NoReply], list[str]]:
    """The answers to requests about texts, one after the other, and what was noted of the server."""

    async def run() -> tuple[list[Reply | NoReply], list[str]]:
        client = LlmClient(config, schema=SCHEMA)
        try:
            answers = [await client.ask(messages("label it", json.dumps({"text": text}))) for text in texts]
        finally:
            await client.close()
        return answers, client.dialect.notes

    return asyncio.run(run())


def reply(config: LlmConfig) -> Reply:
    [answer], _ = ask(config, "teks")
    assert isinstance(answer, Reply)
    return answer


@pytest.mark.parametrize(
    "said",
    [
        {"content": GOOD},
        {"content": [{"type": "text", "text": GOOD}]},
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                {"type": "text", "text": GOOD},
            ]
        },
        {"content": [{"type": "reasoning", "text": "hm"}, {"type": "output_text", "text": {"value": GOOD}}]},
        {"content": [GOOD]},
        {"content": {"text": GOOD}},
        {"content": None, "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": GOOD}}]},
        {"content": "", "function_call": {"name": "f", "arguments": GOOD}},
        {"content": None, "text": GOOD},
        {"content": None, "reasoning_content": GOOD},
        {"content": GOOD, "reasoning_content": verdict("hate")},
    ],
)
def test_the_text_is_found_wherever_the_server_puts_it(server: LlmServer, said: dict[str, Any]) -> None:
    server.otherwise = llm_server.message(said)
    answer = reply(config_of(server))
    assert answer.text == GOOD
    assert (answer.prompt_tokens, answer.completion_tokens, answer.estimated) == (100, 20, False)


def test_json_that_came_as_json_is_read(server: LlmServer) -> None:
    server.otherwise = llm_server.message({"content": {"labels": ["hate"]}})
    assert json.loads(reply(config_of(server)).text) == {"labels": ["hate"]}


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"content": None, "reasoning_content": "Hmm, it may be rude."}, "reasoning_content"),
        ({"content": "", "reasoning": f"a draft {GOOD} but no"}, "reasoning"),
        ({"content": None, "audio": {"transcript": "hello"}}, "audio"),
        ({"content": [{"type": "image", "url": "x"}]}, "content of another sort"),
    ],
)
def test_what_is_no_answer_is_named_by_its_field_and_not_kept_as_one(
    server: LlmServer, said: dict[str, Any], field: str
) -> None:
    server.otherwise = llm_server.message(said)
    [answer], _ = ask(config_of(server), "teks")
    assert isinstance(answer, NoReply)
    assert answer.reason == f"no answer, only {field}"
    # it was paid for
    assert answer.paid is not None
    assert answer.paid.prompt_tokens == 100
    assert len(server.requests) == 1


def test_a_thought_that_was_cut_is_a_reply_that_was_cut(server: LlmServer) -> None:
    server.otherwise = llm_server.message({"content": None, "reasoning_content": "Hmm"}, finish="length")
    answer = reply(config_of(server))
    assert (answer.text, answer.finish) == ("", "length")


@pytest.mark.parametrize(
    ("usage", "tokens", "estimated"),
    [
        ({"prompt_tokens": 500, "total_tokens": 513}, (500, 13), False),
        ({"input_tokens": 500, "output_tokens": 20}, (500, 20), False),
        ({"prompt_tokens": 500.0, "completion_tokens": 20}, (500, 20), False),
        ({"prompt_tokens": 500, "completion_tokens": 0}, (500, 25), True),
        ({"prompt_tokens": 500}, (500, 25), True),
        ({"prompt_tokens": True, "completion_tokens": -5}, (8, 25), True),
        ({"prompt_tokens": 10**30, "completion_tokens": 10**400}, (8, 25), True),
        ({}, (8, 25), True),
        (None, (8, 25), True),
        ("many", (8, 25), True),
    ],
)
def test_tokens_that_are_not_given_are_estimated(
    server: LlmServer, usage: Any, tokens: tuple[int, int], estimated: bool
) -> None:
    # a role of 9 bytes, and a text of 66; the request has 8 bytes of instructions and 16 of text
    server.otherwise = llm_server.message({"content": "x" * 66}, usage=usage)
    answer = reply(config_of(server))
    assert (answer.prompt_tokens, answer.completion_tokens, answer.estimated) == (*tokens, estimated)


@pytest.mark.parametrize(
    ("name", "behaviour", "note", "sent"),
    [
        (
            "max_tokens",
            llm_server.refusing(
                "max_tokens",
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
                "instead.",
                param="max_tokens",
                code="unsupported_parameter",
            ),
            "max_tokens: sent as max_completion_tokens",
            {"max_completion_tokens": 400},
        ),
        (
            "max_tokens",
            llm_server.refusing("max_tokens", "unknown field `max_tokens`, use `max_new_tokens`", status=422),
            "max_tokens: sent as max_new_tokens",
            {"max_new_tokens": 400},
        ),
        (
            "temperature",
            llm_server.refusing(
                "temperature",
                "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) value is "
                "supported.",
                param="temperature",
            ),
            "temperature: left out",
            {},
        ),
        ("temperature", llm_server.refusing("temperature", "`temperature` must be strictly positive"),
         "temperature: left out", {}),
        ("seed", llm_server.refusing("seed", "Extra inputs are not permitted: seed", status=422), "seed: left out", {}),
        ("seed", llm_server.refusing("seed", "unexpected keyword argument 'seed'", status=500), "seed: left out", {}),
        ("top_k", llm_server.refusing("top_k", "Unrecognized request argument supplied: top_k"), "top_k: left out", {}),
    ],
)  # fmt: skip
def test_a_parameter_that_is_refused_by_name_is_left_out_once_for_all(
    server: LlmServer, name: str, behaviour: llm_server.Behaviour, note: str, sent: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    server.otherwise = behaviour
    config = config_of(server, sampling={"seed": 7}, extra_body={"top_k": 5})
    with caplog.at_level(logging.WARNING):
        answers, notes = ask(config, "satu", "dua", "tiga")
    assert all(isinstance(answer, Reply) for answer in answers)
    assert notes == [note]
    assert [line for line in caplog.messages if note in line] == [f"the server of 'stub' refuses a parameter; {note}"]
    # once with it, and never again
    assert [name in request for request in server.requests] == [True, False, False, False]
    assert sent.items() <= server.requests[-1].items()
    # the others are sent as before
    assert {"model", "messages", "response_format"} <= server.requests[-1].keys()


def test_the_fields_of_a_list_of_faults_are_read(server: LlmServer) -> None:
    async def behave(exchange: llm_server.Exchange) -> None:
        if "seed" in exchange.body:
            faults = {
                "detail": [
                    {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}
                ]
            }
            await exchange.raw(422, json.dumps(faults).encode())
        else:
            await llm_server.well(exchange)

    server.otherwise = behave
    assert ask(config_of(server, sampling={"seed": 7}), "teks")[1] == ["seed: left out"]


@pytest.mark.parametrize("code", [400, 404, 422, 500, 501])
def test_a_format_that_is_refused_with_any_status_gives_way_to_another(server: LlmServer, code: int) -> None:
    async def behave(exchange: llm_server.Exchange) -> None:
        if exchange.body.get("response_format", {}).get("type") == "json_schema":
            refuse = llm_server.status(code, "response_format type must be one of text or json_object")
            await refuse(exchange)
        else:
            await llm_server.well(exchange)

    server.otherwise = behave
    answers, notes = ask(config_of(server), "satu", "dua")
    assert [answer.form for answer in answers if isinstance(answer, Reply)] == ["json", "json"]
    assert notes == ["response_format: JSON without a schema"]
    assert len(server.requests) == 3


def test_a_text_that_is_too_long_changes_no_parameter(server: LlmServer) -> None:
    server.script = [
        llm_server.status(400, "This model's maximum context length is 10 tokens, and max_tokens is 400: too long")
    ]
    [answer, other], notes = ask(config_of(server), "satu", "dua")
    assert isinstance(answer, NoReply)
    assert answer.reason == "refused by the server"
    assert isinstance(other, Reply)
    assert notes == []


def test_a_server_that_refuses_the_first_few_stops_the_run_in_its_own_words(server: LlmServer) -> None:
    server.otherwise = llm_server.status(400, "the model is not ready\nask somebody")
    with pytest.raises(LlmError, match=r"refuses every request \(400: \"the model is not ready ask somebody\"\)"):
        ask(config_of(server), *[f"teks {n}" for n in range(20)])
    assert len(server.requests) == FIRST_FEW


def test_a_filter_of_content_is_no_sign_of_a_wrong_setting(server: LlmServer) -> None:
    server.otherwise = llm_server.status(400, "The response was filtered by the content management policy")
    answers, _ = ask(config_of(server), *[f"teks {n}" for n in range(8)])
    assert len(answers) == 8


def test_a_message_of_the_server_repeats_neither_the_text_nor_the_key(
    server: LlmServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.otherwise = llm_server.status(400, 'cannot read {"text": "rahsia saya"} and rahsia saya by sk-1')
    config = config_of(server, api_key="sk-1")
    with caplog.at_level(logging.WARNING):
        ask(config, "rahsia saya")
    assert caplog.messages == ["the server of 'stub' refuses a request: \"cannot read *** and *** by ***\""]


@pytest.mark.parametrize(
    "error",
    [
        {"message": "Rate limit exceeded", "code": 429},
        {"message": "Rate limit exceeded", "code": "rate_limit_exceeded"},
        {"message": "the model is overloaded"},
        {"message": "Internal error", "code": 502},
        "upstream failed",
    ],
)
def test_a_passing_failure_with_status_200_is_asked_again(server: LlmServer, error: Any) -> None:
    server.script = [llm_server.error_as_answer(error)]
    [answer], _ = ask(config_of(server), "teks")
    assert isinstance(answer, Reply)
    assert len(server.requests) == 2


def test_a_failure_that_does_not_pass_is_told_in_the_servers_words(server: LlmServer) -> None:
    server.otherwise = llm_server.error_as_answer({"message": "Rate limit exceeded: free-models-per-day", "code": 429})
    limits = QUICK.model_copy(update={"start": 1, "attempts": 50})
    with pytest.raises(LlmUnavailable, match=r'too many requests: "Rate limit exceeded: free-models-per-day"\)'):
        ask(config_of(server, limits=limits), "teks")


def test_a_choice_with_an_error_is_no_reply(server: LlmServer) -> None:
    async def behave(exchange: llm_server.Exchange) -> None:
        error = {"message": "provider failed", "code": 502}
        await exchange.choices([{"index": 0, "finish_reason": "error", "error": error, "message": {"content": GOOD}}])

    server.script = [behave]
    assert reply(config_of(server)).finish == "stop"
    assert len(server.requests) == 2


@pytest.mark.parametrize(("cut", "meant"), [("/v1", "/v1"), ("", "")])
def test_an_address_without_v1_gets_a_hint(server: LlmServer, cut: str, meant: str) -> None:
    root = server.url.removesuffix("/v1")
    wrong = root if cut else f"{server.url}/chat/completions"
    with pytest.raises(LlmError) as caught:
        ask(config_of(server, url=wrong), "teks")
    assert str(caught.value).endswith(f"did you mean {root}/v1?")
    assert '404: "404 page not found"' in str(caught.value)


def test_a_server_without_v1_that_lists_no_models_gets_a_hint_too(server: LlmServer) -> None:
    root = server.url.removesuffix("/v1")
    with pytest.raises(LlmError, match=rf"did you mean {root}/v1\?$"):
        find_model(config_of(server, url=root, model=None))


def test_a_right_address_gets_no_hint(server: LlmServer) -> None:
    server.otherwise = llm_server.status(404, "model 'stub-model' not found")
    with pytest.raises(LlmError, match="model 'stub-model' not found") as caught:
        ask(config_of(server), "teks")
    assert "did you mean" not in str(caught.value)


def test_a_parameter_that_is_null_is_not_sent_and_others_are_added(server: LlmServer) -> None:
    config = config_of(
        server,
        sampling={"temperature": None, "max_tokens": None},
        extra_body={"chat_template_kwargs": {"enable_thinking": False}, "response_format": None},
    )
    ask(config, "teks")
    [request] = server.requests
    assert not {"temperature", "max_tokens", "response_format"} & request.keys()
    assert request["chat_template_kwargs"] == {"enable_thinking": False}


def test_nothing_of_the_environment_is_sent(server: LlmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-secret")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Team: team-secret\nAuthorization: Bearer other")
    ask(config_of(server), "teks")
    [headers] = server.headers
    assert not {"openai-organization", "openai-project", "x-team"} & headers.keys()
    assert headers["authorization"] == "Bearer none"
    assert not any("secret" in value for value in headers.values())
    assert find_model(config_of(server, model=None)).model == MODEL


@pytest.mark.parametrize(
    "content",
    [b'{"choices": [{"message": {"content": "a\\ud800b"}}]}', b'{"choices": [{"message": {"content": "a\xffb"}}]}'],
)
def test_a_reply_with_damaged_characters_is_kept(server: LlmServer, content: bytes) -> None:
    async def behave(exchange: llm_server.Exchange) -> None:
        await exchange.raw(200, content)

    server.otherwise = behave
    answer = reply(config_of(server))
    assert answer.text in ("a?b", "a\ufffdb")
    assert len(server.requests) == 1
