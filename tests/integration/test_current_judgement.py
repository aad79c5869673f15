"""Which judgements stand: the view of the store says what the pure function says."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, insert, select, text, update
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.judgement import ADJUDICATION, RaterKind, RaterRef
from pipeline.ledger.book import judgements_by_text, rater_id
from pipeline.ledger.resolve import current_judgements

_LABELS = ("hate", "violence", "porn")


def fill(session: Session, rng: np.random.Generator, *, texts: int, rows: int) -> list[uuid.UUID]:
    """A ledger of every kind of rater, with revisions, withdrawals, and rows that supersede any earlier one."""
    ids = [uuid.UUID(int=number) for number in range(1, texts + 1)]
    session.execute(insert(store.Text), [{"id": id_, "body": f"b{id_}", "masked": f"m{id_}"} for id_ in ids])
    refs = [RaterRef(kind, name, version) for kind in RaterKind for name in "ab" for version in "12"]
    refs += [RaterRef(RaterKind.HUMAN, ADJUDICATION, version) for version in "12"]
    raters = [rater_id(session, ref) for ref in refs]
    excluded = rng.choice(raters, 4, replace=False).tolist()
    session.execute(update(store.Rater).where(store.Rater.id.in_(excluded)).values(excluded_at=datetime.now(UTC)))
    revisions: dict[tuple[int, uuid.UUID, str], int] = {}
    earlier: list[int] = []
    for _ in range(rows):
        key = (int(rng.choice(raters)), ids[rng.integers(texts)], str(rng.choice(["", "x", "y"])))
        revisions[key] = revisions.get(key, -1) + 1
        row: dict[str, Any] = {
            "rater_id": key[0],
            "text_id": key[1],
            "external_ref": key[2],
            "revision": revisions[key],
            "asserted": [label for label in _LABELS[:2] if rng.random() < 0.4],
            "denied": [label for label in _LABELS[2:] if rng.random() < 0.4],
            "withdrawn": bool(rng.random() < 0.2),
            # mostly of another text, where it supersedes nothing
            "supersedes": int(rng.choice(earlier)) if earlier and rng.random() < 0.5 else None,
            "taxonomy_version": "t1",
        }
        earlier.append(session.execute(insert(store.Judgement).values(row).returning(store.Judgement.id)).scalar_one())
    return ids


@pytest.mark.parametrize(("seed", "texts", "rows"), [(1, 3, 400), (2, 12, 1_500), (3, 200, 1_500)])
def test_the_view_holds_what_the_pure_function_takes_for_current(
    session: Session, seed: int, texts: int, rows: int
) -> None:
    fill(session, np.random.default_rng(seed), texts=texts, rows=rows)
    found = session.execute(text("SELECT id, text_id, kind, asserted, denied FROM current_judgement")).all()
    expected = {
        (judgement.id, text_id, str(judgement.rater.kind), judgement.asserted, judgement.denied)
        for text_id, judgements in judgements_by_text(session)
        for judgement in current_judgements(judgements)
    }
    assert len(found) == len(expected) > 20
    assert {(*row[:3], frozenset(row.asserted), frozenset(row.denied)) for row in found} == expected
    assert {kind for _, _, kind, *_ in expected} == {str(kind) for kind in RaterKind}
    assert len(expected) < session.scalar(select(func.count()).select_from(store.Judgement))


def test_what_is_asked_of_a_kind_and_of_texts_does_not_change_what_stands(session: Session) -> None:
    ids = fill(session, np.random.default_rng(4), texts=20, rows=1_500)
    asked = {"kinds": ["llm", "human"], "lower": ids[5], "upper": ids[12]}
    narrow = session.scalars(
        text("SELECT id FROM current_judgement WHERE kind = ANY(:kinds) AND text_id >= :lower AND text_id < :upper"),
        asked,
    ).all()
    everything = session.execute(text("SELECT id, kind, text_id FROM current_judgement")).all()
    wide = {row.id for row in everything if row.kind in asked["kinds"] and ids[5] <= row.text_id < ids[12]}
    assert len(narrow) == len(wide) > 10
    assert set(narrow) == wide
