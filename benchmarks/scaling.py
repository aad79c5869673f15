"""Projection for 1, 10 and 100 million texts, from the measured cost of a row.

Measures every step on a few thousand rows of the shared data (see `_costs.py`), and projects with the assumptions of
`_scaling.yaml`: processor time, hours, bytes, money, and how far each part of the system carries. A simulation of
workers that die says what more workers are worth, and how long each stage takes on 10 million texts. `--check ROWS`
runs the first stages on that many rows and sets what they took beside what was projected. Prints JSON lines;
`--markdown` prints the tables of docs/scaling.md instead, and `--write` puts them there.

    python benchmarks/scaling.py [--rows 2000] [--check 8000] [--parameters FILE] [--markdown | --write]
"""

from __future__ import annotations

import argparse
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _costs import Costs, measure_costs
from _measure import emit, require, shared_data
from _simulation import Outcome, World, simulate
from _stages import Checked, StageNeeds, check, stage_by_stage
from ruamel.yaml import YAML

from pipeline.taxonomy import load_taxonomy

_HERE = Path(__file__).resolve().parent
PAGE = _HERE.parent / "docs" / "scaling.md"
BEGIN, END = "<!-- begin: scaling -->", "<!-- end: scaling -->"
#: steps that any number of workers share
SPREAD = ("embed", "judge", "filter", "sentiment", "predict")
#: steps that one process does, whatever the number of workers
ALONE = ("ingest", "snapshot", "train")
_GB = 1e9

Parameters = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Projection:
    """Needs of a number of texts."""

    texts: int
    #: processor hours of workers by step, and of the database
    worker_hours: dict[str, float]
    database_hours: float
    #: workers that do what can be spread in the time that there is
    workers: int
    #: hours of what one process does, of Label Studio, of inserting all rows
    alone_hours: dict[str, float]
    label_studio_hours: float
    insert_hours: float
    database_gb: float
    vectors_gb: float
    snapshot_process_gb: float
    training_process_gb: float
    #: dollars, once, and a month
    compute_price: float
    storage_price_a_month: float


@dataclass(frozen=True, slots=True)
class Limit:
    """Limit of a part of the system."""

    what: str
    #: texts at which it is used up
    texts: float
    #: solution beyond that
    then: str


def project(costs: Costs, parameters: Parameters, texts: int) -> Projection:
    """Project the needs of a number of texts."""
    machines, prices, shares = parameters["machines"], parameters["prices"], parameters["shares"]
    rows = _rows(parameters, texts)
    workers = {name: costs.steps[name].worker_cpu * rows[name] / 3600 for name in (*SPREAD, *ALONE)}
    database = sum(costs.steps[name].database_cpu * rows[name] for name in (*SPREAD, *ALONE)) / 3600
    spread = sum(workers[name] for name in SPREAD)
    # A worker waits for the database, so the database's part takes a worker's time as well.
    waited = spread + sum(costs.steps[name].database_cpu * rows[name] for name in SPREAD) / 3600
    people = parameters["label_studio"]["push_seconds"] + parameters["label_studio"]["pull_seconds"]
    rows_a_text = _rows_a_text(costs, parameters)
    tables = {name: rows_a_text[name] * table.a_row * texts for name, table in costs.tables.items()}
    inserted = sum(rows_a_text.values()) * texts
    total = sum(tables.values()) / _GB
    held = rows["train"]
    return Projection(
        texts,
        workers,
        database,
        math.ceil(waited / (machines["hours"] * machines["utilisation"])),
        {name: (costs.steps[name].worker_cpu + costs.steps[name].database_cpu) * rows[name] / 3600 for name in ALONE},
        people * shares["people"] * texts / 3600,
        inserted / max(costs.writers.values()) / 3600,
        total,
        tables.get("text_vector", 0.0) / _GB,
        costs.snapshot_bytes * held / _GB,
        costs.training_bytes * held / _GB,
        sum(workers.values()) / machines["utilisation"] * prices["processor_hour"]
        + machines["database_processors"] * machines["hours"] * prices["database_processor_hour"],
        total * prices["database_gb_month"],
    )


def _rows(parameters: Parameters, texts: int) -> dict[str, float]:
    shares = parameters["shares"]
    rows = dict.fromkeys((*SPREAD, *ALONE), float(texts))
    rows["filter"] *= shares["asserted_labels"]
    rows["sentiment"] *= shares["sentiment"]
    rows["snapshot"] *= shares["training"]
    rows["train"] *= shares["training"]
    return rows


def _rows_a_text(costs: Costs, parameters: Parameters) -> dict[str, float]:
    """As measured, but for what the assumptions speak of."""
    shares = parameters["shares"]
    assumed = {
        "text_sentiment": shares["sentiment"],
        "filter_score": shares["asserted_labels"],
        # Decisions of both filters.
        "filter_decision": shares["asserted_labels"] + shares["sentiment"],
    }
    return {name: assumed.get(name, table.rows_a_text) for name, table in costs.tables.items()}


def limits(projection: Projection, parameters: Parameters) -> list[Limit]:
    """Limits of each part of the system, the first one first. Needs grow with the number of texts."""
    machines = parameters["machines"]
    hours = machines["hours"]
    processor_hours = hours * machines["utilisation"] * machines["database_processors"]
    used: list[tuple[str, float, str]] = [
        (
            f"memory of the process that freezes the snapshot ({machines['largest_process_gb']} GB)",
            projection.snapshot_process_gb / machines["largest_process_gb"],
            "the snapshot by ranges of ids into Parquet files on object storage, read back by Arrow or DuckDB",
        ),
        (
            f"memory of the process that trains ({machines['largest_process_gb']} GB)",
            projection.training_process_gb / machines["largest_process_gb"],
            "a sample of the texts that only machines labelled; beyond that, batches on a card",
        ),
        *(
            (
                f"{name}: one process for {hours} hours",
                taken / hours,
                {
                    "ingest": "several ingests at once, a source each; near-duplicates by a batch engine such as Spark",
                    "snapshot": "the snapshot by ranges of ids, on the workers",
                    "train": "a sample of the texts that only machines labelled; beyond that, batches on a card",
                }[name],
            )
            for name, taken in projection.alone_hours.items()
        ),
        (
            f"processors of the one database ({machines['database_processors']} for {hours} hours)",
            projection.database_hours / processor_hours,
            "tables partitioned by ranges of ids; then Citus, which spreads the ranges over machines",
        ),
        (
            f"rows that one database takes in {hours} hours",
            projection.insert_hours / hours,
            "tables partitioned by ranges of ids; then Citus, which spreads the ranges over machines",
        ),
        (
            f"memory of the one database ({machines['database_memory_gb']} GB for "
            f"{machines['hot_share']:.0%} of what is stored)",
            projection.database_gb * machines["hot_share"] / machines["database_memory_gb"],
            "vectors in a database of their own or on a read replica; older ones as files on object storage",
        ),
        (
            f"Label Studio, pushing and pulling for {hours} hours",
            projection.label_studio_hours / hours,
            "a smaller share for people, or several Label Studios, a project each",
        ),
    ]
    reached = [Limit(what, projection.texts / share if share else math.inf, then) for what, share, then in used]
    return sorted(reached, key=lambda limit: limit.texts)


def simulated(costs: Costs, parameters: Parameters) -> list[Outcome]:
    """Embedding, by more and more workers."""
    given = parameters["simulation"]
    embed, keeping = costs.steps["embed"], costs.steps["shard"]
    size = given["shard_texts"]
    shards = max(given["texts"] // size, 1)
    rng = np.random.default_rng(given["seed"])
    mean = embed.worker_cpu * size + keeping.worker_cpu
    spread = np.asarray(costs.spread)
    # A shard is several of the measured pieces.
    world = World(
        [mean * float(rng.choice(spread, 5).mean()) for _ in range(shards)],
        embed.database_cpu * size + keeping.database_cpu,
        parameters["machines"]["database_processors"],
        3600 * given["hours_between_deaths"],
        given["restart_seconds"],
        given["sweep_seconds"],
        given["grace_seconds"],
    )
    return [simulate(world, workers, np.random.default_rng([given["seed"], workers])) for workers in given["workers"]]


def stages(costs: Costs, parameters: Parameters) -> list[StageNeeds]:
    """The whole pipeline, stage by stage."""
    texts = parameters["pipeline"]["texts"]
    return stage_by_stage(costs, parameters, _rows(parameters, texts), _rows_a_text(costs, parameters))


# ---- the page


def tables(costs: Costs, parameters: Parameters, checked: Sequence[Checked]) -> str:
    """Content of docs/scaling.md between its markers."""
    projections = [project(costs, parameters, texts) for texts in parameters["texts"]]
    rows_a_text = _rows_a_text(costs, parameters)
    parts = [
        f"Measured on {os.cpu_count()} cores of {platform.machine()}, load {os.getloadavg()[0]:.1f} at the end, with "
        f"{costs.steps['embed'].rows:,} texts at a time.",
        "**A row of each step**, microseconds of one processor:",
        _table(
            ("step", "worker", "database", "by the clock", "rows measured"),
            [
                (
                    name,
                    f"{1e6 * cost.worker_cpu:,.0f}",
                    f"{1e6 * cost.database_cpu:,.0f}",
                    f"{1e6 * cost.seconds:,.0f}",
                    f"{cost.rows:,}",
                )
                for name, cost in costs.steps.items()
            ],
        ),
        "**Bytes on disk**, the difference between two sizes; rows of the filters' tables as assumed:",
        _table(
            ("table", "rows a text", "heap, a row", "indexes, a row", "bytes a text"),
            [
                (
                    name,
                    f"{rows_a_text[name]:.2f}",
                    f"{table.heap:,.0f}",
                    "; ".join(f"({columns}) {size:,.0f}" for columns, size in table.indexes.items()),
                    f"{rows_a_text[name] * table.a_row:,.0f}",
                )
                for name, table in costs.tables.items()
            ],
        ),
        "**One database takes** "
        + ", ".join(f"{rate:,.0f} rows/s from {_count(n, 'writer')}" for n, rate in costs.writers.items())
        + f" (texts and judgements, {1_000:,} of each a commit, indexes and foreign keys kept).",
        "**In all**:",
        _table(
            ("", *(f"{projection.texts / 1e6:,.0f} million" for projection in projections)),
            [
                (
                    "workers' processor hours",
                    *(f"{sum(projection.worker_hours.values()):,.0f}" for projection in projections),
                ),
                *(
                    (f"– {name}", *(_hours(projection.worker_hours[name]) for projection in projections))
                    for name in projections[0].worker_hours
                ),
                ("the database's processor hours", *(_hours(projection.database_hours) for projection in projections)),
                (
                    f"workers, to be done in {parameters['machines']['hours']} hours",
                    *(f"{projection.workers:,}" for projection in projections),
                ),
                *(
                    (
                        f"hours of the one process of `{name}`",
                        *(_hours(projection.alone_hours[name]) for projection in projections),
                    )
                    for name in projections[0].alone_hours
                ),
                ("hours of inserting every row", *(_hours(projection.insert_hours) for projection in projections)),
                ("hours of Label Studio", *(_hours(projection.label_studio_hours) for projection in projections)),
                ("database, GB", *(f"{projection.database_gb:,.0f}" for projection in projections)),
                ("– vectors, GB", *(f"{projection.vectors_gb:,.0f}" for projection in projections)),
                (
                    "memory to freeze the snapshot, GB",
                    *(f"{projection.snapshot_process_gb:,.1f}" for projection in projections),
                ),
                (
                    "memory to train on all of it, GB",
                    *(f"{projection.training_process_gb:,.1f}" for projection in projections),
                ),
                (
                    "computing, dollars: workers once, the database for that time",
                    *(f"{projection.compute_price:,.0f}" for projection in projections),
                ),
                (
                    "database storage, dollars a month",
                    *(f"{projection.storage_price_a_month:,.0f}" for projection in projections),
                ),
            ],
        ),
        "**How far each part carries**, the first bottleneck first:",
        _table(
            ("what is used up", "at", "what takes over"),
            [(limit.what, _millions(limit.texts), limit.then) for limit in limits(projections[0], parameters)],
        ),
        f"**Simulated**: embedding {parameters['simulation']['texts']:,} texts in shards of "
        f"{parameters['simulation']['shard_texts']:,}; a worker dies every "
        f"{parameters['simulation']['hours_between_deaths']} hours:",
        _table(
            ("workers", "hours", "efficiency", "deaths", "minutes done twice"),
            [
                (
                    str(outcome.workers),
                    f"{outcome.seconds / 3600:,.2f}",
                    f"{outcome.efficiency:.1%}",
                    str(outcome.deaths),
                    f"{outcome.lost_seconds / 60:,.1f}",
                )
                for outcome in simulated(costs, parameters)
            ],
        ),
        *_stage_tables(costs, parameters, checked),
    ]
    return "\n\n".join(parts)


def _stage_tables(costs: Costs, parameters: Parameters, checked: Sequence[Checked]) -> list[str]:
    given, needs = parameters["pipeline"], stages(costs, parameters)
    hours, disk = sum(need.hours for need in needs), sum(need.disk_gb for need in needs)
    parts = [
        f"**{given['texts'] / 1e6:,.0f} million texts, stage by stage, with {given['workers']} workers.** Hours of "
        "stages that workers share are simulated, deaths included; those of one process are the measured cost of a row "
        "times the rows. Memory is that of the largest process, disk what the stage leaves in the database:",
        _table(
            ("stage", "rows, million", "processes", "hours", "", "deaths", "memory, GB", "disk, GB"),
            [
                (
                    need.stage,
                    f"{need.rows / 1e6:,.1f}",
                    str(need.processes),
                    _hours(need.hours),
                    "simulated" if need.simulated else "projected",
                    str(need.deaths),
                    f"{need.memory_gb:,.1f}" if need.memory_gb >= 0.05 else "–",
                    f"{need.disk_gb:,.1f}",
                )
                for need in needs
            ]
            + [("in all", "", "", _hours(hours), "", "", "", f"{disk:,.0f}")],
        ),
    ]
    if checked:
        parts += [
            f"**Checked**: the same costs projected to {checked[0].rows:,} rows, of which nothing was "
            f"known, beside what these took when they were run; costs are from {costs.steps['embed'].rows:,} texts:",
            _table(
                ("what", "projected", "measured", "projected to measured"),
                [
                    (
                        stage.what,
                        f"{stage.projected:,.2f} {stage.unit}",
                        f"{stage.measured:,.2f} {stage.unit}",
                        f"{stage.ratio:.2f}",
                    )
                    for stage in checked
                ],
            ),
        ]
    return parts


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"


def _millions(texts: float) -> str:
    if not math.isfinite(texts):
        return "never"
    return f"{float(f'{texts / 1e6:.2g}'):,g} million"


def write(page: Path, content: str) -> None:
    """Put the tables between the markers of a page."""
    text = page.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, closed, tail = rest.partition(END)
    if not (begin and closed):
        raise SystemExit(f"{page}: it has no {BEGIN} and {END}")
    page.write_text(f"{head}{BEGIN}\n\n{content}\n\n{END}{tail}", encoding="utf-8")


def say(costs: Costs, parameters: Parameters, checked: Sequence[Checked]) -> None:
    """Everything as JSON lines."""
    for name, step in costs.steps.items():
        emit("scaling", {"what": "cost", "step": name, **step.to_dict()})
    for name, table in costs.tables.items():
        emit("scaling", {"what": "bytes", "table": name, **asdict(table)})
    emit(
        "scaling",
        {
            "what": "other",
            "rows_per_s_by_writers": {str(n): round(rate) for n, rate in costs.writers.items()},
            "snapshot_bytes_a_text": costs.snapshot_bytes,
            "training_bytes_a_text": costs.training_bytes,
            "embedding_spread": float(np.std(costs.spread)),
            "cores": os.cpu_count(),
            "load_after": os.getloadavg()[0],
        },
    )
    for texts in parameters["texts"]:
        emit("scaling", {"what": "projection", **asdict(project(costs, parameters, texts))})
    for place, limit in enumerate(limits(project(costs, parameters, parameters["texts"][0]), parameters), start=1):
        emit("scaling", {"what": "limit", "place": place, **asdict(limit)})
    for outcome in simulated(costs, parameters):
        emit("scaling", {"what": "simulation", **asdict(outcome)})
    for need in stages(costs, parameters):
        emit("scaling", {"what": "stage", "texts": parameters["pipeline"]["texts"], **asdict(need)})
    for stage in checked:
        emit(
            "scaling", {"what": "checked", "of": stage.what, **{k: v for k, v in asdict(stage).items() if k != "what"}}
        )


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000, help="texts to measure with")
    parser.add_argument("--vectors", type=int, default=40_000, help="random vectors for the centroid filter")
    parser.add_argument("--parameters", type=Path, default=_HERE / "_scaling.yaml", help="what is assumed")
    parser.add_argument("--labelled", type=int, default=200_000, help="labelled texts to train from")
    parser.add_argument("--check", type=int, metavar="ROWS", help="run the first stages on so many rows, and compare")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--markdown", action="store_true", help="print the tables of docs/scaling.md")
    shown.add_argument("--write", action="store_true", help="put them into docs/scaling.md")
    options = parser.parse_args()
    raw = shared_data() / "raw_stream.jsonl.gz"
    labelled = [path for path in sorted(shared_data().glob("*.jsonl.gz")) if path != raw]
    require([raw, options.parameters])
    parameters: Parameters = YAML(typ="safe").load(options.parameters.read_text(encoding="utf-8"))
    costs = measure_costs(
        raw, labelled, load_taxonomy(), rows=options.rows, vectors=options.vectors, training=options.labelled
    )
    checked = check(costs, raw, load_taxonomy(), rows=options.check) if options.check else []
    if options.markdown or options.write:
        content = tables(costs, parameters, checked)
        if options.write:
            write(PAGE, content)
        else:
            print(content)
    else:
        say(costs, parameters, checked)


if __name__ == "__main__":
    main()
