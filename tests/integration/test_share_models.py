"""A shared model answers, where Saring is not installed, as it does here; its folder shows no text."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard
from sqlalchemy import Engine
from transformers import BertConfig, BertForSequenceClassification

from pipeline import store
from pipeline.errors import ModelError, UsageError
from pipeline.learning.sets.examples import gather
from pipeline.learning.train import TrainConfig, train
from pipeline.models.artefact import TrainedModel, load_model, read_manifest
from pipeline.models.features import NgramConfig
from pipeline.models.linear import LinearConfig
from pipeline.models.transformer.base import train_tokenizer
from pipeline.models.transformer.config import ScratchConfig, TransformerConfig
from pipeline.sharing.model_folder import About, export_model
from pipeline.sharing.model_sources import SourceFact, sources_of
from pipeline.store.session import open_session
from pipeline.taxonomy import load_taxonomy
from pipeline.texts.labelled import LabelledText
from pipeline.texts.labelled_files import clean
from tests.support.commands import typed
from tests.support.hub_server import OWNER, WRITER, HubStub
from tests.support.plain_environment import PlainEnvironment

#: what each label is given for
_RULE = {"hate": "benci", "informative": "berita", "safe for work": "pagi"}
_PROSE = "kami pergi kedai kawan baru jalan jauh petang rumah besar kecil murah lambat cepat ramai sekolah bas"
_FILLER = _PROSE.split()
#: what the cards' examples ask
_ASKED = ("selamat pagi semua", "jumpa kat kedai nanti")
_SECRET = "teks ujian yang tak patut dikongsi"
_SMALL = TransformerConfig(epochs=1, scratch=ScratchConfig(vocabulary=300, hidden=32, layers=1, heads=2, inner=32))


@dataclass(frozen=True)
class Shared:
    """A model here, and its export."""

    model: TrainedModel
    folder: Path
    out: Path


def rows(count: int = 150) -> list[LabelledText]:
    draw = random.Random(3)
    found = []
    for i in range(count):
        yes = frozenset(label for label in _RULE if draw.random() < 0.4)
        words = [draw.choice(_FILLER) for _ in range(6)] + [_RULE[label] for label in yes]
        draw.shuffle(words)
        text = " ".join([*words, str(i)])
        # Two sources, so that the linear model has effects of theirs.
        source = "forum" if i % 2 else "blog"
        no = frozenset(_RULE) - yes
        found.append(LabelledText(text, id=str(i), labels=yes, not_labels=no, language="ms", source=source))
    return found


def about(**changes: Any) -> About:
    facts = (SourceFact("forum", 120, "CC-BY-4.0", "https://example.org/forum"), SourceFact("blog", 30))
    return About(**{"taxonomy": load_taxonomy(), "sources": facts, "licence": "apache-2.0"} | changes)


def trained(folder: Path, config: TrainConfig) -> Path:
    report = train(gather(rows(), tuple(_RULE)), config, folder, about={"sources": {"forum": 120, "blog": 30}})
    for name in ("gate.html", "gate.json"):
        (report.path / name).write_text(_SECRET)
    return report.path


def bert(folder: Path) -> Path:
    """A base that transformers knows by itself, with weights at random."""
    tokenizer = train_tokenizer([row.text for row in rows()], 300)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        pad_token_id=tokenizer.pad_token_id,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Shared]:
    """A bidirectional Mistral, a network of transformers' own, and a linear model."""
    folder = tmp_path_factory.mktemp("models")
    version = load_taxonomy().version
    other = TransformerConfig(base=str(bert(folder / "base")), epochs=1)
    configs = {
        "mistral": TrainConfig(taxonomy_version=version, transformer=_SMALL),
        "bert": TrainConfig(taxonomy_version=version, transformer=other),
        "linear": TrainConfig(
            taxonomy_version=version, linear=LinearConfig(ngrams=NgramConfig(char_bits=12, word_bits=11), workers=1)
        ),
    }
    found = {}
    for name, config in configs.items():
        path = trained(folder / name, config)
        export_model(path, folder / "out" / name, about())
        found[name] = Shared(load_model(path), path, folder / "out" / name)
    return found


_EXAMPLES = """
import json, os, re, sys
from pathlib import Path
answers = {}
for folder in map(Path, sys.argv[1:]):
    os.chdir(folder)
    names = {}
    exec(re.search(r"```python\\n(.*?)```", Path("README.md").read_text(), re.S).group(1), names)
    if folder.name == "linear":
        masked = names["Classifier"](".").predict(["telefon 012-3456789 @ali\\u0301 benci BERITA"])
        answers[folder.name] = {"found": names["predictions"], "masked": masked}
    else:
        numbers = {name: names[name].tolist() for name in ("logits", "probabilities")}
        answers[folder.name] = {"found": names["predictions"], **numbers}
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def elsewhere(shared: Mapping[str, Shared], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the cards' own examples answer where Saring can't be imported."""
    plain = PlainEnvironment(tmp_path_factory.mktemp("plain"))
    return plain.run(_EXAMPLES, *(str(one.out) for one in shared.values()))


@pytest.mark.parametrize("name", ["mistral", "bert"])
def test_plain_transformers_gives_our_logits_probabilities_and_labels(
    shared: Mapping[str, Shared], elsewhere: Any, name: str
) -> None:
    model = shared[name].model
    np.testing.assert_allclose(elsewhere[name]["logits"], model.classifier.decisions(_ASKED), atol=1e-5)
    probabilities = model.probabilities(_ASKED)
    np.testing.assert_allclose(elsewhere[name]["probabilities"], probabilities, atol=1e-5)
    assert elsewhere[name]["found"] == model.given(probabilities)


def test_the_linear_models_program_answers_as_the_model_does(shared: Mapping[str, Shared], elsewhere: Any) -> None:
    model = shared["linear"].model
    masked = clean("telefon 012-3456789 @ali\u0301 benci BERITA")
    for texts, answers in ((_ASKED, elsewhere["linear"]["found"]), ((masked,), elsewhere["linear"]["masked"])):
        probabilities = model.probabilities(texts)
        assert [one["labels"] for one in answers] == model.given(probabilities)
        found = [[one["scores"][label] for label in model.labels] for one in answers]
        np.testing.assert_allclose(found, probabilities, atol=2e-6)


@pytest.mark.parametrize("name", ["mistral", "bert", "linear"])
def test_the_folder_is_whole_shows_no_text_and_can_be_read_back(shared: Mapping[str, Shared], name: str) -> None:
    one = shared[name]
    files = {path.name for path in one.out.iterdir()}
    assert files >= {"README.md", "model.json", "masking.py", "precision-recall.png", "reliability.png"}
    assert ("modeling_bidirectional_mistral.py" in files) == (name == "mistral")
    assert ({"predict.py", "folding.py"} <= files) == (name == "linear")
    assert not files & {"gate.html", "gate.json"}
    texts = [_SECRET, *(row.text for row in rows())]
    for path in one.out.iterdir():
        content = path.read_bytes()
        assert not any(text.encode() in content for text in texts), path.name
    again = load_model(one.out)
    np.testing.assert_allclose(again.probabilities(_ASKED), one.model.probabilities(_ASKED), atol=1e-6)


@pytest.mark.parametrize("name", ["mistral", "linear"])
def test_the_card_tells_what_the_hub_and_people_want_to_know(shared: Mapping[str, Shared], name: str) -> None:
    one = shared[name]
    card = ModelCard.load(one.out / "README.md")
    assert (card.data.license, card.data.language, card.data.pipeline_tag) == (
        "apache-2.0",
        ["ms"],
        "text-classification",
    )
    metrics = one.model.manifest.metrics
    shown = {found.metric_name: found.metric_value for found in card.data.eval_results or []}
    assert shown["macro average precision"] == metrics["macro_average_precision"]["value"]
    interval = metrics["macro_average_precision"]
    assert f"**{interval['value']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]**" in card.text
    assert "| forum | 120 | CC-BY-4.0 | https://example.org/forum |" in card.text
    assert "| blog | 30 | not known |" in card.text
    for heading in ("## What it is for", "## Limits", "## How good it is", "## What it was made of", "## Licence"):
        assert heading in card.text
    assert load_taxonomy()["hate"].definition.en.split(".")[0] in card.text


def test_exporting_again_replaces_and_nothing_else_is_overwritten(shared: Mapping[str, Shared], tmp_path: Path) -> None:
    one = shared["linear"]
    export_model(one.folder, tmp_path / "out", about())
    export_model(one.folder, tmp_path / "out", about(licence="mit"))
    assert ModelCard.load(tmp_path / "out" / "README.md").data.license == "mit"
    with pytest.raises(UsageError, match="not an export of"):
        export_model(shared["mistral"].folder, tmp_path / "out", about())
    with pytest.raises(UsageError, match="not an export of"):  # not even the model itself
        export_model(one.folder, one.folder, about())
    assert (one.folder / "gate.json").is_file()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"encoder": "openai:x"}, "with --no-vectors"),
        ({"backend": "transformers-int8", "config": {"quantised_from": "sfw-x"}}, "export sfw-x"),
        ({"artefact_hash": "0"}, "hash differs"),
    ],
)
def test_what_is_of_no_use_to_others_is_refused(
    shared: Mapping[str, Shared], tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("model.skops", "model.json"):
        (folder / name).write_bytes((shared["linear"].folder / name).read_bytes())
    manifest = read_manifest(folder).model_copy(update=changes)
    (folder / "model.json").write_text(manifest.model_dump_json())
    with pytest.raises(ModelError, match=said):
        export_model(folder, tmp_path / "out", about())
    assert not (tmp_path / "out").exists()


def test_licences_are_the_stores(shared: Mapping[str, Shared], engine: Engine) -> None:
    manifest = shared["linear"].model.manifest
    assert [(one.name, one.licence) for one in sources_of(manifest, None)] == [("forum", None), ("blog", None)]
    with open_session(engine) as session:
        session.add(store.Source(name="forum", licence="CC0-1.0", url="https://example.org"))
        session.flush()
        assert sources_of(manifest, session) == [
            SourceFact("forum", 120, "CC0-1.0", "https://example.org"),
            SourceFact("blog", 30),
        ]


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_the_commands_export_and_push(
    shared: Mapping[str, Shared], hub: HubStub, environment: dict[str, str], tmp_path: Path
) -> None:
    model = str(shared["mistral"].folder)
    done = typed(environment, "models", "export", model, "--out", str(tmp_path / "out"), "--json")
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["files"]) == {path.name for path in (tmp_path / "out").iterdir()}
    there = environment | {"HF_ENDPOINT": hub.url, "HF_TOKEN": WRITER}
    push = ("models", "push", model, "--repo", f"{OWNER}/saringan", "--private", "--json")
    pushed = typed(there, *push)
    assert pushed.returncode == 0, pushed.stderr
    assert WRITER not in pushed.stdout + pushed.stderr
    assert json.loads(pushed.stdout)["private"] is True
    files = hub.repositories["model", f"{OWNER}/saringan"].files
    assert set(files) == {path.name for path in (tmp_path / "out").iterdir()}
    assert f'name = "{OWNER}/saringan"' in files["README.md"].decode()
    refused = typed(there | {"HF_TOKEN": ""}, *push)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "HF_TOKEN" in refused.stderr
    denied = typed(there | {"HF_TOKEN": "hf_wrong"}, *push)
    assert (denied.returncode, denied.stderr.count("\n"), "hf_wrong" in denied.stderr) == (1, 1, False)
