"""Label Studio's HTTP API, as far as Saring uses it.

The official SDK repeats creating requests, forgets the path of an address when it renews a token, and takes any 404
while paging for the end of the list (docs/decisions/0011-label-studio-client.md); here only what can safely be asked
twice is, and a list that breaks off is an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from pipeline.errors import LabelStudioUnavailable, UncertainOutcome
from sync.api.http import Connection

Json = dict[str, Any]

#: tasks that are asked for by their ids at once: they must fit into an address
_LISTED = 500
#: fields of tasks and of what is in them: the server takes one list for both, and all fields take three times as long
_WHOLE = "id,created_at,updated_at,data,annotations,completed_by,result,was_cancelled,lead_time,parent_prediction"
_PREDICTIONS = "id,predictions,result,model_version"


class LabelStudio(Connection):
    """A client of one Label Studio server, for one account."""

    # who and what

    def whoami(self) -> Json:
        """The account of the token."""
        found: Json = self.get("/api/current-user/whoami")
        return found

    def version(self) -> str:
        """The server's release, for example ``1.23.2``."""
        found = self.get("/api/version")
        return str(found.get("release") or found.get("label-studio-os-package", {}).get("version"))

    def users(self) -> list[Json]:
        """The accounts that can be seen."""
        found = self.get("/api/users/")
        return list(found["results"] if isinstance(found, dict) else found)

    # projects

    def project(self, project: int) -> Json:
        """One project with its counters."""
        found = self.get(f"/api/projects/{project}/")
        if not isinstance(found, dict) or "created_at" not in found:
            raise LabelStudioUnavailable(f"{self.url}: what it says of project {project} is no project")
        return found

    def projects(self) -> list[Json]:
        """Every project that the account sees."""
        found: list[Json] = []
        while True:
            page = self.get("/api/projects/", params={"page": 1 + len(found) // 100, "page_size": 100})
            if not isinstance(page, dict) or not isinstance(page.get("results"), list):
                raise LabelStudioUnavailable(f"{self.url}: its list of projects is not a list")
            found += page["results"]
            if len(found) >= page["count"] or not page["results"]:
                return found

    def create_project(self, **fields: Any) -> Json:
        """Make a project."""
        made: Json = self.post("/api/projects/", json=fields)
        return made

    def update_project(self, project: int, **fields: Any) -> Json:
        """Change fields of a project."""
        changed: Json = self.patch(f"/api/projects/{project}/", json=fields)
        return changed

    def delete_project(self, project: int) -> None:
        """Remove a project with its tasks."""
        self.delete(f"/api/projects/{project}/")

    # tasks and predictions in bulk

    def import_tasks(self, project: int, tasks: Sequence[Json]) -> list[int]:
        """Create tasks from their data; their ids, in order.

        Raises:
            UncertainOutcome: some may have been created.
        """
        answer = self.post(
            f"/api/projects/{project}/import",
            params={"return_task_ids": "true", "commit_to_project": "true"},
            json=tasks,
            timeout=10 * self._timeout,
        )
        ids = answer.get("task_ids") if isinstance(answer, dict) else None
        if not isinstance(ids, list) or len(ids) != len(tasks):
            raise UncertainOutcome(f"an import of {len(tasks)} tasks was answered without their ids")
        return [int(one) for one in ids]

    def import_predictions(self, project: int, predictions: Sequence[Json]) -> int:
        """Write predictions, and say how many the server took: it drops those that it finds invalid without a word.

        Raises:
            UncertainOutcome: some may have been written.
        """
        answer = self.post(f"/api/projects/{project}/import/predictions", json=predictions, timeout=10 * self._timeout)
        return int(answer["created"])

    def delete_predictions(self, project: int, version: str) -> None:
        """Remove all predictions of one version."""
        self.delete(
            f"/api/projects/{project}/model-versions/", json={"model_version": version}, timeout=10 * self._timeout
        )

    # reading back

    def changed_tasks(self, project: int, since: datetime | None, *, page_size: int = 1_000) -> Iterator[list[Json]]:
        """Tasks changed at `since` or later, as `whole_tasks` gives them, oldest change first, in batches.

        The list is walked by the time of change, not by page number, because it moves while it is read; a task that
        changes meanwhile comes again. Each batch is as the server had it at one moment.
        """
        for page in self._walk(project, since, _WHOLE, page_size):
            self._join_predictions(project, page)
            yield page

    def whole_tasks(self, project: int, ids: Sequence[int]) -> list[Json]:
        """Tasks with all their `annotations`; those that are no longer there are left out.

        Each annotation has `completed_by` and, where the server still has it, the `prediction` that it began from.
        """
        tasks = list(self._listed(project, ids, _WHOLE))
        self._join_predictions(project, tasks)
        return tasks

    def task_stamps(self, project: int, *, page_size: int = 2_000) -> Iterator[list[Json]]:
        """Every task with `id`, `updated_at`, `data`, and of its annotations only `id` and `updated_at`, in batches."""
        yield from self._walk(project, None, "id,updated_at,data,annotations", page_size)

    def _walk(self, project: int, since: datetime | None, include: str, page_size: int) -> Iterator[list[Json]]:
        at, size = since or datetime(1970, 1, 1, tzinfo=UTC), page_size
        seen: set[tuple[int, str]] = set()
        while True:
            page = self._page(project, _since(at), include, size)
            fresh = [task for task in page if (task["id"], task["updated_at"]) not in seen]
            if fresh:
                yield fresh
            if len(page) < size:
                return
            last = parse_time(page[-1]["updated_at"])
            if last == at and not fresh:
                size *= 2  # more tasks of one moment than fit on a page
                continue
            if last == at:
                size *= 2
            at = last
            seen |= {(task["id"], task["updated_at"]) for task in page}

    def _page(self, project: int, query: Json, include: str | None, size: int) -> list[Json]:
        params = {"project": project, "page": 1, "page_size": size, "fields": "all", "query": json.dumps(query)}
        if include is not None:
            params["include"] = include
        answer = self.get("/api/tasks/", params=params, timeout=5 * self._timeout)
        tasks = answer.get("tasks") if isinstance(answer, dict) else None
        if not isinstance(tasks, list):
            raise LabelStudioUnavailable(f"{self.url}: the list of tasks of project {project} is not a list")
        return tasks

    def _listed(self, project: int, ids: Sequence[int], include: str) -> Iterator[Json]:
        for start in range(0, len(ids), _LISTED):
            some = list(ids[start : start + _LISTED])
            chosen = {"filter": "filter:tasks:id", "operator": "in_list", "value": some, "type": "Number"}
            query = {"filters": {"conjunction": "and", "items": [chosen]}, "ordering": ["tasks:updated_at"]}
            yield from self._page(project, query, include, len(some) + 1)

    def _join_predictions(self, project: int, tasks: Sequence[Json]) -> None:
        """Put beside each annotation what it began from; of tasks without such, no predictions are asked for."""
        begun = [
            task["id"]
            for task in tasks
            if any(one.get("parent_prediction") is not None for one in _dicts(task.get("annotations")))
        ]
        found = self._listed(project, begun, _PREDICTIONS)
        known = {one["id"]: one for task in found for one in _dicts(task.get("predictions"))}
        for task in tasks:
            for annotation in _dicts(task.get("annotations")):
                annotation["prediction"] = known.get(annotation.get("parent_prediction"))


def _dicts(value: object) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def parse_time(value: str) -> datetime:
    """A moment as Label Studio writes it."""
    return datetime.fromisoformat(value)


def format_time(moment: datetime) -> str:
    """A moment as Label Studio's filters take it: UTC, microseconds, Z; anything else ends in an error 500."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _since(moment: datetime) -> Json:
    changed = {
        "filter": "filter:tasks:updated_at",
        "operator": "greater_or_equal",
        "value": format_time(moment),
        "type": "Datetime",
    }
    return {"filters": {"conjunction": "and", "items": [changed]}, "ordering": ["tasks:updated_at"]}
