"""The whole pipeline on so many texts, simulated stage by stage; and a check of it against a size that was run.

What is simulated: the clock. Shards of the measured cost are given to workers that die now and then (`_simulation.py`);
stages of one process take the measured cost of a row times the rows. What is measured: the costs.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _costs import Bytes, Cost, Costs, measure_once
from _simulation import World, simulate

from pipeline.taxonomy import Taxonomy

#: stages in the order in which a pipeline runs them, with the tables that each writes
STAGES: Mapping[str, tuple[str, ...]] = {
    "ingest": ("text", "text_source", "minhash_band"),
    "embed": ("text_vector",),
    "judge": ("judgement",),
    "filter": ("filter_decision", "filter_score"),
    "sentiment": ("text_sentiment",),
    "snapshot": (),
    "train": (),
    "predict": (),
}
#: stages that one process does
_ALONE = ("ingest", "snapshot", "train")
#: what the check can run: the rest has no texts of its own there
CHECKED = ("ingest", "embed", "judge", "sentiment")
_GB, _MB = 1e9, 1 << 20


@dataclass(frozen=True, slots=True)
class StageNeeds:
    """Needs of one stage."""

    stage: str
    rows: float
    processes: int
    #: by the clock; `simulated` hours contain deaths, and waiting for the database
    hours: float
    deaths: int
    #: of the largest process
    memory_gb: float
    #: what the stage leaves in the database
    disk_gb: float
    #: True: workers share it, and the hours come from the simulation
    simulated: bool


@dataclass(frozen=True, slots=True)
class Checked:
    """A projection from a small size, beside what the larger size took."""

    what: str
    unit: str
    rows: int
    projected: float
    measured: float

    @property
    def ratio(self) -> float:
        """Projected to measured."""
        return self.projected / self.measured if self.measured else math.nan


def stage_by_stage(
    costs: Costs, parameters: Mapping[str, Any], rows: Mapping[str, float], rows_a_text: Mapping[str, float]
) -> list[StageNeeds]:
    """Simulate all stages, one after the other.

    Args:
        costs: what a row costs.
        parameters: of `_scaling.yaml`.
        rows: rows of each stage.
        rows_a_text: rows of each table, for each text.
    """
    given = parameters["pipeline"]
    needs = []
    for stage, tables in STAGES.items():
        cost = costs.steps[stage]
        disk = sum(_bytes(costs.tables.get(table), rows_a_text.get(table, 0.0)) for table in tables)
        if stage in _ALONE:
            hours, deaths, processes = (cost.worker_cpu + cost.database_cpu) * rows[stage] / 3600, 0, 1
        else:
            processes = given["workers"]
            hours, deaths = _shared(cost, costs, rows[stage], processes, parameters)
        memory = {"snapshot": costs.snapshot_bytes, "train": costs.training_bytes}.get(stage, 0.0) * rows[stage]
        needs.append(
            StageNeeds(
                stage,
                rows[stage],
                processes,
                hours,
                deaths,
                (cost.peak_mb * _MB + memory) / _GB,
                disk * given["texts"] / _GB,
                stage not in _ALONE,
            )
        )
    return needs


def _bytes(table: Bytes | None, rows: float) -> float:
    return 0.0 if table is None else table.a_row * rows


def _shared(cost: Cost, costs: Costs, rows: float, workers: int, parameters: Mapping[str, Any]) -> tuple[float, int]:
    """Hours of a stage that workers share, and how many of them died."""
    given = parameters["simulation"]
    size, keeping = given["shard_texts"], costs.steps["shard"]
    shards = max(math.ceil(rows / size), 1)
    rng = np.random.default_rng([given["seed"], shards])
    spread = np.asarray(costs.spread)
    mean = cost.worker_cpu * size + keeping.worker_cpu
    world = World(
        [float(seconds) for seconds in mean * rng.choice(spread, (shards, 5)).mean(axis=1)],
        cost.database_cpu * size + keeping.database_cpu,
        parameters["machines"]["database_processors"],
        3600 * given["hours_between_deaths"],
        given["restart_seconds"],
        given["sweep_seconds"],
        given["grace_seconds"],
    )
    outcome = simulate(world, workers, rng)
    return outcome.seconds / 3600, outcome.deaths


def check(costs: Costs, raw: Path, taxonomy: Taxonomy, *, rows: int) -> list[Checked]:
    """Run the first stages on many more rows than the costs are from, and compare.

    Args:
        costs: measured on fewer rows.
        raw: JSON lines with texts, at least `rows` of them.
        taxonomy: the labels there are.
        rows: how many to run.
    """
    with tempfile.TemporaryDirectory(prefix="saring-bench-") as folder:
        steps, tables = measure_once(raw, taxonomy, Path(folder), rows=rows)
    rows_checked = []
    for name in CHECKED:
        real, small = steps[name], costs.steps[name]
        for what, projected, measured in (
            (f"{name}: workers' processor", small.worker_cpu, real.worker_cpu),
            (f"{name}: the database's processor", small.database_cpu, real.database_cpu),
        ):
            rows_checked.append(Checked(what, "s", real.rows, projected * real.rows, measured * real.rows))
    for name, (count, size) in tables.items():
        if name in costs.tables and count:
            rows_checked.append(
                Checked(f"{name}: on disk", "MB", count, costs.tables[name].a_row * count / _MB, size / _MB)
            )
    return rows_checked
