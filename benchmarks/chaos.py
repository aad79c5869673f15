"""Kill a loaded home's processes at random moments, and check that nothing that was confirmed was lost or doubled.

    python benchmarks/chaos.py [--kills 200] [--seeds 1] [--without-label-studio]
    python benchmarks/chaos.py --kills 1000 --seeds 1 2 3 --record chaos.jsonl     # the long form, an hour or two

The load: commands, workers, trainings, language models that answer well and badly, volunteers in Label Studio and on
phones, applications that ask for verdicts and report wrong ones, and a maintainer's browser. The kills are shared among
the seeds; each seed has a home of its own. With `--record`, what came of a seed is added to a file as soon as it is
over, and seeds in that file are not done again.

Prints a JSON line a seed, and one of all: kills by process, what the load did, what was checked, and every violation
(there should be none). A check that had nothing to check is a violation, since it shows nothing. The peer is the same
load without a killer (`--kills 0`): it shows what the checks find when nothing dies.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from saring.services import stop_services
from tests.support.chaos import KILLABLE, World, kill_something, open_world, supervise
from tests.support.chaos_checks import settle
from tests.support.chaos_load import join_all, load

#: seconds that the commands under way at the last kill may take
_LAST_COMMANDS_SECONDS = 600
#: seconds that work is waited for
_PATIENCE = 180.0


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="in all seeds together")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to go on in each seed without a killer")
    parser.add_argument(
        "--pause",
        type=float,
        nargs=2,
        default=(0.2, 1.5),
        metavar=("LEAST", "MOST"),
        help="seconds between a command and the next of its kind; more where the machine is slow or busy",
    )
    parser.add_argument(
        "--after-work",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="of the kills before which some work is waited for; the others may hit what is just coming back",
    )
    parser.add_argument("--record", type=Path, help="file of what came of each seed; those in it are not done again")
    parser.add_argument("--without-label-studio", action="store_true")
    parser.add_argument("--keep", action="store_true", help="leave the homes for a look")
    given = parser.parse_args()
    each = math.ceil(given.kills / len(given.seeds))
    recorded = {record["seed"]: record for record in _recorded(given.record) if record["wanted"] == each}
    results = []
    for seed in given.seeds:
        result = recorded.get(seed)
        if result is None:
            result = _one_home(seed, each, given)
            if given.record is not None:
                with given.record.open("a", encoding="utf-8") as record:
                    record.write(json.dumps(result) + "\n")
        print(json.dumps(result), flush=True)
        results.append(result)
    if len(results) > 1:
        print(json.dumps(_sum(results)), flush=True)
    sys.exit(1 if any(result["violations"] for result in results) else 0)


def _one_home(seed: int, kills: int, given: argparse.Namespace) -> dict[str, Any]:
    home = Path(tempfile.mkdtemp(prefix="saring-chaos-", dir="/tmp"))
    with open_world(home, label_studio=not given.without_label_studio, seed=seed) as world:
        try:
            return _killed(world, seed, kills, given)
        finally:
            stop_services(world.settings)
            if given.keep:
                _log(f"seed {seed}: its home is {home}")
            else:
                shutil.rmtree(home, ignore_errors=True)


def _killed(world: World, seed: int, kills: int, given: argparse.Namespace) -> dict[str, Any]:
    rng = random.Random(seed)
    kinds = [*(k for k in KILLABLE if world.label_studio or k != "Label Studio"), "worker child", "command"]
    killed: Counter[str] = Counter()
    began = time.monotonic()
    stopped, retired = threading.Event(), threading.Event()
    threads = load(world, stopped, seed=seed, pause=tuple(given.pause))
    supervisor = supervise(world, retired)
    while killed.total() < kills:
        if rng.random() < given.after_work:
            _wait_for_work(world)
        time.sleep(rng.uniform(0.5, 4))
        victim = kill_something(world, rng, kinds)
        if victim is not None:
            killed[victim] += 1
            so_far = ", ".join(f"{count} {what}" for what, count in world.confirmed().items())
            at = time.monotonic() - began
            _log(f"seed {seed}, {at:6.0f} s: kill {killed.total()}, {victim}; confirmed: {so_far}")
    if not kills:
        time.sleep(given.seconds)
    _wait_for_each_kind(world)
    stopped.set()
    unfinished = join_all(threads, seconds=_LAST_COMMANDS_SECONDS)
    retired.set()
    supervisor.join()
    loaded = time.monotonic() - began
    verdict = settle(world)
    verdict.check("commands that end", world.commands.total(), [f"{name} never ended" for name in unfinished])
    for why, count in world.failures.most_common():
        _log(f"{count:4} x {why}")
    if verdict.violations:
        _log(world.state())
    return {
        "benchmark": "chaos",
        "seed": seed,
        "wanted": kills,
        "kills": killed.total(),
        "killed": dict(killed.most_common()),
        "seconds": round(loaded),
        "cores": os.cpu_count(),
        "load_after": os.getloadavg()[0],
        "commands": dict(world.commands.most_common()),
        "commands_that_failed": sum(world.failures.values()),
        "confirmed": world.confirmed(),
        "answers": dict(world.door.line.statuses.most_common()),
        "checked": verdict.checked,
        "violations": verdict.violations,
    }


def _wait_for_work(world: World) -> None:
    """Wait until something more is confirmed; on a slow machine, kills a second apart would leave nothing to lose."""
    before, deadline = sum(world.confirmed().values()), time.monotonic() + _PATIENCE
    while sum(world.confirmed().values()) == before and time.monotonic() < deadline:
        time.sleep(0.2)


def _wait_for_each_kind(world: World) -> None:
    """Give each kind of work the time to be confirmed once; the checks say which was not."""
    deadline = time.monotonic() + _PATIENCE
    while not all(world.confirmed().values()) and time.monotonic() < deadline:
        time.sleep(0.5)


def _recorded(path: Path | None) -> list[dict[str, Any]]:
    if path is None or not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _sum(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Results of all seeds together."""
    counted = {
        name: dict(sum((Counter(result[name]) for result in results), Counter()).most_common())
        for name in ("killed", "commands", "confirmed", "checked")
    }
    return {
        "benchmark": "chaos",
        "seeds": [result["seed"] for result in results],
        "kills": sum(result["kills"] for result in results),
        "seconds": sum(result["seconds"] for result in results),
        "commands_that_failed": sum(result["commands_that_failed"] for result in results),
        **counted,
        "violations": [
            f"seed {result['seed']}: {violation}" for result in results for violation in result["violations"]
        ],
    }


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
