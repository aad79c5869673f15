"""A data set leaves the store as far as licences let it, and others read it without Saring."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from huggingface_hub import DatasetCard
from pyarrow.parquet import read_table
from sqlalchemy import Engine, update

from pipeline import store
from pipeline.errors import InputError, UsageError
from pipeline.judgement import RaterKind, RaterRef
from pipeline.learning.sets.balance import Balance
from pipeline.learning.sets.snapshot import SnapshotPolicy, take_snapshot
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.raters.imported import import_labelled
from pipeline.raters.mapping import load_mapping
from pipeline.sharing.dataset_export import ExportReport, export_dataset
from pipeline.sharing.dataset_push import check_folder
from pipeline.sharing.sources import set_source
from pipeline.store import open_session
from pipeline.taxonomy import Taxonomy, load_taxonomy
from pipeline.texts.ingest import SourceInfo
from pipeline.texts.normalise import text_id
from tests.support.hub_server import OWNER, WRITER, HubStub
from tests.support.plain_environment import PlainEnvironment

_KEY = b"k" * 32
_VOLUNTEER = RaterRef(RaterKind.HUMAN, "label-studio", "17")
_WORDS = tuple(
    """durian kerusi payung basikal lampu tikar pinggan jendela kasut gitar pagi petang kedai jalan sekolah hujan panas
    kereta rumah kawan jiran pasar ikan ayam nasi roti kopi bola gol pasukan lagu filem cerita guru murid buku
    harga""".split()  # noqa: SIM905
)
#: what a stranger does with an export; all rows of all splits
_LOAD = """
import json, sys
from datasets import load_dataset
data = load_dataset(sys.argv[1])
print(json.dumps({"rows": {split: list(rows) for split, rows in data.items()}}))
"""


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return load_taxonomy()


class Desk:
    """A store that data sets are imported into, and exported from."""

    def __init__(self, engine: Engine, taxonomy: Taxonomy, folder: Path) -> None:
        self.engine, self.taxonomy, self.folder = engine, taxonomy, folder
        self.out = folder / "out"

    def bring(self, source: str, licence: str | None, rows: Sequence[Mapping[str, object]], **rater: str) -> None:
        """Import a data set."""
        path = self.folder / f"{source}.jsonl"
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        who = RaterRef(RaterKind.EXTERNAL, source) if not rater else RaterRef(RaterKind(rater["kind"]), rater["name"])
        meaning = load_mapping(None, self.taxonomy, "labels")
        import_labelled(
            self.engine, [str(path)], SourceInfo(source, licence), meaning, who, languages=("ms", "id", "en")
        )

    def say(self, who: RaterRef, texts: Iterable[str], asserted: set[str], denied: set[str]) -> None:
        """Somebody judges texts that are there."""
        said = [NewJudgement(text_id(text), frozenset(asserted), frozenset(denied)) for text in texts]
        with open_session(self.engine) as session, session.begin():
            record(session, rater_id(session, who), said, taxonomy_version=self.taxonomy.version)

    def freeze(self) -> None:
        """Make the frozen test set, as training does."""
        with open_session(self.engine) as session, session.begin():
            take_snapshot(session, self.taxonomy, SnapshotPolicy(), self.folder / "snapshots")

    def export(self, out: Path | None = None, **more: Any) -> ExportReport:
        return export_dataset(self.engine, self.taxonomy, out or self.out, key=_KEY, **more)

    def rows(self, out: Path | None = None) -> dict[str, dict[str, Any]]:
        """What an export holds, by text."""

        return {
            row["text"]: row
            for file in sorted((out or self.out).glob("data/*"))
            for row in read_table(file).to_pylist()
        }


@pytest.fixture
def desk(engine: Engine, taxonomy: Taxonomy, tmp_path: Path) -> Desk:
    return Desk(engine, taxonomy, tmp_path)


def text(number: int) -> str:
    """A text that is like no other: the numeral alone would not make it so."""
    return "semalam " + " ".join(random.Random(number).sample(_WORDS, 10)) + f" {number}"


def rows(
    numbers: Iterable[int], *labels: str, split: str | None = None, denied: Sequence[str] = ()
) -> list[dict[str, Any]]:
    return [
        {"id": f"r{i}", "text": text(i), "labels": list(labels), "not_labels": list(denied), "split": split}
        for i in numbers
    ]


def test_a_stranger_loads_tiers_raters_and_splits(desk: Desk, tmp_path: Path) -> None:
    for split, numbers in (("train", range(40)), ("dev", range(40, 60)), ("test", range(60, 80))):
        desk.bring(f"open-{split}", "CC-BY-4.0", rows(numbers, "hate", split=split, denied=["porn"]))
    desk.say(_VOLUNTEER, [text(0)], {"hate", "racist"}, set())
    desk.say(RaterRef(RaterKind.PSEUDO, "pseudo:violence", "ab12"), [text(1)], {"violence"}, set())
    desk.freeze()
    report = desk.export(rows_per_shard=15)
    loaded = PlainEnvironment(tmp_path / "plain").run(_LOAD, str(desk.out))["rows"]
    assert {split: len(found) for split, found in loaded.items()} == {"train": 40, "dev": 20, "test": 20}
    assert report.counts["splits"] == {"test": 20, "dev": 20, "train": 40}
    assert sum("train" in name for name in report.files) == 3
    train = {row["text"]: row for row in loaded["train"]}
    first = train[text(0)]
    assert (first["tier"], first["sources"], first["licences"]) == ("gold", ["open-train"], ["CC-BY-4.0"])
    assert first["labels"] == ["hate", "racist"]
    assert first["taxonomy_version"] == desk.taxonomy.version
    by_label = {decision["label"]: decision for decision in first["decisions"]}
    [person] = by_label["racist"]["raters"]
    assert person["kind"] == "human"
    assert person["name"].startswith("person-")
    assert by_label["porn"]["raters"] == [{"kind": "external", "name": "open-train"}]
    assert (by_label["porn"]["value"], by_label["porn"]["tier"]) == (False, "silver")
    pseudo = {decision["label"]: decision["tier"] for decision in train[text(1)]["decisions"]}
    assert pseudo["violence"] == "pseudo"
    assert "violence" in train[text(1)]["labels"]


def test_only_what_licences_allow_is_shared_and_the_rest_is_told(desk: Desk) -> None:
    desk.bring("open", "CC0-1.0", rows(range(5), "hate"))
    desk.bring("nc", "CC BY-NC 4.0", rows(range(10, 13), "hate"))
    desk.bring("silent", None, rows(range(20, 24), "hate"))
    desk.bring("nd", "CC-BY-ND-4.0", rows(range(30, 31), "hate"))
    report = desk.export()
    assert set(desk.rows()) == {text(i) for i in range(5)}
    told = {one.source: (one.texts, one.verdicts, one.todo.split(" --")[0]) for one in report.withheld}
    assert told == {
        "nc": (3, 0, "export with"),
        "silent": (4, 0, 'saring sources set "silent"'),
        "nd": (1, 0, 'saring sources set "nd"'),
    }
    card = (desk.out / "README.md").read_text()
    assert "silent" not in card
    assert "8 more texts" in card
    desk.export(non_commercial=True)
    assert set(desk.rows()) == {text(i) for i in (*range(5), *range(10, 13))}
    assert "must not be used commercially" in (desk.out / "README.md").read_text()
    with open_session(desk.engine) as session, session.begin():
        set_source(session, "silent", permitted=True)
        set_source(session, "open", licence="")
    desk.export()
    assert set(desk.rows()) == {text(i) for i in range(20, 24)}
    assert {tuple(row["licences"]) for row in desk.rows().values()} == {("by permission",)}


def test_labels_of_a_closed_data_set_stay_although_its_texts_may_go(desk: Desk) -> None:
    desk.bring("open", "MIT", rows(range(4), "hate"))
    # the same texts, judged by a set that may not be shared, in its own name and in a person's
    desk.bring("closed", None, rows(range(6), "porn", denied=["hate"]))
    desk.bring("closed-people", None, rows(range(4), "violence"), kind="human", name="somebody")
    report = desk.export()
    found = desk.rows()
    assert set(found) == {text(i) for i in range(4)}
    assert {(tuple(row["labels"]), tuple(row["not_labels"]), row["tier"]) for row in found.values()} == {
        (("hate",), ("safe for work",), "silver")
    }
    assert all(row["sources"] == ["open"] for row in found.values())
    assert {one.source: (one.texts, one.verdicts) for one in report.withheld} == {
        "closed": (2, 4),
        "closed-people": (0, 4),
    }


def test_what_only_closed_sets_and_nobody_else_judged_is_no_row(desk: Desk) -> None:
    desk.bring("open", "MIT", rows(range(3), "hate") + rows(range(3, 5)))
    desk.bring("closed", None, rows(range(3, 5), "porn"))
    report = desk.export()
    assert set(desk.rows()) == {text(i) for i in range(3)}
    assert report.dropped == {"nothing is decided that may be shared": 2}


def test_contested_labels_are_told_and_are_in_neither_list(desk: Desk) -> None:
    desk.bring("one", "MIT", rows(range(3), "hate"))
    desk.bring("two", "MIT", rows(range(1), denied=["hate"]))
    desk.export()
    row = desk.rows()[text(0)]
    assert row["tier"] == "contested"
    assert "hate" not in row["labels"] + row["not_labels"]
    [hate] = [one for one in row["decisions"] if one["label"] == "hate"]
    assert (hate["value"], hate["tier"], [one["name"] for one in hate["raters"]]) == (None, "contested", ["one", "two"])


def test_held_out_texts_hold_no_word_of_machines_and_are_repeated_nowhere(desk: Desk) -> None:
    desk.bring("held", "MIT", rows(range(30), "hate", split="test") + rows(range(30, 60), "hate", split="dev"))
    desk.bring("learnt", "MIT", rows(range(100, 130), "hate", split="train"))
    desk.say(RaterRef(RaterKind.LLM, "model", "1"), [text(i) for i in range(60)], {"porn"}, set())
    desk.freeze()
    # comes after the test set is frozen: waits for its next version
    desk.bring("late", "MIT", rows(range(200, 203), "hate", split="test"))
    report = desk.export()
    found = desk.rows()
    assert {row["split"] for i in range(30) for row in [found[text(i)]]} == {"test"}
    assert not any("porn" in row["labels"] for row in found.values())
    assert report.dropped == {"waits for the test set": 3}


def test_near_duplicates_never_straddle(desk: Desk) -> None:
    near = text(1).replace("semalam", "Semalam,") + " !!"
    desk.bring("a", "MIT", [{"id": "1", "text": text(1), "labels": ["hate"], "split": "dev"}])
    desk.bring("b", "MIT", [{"id": "1", "text": near, "labels": ["hate"], "split": "train"}])
    desk.bring("c", "MIT", rows(range(50, 55), "hate", split="train"))
    # the store merges nearly all of them: as if it had missed this one
    with open_session(desk.engine) as session, session.begin():
        session.execute(update(store.Text).values(duplicate_of=None))
    report = desk.export()
    assert near not in desk.rows()
    assert desk.rows()[text(1)]["split"] == "dev"
    assert report.dropped == {"nearly repeats a text of dev or test": 1}


def test_the_same_store_gives_the_same_bytes_and_people_have_other_names_under_another_key(desk: Desk) -> None:
    desk.bring("open", "MIT", rows(range(60), "hate"))
    desk.say(_VOLUNTEER, [text(i) for i in range(9)], {"hate"}, set())
    one, other = desk.export(desk.folder / "x" / "set"), desk.export(desk.folder / "y" / "set")
    assert one.hash == other.hash
    content = [
        {path.name: path.read_bytes() for path in report.path.rglob("*") if path.is_file()} for report in (one, other)
    ]
    assert content[0] == content[1]
    export_dataset(desk.engine, desk.taxonomy, desk.out, key=b"x" * 32)
    names = [
        {rater["name"] for row in desk.rows(at).values() for one in row["decisions"] for rater in one["raters"]}
        for at in (one.path, desk.out)
    ]
    assert len(names[0] & names[1]) == 1
    assert not any(name == "17" or "label-studio" in name for name in names[0])


def test_personal_data_and_closed_names_are_nowhere_in_the_folder(desk: Desk) -> None:
    desk.bring("open", "MIT", [{"id": "1", "text": f"hubungi saya di 012-345 6789 atau {text(3)}", "labels": ["hate"]}])
    desk.export()
    [row] = desk.rows().values()
    assert row["text"].startswith("hubungi saya di <phone>")


def test_an_export_replaces_an_earlier_one_and_nothing_else(desk: Desk) -> None:
    desk.bring("open", "MIT", rows(range(30), "hate"))
    desk.export(rows_per_shard=5)
    desk.export(rows_per_shard=100)
    assert len(list(desk.out.glob("data/*"))) == len({row["split"] for row in desk.rows().values()})
    check_folder(desk.out)
    mine = desk.folder / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("words")
    with pytest.raises(UsageError, match="holds other files"):
        desk.export(mine)
    assert [path.name for path in mine.iterdir()] == ["thesis.txt"]


def test_a_failed_export_leaves_the_earlier_one_and_no_litter(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.bring("open", "MIT", rows(range(5), "hate"))
    before = desk.export().hash

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipeline.sharing.dataset_export.write_card", full)
    with pytest.raises(OSError, match="No space"):
        desk.export()
    assert check_folder(desk.out)["hash"] == before
    assert not [path for path in desk.folder.iterdir() if path.name.startswith(".out")]


def test_what_may_not_be_shared_at_all_is_said_with_what_to_do(desk: Desk) -> None:
    with pytest.raises(InputError, match="no text has a decided label"):
        desk.export()
    desk.bring("silent", None, rows(range(5), "hate"))
    with pytest.raises(InputError, match='no licence is known; to change that: saring sources set "silent"'):
        desk.export()
    assert not desk.out.exists()


def test_the_hub_library_takes_the_card(desk: Desk) -> None:
    desk.bring("a|b", "CC-BY-4.0", rows(range(5), "hate"))
    desk.bring("c", "MIT", rows(range(10, 15), "racist"))
    desk.export(name="Saringan: satu")
    card = DatasetCard.load(desk.out / "README.md")
    assert card.data.pretty_name == "Saringan: satu"
    assert card.data.license == ["cc-by-4.0", "mit"]
    assert card.data.size_categories == ["n<1K"]
    assert card.data.to_dict()["configs"][0]["config_name"] == "default"
    assert "not-for-all-audiences" in (card.data.tags or [])
    assert "a\\|b" in card.text
    for part in ("Content warning", "## How it was made", "## Labels", "## Limits", "## Licences"):
        assert part in card.text


def test_the_commands_export_correct_and_push(desk: Desk, environment: dict[str, str]) -> None:
    desk.bring("forum", None, rows(range(8), "hate"))

    def saring(*words: str, env: Mapping[str, str] = environment) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "saring", *words], env=env, capture_output=True, text=True)

    changed = json.loads(saring("sources", "set", "forum", "--licence", "CC-BY-4.0", "--json").stdout)
    assert (changed["sharing"], changed["rows"]) == ("open", 8)
    done = json.loads(saring("dataset", "export", str(desk.out), "--json").stdout)
    assert done["counts"]["rows"] == 8
    with HubStub() as hub:
        env = environment | {"HF_ENDPOINT": hub.url, "HF_TOKEN": WRITER, "HF_HUB_DISABLE_XET": "1"}
        push = ("dataset", "push", str(desk.out), "--repo", f"{OWNER}/teks")
        went = saring(*push, "--json", env=env)
        assert went.returncode == 0, went.stderr
        pushed = json.loads(went.stdout)
        assert pushed["private"]
        there = hub.repositories["dataset", f"{OWNER}/teks"].files
        assert there == {
            str(path.relative_to(desk.out)): path.read_bytes() for path in desk.out.rglob("*") if path.is_file()
        }
        [shard, *_] = desk.out.glob("data/*")
        shard.write_bytes(b"something else")
        with pytest.raises(InputError, match="changed since it was exported"):
            check_folder(desk.out)


def test_a_balanced_export_holds_a_most_of_each_label(desk: Desk) -> None:
    desk.bring("open-train", "CC0-1.0", rows(range(60), "safe for work", split="train", denied=["hate"]))
    desk.bring("open-hate", "CC0-1.0", rows(range(60, 70), "hate", split="train"))
    desk.bring("open-test", "CC0-1.0", rows(range(70, 100), "safe for work", split="test", denied=["hate"]))
    whole = desk.export()
    assert whole.balance is None
    balance = Balance(most=25, negatives=1.5, seed=3)
    report = desk.export(desk.folder / "balanced", balance=balance)
    found = desk.rows(desk.folder / "balanced")
    train = [row for row in found.values() if row["split"] == "train"]
    assert sum("safe for work" in row["labels"] for row in train) == 25
    assert sum("hate" in row["labels"] for row in train) == 10
    assert sum("hate" in row["not_labels"] for row in train) == 15
    assert all(row["decisions"] for row in train)
    assert report.counts["splits"]["test"] == whole.counts["splits"]["test"]
    assert report.balance is not None
    assert report.balance["left_out"]["safe for work"]["yes"] == 35
    assert report.balance["texts_left_out"] == 70 - len(train)
    assert "at most 25 rows have a label" in (desk.folder / "balanced" / "README.md").read_text(encoding="utf-8")
    assert desk.export(desk.folder / "again", name="balanced", balance=balance).hash == report.hash
