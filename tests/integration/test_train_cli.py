"""`saring train`, `evaluate` and `predict` on files, as they are typed. No store is started.

What has to be a process of its own is one; the rest runs in this one, because a process takes seconds to begin.
"""

from __future__ import annotations

import csv
import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from saring.cli import main

_ROOT = Path(__file__).resolve().parents[2]
#: in these sentences each label goes with a harmless word of its own
_RULE = {"hate": "durian", "violence": "ribut", "informative": "kopitiam"}
_PROSE = (
    "semalam kami pergi kedai kawan baru jalan jauh pagi petang rumah besar kecil baik cantik murah lambat cepat "
    "ramai budak sekolah cikgu bas kereta motor laut bukit pulau kampung bandar cerita lagu filem buku main bola"
)
_FILLER = _PROSE.split()

Row = dict[str, Any]
Done = subprocess.CompletedProcess[str]
Typed = Callable[..., Done]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two labelled files, and the home in which the commands are run."""
    folder = tmp_path_factory.mktemp("train")
    rows = sentences(400)
    write(folder / "one.jsonl", rows[:250])
    write(folder / "two.jsonl", [*rows[250:], {"text": "cuma iklan", "labels": ["spam"]}, {"text": 5}])
    return folder


@pytest.fixture(scope="module")
def trained(folder: Path) -> Row:
    """What `saring train` printed, with its standard error."""
    files = [str(folder / name) for name in ("one.jsonl", "two.jsonl")]
    done = saring(folder, "train", "--data", *files, "--without", "noisy", "--json")
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout), "stdout": done.stdout, "stderr": done.stderr}


@pytest.fixture
def typed(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Run a command in this process, with the home of the trained model."""
    monkeypatch.setenv("SARING_HOME", str(folder / "home"))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str, stdin: str = "") -> Done:
        monkeypatch.setattr(sys, "argv", ["saring", *words])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        return Done(words, int(ended.value.code or 0), shown.out, shown.err)

    return run


def test_train_prints_the_model_its_path_and_its_metrics_and_nothing_else(trained: Row) -> None:
    assert trained["stdout"].count("\n") == 1
    path = Path(trained["path"])
    assert path.name == trained["model"]
    assert trained["model"].startswith("sfw-linear-")
    metrics = trained["metrics"]
    assert set(metrics["labels"]) == set(_RULE)
    for found in metrics["labels"].values():
        estimate = found["average_precision"]
        assert estimate["low"] <= estimate["value"] <= estimate["high"]
        assert estimate["value"] > 0.95
    assert metrics["macro_average_precision"]["value"] > 0.95
    assert trained["splits"]["train"] > trained["splits"]["test"] > 0


def test_the_model_is_in_the_home_with_its_card_and_plots(trained: Row, folder: Path) -> None:
    path = Path(trained["path"])
    assert path.parent == folder / "home" / "models"
    names = {"model.skops", "model.json", "README.md", "precision-recall.png", "reliability.png", "scores.npz"}
    assert {child.name for child in path.iterdir()} == names
    card = (path / "README.md").read_text()
    assert "Left out on request: noisy." in card
    assert "| good |" in card
    assert str(folder) not in card + (path / "model.json").read_text()


def test_every_file_after_data_is_read_and_sources_can_be_left_out(trained: Row) -> None:
    data = trained["data"]
    assert data["files"] == ["one.jsonl", "two.jsonl"]
    assert data["excluded"] == ["noisy"]
    assert data["sources"] == {"good": 300, "unnamed": 1}
    assert data["texts"] == 300


def test_what_was_not_used_is_said(trained: Row) -> None:
    assert trained["data"]["labels_outside_taxonomy"] == {"spam": 1}
    assert trained["data"]["rejected"] == {"missing field": 1}
    assert "left out, labels not in the taxonomy: spam (1 row)" in trained["stderr"]
    assert "rows left out: 1 missing field" in trained["stderr"]


def test_train_shows_people_a_table(folder: Path, tmp_path: Path, typed: Typed) -> None:
    done = typed("train", "--data", str(folder / "one.jsonl"), "--out", str(tmp_path), "--objective", "recall=.9")
    assert done.returncode == 0, done.stderr
    assert "average precision" in done.stdout
    assert all(label in done.stdout for label in _RULE)
    [model] = tmp_path.iterdir()
    assert f"card and plots: {model / 'README.md'}" in done.stdout
    assert json.loads((model / "model.json").read_bytes())["objective"] == "recall=0.9"


def test_evaluate_measures_the_newest_model_or_the_named_one(
    trained: Row, folder: Path, tmp_path: Path, typed: Typed
) -> None:
    path = write(tmp_path / "held-out.jsonl", sentences(120, seed=2, split="test") + sentences(50, seed=3, split="dev"))
    newest = saring(folder, "evaluate", str(path), "--json")
    assert newest.returncode == 0, newest.stderr
    assert f"using the newest model, {trained['model']}" in " ".join(newest.stderr.split())
    found = json.loads(newest.stdout)
    assert found["model"] == trained["model"]
    assert found["files"] == [str(path)]
    assert found["metrics"]["texts"] > 160
    assert found["metrics"]["macro_f1"]["value"] > 0.9

    for name in (trained["model"], trained["model"][:-2], trained["path"]):
        named = typed("evaluate", str(path), "--model", name, "--json")
        assert json.loads(named.stdout) == found
        assert named.stderr == ""

    one_split = typed("evaluate", str(path), "--split", "test", "--json", "--card", str(tmp_path / "card"))
    assert json.loads(one_split.stdout)["metrics"]["texts"] < 121
    assert "texts that were given to `saring evaluate`" in (tmp_path / "card" / "README.md").read_text()


def test_predict_keeps_order_and_fields_and_adds_scores_labels_and_model(
    trained: Row, folder: Path, tmp_path: Path, typed: Typed
) -> None:
    rows: list[Row] = [
        {"id": "a", "text": "semalam durian murah", "likes": 3, "user": {"name": "x"}, "lang": "ms"},
        {"id": 0, "text": "kopitiam dan ribut", "labels": ["hate"], "not_labels": ["porn"], "source": "set"},
        {"text": "hubungi ali@example.com", "split": "test", "sentiment": "neutral"},
        {"id": "d", "text": "bas lambat lagi"},
    ]
    path = write(tmp_path / "posts.jsonl", [rows[0], rows[1], {"no": "text"}, *rows[2:]])
    done = typed("predict", str(path), "--model", trained["model"])
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found.pop(2) == {"no": "text", "id": f"{path}:3", "error": "missing field", "model": trained["model"]}
    assert [row["text"] for row in found] == [row["text"] for row in rows]
    assert [row["id"] for row in found] == ["a", "0", f"{path}:4", "d"]
    assert [row["labels"] for row in found] == [["hate"], ["violence", "informative"], [], []]
    assert "rows with an error and no labels: 1 missing field" in done.stderr
    for row, given in zip(found, rows, strict=True):
        for name in set(given) - {"id", "labels", "not_labels"}:
            assert row[name] == given[name]
        assert "not_labels" not in row
        assert row["model"] == trained["model"]
        assert set(row["scores"]) == set(_RULE)
        assert all(0 < p < 1 for p in row["scores"].values())

    piped = saring(folder, "predict", "-", "--model", trained["model"], stdin=path.read_text())
    assert piped.returncode == 0, piped.stderr
    by_pipe = [json.loads(line) for line in piped.stdout.splitlines()]
    assert by_pipe.pop(2)["error"] == "missing field"
    assert [row["scores"] for row in by_pipe] == [row["scores"] for row in found]
    assert by_pipe[2]["id"] == "standard input:4"

    into = typed("predict", str(path), "--model", trained["model"], "--out", str(tmp_path / "out.jsonl"))
    assert into.stdout == ""
    assert "out.jsonl: 5 rows, 4 of them with a prediction" in into.stderr
    assert (tmp_path / "out.jsonl").read_text() == done.stdout


def test_labels_are_read_from_the_field_that_is_named_and_exclude_each_other(
    trained: Row, tmp_path: Path, typed: Typed
) -> None:
    rows = [
        {"text": row["text"], "kelas": "Hate" if "hate" in row["labels"] else "Selamat untuk kerja"}
        for row in sentences(120)
    ]
    path = write(tmp_path / "rows.jsonl", rows)
    for words in (("train", "--data", str(path)), ("evaluate", str(path), "--model", trained["model"])):
        lost = typed(*words)
        assert lost.returncode == 1
        assert "there is no field 'labels'; there are 'text', 'kelas': name the one" in lost.stderr
    done = typed("train", "--data", str(path), "--labels-field", "kelas", "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert set(made["metrics"]["labels"]) == {"hate", "safe for work"}
    measured = typed("evaluate", str(path), "--model", made["model"], "--labels-field", "kelas", "--json")
    found = json.loads(measured.stdout)
    assert found["metrics"]["texts"] == 120
    assert found["learnt"] == made["splits"]["train"]
    assert typed("train", "--labels-field", "kelas").returncode == 2


def test_predict_of_nothing_is_nothing(trained: Row, typed: Typed) -> None:
    done = typed("predict", "-", "--model", trained["model"], stdin="\n\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "words",
    [
        ("train", "FILE"),
        ("train", "--data", "FILE", "--objective", "accuracy"),
        ("train", "--data", "FILE", "--backend", "quantum"),
        ("train", "--data"),
        ("train", "--epochs", "3"),
        ("evaluate",),
        ("evaluate", "FILE", "--split", "gold"),
        ("predict", "FILE", "FILE"),
    ],
)
def test_wrong_usage_is_exit_2(folder: Path, words: Sequence[str], typed: Typed) -> None:
    done = typed(*(str(folder / "one.jsonl") if word == "FILE" else word for word in words))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_what_cannot_be_read_is_one_line_and_exit_1(trained: Row, folder: Path, tmp_path: Path, typed: Typed) -> None:
    (tmp_path / "empty.jsonl").touch()
    write(tmp_path / "few.jsonl", sentences(4))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text("garbage")
    good, model = str(folder / "one.jsonl"), trained["model"]
    none, empty, few = (str(tmp_path / f"{name}.jsonl") for name in ("none", "empty", "few"))
    for words, message in (
        (("train", "--data", none), "no such file"),
        (("train", "--data", empty), "no row has a label of the taxonomy"),
        (("train", "--data", few), "no label can be learnt"),
        (("train", "--data", str(tmp_path)), "the name does not show the format"),
        (("evaluate", none, "--model", model), "no such file"),
        (("evaluate", empty, "--model", model), "nothing to measure"),
        (("evaluate", good, "--model", "sfw-none"), "no model 'sfw-none'"),
        (("evaluate", good, "--model", str(tmp_path)), "no model"),
        (("predict", none, "--model", model), "no such file"),
        (("predict", good, "--model", str(tmp_path / "model")), "not the manifest of a model"),
        (("predict", good, "--model", good), "no model"),
    ):
        done = typed(*words)
        assert done.returncode == 1, words
        assert done.stdout == ""
        [line] = done.stderr.strip().splitlines()
        assert line.startswith("saring: ")
        assert message in line


def test_a_model_that_was_tampered_with_is_refused(trained: Row, folder: Path, tmp_path: Path, typed: Typed) -> None:
    for path in Path(trained["path"]).iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    arrays = bytearray((tmp_path / "model.skops").read_bytes())
    arrays[len(arrays) // 2] ^= 1
    (tmp_path / "model.skops").write_bytes(arrays)
    done = typed("predict", str(folder / "one.jsonl"), "--model", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "changed since it was trained" in done.stderr


def test_in_a_new_home_there_is_no_model_yet(tmp_path: Path) -> None:
    done = saring(tmp_path, "predict", "-", stdin='{"text": "apa khabar"}\n')
    assert (done.returncode, done.stdout) == (1, "")
    assert "train one with `saring train --data FILE`" in done.stderr
    assert not (tmp_path / "home").exists()


def test_each_command_explains_itself_with_an_example(tmp_path: Path, typed: Typed) -> None:
    for command in ("train", "evaluate", "predict"):
        assert f"Example: saring {command}" in typed(command, "--help").stdout


def saring(folder: Path, *words: str, stdin: str = "") -> Done:
    command = [sys.executable, "-c", "from saring.cli import main; main()", *words]
    environment = os.environ | {"PYTHONPATH": str(_ROOT), "COLUMNS": "200", "SARING_HOME": str(folder / "home")}
    return subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, input=stdin)


def sentences(count: int, seed: int = 1, split: str | None = None) -> list[Row]:
    """Sentences that obey the rule; of each label a fifth is unknown, and every fourth source is noisy."""
    return list(_sentences(random.Random(seed), count, split))


def _sentences(rng: random.Random, count: int, split: str | None) -> Iterator[Row]:
    for i in range(count):
        words = [rng.choice(_FILLER) for _ in range(12)]
        row: Row = {"id": str(i), "labels": [], "not_labels": [], "source": "noisy" if i % 4 == 3 else "good"}
        for label, word in _RULE.items():
            if holds := rng.random() < 0.3:
                words.insert(rng.randrange(12), word)
            # of the first label something is always known, so that no row says nothing
            if label == "hate" or rng.random() >= 0.2:
                row["labels" if holds else "not_labels"].append(label)
        yield {"text": " ".join(words), **row} | ({"split": split} if split else {})


def write(path: Path, rows: Sequence[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_file_whose_texts_are_elsewhere_is_an_error_that_names_its_fields(
    trained: Row, typed: Typed, tmp_path: Path
) -> None:
    path = write(tmp_path / "posts.jsonl", [{"Teks": "durian", "No": 1}, {"Teks": "ribut", "No": 2}])
    done = typed("predict", str(path), "--model", trained["model"])
    assert done.returncode == 1
    assert f"saring: {path}: no row has the field 'text'; its fields are Teks, No: name" in done.stderr
    assert "--text-field" in done.stderr
    assert typed("predict", str(path), "--model", trained["model"], "--text-field", "Teks").returncode == 0


def test_labels_that_are_never_given_and_figures_from_few_texts_are_told(typed: Typed, tmp_path: Path) -> None:
    rows = [*sentences(120, seed=5, split="train"), *sentences(12, seed=6, split="test")]
    # Whoever labelled dev understood `hate` the other way round, so nothing can be chosen on it.
    for row in sentences(30, seed=7, split="dev"):
        turned = {"labels": "not_labels", "not_labels": "labels"}
        new = {name: [label for label in row[name] if label != "hate"] for name in turned}
        for name, other in turned.items():
            new[other] += [label for label in row[name] if label == "hate"]
        rows.append(row | new)
    path = write(tmp_path / "rows.jsonl", rows)
    done = typed("train", "--data", str(path), "--out", str(tmp_path / "models"))
    assert done.returncode == 0, done.stderr
    assert "never given: hate (" in done.stdout
    assert "never given: violence" not in done.stdout
    assert "a figure from fewer than 10 held-out texts with the label, or without it, can be far off" in done.stdout


def test_labels_that_are_denied_only_where_no_label_is_are_told(typed: Typed, tmp_path: Path) -> None:
    def told(rows: list[dict[str, Any]]) -> str:
        path = write(tmp_path / "rows.jsonl", rows)
        done = typed("train", "--data", str(path), "--out", str(tmp_path / "models"))
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    rows = sentences(160, seed=5)
    assert "denied only in texts without any label" not in told(rows)
    # of texts with a label, nothing is said but that
    few = [row | {"not_labels": [] if row["labels"] else row["not_labels"]} for row in rows]
    said = "denied only in texts without any label: hate, violence, informative (the figures are too good"
    assert said in told(few)


def test_a_table_is_predicted_into_a_table(typed: Typed, trained: Row, tmp_path: Path) -> None:
    given, scored = tmp_path / "new.csv", tmp_path / "scored.csv"
    given.write_text("No;Aduan\n1;durian lagi pagi ni\n2;\n", encoding="utf-8")
    done = typed("predict", str(given), "--text-field", "Aduan", "--model", trained["model"], "--out", str(scored))
    assert done.returncode == 0, done.stderr
    assert scored.read_bytes().startswith(b"\xef\xbb\xbf")
    with scored.open(encoding="utf-8-sig", newline="") as table:
        [one, two] = csv.DictReader(table)
    assert (one["No"], one["Aduan"], one["error"]) == ("1", "durian lagi pagi ni", "")
    assert "hate" in one["labels"].split("; ")
    assert float(one["score hate"]) > 0.5
    assert (two["No"], two["labels"], two["error"]) == ("2", "", "empty text")
