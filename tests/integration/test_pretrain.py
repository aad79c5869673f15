"""Pre-training learns, goes on after a kill to the same result, and leaves a folder to train a classifier from."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from sqlalchemy import Engine, select
from transformers import AutoTokenizer

from pipeline.errors import UsageError
from pipeline.learning.unlabelled import store_texts
from pipeline.ledger import test_set as testset
from pipeline.models.mistral import MistralForSequenceClassification
from pipeline.models.pretraining.pretrain import REPORT, pretrain
from pipeline.store.session import open_session
from pipeline.store.tables.core import Text
from pipeline.texts.ingest import SourceInfo, ingest
from tests.support.commands import typed
from tests.support.pretraining import config, corpus


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network, pre-trained without interruption."""
    out = tmp_path_factory.mktemp("networks") / "whole"
    pretrain(corpus(), config(80), out)
    return out


def test_held_out_tokens_are_predicted_far_better_than_by_their_frequency(learnt: Path) -> None:
    report = json.loads((learnt / REPORT).read_text())["report"]
    assert report["steps"] == 80
    assert report["loss"] < 0.7 * report["unigram_loss"]
    assert report["loss"] < report["loss_before"]


_KILLED = """\
import os, signal, sys
from pathlib import Path
from pipeline.models.pretraining.pretrain import pretrain
from tests.support.pretraining import config, corpus

def progress(done, total, what):
    if what == "pre-training" and done == 47:
        os.kill(os.getpid(), signal.SIGKILL)

pretrain(corpus(), config(80), Path(sys.argv[1]), progress=progress)
"""


def test_a_killed_pretraining_goes_on_to_the_same_weights(learnt: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    root = Path(__file__).resolve().parents[2]
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, out], cwd=root, stderr=subprocess.PIPE, text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (out / REPORT).exists()
    with pytest.raises(UsageError, match="other texts or options"):
        pretrain(corpus(), config(81), out)
    report = pretrain(corpus(), config(80), out)
    assert report.resumed_at == 40
    expected, found = (load_file(folder / "model.safetensors") for folder in (learnt, out))
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert {path.name for path in out.iterdir()} == {path.name for path in learnt.iterdir()}


def test_what_is_finished_is_not_done_again_and_nothing_is_overwritten(learnt: Path, tmp_path: Path) -> None:
    before = (learnt / "model.safetensors").stat().st_mtime_ns
    assert pretrain(corpus(), config(80), learnt).steps == 80
    assert (learnt / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(UsageError, match="another pre-trained network"):
        pretrain(corpus(), config(90), learnt)
    (tmp_path / "thesis.txt").write_text("tesis")
    with pytest.raises(UsageError, match="not empty"):
        pretrain(corpus(), config(80), tmp_path)


def test_the_folder_is_one_that_a_classifier_starts_from(learnt: Path) -> None:
    model, loading = MistralForSequenceClassification.from_pretrained(learnt, num_labels=3, output_loading_info=True)
    assert loading["missing_keys"] == {"score.weight"}
    tokenizer = AutoTokenizer.from_pretrained(learnt)
    batch = tokenizer(["saya makan", "dia minum teh tarik di kedai"], padding=True, return_tensors="pt")
    with torch.no_grad():
        assert model(**batch).logits.shape == (2, 3)


def test_a_checkpoint_is_taken_further_even_a_classifiers(learnt: Path, tmp_path: Path) -> None:
    checkpoint, out = tmp_path / "classifier", tmp_path / "further"
    MistralForSequenceClassification.from_pretrained(learnt, num_labels=3).save_pretrained(checkpoint)
    AutoTokenizer.from_pretrained(learnt).save_pretrained(checkpoint)
    report = pretrain(corpus(), config(4, base=checkpoint, accumulate=2, mask_token="_"), out)
    earlier = json.loads((learnt / REPORT).read_text())["report"]
    assert report.loss_before < earlier["loss_before"]
    assert (report.parameters, report.steps) == (earlier["parameters"], 4)


def test_the_command_prints_one_object_and_names_bad_rows(tmp_path: Path, environment: dict[str, str]) -> None:
    rows = [json.dumps({"text": text}) for text in corpus(80)]
    (tmp_path / "posts.jsonl").write_text("\n".join([*rows, "bukan json"]) + "\n")
    words = ("pretrain", str(tmp_path / "posts.jsonl"), "--out", str(tmp_path / "net"), "--steps", "2", "--json")
    small = ("--layers", "1", "--hidden", "64", "--vocabulary", "300", "--length", "16")
    done = typed(environment, *words, *small)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["steps"], report["rejected"]) == (2, {"not valid JSON": 1})
    assert "not valid JSON" in done.stderr
    refused = typed(environment, *words, *small, "--mask-share", "1.5")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)


def test_the_stores_texts_are_taken_masked_without_those_of_the_test_set(engine: Engine, tmp_path: Path) -> None:
    rows = [*corpus(5), "hubungi jiran saya di talian 012-3456789 pukul 5"]
    (tmp_path / "posts.jsonl").write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    ingest(engine, [str(tmp_path / "posts.jsonl")], SourceInfo("posts"), rejects_dir=tmp_path, workers=0)
    everything = set(store_texts(engine))
    with open_session(engine) as session, session.begin():
        ids = {row.masked: row.id for row in session.execute(select(Text.masked, Text.id))}
        member = ids[rows[0]]
        testset.grow(session, {member: testset.Truth(frozenset(), frozenset({"hate"}))}, {member}, increment=1)
    assert everything - set(store_texts(engine)) == {rows[0]}
    assert not any("3456789" in text for text in everything)
