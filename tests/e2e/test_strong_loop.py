"""Language models that judge and a transformer that learns from them, by the commands of docs/first-steps.md."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, func, select

from pipeline import store
from pipeline.store import open_session
from tests.support.commands import typed
from tests.support.llm_server import LlmServer, verdict
from tests.support.waiting import until

_CORPUS = Path(__file__).resolve().parents[2] / "saring/demo/corpus"
_EACH = 24
#: a chat model that knows nothing, in a second
_MAKE = """
import sys
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
words = {word: i for i, word in enumerate(["<s>", "</s>", *alphabet])}
plain = Tokenizer(models.BPE(words, []))
plain.pre_tokenizer, plain.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, bos_token="<s>", eos_token="</s>", pad_token="</s>")
tokenizer.chat_template = "{% for one in messages %}{{ one['role'] }}: {{ one['content'] }}\\n{% endfor %}assistant:"
sizes = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1)
ids = dict(vocab_size=len(words), max_position_embeddings=65536, bos_token_id=0, eos_token_id=1, pad_token_id=1)
LlamaForCausalLM(LlamaConfig(**sizes, **ids)).save_pretrained(sys.argv[1])
tokenizer.save_pretrained(sys.argv[1])
"""


@pytest.fixture
def variables(environment: dict[str, str]) -> dict[str, str]:
    own = ("SARING_HOME", "SARING_DATABASE_URL", "PYTHONPATH")
    return {name: environment[name] for name in own} | {"COLUMNS": "200"}


@pytest.fixture
def real_server(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """`transformers serve` with a small model made here: its address, and the model's name."""
    folder = tmp_path / "model"
    offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", _MAKE, str(folder)], check=True, env=os.environ | offline)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["-W", "ignore", "-m", "transformers.cli.transformers", "serve", "--device", "cpu"]
    listen = ["--host", "127.0.0.1", "--port", str(port), str(folder)]
    with (tmp_path / "serve.log").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, *command, *listen], env=os.environ | offline, stdout=said, stderr=subprocess.STDOUT
        )
        try:
            until(lambda: process.poll() is not None or is_there(port), "the server answers")
            assert process.poll() is None, (tmp_path / "serve.log").read_text()
            yield f"http://127.0.0.1:{port}/v1", str(folder)
        finally:
            process.terminate()
            process.wait()


def is_there(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/health", timeout=5)
    except httpx.HTTPError:
        return False
    return True


def answer(variables: dict[str, str], *words: str) -> Any:
    done = typed(variables, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def bring(variables: dict[str, str], folder: Path, each: int) -> dict[str, list[str]]:
    """Some of each of the demo's files into the store; their labels, by text."""
    rows = []
    for path in sorted(_CORPUS.glob("*.jsonl")):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        rows += random.Random(path.name).sample(lines, min(each, len(lines)))
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps({"id": str(i), "text": row["text"]}) + "\n" for i, row in enumerate(rows)))
    answer(variables, "ingest", str(file), "--source", "demo", "--licence", "CC0-1.0")
    return {row["text"]: row["labels"] for row in rows}


def test_with_only_an_endpoints_address_the_commands_go_through(
    engine: Engine, variables: dict[str, str], tmp_path: Path
) -> None:
    truth = bring(variables, tmp_path, _EACH)
    with open_session(engine) as session:
        masked = {row.masked: truth.get(row.body, []) for row in session.scalars(select(store.Text))}
    with LlmServer() as server:
        server.answer = lambda text: verdict(*(masked.get(text) or ["safe for work"]))
        told = variables | {"SARING_LLM_URL": server.url}
        judged = answer(told, "judge")
        assert (judged["rater"], judged["no_verdict"]) == ("llm", {})
        assert judged["judged"] > 200
        answer(told, "embed")
        filtered = answer(told, "filter")["centroid"]["labels"]
        # it judges from what the model said, of each label that it said often enough
        assert {row["label"]: row["support"] for row in filtered} == judged["asserted"]
        decided = [row for row in filtered if row["skipped"] is None]
        assert len(decided) >= 4
        assert [row["kept"] + row["dropped"] for row in decided] == [row["vectors"] for row in decided]
        # and what the model said is true
        assert sum(row["kept"] for row in decided) > 0.8 * sum(row["vectors"] for row in decided)
        # what they share beside the address: short training, for a test
        trained = answer(told, "train", "--backend", "transformers", "--epochs", "2")
        assert answer(told, "judge")["replies"] == 0
    assert "transformers" in trained["model"]
    assert sum(trained["splits"].values()) == judged["judged"]
    measured = trained["metrics"]["labels"].values()
    # a model that learnt nothing ranks a label's texts no higher than others
    chance = sum(label["positives"] / (label["positives"] + label["negatives"]) for label in measured) / len(measured)
    macro = trained["metrics"]["macro_average_precision"]
    assert 2 * chance < macro["low"] <= macro["value"] <= macro["high"] <= 1
    [champion] = [model for model in answer(variables, "models", "list")["models"] if model["state"] == "champion"]
    assert champion["version"] == trained["model"]
    done = typed(variables, "predict", given=json.dumps({"text": "Bekalan air terputus malam ini"}) + "\n")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"] == trained["model"]


def test_a_real_server_with_a_real_model_is_asked_as_any_other(
    engine: Engine, variables: dict[str, str], real_server: tuple[str, str], tmp_path: Path
) -> None:
    url, model = real_server
    bring(variables, tmp_path, 1)
    with open_session(engine) as session:
        texts = session.execute(select(func.count()).where(store.Text.in_scope, store.Text.duplicate_of.is_(None)))
        expected = texts.scalar_one()
    described = {
        "url": url,
        "model": model,
        "sampling": {"max_tokens": 8},
        "prompt": {"exemplars": 0, "near_misses": 0},
    }
    (Path(variables["SARING_HOME"]) / "raters.yaml").write_text(json.dumps({"raters": {"small": described}}))
    report = answer(variables, "judge", "--rater", "small")
    # it knows nothing, so what it writes is no verdict; but each text has a reply of so many tokens
    assert report["replies"] == expected > 5
    assert report["judged"] + sum(report["no_verdict"].values()) == expected
    assert not {"server error", "connection lost", "broken answer", "timed out"} & set(report["no_verdict"])
    assert report["tokens"] > 100 * expected
    again = answer(variables, "judge", "--rater", "small")
    assert (again["replies"], again["cached"]) == (0, expected - report["judged"])
