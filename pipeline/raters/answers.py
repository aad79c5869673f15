"""Exports of labelling tools: who answered, what, and whether the answer counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import UsageError
from pipeline.texts.cells import read_cell
from pipeline.texts.fields import find, is_task, likely_labels


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of one person to one row."""

    #: the value of the labels field
    labels: Any = None
    #: the values that the person saw and did not give, or says are wrong
    not_labels: Any = None
    #: the tool's name or number of the person; None: the row does not say
    rater: str | None = None
    #: False: the person skipped the row, or took the answer back
    counts: bool = True
    #: True: the labels were rejected: they are denied
    denies: bool = False


@dataclass(frozen=True, slots=True)
class Preset:
    """A form of export."""

    name: str
    labels_field: str
    #: further fields that `answers` reads
    read: tuple[str, ...]
    #: the answers in a row, by its fields and the name of the labels field
    answers: Callable[[Mapping[str, Any], str], list[Answer]]
    #: fields in which the tool says whether an answer counts
    state: tuple[str, ...] = ()


PRESETS = ("prodigy", "argilla", "doccano", "label-studio")
#: columns that every row of a table of Label Studio (JSON-MIN, CSV) has
_LABEL_STUDIO_TABLE = ("annotation_id", "annotator")
_PRODIGY_ANSWERS = {"accept", "reject", "ignore"}
#: columns of a table of Label Studio that hold no labels
_NO_LABELS = {
    *("id", "text", "annotator", "annotation_id", "annotations"),
    *("created_at", "updated_at", "lead_time", "agreement"),
}


def preset_of(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The preset that the first rows of a file show; None: none of them. Doccano's rows are like everybody's."""
    if not rows:
        return None
    if all(is_task(row) for row in rows):
        return "label-studio"
    if all(all(name in row for name in _LABEL_STUDIO_TABLE) for row in rows):
        return "label-studio"
    if all(row.get("answer") in _PRODIGY_ANSWERS for row in rows):
        return "prodigy"
    if all(any(name.endswith(".responses") for name in row) or _is_nested_argilla(row) for row in rows):
        return "argilla"
    return None


def make_preset(name: str, labels_field: str | None, rows: Sequence[Mapping[str, Any]]) -> Preset:
    """A preset by its name.

    Args:
        name: one of `PRESETS`.
        labels_field: the field with the labels, if the caller names one; None: as the tool calls it.
        rows: the first rows of the file.

    Raises:
        UsageError: there is no such preset, or its rows do not show where the labels are.
    """
    columns = list(dict.fromkeys(column for row in rows for column in row))
    if name == "prodigy":
        field = labels_field or ("accept" if "accept" in columns else "label")
        return Preset(
            name, field, ("answer", "accept", "options", "_annotator_id", "_session_id"), _of_prodigy, ("answer",)
        )
    if name == "label-studio":
        others = [column for column in columns if column not in _NO_LABELS]
        field = labels_field or likely_labels(others) or (others[0] if others else "label")
        return Preset(name, field, ("annotations", "completions", "annotator"), _of_label_studio)
    if name == "argilla":
        field = labels_field or _argilla_question(columns, rows)
        answered = tuple(f"{field}.responses{more}" for more in ("", ".users", ".status"))
        return Preset(name, field, (*answered, "responses", "annotation", "annotation_agent", "status"), _of_argilla)
    if name == "doccano":
        field = labels_field or next((c for c in ("label", "labels", "cats") if c in columns), "label")
        return Preset(name, field, ("annotations", "annotation_approver", "user"), _of_doccano)
    raise UsageError(f"--preset {name!r} is not known: choose {', '.join(PRESETS)}, or none")


def _of_prodigy(row: Mapping[str, Any], labels_field: str) -> list[Answer]:
    answer = row.get("answer")
    rater = _name(row.get("_annotator_id")) or _name(row.get("_session_id"))
    labels = find(row, labels_field)
    given = {spelled.value for spelled in read_cell(labels)}
    # In a choice, the person saw every option: one that was not ticked does not hold.
    offered = [spelled.value for spelled in read_cell(row.get("options"))] if answer == "accept" else []
    unticked = [value for value in offered if value not in given] if labels_field == "accept" else []
    return [Answer(labels, unticked, rater, counts=answer in ("accept", "reject"), denies=answer == "reject")]


def _of_label_studio(row: Mapping[str, Any], labels_field: str) -> list[Answer]:
    annotations = row.get("annotations")
    if annotations is None:
        annotations = row.get("completions")
    if not isinstance(annotations, list):
        # a table: JSON-MIN or CSV
        return [Answer(find(row, labels_field), rater=_name(row.get("annotator")))]
    return [_of_annotation(entry, labels_field) for entry in annotations if isinstance(entry, dict)]


def _of_annotation(annotation: Mapping[str, Any], labels_field: str) -> Answer:
    by = annotation.get("completed_by")
    if isinstance(by, Mapping):
        by = by.get("email") or by.get("username") or by.get("id")
    regions = [region for region in annotation.get("result") or () if isinstance(region, dict)]
    chosen = [region for region in regions if region.get("type") in ("choices", "taxonomy", "labels")]
    # Of several controls the one that is named like the labels field counts, if there is one.
    of_field = [region for region in chosen if region.get("from_name") == labels_field]
    counts = not annotation.get("was_cancelled") and not annotation.get("skipped")
    return Answer([region.get("value") for region in of_field or chosen], rater=_name(by), counts=counts)


def _of_argilla(row: Mapping[str, Any], labels_field: str) -> list[Answer]:
    if f"{labels_field}.responses" in row and isinstance(row[f"{labels_field}.responses"], (list, tuple)):
        values = row[f"{labels_field}.responses"]
        users, states = (_as_many(row.get(f"{labels_field}.responses.{of}"), len(values)) for of in ("users", "status"))
        return [
            Answer(value, rater=_name(user), counts=_is_submitted(state))
            for value, user, state in zip(values, users, states, strict=True)
        ]
    if isinstance(row.get("responses"), (Mapping, list)):
        responses = row["responses"]
        answers = responses.get(labels_field) or () if isinstance(responses, Mapping) else responses
    elif "annotation" in row:
        # the older text classification
        return [
            Answer(row["annotation"], rater=_name(row.get("annotation_agent")), counts=_is_submitted(row.get("status")))
        ]
    else:
        answers = find(row, labels_field) or ()
    if not isinstance(answers, (list, tuple)):
        return [Answer(answers)]
    return [_of_response(answer, labels_field) for answer in answers]


def _of_response(response: Any, labels_field: str) -> Answer:
    if not isinstance(response, Mapping):
        return Answer(response)
    value = response.get("value")
    if isinstance(response.get("values"), Mapping):
        value = (response["values"].get(labels_field) or {}).get("value")
    return Answer(value, rater=_name(response.get("user_id")), counts=_is_submitted(response.get("status")))


def _of_doccano(row: Mapping[str, Any], labels_field: str) -> list[Answer]:
    annotations = row.get("annotations")
    if isinstance(annotations, list) and find(row, labels_field) is None:
        by_user: dict[str | None, list[Any]] = {}
        for entry in annotations:
            if isinstance(entry, Mapping):
                by_user.setdefault(_name(entry.get("user")), []).append(entry.get("label"))
        return [Answer(labels, rater=user) for user, labels in by_user.items()]
    return [Answer(find(row, labels_field), rater=_name(row.get("user")))]


def _is_nested_argilla(row: Mapping[str, Any]) -> bool:
    return isinstance(row.get("fields"), Mapping) and isinstance(row.get("responses"), (Mapping, list))


def _argilla_question(columns: Iterable[str], rows: Sequence[Mapping[str, Any]]) -> str:
    flat = [column.removesuffix(".responses") for column in columns if column.endswith(".responses")]
    nested = [name for row in rows if isinstance(row.get("responses"), Mapping) for name in row["responses"]]
    names = list(dict.fromkeys([*flat, *nested]))
    if len(names) > 1:
        likely = likely_labels(names)
        if likely is None:
            raise UsageError(f"name the question with --labels-field: {', '.join(names)}")
        return likely
    return names[0] if names else "label"


def _is_submitted(state: Any) -> bool:
    return state is None or str(state).rsplit(".", 1)[-1].lower() in ("submitted", "validated")


def _as_many(values: Any, count: int) -> list[Any]:
    given = list(values) if isinstance(values, (list, tuple)) else []
    return (given + [None] * count)[:count]


def _name(value: Any) -> str | None:
    if value is None or isinstance(value, (list, Mapping, bool)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() or None
