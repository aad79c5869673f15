"""Kill a loaded home's processes at random moments, at least 200 times, and check that nothing was lost or doubled.

    python benchmarks/chaos.py [--kills 200] [--seed 1] [--without-label-studio]

Prints one JSON line: kills by process, what the load did, what was checked, and every violation (there should be none).
The peer is the same load without a killer (`--kills 0`): it shows what the checks find when nothing dies.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from saring.services import stop_services
from tests.support.chaos import KILLABLE, kill_something, load, make_world, supervise
from tests.support.chaos_checks import settle


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to go on without a killer")
    parser.add_argument("--without-label-studio", action="store_true")
    parser.add_argument("--keep", action="store_true", help="leave the home for a look")
    given = parser.parse_args()
    with_label_studio = not given.without_label_studio
    home = Path(tempfile.mkdtemp(prefix="saring-chaos-", dir="/tmp"))
    rng = random.Random(given.seed)
    world = make_world(home, label_studio=with_label_studio, seed=given.seed)
    try:
        began = time.monotonic()
        stopped = threading.Event()
        threads = load(world, stopped, label_studio=with_label_studio, seed=given.seed)
        threads.append(supervise(world, stopped, label_studio=with_label_studio))
        kinds = [*(k for k in KILLABLE if with_label_studio or k != "Label Studio"), "worker child", "command"]
        killed: Counter[str] = Counter()
        while killed.total() < given.kills:
            time.sleep(rng.uniform(0.5, 4))
            victim = kill_something(world, rng, kinds)
            if victim is not None:
                killed[victim] += 1
                print(f"{time.monotonic() - began:6.0f} s: {killed.total()} {victim}", file=sys.stderr)
        if not given.kills:
            time.sleep(given.seconds)
        stopped.set()
        # Commands under way wait for workers.
        world.saring("up", *([] if with_label_studio else ["--without", "label-studio"]), retry=True)
        for thread in threads:
            thread.join(timeout=300)
        loaded = time.monotonic() - began
        verdict = settle(world, label_studio=with_label_studio)
        print(
            json.dumps(
                {
                    "benchmark": "chaos",
                    "seed": given.seed,
                    "kills": killed.total(),
                    "killed": dict(killed.most_common()),
                    "seconds": round(loaded),
                    "commands": dict(world.commands.most_common()),
                    "commands_that_failed": sum(world.failures.values()),
                    "annotations_confirmed": len(world.annotated),
                    "checked": verdict.checked,
                    "violations": verdict.violations,
                }
            )
        )
        for why, count in world.failures.most_common():
            print(f"{count:4} x {why}", file=sys.stderr)
    finally:
        stop_services(world.settings)
        if not given.keep:
            shutil.rmtree(home, ignore_errors=True)
    sys.exit(1 if verdict.violations else 0)


if __name__ == "__main__":
    main()
