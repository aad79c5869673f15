"""`saring demo` as it is typed, and what can be done in the home that it leaves.

It runs twice in one home, since it takes minutes: first its machines' side alone, on which the tests in the first half
look, then all of it, with simulated volunteers in a real Label Studio, which the second half is about.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.settings import Settings
from pipeline.vectors import plane
from saring.cli.demo_words import goodbye, start_of
from saring.demo.loop import LoopResult
from saring.demo.volunteers import PERSONAS
from saring.services import stop_services
from sync.quality.agreement import LEAST_TEXTS
from tests.support.commands import refused
from tests.support.doc_reader import TYPED, DocReader
from tests.support.home import Demo, run_demo, run_short_demo

# two minutes, on a busy machine many
pytestmark = pytest.mark.timeout(1200)

Json = dict[str, Any]
#: tasks that each volunteer does at most: in the first round, and of the reviews
_EACH, _EACH_REVIEW = 54, 24


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """After the machines' side, with the servers running."""
    folder = Path(tempfile.mkdtemp(prefix="saring-test-", dir="/tmp"))
    home, own = folder / "demo", folder / "own"
    try:
        yield Demo(home, own, run_demo(home, own, "--no-people", "--keep"))
    finally:
        stop_services(Settings(home=home))
        shutil.rmtree(folder)


@dataclass(frozen=True, slots=True)
class Before:
    """What there was before the second run."""

    rows: dict[str, int]
    models: list[Json]


@pytest.fixture(scope="module")
def before(demo: Demo) -> Before:
    return Before(demo.rows(), demo.answer("models", "list")["models"])


@pytest.fixture(scope="module")
def again(demo: Demo, before: Before, label_studio: object) -> Json:
    """What the second run came to. `label_studio` is asked for so that it is installed before."""
    return run_short_demo(demo.home, demo.own, each=_EACH, each_review=_EACH_REVIEW)


@pytest.fixture(scope="module")
def loop(again: Json) -> Json:
    """What the people's side came to."""
    found: Json = again["loop"]
    return found


@pytest.mark.parametrize("what", ["exact duplicates", "near-duplicates", "broken rows"])
def test_every_planted_repeat_and_broken_row_is_caught(demo: Demo, what: str) -> None:
    caught, planted = demo.caught(what, "ingest")
    assert caught == planted > 10


def test_nearly_all_texts_in_other_languages_are_put_out_of_scope(demo: Demo) -> None:
    caught, planted = demo.caught("texts in other languages", "ingest")
    assert planted >= 60
    assert caught >= 0.9 * planted


def test_fewer_labels_are_wrong_after_the_filters(demo: Demo) -> None:
    shown = demo.result["filters"]
    assert 0.05 < shown["wrong_before"] < 0.2
    assert shown["wrong_after"] < 0.9 * shown["wrong_before"]
    assert shown["right_demoted"] < 0.1 * shown["right"]
    caught, planted = demo.caught("wrong labels", "both filters together")
    assert 0 < caught <= planted
    assert caught <= sum(demo.caught("wrong labels", by)[0] for by in ("centroid filter", "sentiment rules"))


def test_each_stage_says_what_it_took_and_gave(demo: Demo) -> None:
    stages = demo.result["stages"]
    assert [stage["stage"] for stage in stages] == [
        "ingest",
        "embed",
        "judge",
        "centroid filter",
        "sentiment rules",
        "pseudo-labels",
        "train",
    ]
    assert all(stage["given"] for stage in stages)
    ingested = demo.stage("ingest")
    parts = ("new", "exact_duplicates", "near_duplicates", "present")
    assert sum(ingested[part] for part in parts) + sum(ingested["rejected"].values()) == ingested["rows"]


def test_the_demo_leaves_a_page_and_a_model_with_its_card(demo: Demo) -> None:
    page, card = (Path(demo.result["paths"][what]) for what in ("filter page", "model card"))
    assert "<html" in page.read_text(encoding="utf-8")[:200]
    version = demo.stage("train")["model"]
    assert card.parent == demo.home / "models" / version
    assert version in card.read_text(encoding="utf-8")
    assert {"model.skops", "model.json", "precision-recall.png"} <= {path.name for path in card.parent.iterdir()}


def test_the_demo_keeps_to_its_own_home_and_store(demo: Demo) -> None:
    assert not demo.own.exists()
    assert (demo.home / "models").is_dir()
    assert demo.rows()["text"] > 1_000


def test_the_model_serves_as_champion(demo: Demo) -> None:
    version = demo.stage("train")["model"]
    [champion] = [model for model in demo.answer("models", "list")["models"] if model["state"] == "champion"]
    assert (champion["version"], champion["purpose"]) == (version, "sfw")
    assert champion["reason"].endswith("the first model of its purpose")
    assert (
        champion["macro_average_precision"]["value"]
        == demo.stage("train")["metrics"]["macro_average_precision"]["value"]
    )
    shown = demo.run("models", "list")
    assert shown.returncode == 0
    assert version in shown.stdout


def test_a_model_is_shown_by_the_beginning_of_its_name(demo: Demo) -> None:
    version = demo.stage("train")["model"]
    shown = demo.run("models", "show", version[:-4])
    assert shown.returncode == 0, shown.stderr
    folder = demo.home / "models" / version
    assert shown.stdout.startswith((folder / "README.md").read_text(encoding="utf-8").strip())
    assert shown.stdout.rstrip().endswith(f"gate report: {folder / 'gate.html'}")
    assert demo.answer("models", "show", version)["version"] == version
    assert "no model 'nothing'" in refused(demo.run("models", "show", "nothing"), 1)


def test_the_first_champion_cannot_be_rolled_back(demo: Demo) -> None:
    said = refused(demo.run("models", "rollback", "--reason", "why not"), 1)
    assert "is the first champion of 'labels'" in said
    assert "has no champion" in refused(demo.run("models", "rollback", "--reason", "x", "--purpose", "none"), 1)
    [champion] = [model for model in demo.answer("models", "list")["models"] if model["state"] == "champion"]
    assert champion["version"] == demo.stage("train")["model"]


def test_predict_takes_the_champion_and_says_so(demo: Demo) -> None:
    texts = ["Bekalan air akan terputus malam ini di Gombak.", "bodoh gila kau ni, muka macam babi"]
    done = demo.run("predict", given="".join(json.dumps({"id": str(i), "text": t}) + "\n" for i, t in enumerate(texts)))
    assert done.returncode == 0, done.stderr
    assert done.stderr.split() == ["using", "the", "champion,", demo.stage("train")["model"]]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["id"] for row in rows] == ["0", "1"]
    assert all(row["text"] == text for row, text in zip(rows, texts, strict=True))


def test_status_shows_what_the_demo_stored(demo: Demo) -> None:
    shown = demo.run("status")
    assert shown.returncode == 0
    rows = dict(line.split() for line in shown.stdout.splitlines() if len(line.split()) == 2)
    assert rows["text"].replace(",", "") == str(demo.rows()["text"])
    assert {"judgement", "filter_decision", "model"} <= set(rows)


def test_an_unknown_label_is_named_with_those_there_are(demo: Demo) -> None:
    for command in ("filter", "pseudolabel"):
        said = refused(demo.run(command, "--label", "kebahagiaan"), 2)
        assert "'kebahagiaan'" in said
        assert "safe for work" in said


def test_a_mapping_to_an_unknown_label_is_one_line(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text("values: {joy: {assert: [happiness]}}\n", encoding="utf-8")
    (tmp_path / "rows.jsonl").write_text('{"id": "1", "text": "gembira betul hari ni", "class": "joy"}\n')
    before = demo.rows()
    files = [str(tmp_path / "rows.jsonl"), "--map", str(tmp_path / "map.yaml")]
    said = refused(demo.run("import", *files, "--source", "s", "--labels-field", "class"), 2)
    assert "'happiness' is not a label of the taxonomy" in said
    assert demo.rows() == before


def test_every_correction_comes_home_once(loop: Json) -> None:
    assert loop["annotated"] == loop["home"] > 150
    assert loop["repaired"] == 0


def test_the_first_round_comes_home_by_webhooks_alone(loop: Json) -> None:
    first = sum(one["submitted"] + one["undecided"] for one in loop["volunteers"])
    assert 150 < loop["home_by_webhook"] <= first


def test_the_careless_volunteer_alone_is_flagged_and_excluded(loop: Json) -> None:
    [careless] = [str(one["user"]) for one in loop["volunteers"] if one["careless"]]
    assert loop["excluded"] == [careless]
    assert len(loop["volunteers"]) == len(PERSONAS)
    told = {one["rater"]: one["excluded"] for one in loop["quality"]["raters"]}
    assert [rater for rater, why in told.items() if why] == [careless]


def test_what_only_the_excluded_did_goes_to_others(loop: Json) -> None:
    assert loop["reviews"] > 0
    careless = next(one for one in loop["volunteers"] if one["careless"])
    others = [one for one in loop["volunteers"] if not one["careless"]]
    assert max(one["submitted"] for one in others) > careless["submitted"]


def test_agreement_is_given_on_texts_that_a_coin_chose(loop: Json) -> None:
    fair = loop["quality"]["fair_agreement"]
    # it differs from run to run how many of them have two answers of people who are not excluded
    assert fair["texts"] >= 1
    if fair["texts"] < LEAST_TEXTS:
        assert fair["overall"] is None, "of so few no figure is given"
    else:
        assert -1 <= fair["overall"]["low"] <= fair["overall"]["value"] <= fair["overall"]["high"] <= 1


def test_texts_become_gold(loop: Json) -> None:
    assert loop["tiers_after"]["gold"] >= loop["tiers_before"]["gold"] + 80


def test_both_models_are_measured_on_the_same_texts_with_intervals(loop: Json) -> None:
    before, after = loop["before"], loop["after"]
    assert before["model"] != after["model"]
    assert before["texts"] == after["texts"] > 200
    for one in (before, after):
        found = one["macro_average_precision"]
        assert 0.5 < found["low"] < found["value"] < found["high"] < 1
    # the gate compares them on texts of its own
    compared = (
        r"on [\d,]+ test texts it scores (0\.\d{3}) and the champion (0\.\d{3}) "
        r"\(macro average precision of (\d+) labels;"
    )
    found = re.search(compared, loop["verdict"])
    assert found is not None
    assert int(found[3]) > 5
    assert min(float(found[1]), float(found[2])) > 0.5


def test_it_says_where_to_look_and_leaves_nothing_running(loop: Json, demo: Demo) -> None:
    assert loop["project_url"].startswith(loop["url"] + "/projects/")
    password = Path(loop["password_file"])
    assert json.loads(password.read_text())["email"] == loop["email"]
    assert password.stat().st_mode & 0o077 == 0
    services = demo.answer("status")["services"]
    assert [one["name"] for one in services if one["state"] == "ready"] == []


def test_the_machines_do_nothing_twice(demo: Demo, before: Before, again: Json) -> None:
    # starts the store
    models = demo.answer("models", "list")["models"]
    after, loop = demo.rows(), again["loop"]
    same = ("text", "filter_decision")
    assert {name: after[name] for name in same} == {name: before.rows[name] for name in same}
    # what is new, people brought: their answers, themselves, and what was learnt from them
    people = {"judgement": loop["home"], "rater": len(PERSONAS), "snapshot": 1, "model": 1}
    assert {name: after[name] - before.rows[name] for name in people} == people
    [new] = [model for model in models if model["version"] not in [one["version"] for one in before.models]]
    assert new["version"] == loop["after"]["model"]
    assert loop["before"]["model"] == demo.stage("train")["model"]
    assert again["caught"] == demo.result["caught"]
    assert again["filters"] == demo.result["filters"]
    stages = {stage["stage"]: stage["details"] for stage in again["stages"]}
    assert stages["ingest"]["new"] == 0
    assert stages["train"]["model"] == demo.stage("train")["model"]


def test_the_verdict_is_noted_with_the_new_model_which_serves_only_if_it_passed(demo: Demo, loop: Json) -> None:
    models = demo.answer("models", "list")["models"]
    [champion] = [model["version"] for model in models if model["state"] == "champion"]
    [new] = [model for model in models if model["version"] == loop["after"]["model"]]
    passed = champion == new["version"]
    assert passed or champion == loop["before"]["model"]
    assert new["state"] == ("champion" if passed else "rejected")
    assert new["reason"].endswith(f": {loop['verdict']}")
    assert bool(loop["predicted_anew"]) is passed


def test_the_commands_that_it_ends_with_work_as_printed(demo: Demo, loop: Json) -> None:
    """Typed into a shell by somebody with settings of their own."""
    theirs = os.environ | {"SARING_HOME": str(demo.own), "SARING_TAXONOMY": "mine.yaml"}
    lines = goodbye(start_of(demo.home, theirs), LoopResult(**loop), keep=True)
    printed = {word: line.strip() for line in lines for word in ("quality", "why") if f" sync {word}" in line}
    for word, shown in (("quality", "volunteer"), ("why", str(loop["example_task"]))):
        done = subprocess.run(printed[word], shell=True, env=theirs, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert shown in done.stdout
        assert "ticked: nothing" not in done.stdout


@pytest.fixture(scope="module")
def reader(demo: Demo, loop: Json, tmp_path_factory: pytest.TempPathFactory) -> DocReader:
    """Somebody who types what the docs say into the home of the demo, with words of their own."""
    folder = tmp_path_factory.mktemp("reader")
    lines = Path(demo.result["paths"]["input"], "human.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    for name in ("labelled.jsonl", "reviewed.jsonl"):
        (folder / name).write_text("".join(lines), encoding="utf-8")
    for number, name in enumerate(("held-out.jsonl", "more.jsonl")):
        # enough to compare models on, and few to compute vectors of
        (folder / name).write_text("".join(lines[number::8]), encoding="utf-8")
    demo.answer("users", "add", "aina", "--role", "reviewer")
    older, newer = loop["before"]["model"], loop["after"]["model"]

    def waiting(*words: str) -> str:
        return str(demo.answer("queue", "show", *words)["items"][-1]["text_id"])

    return DocReader(
        folder,
        {"SARING_HOME": str(demo.home), "COLUMNS": "200"},
        {
            ("", "VERSION"): lambda: newer,
            ("", "A"): lambda: older,
            ("", "B"): lambda: newer,
            ("", "TEXT_ID"): waiting,
            ("", "OTHER_ID"): lambda: str(demo.answer("queue", "show")["items"][0]["text_id"]),
            ("", "1234"): lambda: str(loop["example_task"]),
            ("", "/mnt/backups/"): lambda: f"{folder}/backups/",
            ("", "/mnt/backups/saring-20260102T030405Z.tar.zst"): lambda: str(next(folder.glob("backups/*"))),
            ("", "1f2e3d4c5b6a7988"): lambda: str(demo.answer("taxonomy", "versions")["versions"][0]["version"]),
            ("saring runs", "12"): lambda: str(demo.answer("runs", "list")["runs"][0]["id"]),
            ("saring raters", "gpt-oss"): lambda: "bootstrap",
            ("saring sync quality --project", "12"): lambda: loop["project_url"].rpartition("/")[2],
        },
    )


@pytest.mark.parametrize(("page", "heading", "without"), TYPED)
def test_what_the_docs_say_can_be_typed(
    reader: DocReader, monkeypatch: pytest.MonkeyPatch, page: str, heading: str, without: tuple[str, ...]
) -> None:
    # UMAP is not compiled in tests (see conftest), and takes minutes for the texts of the demo then
    monkeypatch.setattr(plane, "_LEAST", 10_000)
    assert reader.types(f"docs/{page}", heading, without) == []
