"""The Grafana dashboard and the alert rules ask for what the backend really shows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from sqlalchemy import Engine

from pipeline.store.tables.core import RunState
from pipeline.store.tables.work import ShardState
from tests.support.backend import add_text, promote, push_task, served, task, train_model
from tests.support.metrics import Scrape, add_run, scrape

_DOCS = Path(__file__).resolve().parents[2] / "docs"
_DASHBOARD, _ALERTS = "grafana-dashboard.json", "prometheus-alerts.yml"
#: what Prometheus itself adds to what it scrapes
_ITS_METRICS, _ITS_LABELS = {"up"}, {"job", "instance", "le"}
_METRIC = re.compile(r"\b(?:saring|process)_\w+|\bup\b(?=\{)")


def panels() -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads((_DOCS / _DASHBOARD).read_text())["panels"]
    return listed


def rules() -> list[dict[str, Any]]:
    groups = YAML(typ="safe").load(_DOCS / _ALERTS)["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions(file: str) -> list[str]:
    """Every query in a file."""
    if file == _ALERTS:
        return [rule["expr"] for rule in rules()]
    return [target["expr"] for panel in panels() for target in panel.get("targets", ())]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def shown(engine: Engine, folder: Path) -> Iterator[Scrape]:
    """A scrape in which there is something of everything."""
    promote(engine, train_model(folder))
    push_task(engine, add_text(engine, "teks satu"))
    add_run(engine, "embed", RunState.RUNNING, ShardState.PARKED)
    with served(engine, queue_depths=lambda: {"io": 1}) as backend:
        backend.predict([task("cerita lucah lagi")])
        scrape(backend)
        yield scrape(backend)


@pytest.mark.parametrize("file", [_DASHBOARD, _ALERTS])
def test_every_metric_and_label_is_one_that_is_shown(file: str, shown: Scrape) -> None:
    names = {sample.name for sample in shown.samples} | _ITS_METRICS
    labels = {label for sample in shown.samples for label in sample.labels} | _ITS_LABELS
    for expression in expressions(file):
        asked = set(_METRIC.findall(expression))
        assert asked, expression
        assert asked - names == set(), expression
        grouped = {name.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for name in group.split(",")}
        matched = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression))
        assert (grouped | matched) - labels == set(), expression
        assert expression.count("(") == expression.count(")")
        assert expression.count("{") == expression.count("}")


def test_legends_name_labels_that_are_there(shown: Scrape) -> None:
    labels = {label for sample in shown.samples for label in sample.labels} | _ITS_LABELS
    legends = [target["legendFormat"] for panel in panels() for target in panel.get("targets", ())]
    assert {name for legend in legends for name in re.findall(r"\{\{(\w+)\}\}", legend)} - labels == set()


def test_nothing_that_is_shown_goes_unwatched(shown: Scrape) -> None:
    asked = {name for file in (_DASHBOARD, _ALERTS) for one in expressions(file) for name in _METRIC.findall(one)}
    families = {sample.name for sample in shown.samples if sample.name.startswith("saring_")}
    left = {name for name in families - asked if not name.endswith(("_created", "_sum", "_count", "_bucket"))}
    # `saring_serving_info` says it of the one that serves
    assert left == {"saring_champion"}


def test_the_dashboard_is_laid_out_without_overlap() -> None:
    places = [panel["gridPos"] for panel in panels()]
    cells = [
        (x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in panels()}) == len(places)


def test_every_alert_says_what_it_means_and_how_bad_it_is() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    for rule in rules():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"].endswith(".")
    operations = (_DOCS / "operations.md").read_text()
    assert [name for name in names if f"`{name}`" not in operations] == []
