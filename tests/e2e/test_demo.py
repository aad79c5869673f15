"""The whole of `saring demo`, as it is typed: machines, then simulated volunteers in a real Label Studio."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.settings import Settings
from saring.demo.volunteers import PERSONAS
from saring.services import stop_services

# two minutes, on a busy machine many
pytestmark = pytest.mark.timeout(1200)

_ROOT = Path(__file__).resolve().parents[2]
Json = dict[str, Any]


@pytest.fixture(scope="module")
def demo_home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="saring-test-", dir="/tmp"))
    try:
        yield folder / "demo"
    finally:
        stop_services(Settings(home=folder / "demo"))
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def loop(demo_home: Path, label_studio: object) -> Json:
    """What the people's side came to. `label_studio` is asked for so that it is installed before."""
    done = saring(demo_home, "demo", "--home", str(demo_home), "--json")
    assert done.returncode == 0, done.stderr
    found: Json = json.loads(done.stdout)["loop"]
    return found


def saring(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from saring.cli import main; main()", *words]
    environment = os.environ | {"PYTHONPATH": str(_ROOT), "SARING_HOME": str(home)}
    return subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True)


def test_every_correction_comes_home_once(loop: Json) -> None:
    assert loop["annotated"] == loop["home"] > 200
    assert loop["repaired"] == 0


def test_the_first_round_comes_home_by_webhooks_alone(loop: Json) -> None:
    first = sum(one["submitted"] + one["undecided"] for one in loop["volunteers"])
    assert 200 < loop["home_by_webhook"] <= first


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
    assert fair["texts"] >= 10
    assert -1 <= fair["overall"]["low"] <= fair["overall"]["value"] <= fair["overall"]["high"] <= 1


def test_texts_become_gold(loop: Json) -> None:
    assert loop["tiers_after"]["gold"] >= loop["tiers_before"]["gold"] + 150


def test_both_models_are_measured_on_the_same_texts_with_intervals(loop: Json) -> None:
    before, after = loop["before"], loop["after"]
    assert before["model"] != after["model"]
    assert before["texts"] == after["texts"] > 200
    for one in (before, after):
        found = one["macro_average_precision"]
        assert 0.5 < found["low"] < found["value"] < found["high"] < 1
    assert loop["verdict"]


def test_it_says_where_to_look_and_leaves_nothing_running(loop: Json, demo_home: Path) -> None:
    assert loop["project_url"].startswith(loop["url"] + "/projects/")
    password = Path(loop["password_file"])
    assert json.loads(password.read_text())["email"] == loop["email"]
    assert password.stat().st_mode & 0o077 == 0
    services = json.loads(saring(demo_home, "status", "--json").stdout)["services"]
    assert [one["name"] for one in services if one["state"] == "ready"] == []
