"""What a home answers, as its user sees it: asked when a home is kept as a fixture, and again by later versions."""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import select

from pipeline import store
from pipeline.store.session import open_session
from saring.actions.text_history import history
from saring.home import Home
from tests.support.commands import answered, typed

#: scores are printed with six decimals, so a difference of 1e-6 may show as twice that
_CLOSE = 2e-6
#: commands whose whole answer is what the user had
_COMMANDS: Mapping[str, tuple[str, ...]] = {
    "sources": ("sources", "list"),
    "cuts": ("filter", "cuts"),
    "models": ("models", "list"),
    "queue": ("queue", "show"),
    "review": ("review", "list"),
    "accounts": ("users", "list"),
    "tokens": ("users", "tokens"),
    "policies": ("policies", "list"),
    "probes": ("probes", "list", "--reveal"),
    "saved search": ("search", "--saved", "lewat", "--reveal"),
    "taxonomy": ("taxonomy", "versions"),
}
#: settings of the home's `saring.env`
_SETTINGS = ("seed", "retrain_labels", "languages", "reconcile_at")


def ask(home: Path, asked: str) -> dict[str, Any]:
    """All that a user had in a home: texts, judgements, decisions, models, queue, people and settings.

    Args:
        home: the folder.
        asked: texts for the champion, as JSON lines.
    """
    variables = {"SARING_HOME": str(home)}
    facts: dict[str, Any] = {name: _printed(variables, words) for name, words in _COMMANDS.items()}
    runs = answered(typed(variables, "runs", "list", "--json"))["runs"]
    facts["runs"] = [[run["stage"], run["slice"], run["state"]] for run in reversed(runs)]
    facts["shared rows"] = _shared(variables)
    facts["predictions"] = predict(home, asked)
    with Home(home) as opened:
        facts["settings"] = {name: opened.settings.model_dump(mode="json")[name] for name in _SETTINGS}
        with open_session(opened.engine) as session:
            facts["volunteers"] = [
                [one.account_id, one.consent, one.consented_at.isoformat(), list(one.avoid), one.daily_cap]
                for one in session.scalars(select(store.Volunteer))
            ]
            ids = session.scalars(select(store.Text.id).order_by(store.Text.id)).all()
        facts["texts"] = {str(text_id): _history_of(opened, text_id) for text_id in ids}
    return facts


def predict(home: Path, asked: str) -> list[dict[str, Any]]:
    """What `saring predict` says of texts, by the champion."""
    done = typed({"SARING_HOME": str(home)}, "predict", "-", given=asked)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return [{name: row[name] for name in ("model", "scores", "labels")} for row in rows]


def _printed(variables: Mapping[str, str], words: tuple[str, ...]) -> Any:
    done = typed(variables, *words, "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _history_of(home: Home, text_id: uuid.UUID) -> dict[str, Any]:
    """A text, all that was ever said of it, what filters decided, and what is believed."""
    known = history(home, text_id)
    return {
        "text": known.text,
        "language": known.language,
        "seen in": sorted({one.source for one in known.sightings}),
        "said": [
            {
                "rater": [one.rater.kind.value, one.rater.name, one.rater.version],
                "asserted": sorted(one.asserted),
                "denied": sorted(one.denied),
                "scores": dict(one.scores),
                "standing": one.standing.value,
            }
            for one in known.said
        ],
        "queue": [[one.strategy, one.state.value, one.refused_why] for one in known.queued],
        "tasks": [[title, task.state.value, task.label_studio_id] for task, title in known.tasks],
        "annotations": [[title, user, sorted(one.chosen), one.state.value] for one, title, user in known.annotations],
        "disputes": [[one.kind.value, list(one.labels), one.settled_at is not None] for one in known.disputes],
        "frozen test set": known.test_set,
        "filters": [[one.stage, one.label, one.kept, one.score] for one in known.filters],
        "believed": {
            one.label: [one.decision.value, None if one.decision.tier is None else str(one.decision.tier)]
            for one in known.resolved
        },
    }


def _shared(variables: Mapping[str, str]) -> list[dict[str, Any]]:
    """What is believed, as others get it: labels, tiers and who decided."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "shared")
        answered(typed(variables, "dataset", "export", str(out), "--json"))
        rows: list[dict[str, Any]] = []
        for path in sorted(out.glob("data/*.parquet")):
            rows += pq.read_table(path).to_pylist()
    return sorted(rows, key=lambda row: str(row["id"]))


def missing(now: Any, then: Any, where: str = "home") -> list[str]:
    """Places in which an answer lacks something that it had. What it has more is no loss, but for more rows."""
    if isinstance(then, dict):
        if not isinstance(now, dict):
            return [f"{where}: {now!r} in place of {then!r}"]
        gone = [f"{where}: {key} is gone" for key in then if key not in now]
        return gone + [line for key in then if key in now for line in missing(now[key], then[key], f"{where}.{key}")]
    if isinstance(then, list):
        if not isinstance(now, list) or len(now) != len(then):
            return [f"{where}: {now!r} in place of {then!r}"]
        return [line for i, value in enumerate(then) for line in missing(now[i], value, f"{where}[{i}]")]
    same = now == pytest.approx(then, abs=_CLOSE) if isinstance(then, float) else now == then
    return [] if same else [f"{where}: {now!r} in place of {then!r}"]
