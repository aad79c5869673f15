"""Probe pairs: the files, a model tried on them, and the gate that rejects a challenger which got worse on a kind."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import ProbeError
from pipeline.learning.gate.decide import Contender, compare_with_champion
from pipeline.learning.gate.report import GateReport, Rows, note_by_hand, read_gate, write_gate
from pipeline.learning.gate.rules import Margins
from pipeline.learning.probes.comparison import ALPHA, compare_answers
from pipeline.learning.probes.figures import probe_figures
from pipeline.learning.probes.reading import load_probes
from pipeline.learning.probes.sentences import ProbeSentences, Tried, try_pairs
from pipeline.learning.sets.examples import gather
from pipeline.learning.sets.split import plan_splits
from pipeline.measure.arrays import Booleans, Scores
from pipeline.measure.sign_test import adjusted, sign_test
from pipeline.models.artefact import TrainedModel
from pipeline.settings import Settings
from pipeline.taxonomy import Taxonomy, load_taxonomy
from pipeline.texts.labelled import LabelledText
from pipeline.texts.near_duplicates import Signed, repeating
from saring.actions.probes import check_probes
from saring.cli.probe_tables import pairs_of_worse_kinds, say_changed_pairs
from tests.support.commands import typed
from tests.support.trained import model_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
#: label of the models below
LABEL = "violence"


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return load_taxonomy()


@pytest.fixture(scope="module")
def probes(taxonomy: Taxonomy) -> ProbeSentences:
    return load_probes(taxonomy)


class Knows:
    """A classifier that knows the answer to each pair, and is sure of it; `wrong` says where it errs."""

    backend = "linear"

    def __init__(self, probes: ProbeSentences, labels: Sequence[str], wrong: Callable[[Any], bool]) -> None:
        self.labels = labels
        self._logits: dict[tuple[str, str], float] = {}
        for pair in probes.pairs:
            has, lacks = (-1.0, 1.0) if wrong(pair) else (1.0, -1.0)
            self._logits[pair.label, pair.has], self._logits[pair.label, pair.lacks] = has, lacks

    def decisions(self, texts: Sequence[str]) -> Scores:
        return np.array(
            [
                [self._logits.get((label, text), 1.0 if "pukul" in text else -1.0) for label in self.labels]
                for text in texts
            ]
        )

    def state(self) -> dict[str, Any]:
        return {}


def model(probes: ProbeSentences, name: str, wrong: Callable[[Any], bool] = lambda _: False) -> TrainedModel:
    labels = ("hate", LABEL, "self-harm", "harassment", "racist", "religion insult", "sexist", "porn", "informative")
    return model_of(Knows(probes, labels, wrong), f"sfw-{name}")


def judged(probes: ProbeSentences, folder: Path, wrong: Callable[[Any], bool]) -> GateReport:
    """The gate's report on a challenger that is as good as the champion on texts, and errs on some pairs."""
    texts = [f"aku akan pukul kau {i}" if i % 2 else f"aku suka roti {i}" for i in range(40)]
    rows = [
        LabelledText(
            text,
            id=str(i),
            labels=frozenset({LABEL} if i % 2 else ()),
            not_labels=frozenset(() if i % 2 else {LABEL}),
            language="ms",
        )
        for i, text in enumerate(texts)
    ]
    return compare_with_champion(
        Contender(model(probes, "old"), folder),
        Contender(model(probes, "new", wrong), folder),
        gather(rows, (LABEL,)),
        Rows("the frozen test set", None, len(rows)),
        Margins(latency_ms=10_000),
        seed=1,
        probes=probes,
    )


def test_every_label_has_pairs_in_every_variety_and_none_repeats_an_example(
    taxonomy: Taxonomy, probes: ProbeSentences
) -> None:
    sentences = Counter((pair.label, pair.variety) for pair in probes.pairs for _ in (pair.has, pair.lacks))
    labels = [key for key in taxonomy.keys if key != "safe for work"]
    for label in labels:
        counts = [sentences[label, variety] for variety in ("ms", "manglish", "en")]
        assert sum(counts) >= 30, label
        assert min(counts) >= 10, label
    assert set(probes.functions) == {pair.function for pair in probes.pairs}
    examples = [text for label in taxonomy for text in label.all_exemplars()]
    examples += [miss.text for label in taxonomy for miss in label.all_near_misses()]
    corpus = Path(__file__).parents[2] / "saring" / "demo" / "corpus"
    examples += [json.loads(line)["text"] for path in corpus.glob("*.jsonl") for line in path.read_text().splitlines()]
    assert repeating(Signed.of(examples), Signed.of(probes.texts)) == {}


def test_an_equal_challenger_passes_and_one_that_is_worse_on_negation_is_rejected_with_the_sentences(
    probes: ProbeSentences, tmp_path: Path
) -> None:
    equal = judged(probes, tmp_path, lambda _: False)
    assert equal.verdict.passed
    assert equal.probes is not None
    assert equal.probes.changed == ()

    rejected = judged(probes, tmp_path, lambda pair: pair.function == "negation")
    assert not rejected.verdict.passed
    assert [check.name for check in rejected.verdict.checks if not check.passed] == ["probes of negation"]
    assert re.search(r"probes of negation: of \d+ pairs \d+ turned wrong and 0 turned right", rejected.verdict.reason)

    page = write_gate(rejected, tmp_path / "model", now=NOW).read_text(encoding="utf-8")
    gate = read_gate(tmp_path / "model")
    assert gate is not None
    shown = pairs_of_worse_kinds(gate["probes"])
    assert {pair["function"] for pair in shown} == {"negation"}
    assert "Nobody says disabled people do not belong in our office." in {pair["lacks"] for pair in shown}
    assert '<span class="veil" tabindex="0">Disabled people do not belong in our office.</span>' in page


def test_a_few_errors_on_a_kind_may_be_chance_and_do_not_reject(probes: ProbeSentences, tmp_path: Path) -> None:
    some = {pair for pair in probes.pairs if pair.function == "mixing" and pair.label in ("hate", "racist", "porn")}
    report = judged(probes, tmp_path, lambda pair: pair in some)
    assert report.verdict.passed
    assert "which may be chance" in next(c.says for c in report.verdict.checks if c.name == "probes of mixing")


def test_gains_elsewhere_do_not_make_up_for_a_kind_that_got_worse(probes: ProbeSentences) -> None:
    pairs = probes.pairs
    direct = np.array([pair.function == "direct" for pair in pairs])
    negation = np.array([pair.function == "negation" for pair in pairs])
    comparison = compare_answers(_answers(probes, ~direct), _answers(probes, ~negation))
    worse = [kind.name for kind in comparison.kinds if kind.worse(0.1)]
    assert worse == ["negation"]
    assert {pair.right for pair in comparison.changed[: negation.sum()]} == {False}


def _answers(probes: ProbeSentences, right: Booleans) -> Tried:
    probabilities = np.where(right[:, None], [[0.9, 0.1]], [[0.1, 0.9]])
    return Tried(probes.pairs, probabilities, probabilities >= 0.5)


@pytest.mark.parametrize("skill", [0.5, 0.85])
def test_equally_good_models_are_hardly_ever_called_worse(probes: ProbeSentences, skill: float) -> None:
    """Both models get each pair right with the same chance: fewer than 5 of 100 comparisons call a kind worse."""
    rng = np.random.default_rng(7)
    alarms = 0
    for _ in range(200):
        two = [_answers(probes, rng.random(len(probes.pairs)) < skill) for _ in range(2)]
        alarms += any(kind.worse(0.1) for kind in compare_answers(*two).kinds)
    assert alarms / 200 <= ALPHA


def test_a_challenger_that_guesses_at_negation_is_mostly_found(probes: ProbeSentences) -> None:
    rng = np.random.default_rng(7)
    negation = np.array([pair.function == "negation" for pair in probes.pairs])
    hits = 0
    for _ in range(100):
        before = rng.random(len(probes.pairs)) < 0.95
        now = np.where(negation, rng.random(len(before)) < 0.5, before)
        hits += any(kind.worse(0.1) for kind in compare_answers(_answers(probes, before), _answers(probes, now)).kinds)
    assert hits >= 80


def test_a_tie_is_not_right(probes: ProbeSentences) -> None:
    probabilities = np.full((len(probes.pairs), 2), 0.3)
    assert not Tried(probes.pairs, probabilities, probabilities >= 0.5).right.any()


def test_pairs_of_labels_that_only_one_model_knows_are_passed_over(probes: ProbeSentences, tmp_path: Path) -> None:
    report = judged(probes, tmp_path, lambda pair: pair.label == "psychiatric or mental illness")
    assert report.probes is not None
    assert report.probes.pairs < len(probes.pairs)
    assert report.verdict.passed


def test_a_model_has_figures_by_function_label_and_variety(probes: ProbeSentences) -> None:
    figures = probe_figures(model(probes, "a", lambda pair: pair.function == "emoji"), probes)
    by_name = {kind.name: kind for kind in figures.functions}
    assert (by_name["emoji"].right, by_name["emoji"].found, by_name["emoji"].left_alone) == (0, 0, 0)
    assert by_name["negation"].right == by_name["negation"].pairs == by_name["negation"].found
    assert {pair.function for pair in figures.wrong} == {"emoji"}
    assert sum(kind.pairs for kind in figures.labels) == sum(kind.pairs for kind in figures.varieties)


def test_what_nearly_repeats_a_sentence_is_left_out_of_training(probes: ProbeSentences) -> None:
    rows = [
        LabelledText(f"teks nombor {i} tentang roti canai", id=str(i), labels=frozenset({LABEL})) for i in range(20)
    ]
    rows.append(LabelledText(probes.pairs[0].has.upper() + "!!", id="leak", labels=frozenset({LABEL})))
    examples = gather(rows, (LABEL,))
    plan = plan_splits(examples, seed=1, apart=probes.texts)
    before = plan_splits(examples, seed=1)
    place = next(i for i, text in enumerate(examples.texts) if text.endswith("!!"))
    assert place not in plan.train
    assert plan.probed == (place in before.train)
    assert set(before.train) - set(plan.train) <= {place}


_OWN = """
functions:
  dialect: {en: Words of a state, ms: Loghat negeri}
probes:
  Kebencian:
    dialect:
      ms:
        - {has: Ore situ sumo jahat belako, lacks: Ore situ sumo baik belako}
"""


def test_a_file_of_the_home_adds_pairs_and_functions_or_takes_the_place_of_ours(
    taxonomy: Taxonomy, probes: ProbeSentences, tmp_path: Path
) -> None:
    own = tmp_path / "probes.yaml"
    own.write_text(_OWN, encoding="utf-8")
    settings = Settings(home=tmp_path)
    both = load_probes(taxonomy, settings.probes_file)
    assert len(both.pairs) == len(probes.pairs) + 1
    assert (both.pairs[-1].label, both.pairs[-1].function, both.pairs[-1].line) == ("hate", "dialect", 8)
    assert both.functions["dialect"].ms == "Loghat negeri"
    assert both.version != probes.version
    own.write_text("built_in: false\n" + _OWN, encoding="utf-8")
    assert [pair.function for pair in load_probes(taxonomy, own).pairs] == ["dialect"]
    elsewhere = tmp_path / "elsewhere.yaml"
    assert Settings(home=tmp_path, probes=elsewhere).probes_file == elsewhere
    with pytest.raises(ProbeError, match="cannot be read"):
        load_probes(taxonomy, elsewhere)


@pytest.mark.parametrize(
    ("content", "problems"),
    [
        ("probes: [", [":1: not valid YAML"]),
        ("pairs: {}", [":1: expected a mapping `probes`"]),
        (
            "probes:\n  hatee:\n    negation:\n      ms:\n        - {has: a b, lacks: c d}",
            ["no label is called 'hatee'"],
        ),
        (
            "probes:\n  hate:\n    negaton:\n      ms: []",
            [":3: label 'hate': no function is called 'negaton': did you"],
        ),
        ("probes:\n  hate:\n    negation:\n      jv: []", [":4: hate, negation: unknown variety 'jv'"]),
        ("probes:\n  hate:\n    negation:\n      ms: a b", [":4: hate, negation, ms: expected a list"]),
        (
            "probes:\n  hate:\n    negation:\n      ms:\n        - a b\n        - {has: a b}\n"
            "        - {has: a b, lack: c}\n        - {has: a b, lacks: 7}\n        - {has: a b, lacks: A b}",
            [
                ":5: hate, negation, ms: a probe is a pair",
                ":6: hate, negation, ms: `lacks` is missing",
                ":7: hate, negation, ms: there is no field `lack`: did you mean 'lacks'?",
                ":8: hate, negation, ms: `lacks` is no text: put it in quotes",
                ":9: hate, negation, ms: both sentences are the same",
            ],
        ),
        (
            "probes:\n  hate:\n    negation:\n      ms:\n        - {has: a b, lacks: c d}\n"
            "        - {has: C d, lacks: e f}",
            [":6: hate, negation: a sentence repeats one of line 5"],
        ),
        (
            "built_in: maybe\nfunctions: {x: y}\nprobes: {}",
            [":1: `built_in` is true or false", ":2: function 'x' needs"],
        ),
    ],
)
def test_every_mistake_of_a_file_is_named_with_its_line(
    taxonomy: Taxonomy, tmp_path: Path, content: str, problems: Sequence[str]
) -> None:
    own = tmp_path / "probes.yaml"
    own.write_text(content, encoding="utf-8")
    with pytest.raises(ProbeError) as caught:
        load_probes(taxonomy, own)
    lines = caught.value.problems or (str(caught.value),)
    assert len(lines) == len(problems)
    for line, problem in zip(lines, problems, strict=True):
        assert line.startswith(f"{own}:")
        assert problem in line


def test_a_check_names_training_texts_that_repeat_a_sentence(
    taxonomy: Taxonomy, probes: ProbeSentences, tmp_path: Path
) -> None:
    data = tmp_path / "posts.jsonl"
    texts = ["roti canai banjir sedap betul", probes.pairs[3].lacks + "  !"]
    rows = [{"id": str(i), "text": text, "labels": ["hate"], "not_labels": []} for i, text in enumerate(texts)]
    data.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    checked = check_probes(Settings(home=tmp_path), taxonomy, None, [data])
    (repeat,) = checked.repeats
    assert (repeat.data, repeat.texts, repeat.label) == ("posts.jsonl", 1, probes.pairs[3].label)
    assert repeat.probe == f"pipeline/probes.yaml:{probes.pairs[3].line}"


def test_the_sign_test_and_its_adjustment() -> None:
    assert sign_test(0, 0) == 1
    assert sign_test(5, 0) == 1 / 32
    assert sign_test(8, 1) == 10 / 512
    # three tests that could come below the level, and two that could not
    assert adjusted([(7, 0), (6, 1), (8, 2), (1, 0), (3, 1)], 0.05) == pytest.approx(
        [3 / 128, 3 * 8 / 128, 3 * 56 / 1024, 1, 3 * 5 / 16]
    )
    assert adjusted([(5, 0), (1, 1), (0, 2)], 0.05) == [1 / 32, 0.75, 1]
    assert adjusted([], 0.05) == []


def test_all_answers_of_a_model_come_from_one_call(probes: ProbeSentences) -> None:
    known = model(probes, "a")
    tried = try_pairs(known, probes.of_labels([LABEL]))
    assert tried.right.all()
    assert tried.given.tolist() == [[True, False]] * len(tried.pairs)
    assert try_pairs(known, ()).right.shape == (0,)


def test_a_terminal_shows_the_pairs_that_turned_wrong_and_harsh_sentences_only_where_asked_to(
    probes: ProbeSentences, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    gate = judged(probes, tmp_path, lambda pair: pair.function == "negation").to_dict(NOW)
    sentence = "Disabled people do not belong in our office."
    say_changed_pairs(gate, reveal=False)
    hidden = capsys.readouterr().out
    assert "pairs turned wrong" in hidden
    assert sentence not in hidden
    say_changed_pairs(gate, reveal=True)
    assert sentence in capsys.readouterr().out
    say_changed_pairs({"probes": None}, reveal=True)
    assert capsys.readouterr().out == ""


def test_the_commands_name_mistakes_and_hide_harsh_sentences(tmp_path: Path) -> None:
    environment = {"SARING_HOME": str(tmp_path), "COLUMNS": "300"}
    shown = typed(environment, "probes", "list", "--label", "informative", "--function", "emoji")
    assert "Free flu jabs at the town hall" in shown.stdout
    hidden = typed(environment, "probes", "list", "--label", "hate", "--json")
    assert {pair["has"] for pair in json.loads(hidden.stdout)["pairs"]} == {None}
    (tmp_path / "probes.yaml").write_text("probes:\n  hate:\n    negaton: {}\n", encoding="utf-8")
    checked = typed(environment, "probes", "check")
    assert checked.returncode == 1
    assert f"{tmp_path}/probes.yaml:3: label 'hate': no function is called 'negaton'" in checked.stdout


def test_a_report_from_before_there_were_probes_can_still_be_written_on(probes: ProbeSentences, tmp_path: Path) -> None:
    write_gate(judged(probes, tmp_path, lambda _: False), tmp_path, now=NOW)
    path = tmp_path / "gate.json"
    older = json.loads(path.read_bytes())
    del older["probes"], older["margins"]["probes"]
    path.write_text(json.dumps(older), encoding="utf-8")
    page = note_by_hand(tmp_path, "sfw-new", "better on rojak", now=NOW).read_text(encoding="utf-8")
    assert "better on rojak" in page
    assert "Probe pairs" not in page
