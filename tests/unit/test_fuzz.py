"""Damage to everything that is read ends in an error of ours, in one line; `benchmarks/fuzz.py` tries more of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fuzzing import fuzz, readers

#: inputs of each reader: a second or so
INPUTS = {
    "reply": 2_000,
    "completion": 2_000,
    "translation": 1_000,
    "embeddings": 2_000,
    "raters.yaml": 150,
    "taxonomy": 150,
    "mapping": 40,
    "parquet": 300,
    "labelled rows": 150,
    "model": 60,
    "archive": 60,
}


@pytest.fixture(scope="module")
def all_readers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    return dict(readers(tmp_path_factory.mktemp("fuzz")))


def test_each_reader_has_its_share(all_readers: dict[str, object]) -> None:
    assert INPUTS.keys() == all_readers.keys()


@pytest.mark.parametrize("name", INPUTS)
def test_damage_ends_in_a_typed_line(all_readers: dict[str, object], name: str) -> None:
    reader = all_readers[name]
    assert callable(reader)
    result = fuzz(name, reader, seed=7, inputs=INPUTS[name])
    assert (dict(result.untyped), result.first) == ({}, {})
    assert result.inputs == INPUTS[name]


def test_an_error_that_is_none_of_ours_is_counted(tmp_path: Path) -> None:
    def reader(rng: object) -> None:
        raise ZeroDivisionError(tmp_path)

    result = fuzz("broken", reader, seed=1, inputs=3)
    assert sum(result.untyped.values()) == 3
