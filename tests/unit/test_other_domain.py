"""A project about buses: nothing that is made from its taxonomy speaks of harm, of help lines or of safe for work."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.explore.explore import Duplicates, Exploration, LabelNumbers
from pipeline.explore.page import write_page
from pipeline.learning.gate.report import GateReport, Rows, write_gate
from pipeline.learning.gate.rules import Margins, Verdict
from pipeline.learning.sets.examples import gather
from pipeline.learning.train import TrainConfig, TrainReport, train
from pipeline.models.features import NgramConfig
from pipeline.models.find import newest
from pipeline.models.linear import LinearConfig
from pipeline.models.purposes import shown_purpose, stored_purpose
from pipeline.settings import Settings
from pipeline.sharing.dataset_card import write_card as write_dataset_card
from pipeline.sharing.dataset_counts import DatasetCounts
from pipeline.sharing.model_card import write_model_card
from pipeline.taxonomy import Taxonomy, example_taxonomy, load_taxonomy, parse_taxonomy
from pipeline.texts.labelled import LabelledText
from saring.demo.show import demo_settings
from saring.services.programs import settings_environment
from sync.project.guidelines import guidelines
from sync.project.label_config import label_config

_WORDS = ["semalam", "kami", "pergi", "kedai", "kawan", "baru", "jalan", "jauh", "pagi", "petang", "rumah", "besar"]
BUSES = parse_taxonomy(example_taxonomy())
BUILT_IN = load_taxonomy()
#: what only a project about harm may say
_HARM = re.compile(
    r"sfw|safe.for.work|befrienders|talian|blur|kabur|harsh|abus|moderat|hate|hurt|warning|audience|flag(s|ging)",
    re.IGNORECASE,
)


def trained(taxonomy: Taxonomy, folder: Path) -> TrainReport:
    """A model of the first label of a taxonomy."""
    label = taxonomy.keys[0]
    rows = [
        LabelledText(
            f"{_WORDS[i % 12]} {_WORDS[(i // 3) % 12]} {i} {'lewat' if i % 2 else 'tepat'}",
            labels=frozenset({label} if i % 2 else ()),
            not_labels=frozenset(() if i % 2 else {label}),
            source="test",
        )
        for i in range(240)
    ]
    config = TrainConfig(
        prefix=taxonomy.model_prefix,
        harmful=taxonomy.harmful,
        taxonomy_version=taxonomy.version,
        linear=LinearConfig(NgramConfig(char_bits=10, word_bits=10), workers=1),
    )
    return train(gather(rows, [label]), config, folder)


@pytest.fixture(scope="module")
def buses(tmp_path_factory: pytest.TempPathFactory) -> TrainReport:
    return trained(BUSES, tmp_path_factory.mktemp("models"))


def test_the_labelling_page_shows_texts_as_they_are() -> None:
    assert _HARM.findall(label_config(BUSES)) == []
    assert 'className="saring-blur"' in label_config(BUILT_IN)


def test_the_guidelines_name_no_help_lines() -> None:
    assert _HARM.findall(guidelines(BUSES)) == []
    assert "Befrienders" in guidelines(BUILT_IN)


def test_a_model_is_named_after_labels(buses: TrainReport, tmp_path: Path) -> None:
    assert buses.model.manifest.version.startswith("labels-linear-")
    assert trained(BUILT_IN, tmp_path).model.manifest.version.startswith("sfw-linear-")
    # the purpose is what the registry and older code know
    assert buses.model.manifest.purpose == "sfw"


def test_the_cards_of_a_model_speak_of_labels(buses: TrainReport, tmp_path: Path) -> None:
    card = (buses.path / "README.md").read_text()
    assert "| purpose | labels |" in card
    assert _HARM.findall(card) == []
    shared = write_model_card(tmp_path, buses.model.manifest, BUSES).read_text()
    assert _HARM.findall(shared) == []
    assert "content-moderation" not in shared
    harmful = buses.model.manifest.model_copy(
        update={"data": {**buses.model.manifest.data, "harmful_labels": ["late"]}}
    )
    assert "content-moderation" in write_model_card(tmp_path, harmful, BUSES).read_text()


def dataset_card(taxonomy: Taxonomy, folder: Path) -> str:
    write_dataset_card(
        folder / "README.md",
        name="test",
        taxonomy=taxonomy,
        counts=DatasetCounts(),
        sources=[],
        test_set=None,
        hash_="0",
        withheld=0,
    )
    return (folder / "README.md").read_text()


def test_the_card_of_a_data_set_has_a_warning_and_tags_only_where_labels_are_harmful(tmp_path: Path) -> None:
    assert _HARM.findall(dataset_card(BUSES, tmp_path)) == []
    card = dataset_card(BUILT_IN, tmp_path)
    for words in ("**Content warning.**", "some with hate, violence", "safe-for-work", "not-for-all-audiences"):
        assert words in card


def test_the_page_of_the_gate_blurs_only_harm(buses: TrainReport, tmp_path: Path) -> None:
    report = GateReport(
        purpose="sfw",
        harmful=False,
        challenger=buses.model.manifest.version,
        champion=None,
        verdict=Verdict(passed=True, reason="the first model of its purpose", checks=()),
        margins=Margins(),
        rows=Rows(origin="test", test_set=None, texts=3),
        costs=(),
        paired=None,
    )
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert _HARM.findall(write_gate(report, tmp_path, now=now).read_text()) == []
    assert "blur(" in write_gate(replace(report, harmful=True), tmp_path, now=now).read_text()


@pytest.mark.parametrize(("taxonomy", "blurred"), [(BUSES, False), (BUILT_IN, True)], ids=["buses", "built in"])
def test_the_page_about_the_texts_blurs_only_harm(taxonomy: Taxonomy, blurred: bool, tmp_path: Path) -> None:
    nothing = LabelNumbers(0, 0, 0, {}, {}, [0] * 7, [], [])
    exploration = Exploration(
        texts=0,
        in_scope=0,
        judged=0,
        languages={},
        labels=dict.fromkeys(taxonomy.keys, nothing),
        together={key: dict.fromkeys(taxonomy.keys, 0) for key in taxonomy.keys},
        duplicates=Duplicates(0, 0, {}, []),
        dots=[],
        placed=np.zeros((0, 2), dtype=np.float32),
        method=None,
        taxonomy_version=taxonomy.version,
    )
    page = write_page(exploration, taxonomy, tmp_path).read_text()
    assert [words in page for words in ("blur(", "may be abusive", "Don't blur")] == [blurred] * 3


def test_a_purpose_is_written_and_shown_as_labels_and_stored_as_before(tmp_path: Path) -> None:
    assert [shown_purpose(one) for one in ("sfw", "sentiment", "pseudo:late")] == ["labels", "sentiment", "pseudo:late"]
    assert [stored_purpose(one) for one in ("labels", "sfw", "sentiment")] == ["sfw", "sfw", "sentiment"]
    with pytest.raises(ModelError, match="no model for 'labels'"):
        newest(tmp_path, "sfw")


def test_the_demo_has_settings_of_its_own_and_gives_them_to_its_processes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {"TAXONOMY": "buses.yaml", "ENCODER": "openai:x", "SEED": "7", "LANGUAGES": "en"}.items():
        monkeypatch.setenv(f"SARING_{name}", value)
    settings = demo_settings(tmp_path / "demo", tmp_path / "label-studio")
    usual = Settings.model_construct()
    assert (settings.taxonomy, settings.encoder, settings.seed, settings.languages) == (
        None,
        usual.encoder,
        usual.seed,
        usual.languages,
    )
    variables = settings_environment(settings)
    assert "SARING_TAXONOMY" not in variables
    assert variables["SARING_ENCODER"] == usual.encoder
    assert variables["SARING_LABEL_STUDIO_ENV"] == str(tmp_path / "label-studio")
