"""Make a small home with this version of Saring and keep it as a fixture, so that later versions are held to open it.

Run it once before each release (docs/releasing.md), and commit the folder that it writes. A folder that is there is
never written again: it is worth something only because an older version made it. The texts are in `_home_texts.py`.

    python tools/keep_home.py                  # tests/fixtures/homes/VERSION
    python tools/keep_home.py --out FOLDER     # only to look

A kept home is:

    home.tar.zst    a backup of the home
    beside/         the home's files that no backup holds: saring.env, notices.yaml
    asked.jsonl     texts that its champion was asked about
    expected.json   what this version itself answered (`tests/support/kept_home.py`)
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_ROOT))

from _home_texts import ASKED, LABELLED, PLAIN  # noqa: E402
from sqlalchemy import select  # noqa: E402
from sqlalchemy.orm import Session  # noqa: E402

from pipeline import store  # noqa: E402
from pipeline.judgement import RaterKind, RaterRef  # noqa: E402
from pipeline.ledger.book import NewJudgement, rater_id, record  # noqa: E402
from pipeline.settings import Settings  # noqa: E402
from pipeline.store.session import open_session  # noqa: E402
from pipeline.store.tables.accounts import Role  # noqa: E402
from pipeline.store.tables.human_loop import AnnotationState, Change, QueueState, TaskState  # noqa: E402
from pipeline.store.tables.volunteers import AnswerKind, AnswerState  # noqa: E402
from saring.home import Home  # noqa: E402
from saring.services import stop_services  # noqa: E402
from sync.pull.apply import RATER, reference  # noqa: E402
from tests.support.commands import answered, typed  # noqa: E402
from tests.support.kept_home import ask  # noqa: E402

_HOMES = _ROOT / "tests" / "fixtures" / "homes"
#: short and the same each time, since records in the store name it
_AT = Path("/tmp/saring-kept-home")  # noqa: S108 - removed and made anew
#: texts of each label that a data set brought; people labelled the rest
_FIRST = 15
#: when people answered
_NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_BESIDE = {
    "saring.env": (
        "SARING_SEED=7\nSARING_RETRAIN_LABELS=50\nSARING_LANGUAGES=ms,id,en\nSARING_RECONCILE_AT=20:30\n"
        "SARING_TEST_SET_INCREMENT=10\n"
    ),
    "notices.yaml": "name: bas\nevery_hours: 12\nchannels:\n  shown: {type: command, run: [/bin/cat]}\n",
    "probes.yaml": (
        "built_in: false\nprobes:\n  late:\n    negation:\n      ms:\n"
        '        - has: "Bas pukul enam lewat setengah jam hari ini."\n'
        '          lacks: "Bas pukul enam tidak lewat walau seminit hari ini."\n'
    ),
}


def main() -> int:
    """Make and keep it; 1 where there is one of this version already."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="default: tests/fixtures/homes/VERSION")
    out: Path = parser.parse_args().out or _HOMES / version("saring")
    if out.exists():
        print(f"{out} is there: what an older version made is not made anew", file=sys.stderr)
        return 1
    shutil.rmtree(_AT, ignore_errors=True)
    try:
        out.mkdir(parents=True)
        _keep(out)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    finally:
        stop_services(Settings(home=_AT))
        shutil.rmtree(_AT, ignore_errors=True)
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        print(f"{path.relative_to(out)}: {path.stat().st_size:,} bytes")
    return 0


def _keep(out: Path) -> None:
    """Fill the home, ask it, back it up."""
    _AT.mkdir(mode=0o700)
    for name, content in _BESIDE.items():
        _AT.joinpath(name).write_text(content, encoding="utf-8")
        _AT.joinpath(name).chmod(0o600)
    with tempfile.TemporaryDirectory() as folder:
        _fill(Path(folder))
        # pictures of the figures that the model's manifest holds: half of the archive
        for plot in _AT.glob("models/*/*.png"):
            plot.unlink()
        asked = _lines({"text": text} for text in ASKED)
        facts = ask(_AT, asked)
        saved = _do("backup", str(out / "home.tar.zst"))
    made_by = {"saring": version("saring"), "schema": _do("init")["schema"]}
    expected = {"made_by": made_by, "tables": saved["tables"], "files": saved["files"], "answers": facts}
    (out / "asked.jsonl").write_text(asked, encoding="utf-8")
    # a backup does not hold those with secrets; there are none in these
    for name in _BESIDE:
        (out / "beside").mkdir(exist_ok=True)
        shutil.copyfile(_AT / name, out / "beside" / name)
    text = json.dumps(expected, ensure_ascii=False, sort_keys=True, indent=1, default=str)
    (out / "expected.json").write_text(text + "\n", encoding="utf-8")


def _fill(folder: Path) -> None:
    """Do what a user does in a month: own labels, two sources, people, two models, filters, a queue, accounts."""
    _do("taxonomy", "init", str(_AT / "taxonomy.yaml"), as_json=False)
    _do("init")
    labels = list(LABELLED)
    rows = [
        {
            "id": f"{label}-{i}",
            "text": text,
            "labels": [label],
            "not_labels": [other for other in labels if other != label],
        }
        for label, texts in LABELLED.items()
        for i, text in enumerate(texts)
    ]
    first = [row for row in rows if int(str(row["id"]).rpartition("-")[2]) < _FIRST]
    later = [row for row in rows if row not in first]
    _import(folder / "first.jsonl", first, "bas-awam", "external")
    _do("train")
    # a machine that takes every complaint for one label: enough texts for the filter to find some of them out
    heard = [row | {"labels": ["late"], "not_labels": []} for row in rows if row["labels"] != ["praise"]]
    _import(folder / "machine.jsonl", heard, "mesin", "llm")
    _import(folder / "later.jsonl", later, "sukarelawan", "human")
    (folder / "plain.jsonl").write_text(_lines({"id": f"p{i}", "text": text} for i, text in enumerate(PLAIN)))
    _do("ingest", str(folder / "plain.jsonl"), "--source", "forum", "--licence", "CC-BY-4.0")
    _do("sources", "set", "forum", "--url", "https://forum.example.org")
    _do("embed")
    _do("judge", "--rater", "bootstrap")
    _do("filter", "cut", "crowded", "--to", "0.5", "--why", "the texts just below it are right")
    # the model that tells moods would be two thirds of the archive
    _do("filter", "--no-sentiment", "--method", "quantile", "--quantile", "0.2")
    challenger = _do("train")["model"]
    _do("models", "promote", challenger, "--reason", "more texts")
    _do("users", "add", "aina", "--role", "reviewer")
    _do("users", "add", "badrul", "--role", "maintainer")
    _do("users", "make-token", "badrul", "--for", "the forum")
    _do("policies", "set", "forum", "--default", "precision=0.9", "--label", "late: recall=0.95")
    _do("queue", "build", "--size", "4")
    _do("search", "lewat", "--save", "lewat", "--reveal")
    _do("queue", "build", "--size", "6")
    waiting = [item["text_id"] for item in _do("queue", "show")["items"]]
    _do("queue", "drop", waiting[0], "--why", "an advertisement")
    _do("queue", "bump", waiting[-1])
    _do("review", "find")
    doubtful = _do("review", "list")["items"][0]
    label = doubtful["labels"][0]
    # nobody settles what the model thinks, but what the text says
    has = doubtful["text"] in LABELLED[label]
    _do(
        "review",
        "settle",
        doubtful["text_id"],
        "--as",
        "aina",
        "--yes" if has else "--no",
        label,
        "--reason",
        "meaning",
    )
    with Home(_AT) as home, open_session(home.engine) as session, session.begin():
        _with_people(session, waiting[1:3])


def _with_people(session: Session, sent: Sequence[str]) -> None:
    """What a project in Label Studio leaves in the store, with a volunteer who answered on a phone."""
    version = session.scalars(select(store.TaxonomyVersion.version)).one()
    project = store.Project(
        url="http://127.0.0.1:1",
        label_studio_id=1,
        label_studio_created_at=_NOW,
        title="bas",
        harsh_cap=20,
    )
    session.add(project)
    session.flush()
    session.add(store.ProjectConfig(project_id=project.id, since=_NOW, taxonomy_version=version, labels=list(LABELLED)))
    who = rater_id(session, RaterRef(RaterKind.HUMAN, RATER, "7"))
    for number, text_id in enumerate(map(uuid.UUID, sent), 1):
        [item] = session.scalars(select(store.QueueItem).where(store.QueueItem.text_id == text_id))
        item.state = QueueState.PUSHED
        session.add(
            store.Task(
                project_id=project.id,
                text_id=text_id,
                label_studio_id=number,
                queue_item_id=item.id,
                strategy=item.strategy,
                reason=item.reason,
                state=TaskState.DONE,
            )
        )
        session.add(
            store.Annotation(
                project_id=project.id,
                label_studio_id=number,
                created_at=_NOW,
                updated_at=_NOW,
                task_id=number,
                text_id=text_id,
                rater_id=who,
                state=AnnotationState.SUBMITTED,
                chosen=["late"],
                change=Change.SCRATCH,
                lead_time=12.5,
            )
        )
        verdict = NewJudgement(
            text_id,
            asserted=frozenset({"late"}),
            denied=frozenset({"crowded", "praise"}),
            external_ref=reference(1, number, _NOW),
        )
        record(session, who, [verdict], taxonomy_version=version)
    session.add(store.SyncCursor(project_id=project.id, watermark=_NOW))
    account = store.Account(name="siti", role=Role.VOLUNTEER, label_studio_user="7")
    session.add(account)
    session.flush()
    session.add(store.Volunteer(account_id=account.id, consent="1", avoid=["crowded"], daily_cap=40))
    session.add(
        store.PhoneAnswer(
            id=uuid.UUID(int=7),
            account_id=account.id,
            project_id=project.id,
            task_id=1,
            kind=AnswerKind.LABELS,
            labels=["late"],
            seconds=12.5,
            state=AnswerState.SENT,
            annotation_id=1,
            answered_at=_NOW,
        )
    )


def _import(path: Path, rows: list[dict[str, Any]], source: str, kind: str) -> None:
    path.write_text(_lines(rows), encoding="utf-8")
    _do("import", str(path), "--source", source, "--kind", kind, "--licence", "CC0-1.0")


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _do(*words: str, as_json: bool = True) -> dict[str, Any]:
    """A command in the home; what it printed."""
    done = typed({"SARING_HOME": str(_AT)}, *words, *(["--json"] if as_json else []))
    if done.returncode:
        raise SystemExit(f"saring {' '.join(words)}: {done.stderr.strip()}")
    return answered(done) if as_json else {}


if __name__ == "__main__":
    raise SystemExit(main())
