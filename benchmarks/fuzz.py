"""Damaged inputs for everything that Saring reads: how many were tried, and how many ended in an untyped error.

Inputs are sound ones with damage, drawn from a seed (tests/support/fuzzing.py). A reader may read one, or refuse it
with an error of its own in one line; anything else is counted as untyped, and must not occur. Prints a JSON line for
each reader, and ends with status 1 if there was an untyped error.

    python benchmarks/fuzz.py [--seconds 60] [--seed 1] [--only reply]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from _measure import emit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.fuzzing import fuzz, readers


def main() -> None:
    """Try each reader for its share of the time."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="the name of one reader")
    args = parser.parse_args()
    untyped = 0
    with tempfile.TemporaryDirectory(prefix="saring-fuzz-") as folder:
        chosen = {name: read for name, read in readers(Path(folder)).items() if args.only in (None, name)}
        for name, read in chosen.items():
            result = fuzz(name, read, seed=args.seed, seconds=args.seconds / len(chosen))
            untyped += sum(result.untyped.values())
            figures = {"reader": name, "inputs": result.inputs, "refused": result.refused, "seconds": result.seconds}
            figures |= {"slowest_seconds": result.slowest, "untyped_errors": sum(result.untyped.values())}
            emit("fuzz", figures | {"kinds": dict(result.untyped.most_common(12)), "first_inputs": result.first})
    if untyped:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
