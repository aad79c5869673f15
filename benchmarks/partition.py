"""Result of a run when one of two hosts is cut off in the middle of it, from the broker or from the store.

Two workers, each in a network namespace of its own, embed texts of the demo in small shards. When each has one in hand,
every packet between host `b` and one of the servers is lost, without a word to either side. Then the network heals, and
a second run waits until `b` takes part in it. Prints one JSON line, and exits 1 if a text has not exactly one vector or
is not counted exactly once. Needs root, iproute2 and util-linux.

    python benchmarks/partition.py [--texts 240] [--shard 20] [--cut-seconds 20] [--only broker|store]

With `--cut-seconds 0` the network is healed once the run has ended.
"""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._measure import emit
from tests.support.hosts import Net, cluster
from tests.support.namespaces import why_no_hosts
from tests.support.partition import partition


def main() -> None:
    """Cut, heal, check, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=240)
    parser.add_argument("--shard", type=int, default=20, help="texts in a shard")
    parser.add_argument("--cut-seconds", type=float, default=20)
    parser.add_argument("--look-seconds", type=float, default=1, help="between two looks for what was lost")
    parser.add_argument("--resend-seconds", type=float, default=3, help="of silence, until what waits is sent again")
    parser.add_argument("--only", choices=[net.word for net in Net], help="cut off from this only")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    why_not = why_no_hosts()
    if why_not is not None:
        print(f"no hosts can be made here: {why_not}", file=sys.stderr)
        sys.exit(2)
    figures: dict[str, object] = {"texts": given.texts}
    violations = 0
    for net in Net:
        if given.only not in (None, net.word):
            continue
        # A new cluster for each, so that the first does not change the second.
        with cluster(given.texts, look_seconds=given.look_seconds, resend_seconds=given.resend_seconds) as world:
            result = partition(world, net, shard_texts=given.shard, cut_seconds=given.cut_seconds or None)
        violations += len(result.violations)
        figures[net.word] = {
            name: round(value, 1) if isinstance(value, float) else value for name, value in asdict(result).items()
        }
    emit("partition", figures)
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
