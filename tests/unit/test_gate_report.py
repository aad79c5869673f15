"""What stays of a verdict in a model's folder, and what a model is said to take."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from pipeline.errors import InputError, ModelError, UsageError
from pipeline.learning.gate import cost
from pipeline.learning.gate.cost import measure_cost
from pipeline.learning.gate.decide import Contender, compare_with_champion
from pipeline.learning.gate.paired_comparison import compare_models
from pipeline.learning.gate.report import GateReport, Rows, note_by_hand, read_gate, write_gate
from pipeline.learning.gate.rules import Margins
from pipeline.learning.sets.examples import Examples, gather
from pipeline.ledger.test_set import FrozenTest
from pipeline.measure.arrays import Scores
from pipeline.models.artefact import TrainedModel
from pipeline.texts.labelled import LabelledText
from tests.support.trained import model_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
_SCRIPT = "<script>alert(1)</script>"


class Reader:
    """A classifier that reads the probability of each of its labels from the text."""

    backend = "linear"

    def __init__(self, name: str, labels: tuple[str, ...]) -> None:
        self.name, self.labels = name, labels

    def decisions(self, texts: Sequence[str]) -> Scores:
        said = [dict(word.split("=") for word in text.split() if "=" in word) for text in texts]
        p = np.array([[float(one[f"{self.name}.{label}"]) for label in self.labels] for one in said])
        return np.asarray(np.log(p / (1 - p)))

    def state(self) -> dict[str, Any]:
        return {}


def model(name: str, *labels: str) -> TrainedModel:
    return model_of(Reader(name, labels), f"sfw-{name}")


def examples() -> Examples:
    """Twelve texts on `hate` and `porn`; the new model is wrong about hate in one, and in one nobody knows."""
    rows = []
    for i in range(12):
        hate = i % 2 == 0
        old = 0.9 if hate else 0.1
        new = 0.2 if i in (0, 11) else old
        old = 0.8 if i == 11 else old
        rows.append(
            LabelledText(
                f"text {i} {_SCRIPT} old.hate={old} new.hate={new} old.porn={old} new.porn={old} new.racist={new}",
                id=str(i),
                labels=frozenset({"hate"} if hate and i != 4 else ()),
                not_labels=frozenset({"porn"} if i == 4 else {"porn"} if hate else {"hate"}),
                language="ms",
            )
        )
    return gather(rows, ("hate", "porn", "racist"))


def report(folder: Path, margins: Margins | None = None) -> GateReport:
    return compare_with_champion(
        Contender(model("old", "hate"), folder),
        Contender(model("new", "hate", "racist"), folder),
        examples(),
        Rows("the frozen test set", FrozenTest(3, "abc", 12), 12, left_out_as_learnt=2),
        margins or Margins(),
        seed=1,
    )


def test_both_files_hold_every_number_and_every_flip(tmp_path: Path) -> None:
    made = report(tmp_path)
    page = write_gate(made, tmp_path / "model", now=NOW)
    assert page == tmp_path / "model" / "gate.html"
    assert {path.name for path in page.parent.iterdir()} == {"gate.html", "gate.json"}
    gate = read_gate(page.parent)
    assert gate is not None
    assert gate["verdict"] == made.verdict.to_dict()
    assert gate["rows"] == {
        "origin": "the frozen test set",
        "test_set": {"version": 3, "hash": "abc", "rows": 12},
        "texts": 12,
        "left_out_as_learnt": 2,
    }
    assert gate["margins"]["recall"] == 0.05
    # what turned wrong comes first
    assert [(one["truth"], one["gained"], one["right"]) for one in gate["flips"]] == [
        (True, False, False),
        (False, False, True),
    ]
    assert [(one["champion"], one["challenger"]) for one in gate["flips"]] == [(0.9, 0.2), (0.8, 0.2)]
    html = page.read_text(encoding="utf-8")
    for check in made.verdict.checks:
        assert check.name in html
    for shown in ("sfw-new", "against sfw-old", "version 3 of 12 texts", "2 texts were left out", "1 turned wrong"):
        assert shown in html


def test_texts_are_escaped_and_blurred_and_nothing_is_fetched(tmp_path: Path) -> None:
    html = write_gate(report(tmp_path), tmp_path, now=NOW).read_text(encoding="utf-8")
    assert "&lt;script&gt;" in html
    assert "<script" not in html
    assert html.count('<span class="veil" tabindex="0">') == 2
    assert "default-src 'none'" in html
    assert "://" not in html


def test_a_promotion_by_hand_is_noted_and_stays_when_the_model_is_judged_again(tmp_path: Path) -> None:
    write_gate(report(tmp_path), tmp_path, now=NOW)
    page = note_by_hand(tmp_path, "sfw-new", f"better on {_SCRIPT}", now=NOW)
    assert "better on &lt;script&gt;" in page.read_text(encoding="utf-8")
    write_gate(report(tmp_path), tmp_path, now=NOW)
    note_by_hand(tmp_path, "sfw-new", "again", now=NOW)
    gate = read_gate(tmp_path)
    assert gate is not None
    assert [note["reason"] for note in gate["by_hand"]] == [f"better on {_SCRIPT}", "again"]
    assert gate["verdict"] == report(tmp_path).verdict.to_dict() | {"checks": gate["verdict"]["checks"]}


def test_a_model_that_was_never_judged_has_a_note_too(tmp_path: Path) -> None:
    page = note_by_hand(tmp_path, "sfw-new", "trained elsewhere", now=NOW)
    html = page.read_text(encoding="utf-8")
    assert "Not checked by the gate" in html
    assert "trained elsewhere" in html
    gate = read_gate(tmp_path)
    assert gate is not None
    assert gate["by_hand"][0]["gate"] == "never judged"


def test_the_first_model_and_one_without_a_shared_label_have_a_page(tmp_path: Path) -> None:
    newcomer = Contender(model("new", "hate"), tmp_path)
    rows = Rows("held out at this training", None, 12)
    first = compare_with_champion(None, newcomer, examples(), rows, Margins(), seed=1)
    assert first.verdict.passed
    assert "no champion before" in write_gate(first, tmp_path / "a", now=NOW).read_text(encoding="utf-8")
    stranger = Contender(model("old", "porn"), tmp_path)
    other = compare_with_champion(stranger, newcomer, examples(), rows, Margins(), seed=1)
    assert not other.verdict.passed
    assert "no label could be compared" in write_gate(other, tmp_path / "b", now=NOW).read_text(encoding="utf-8")


def test_a_label_that_only_the_champion_knows_is_named(tmp_path: Path) -> None:
    old, new = model("old", "hate", "porn"), model("new", "hate", "racist")
    rows = examples()
    assert compare_models(old, new, rows, rng=np.random.default_rng(0)).comparison.lost == ()
    # known well enough to be measured
    rows.truth[[1, 3], 1] = 1
    found = compare_models(old, new, rows, rng=np.random.default_rng(0))
    assert found.comparison.lost == ("porn",)
    assert list(found.comparison.labels) == ["hate"]


def test_flips_of_which_nobody_knows_are_counted(tmp_path: Path) -> None:
    rows = examples()
    rows.truth[0, 0] = -1
    found = compare_models(
        model("old", "hate", "porn"), model("new", "hate", "porn"), rows, rng=np.random.default_rng(0)
    )
    assert found.unknown_flips == 1
    assert [(flip.label, flip.gained, flip.right) for flip in found.flips] == [("hate", False, True)]


def test_models_that_share_no_label_cannot_be_compared() -> None:
    with pytest.raises(InputError, match="nothing to compare: no text has a yes or a no for a label that sfw-old"):
        compare_models(model("old", "hate"), model("x", "sexist"), examples(), rng=np.random.default_rng(0))


def test_a_report_that_cannot_be_read_or_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "gate.json").write_text("garbage")
    with pytest.raises(ModelError, match="this is not a report of the gate") as error:
        read_gate(tmp_path)
    assert "\n" not in str(error.value)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="the report cannot be written"):
        write_gate(report(tmp_path), tmp_path / "file" / "model", now=NOW)


def test_a_text_takes_the_least_of_its_times_and_reports_weigh_nothing(tmp_path: Path) -> None:
    (tmp_path / "model.skops").write_bytes(b"x" * 700)
    (tmp_path / "README.md").write_bytes(b"x" * 300)
    (tmp_path / "gate.html").write_bytes(b"x" * 9_000)
    # of three times the second is the least: 1 ms for the first text, 2 ms for the next
    clock = ticks([0.005, 0.001, 0.9, 0.004, 0.002, 0.003])
    texts = list(examples().texts[:2])
    found = measure_cost(model("old", "hate"), texts, tmp_path, beside=("gate.html",), clock=lambda: next(clock))
    assert found.texts == 2
    assert found.bytes == 1_000
    assert found.p50_ms == pytest.approx(1.5)
    assert found.p95_ms == pytest.approx(1.95)
    nothing = measure_cost(model("old", "hate"), [], tmp_path)
    assert (nothing.texts, nothing.p95_ms) == (0, 0)


def test_what_is_loaded_at_the_first_texts_is_not_timed(tmp_path: Path) -> None:
    timed, calls = [0.0], []

    class Loading:
        """Takes a minute until it was asked for eight texts at once, as an encoder does."""

        def probabilities(self, texts: Sequence[str]) -> None:
            calls.append(len(texts))
            timed[0] += 0.001 if max(calls) >= 8 else 60.0

    found = measure_cost(cast("TrainedModel", Loading()), ["satu", "dua"], tmp_path, clock=lambda: timed[0])
    assert found.p95_ms == pytest.approx(1)


def test_of_a_slow_model_fewer_texts_are_timed(tmp_path: Path) -> None:
    texts = [*examples().texts] * 10
    counted = []
    for seconds in (0.001, 0.02, 0.5):
        clock = ticks([seconds] * 400)
        found = measure_cost(model("old", "hate"), texts, tmp_path, clock=lambda clock=clock: next(clock))
        assert found.p95_ms == pytest.approx(1_000 * seconds)
        counted.append(found.texts)
    # all hundred; as many as two seconds allow; thirty, however slow they are
    assert counted == [100, 34, 30]


def test_waiting_for_a_processor_is_no_time_of_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = tmp_path / "schedstat"
    monkeypatch.setattr(cost, "_WAITED", counted)
    where_none_is_counted = cost.own_seconds()
    counted.write_text("7000000000 0 4\n")
    assert cost.own_seconds() >= where_none_is_counted
    counted.write_text("7000000000 3600000000000 4\n")
    assert where_none_is_counted - 3600 <= cost.own_seconds() < where_none_is_counted - 3000


def ticks(spans: Sequence[float]) -> Iterator[float]:
    now = 0.0
    for span in spans:
        yield now
        now += span
        yield now


def test_the_json_is_plain(tmp_path: Path) -> None:
    write_gate(report(tmp_path), tmp_path, now=NOW)
    gate = json.loads((tmp_path / "gate.json").read_bytes())
    assert gate["made_at"] == "2026-03-01T12:00:00+00:00"
    assert set(gate["costs"]) == {"challenger", "champion"}
