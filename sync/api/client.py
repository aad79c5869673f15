"""Label Studio's HTTP API, as far as Saring uses it: typed calls of its SDK, sent through a client with our own rules.

Where a call is ours, a comment says why, and tests/e2e/test_sdk_limits.py shows what the SDK does instead
(docs/decisions/0011-label-studio-client.md).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from pipeline.errors import LabelStudioMissing, LabelStudioUnavailable, UncertainOutcome
from sync.api.connection import Connection

if TYPE_CHECKING:
    from label_studio_sdk.types import (
        AllRolesProjectList,
        ImportApiRequest,
        LseProjectCreate,
        LseProjectResponse,
        LseUserApi,
        PredictionRequest,
        WhoAmIUser,
    )

Json = dict[str, Any]

#: tasks that are asked for by their ids at once: they must fit into an address
_LISTED = 500
#: projects of a page, and tasks of a page of those that bear a mark
_PROJECTS, _MARKED = 100, 2_000
#: fields of tasks and of what is in them: the server takes one list for both, and all fields take three times as long
_WHOLE = (
    "id,created_at,updated_at,updated_by,data,annotations,completed_by,result,was_cancelled,lead_time,parent_prediction"
)
_PREDICTIONS = "id,predictions,result,model_version"
_SHOWN = "id,is_labeled,data,annotations,completed_by,was_cancelled,predictions,result,model_version"


class LabelStudio(Connection):
    """A client of one Label Studio server, for one account."""

    # who and what

    def whoami(self) -> WhoAmIUser:
        """The account of the token."""
        return self._users.whoami()

    @cached_property
    def own_user(self) -> str:
        """Id of the account of the token, asked for once."""
        return str(self.whoami().id)

    def version(self) -> str:
        """The server's release, for example ``1.23.2``."""
        return self._versions.get().release

    def users(self) -> list[LseUserApi]:
        """The accounts that can be seen."""
        return self._users.list()

    # projects

    def project(self, project: int) -> LseProjectResponse:
        """One project with its counters."""
        known = self._read(f"project {project}", self._projects.get, project)
        if not _is_project(known):
            raise LabelStudioUnavailable(f"{self.url}: what it says of project {project} is no project")
        return known

    def projects(self) -> list[AllRolesProjectList]:
        """Every project that the account sees."""
        known: list[AllRolesProjectList] = []
        while True:
            # Page by page: left to itself, the SDK asks for one page more until a 404 says that there is none, and then
            # cannot tell a list that broke off from one that ended.
            number = 1 + len(known) // _PROJECTS
            page = self._read("its list of projects", self._projects.list, page=number, page_size=_PROJECTS)
            some, count = page.items, getattr(page.response, "count", None)
            if not isinstance(some, list) or not isinstance(count, int) or not all(map(_is_project, some)):
                raise LabelStudioUnavailable(f"{self.url}: its list of projects is not a list")
            known += some
            if len(known) >= count or not some:
                return known

    def create_project(self, **fields: Any) -> LseProjectCreate:
        """Make a project.

        Raises:
            UncertainOutcome: it may have been made.
        """
        made = self._create("a new project", self._projects.create, **fields)
        if not _is_project(made):
            raise UncertainOutcome(f"{self.url}: what it says of a new project is no project")
        return made

    def update_project(self, project: int, **fields: Any) -> LseProjectResponse:
        """Change fields of a project."""
        return self._read(f"project {project}", self._projects.update, project, **fields)

    def delete_project(self, project: int) -> None:
        """Remove a project with its tasks."""
        self._projects.delete(project)

    def summary(self, project: int) -> Json:
        """Counts of labels in a project's annotations and drafts."""
        # The SDK has no such call.
        known = self.get(f"/api/projects/{project}/summary/")
        return known if isinstance(known, dict) else {}

    # tasks and predictions in bulk

    def import_tasks(self, project: int, tasks: Sequence[Json]) -> list[int]:
        """Create tasks from their data; their ids, in order.

        Raises:
            UncertainOutcome: some may have been created.
        """
        answer = self._create(
            f"an import of {len(tasks)} tasks",
            self._projects.import_tasks,
            project,
            request=cast("Sequence[ImportApiRequest]", tasks),
            return_task_ids=True,
            commit_to_project=True,
            request_options=self._patient,
        )
        ids = getattr(answer, "task_ids", None)
        if not isinstance(ids, list) or len(ids) != len(tasks):
            raise UncertainOutcome(f"an import of {len(tasks)} tasks was answered without their ids")
        return [int(task) for task in ids]

    def import_predictions(self, project: int, predictions: Sequence[Json]) -> int:
        """Write predictions, and say how many the server took: it drops those that it finds invalid without a word.

        Raises:
            UncertainOutcome: some may have been written.
        """
        answer = self._create(
            f"an import of {len(predictions)} predictions",
            self._projects.import_predictions,
            project,
            request=cast("Sequence[PredictionRequest]", predictions),
            request_options=self._patient,
        )
        created = getattr(answer, "created", None)
        if not isinstance(created, int):
            raise UncertainOutcome(f"an import of {len(predictions)} predictions was answered without their number")
        return created

    def model_versions(self, project: int) -> Json:
        """Versions of a project's predictions, each with their number."""
        # The SDK has no such call.
        known = self.get(f"/api/projects/{project}/model-versions/")
        return known if isinstance(known, dict) else {}

    def delete_predictions(self, project: int, version: str) -> None:
        """Remove all predictions of one version."""
        # The SDK can remove predictions one by one only.
        path = f"/api/projects/{project}/model-versions/"
        self.delete(path, json={"model_version": version}, timeout=10 * self._timeout)

    def remove_task(self, task: int) -> None:
        """Remove a task with its annotations; one that is gone already is no error."""
        self.delete(f"/api/tasks/{task}/")

    # labelling one task after the other

    def next_task(self, project: int) -> Json | None:
        """The task that Label Studio gives this account next, and locks for it; None: there is none left for it."""
        # The SDK has no such call.
        try:
            task = self.get(f"/api/projects/{project}/next")
        except LabelStudioMissing:
            return None
        if not isinstance(task, dict) or not isinstance(task.get("id"), int):
            raise LabelStudioUnavailable(f"{self.url}: what it says of the next task of project {project} is no task")
        return task

    def postpone(self, task: int) -> int:
        """Put a task off for this account, which keeps its lock on it; id of the draft that does so."""
        # The SDK cannot say that a draft is postponed.
        made = self.post(f"/api/tasks/{task}/drafts", json={"result": [], "lead_time": 0, "was_postponed": True})
        return _made(made, "a draft", self.url)

    def remove_draft(self, draft: int) -> None:
        """Remove a draft; one that is gone already is no error."""
        self.delete(f"/api/drafts/{draft}/")

    def annotate(self, task: int, unique_id: uuid.UUID, **fields: Any) -> int:
        """Make an annotation in the name of this account; its id.

        Raises:
            LabelStudioConflict: there is one with that unique id.
            UncertainOutcome: it may have been made.
        """
        # The SDK leaves out the draft that the annotation ends, and the prediction that it began from.
        made = self.post(f"/api/tasks/{task}/annotations/", json={"unique_id": str(unique_id), **fields})
        return _made(made, "an annotation", self.url)

    def unlock(self, task: int, owner: LabelStudio) -> None:
        """Give back a task that is locked for this account, so that others are given it at once.

        Label Studio ends a lock when its account answers, and by no other call: so the task is skipped, and the
        annotation of that is removed.

        Args:
            task: the task.
            owner: the server in the owner's name, since volunteers may remove no annotations.

        Raises:
            UncertainOutcome: it may be skipped.
        """
        skipped = self.annotate(task, uuid.uuid4(), result=[], was_cancelled=True)
        owner.delete(f"/api/annotations/{skipped}/")

    def change_annotation(self, annotation: int, **fields: Any) -> None:
        """Change fields of an annotation."""
        self.patch(f"/api/annotations/{annotation}/", json=fields)

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

        Each annotation has `completed_by`, `updated_by` (who wrote it last) and, where the server still has it, the
        `prediction` that it began from. A task's own `updated_by` names who last changed one of its annotations.
        """
        tasks = list(self._listed(project, ids, _WHOLE))
        self._join_predictions(project, tasks)
        return tasks

    def shown_tasks(self, project: int, ids: Sequence[int]) -> list[Json]:
        """Tasks as somebody labels them: with `data`, `predictions`, and whose `annotations` there are.

        Those that are no longer there are left out.
        """
        return list(self._listed(project, ids, _SHOWN))

    def task_stamps(self, project: int, *, page_size: int = 2_000) -> Iterator[list[Json]]:
        """Every task with `id`, `updated_at`, `data`, and of its annotations only `id` and `updated_at`, in batches."""
        yield from self._walk(project, None, "id,updated_at,data,annotations", page_size)

    def marked_tasks(self, project: int, mark: str) -> list[Json]:
        """Every task whose data bears a mark of ours as its `batch`, with `id` and `data`, by its id."""
        batch = {"filter": "filter:tasks:data.batch", "operator": "equal", "value": mark, "type": "String"}
        marked: list[Json] = []
        last = 0
        while True:
            later = {"filter": "filter:tasks:id", "operator": "greater", "value": last, "type": "Number"}
            query = {"filters": {"conjunction": "and", "items": [batch, later]}, "ordering": ["tasks:id"]}
            page = self._page(project, query, "id,data", _MARKED)
            marked += [task for task in page if task["data"].get("batch") == mark]
            if len(page) < _MARKED:
                return marked
            last = page[-1]["id"]

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

    def _page(self, project: int, query: Json, include: str, size: int) -> list[Json]:
        params = {"project": project, "page": 1, "page_size": size, "fields": "all", "include": include}
        params["query"] = json.dumps(query)
        # Not by the SDK: unless told otherwise it asks for all fields, it goes by numbers of pages, which shift while
        # they are read, and of every task it makes an object, at fifteen times the cost, with annotations
        # untyped.
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
            if any(row.get("parent_prediction") is not None for row in _dicts(task.get("annotations")))
        ]
        pages = self._listed(project, begun, _PREDICTIONS)
        known = {row["id"]: row for task in pages for row in _dicts(task.get("predictions"))}
        for task in tasks:
            for annotation in _dicts(task.get("annotations")):
                annotation["prediction"] = known.get(annotation.get("parent_prediction"))


def identity(project: LseProjectResponse | AllRolesProjectList | LseProjectCreate) -> tuple[int, datetime]:
    """Id of a project and moment of its making, without which none comes out of `LabelStudio`."""
    assert project.id is not None
    assert project.created_at is not None
    return project.id, project.created_at


def _is_project(value: object) -> bool:
    return isinstance(getattr(value, "id", None), int) and isinstance(getattr(value, "created_at", None), datetime)


def _made(answer: object, what: str, url: str) -> int:
    number = answer.get("id") if isinstance(answer, dict) else None
    if not isinstance(number, int):
        raise UncertainOutcome(f"{url}: what it says of {what} that was sent has no id")
    return number


def _dicts(value: object) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


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
