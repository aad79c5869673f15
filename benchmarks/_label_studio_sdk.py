"""The peer of label_studio.py: label-studio-sdk, given what we are given. Prints JSON.

python _label_studio_sdk.py push URL KEY PROJECT FILE     FILE: tasks with `data` and `predictions`
python _label_studio_sdk.py pull URL KEY PROJECT
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from label_studio_sdk.client import LabelStudio


def main() -> None:
    """Do one thing, and say how long it took."""
    what, url, key, project, *rest = sys.argv[1:]
    client = LabelStudio(base_url=url, api_key=key, timeout=600)
    figures = push(client, int(project), Path(rest[0])) if what == "push" else pull(client, int(project))
    print(json.dumps(figures))


def push(client: LabelStudio, project: int, file: Path) -> dict[str, object]:
    """All tasks in one call, all predictions in another, and the switch to them: the quickest way with the SDK."""
    rows = json.loads(file.read_bytes())
    start = time.perf_counter()
    made = client.projects.import_tasks(id=project, request=[row["data"] for row in rows], return_task_ids=True)
    imported = time.perf_counter()
    predictions = [
        prediction | {"task": task}
        for row, task in zip(rows, made.task_ids, strict=True)
        for prediction in row["predictions"]
    ]
    created = client.projects.import_predictions(id=project, request=predictions).created
    client.projects.update(id=project, model_version=predictions[0]["model_version"])
    ended = time.perf_counter()
    return {
        "seconds": ended - start,
        "tasks_seconds": imported - start,
        "predictions_seconds": ended - imported,
        "tasks": len(rows),
        "predictions": created,
    }


def pull(client: LabelStudio, project: int) -> dict[str, object]:
    """Every task with its annotations, in large pages."""
    start = time.perf_counter()
    tasks = annotations = 0
    for task in client.tasks.list(project=project, page_size=1_000, fields="all"):
        tasks += 1
        annotations += len(task.annotations or [])
    return {"seconds": time.perf_counter() - start, "tasks": tasks, "annotations": annotations}


if __name__ == "__main__":
    main()
