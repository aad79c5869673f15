"""MinHash deduplication with datatrove, its own settings; run by benchmarks/ingest.py with datatrove's interpreter.

    python _datatrove_minhash.py INPUT_FOLDER WORK_FOLDER WORKERS

INPUT_FOLDER holds one JSON-lines file a worker. Prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers.jsonl import JsonlWriter


def main() -> None:
    """Run datatrove's four steps one after the other."""
    source, work, workers = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    config = MinhashConfig()
    start = time.perf_counter()
    signatures = MinhashDedupSignature(str(work / "signatures"), config=config)
    _run([JsonlReader(str(source)), signatures], work / "logs1", tasks=workers, workers=workers)
    buckets = MinhashDedupBuckets(str(work / "signatures"), str(work / "buckets"), config=config)
    _run([buckets], work / "logs2", tasks=config.num_buckets, workers=workers)
    cluster = MinhashDedupCluster(str(work / "buckets"), str(work / "remove"), config=config)
    _run([cluster], work / "logs3", tasks=1, workers=1)
    steps = [JsonlReader(str(source)), MinhashDedupFilter(str(work / "remove")), JsonlWriter(str(work / "kept"))]
    _run(steps, work / "logs4", tasks=workers, workers=workers)
    print(json.dumps({"seconds": time.perf_counter() - start}))


def _run(steps: list[object], logs: Path, *, tasks: int, workers: int) -> None:
    LocalPipelineExecutor(pipeline=steps, tasks=tasks, workers=workers, logging_dir=str(logs)).run()


if __name__ == "__main__":
    main()
