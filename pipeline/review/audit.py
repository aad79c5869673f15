"""The audit: a ranked list of labels that are probably wrong, of all texts or of some, without changing anything."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime

from sqlalchemy import Engine, exists, func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.ledger.book import judgements_by_text
from pipeline.ledger.consensus.saved import current_consensus
from pipeline.progress import Progress, silent
from pipeline.review.disputes import Found
from pipeline.review.find import keep_suspects
from pipeline.review.reasons import Why
from pipeline.review.state import state_of
from pipeline.review.suspects import GivenLabels, find_suspects
from pipeline.runs.record import stage_run
from pipeline.store.session import open_session
from pipeline.taxonomy import Taxonomy

STAGE = "audit"
_REPORTED, _CHUNK = 2_000, 1_000


@dataclass(frozen=True, slots=True)
class AuditConfig:
    """Limits of an audit."""

    #: labels; empty: all
    labels: tuple[str, ...] = ()
    #: whose answers are doubted, of `people`, `data` and `machines`; empty: everybody's
    by: tuple[str, ...] = ()
    #: texts that the models learn from
    learnt: int = 30_000
    #: texts that are kept, the most doubtful first
    most: int = 10_000
    #: True: put the texts into the review, in place of the suspected errors that wait there
    to_review: bool = False


@dataclass(frozen=True, slots=True)
class Doubted:
    """A text with at least one label that is probably wrong."""

    text_id: uuid.UUID
    #: personal data is masked
    text: str
    #: the labels that are doubted
    labels: tuple[str, ...]
    #: for each of these, the answer that it was given, and the probability that this answer is wrong
    given: Mapping[str, bool]
    wrong: Mapping[str, float]
    why: tuple[Why, ...]
    #: somebody says that the text has a harmful label
    harsh: bool
    #: what settling it is expected to bring: the probabilities, weighed by who answered, added up
    value: float


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The result of an audit."""

    run_id: int
    #: texts with a label that is decided
    texts: int
    #: texts that the models learnt from
    learnt: int
    #: texts with a label that is probably wrong
    doubted: int
    #: doubted labels, by label
    by_label: Mapping[str, int] = field(default_factory=dict)
    #: labels of which too few texts have a yes or a no
    left_out: tuple[str, ...] = ()
    #: texts that were put into the review
    into_review: int = 0


def audit(
    engine: Engine,
    taxonomy: Taxonomy,
    config: AuditConfig | None = None,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> tuple[AuditReport, Sequence[Doubted]]:
    """Find the labels that are probably wrong, the most doubtful text first.

    Args:
        engine: the store.
        taxonomy: the labels.
        config: what is looked at; None: the defaults.
        seed: of the folds of the models.
        progress: called from time to time.

    Raises:
        RunConflict: another audit is running.
    """
    how = config or AuditConfig()
    with stage_run(engine, STAGE, params={"config": asdict(how), "seed": seed}, progress=progress) as run:
        given = GivenLabels(taxonomy.keys, taxonomy.excludes)
        with open_session(engine) as session:
            began: datetime = session.execute(select(func.now())).scalar_one()
            consensus = current_consensus(session)
            in_scope = select(store.Text.id).where(store.Text.in_scope)
            for texts, (text_id, judgements) in enumerate(judgements_by_text(session, texts=in_scope), start=1):
                given.add(state_of(text_id, judgements, taxonomy, consensus, 0))
                if texts % _REPORTED == 0:
                    progress(texts, None, "reading the labels")
            suspects = find_suspects(
                session,
                given,
                learnt=how.learnt,
                most=how.most,
                seed=seed,
                only=how.labels,
                by=how.by,
                progress=progress,
            )
            doubted = _with_texts(session, taxonomy, suspects.found)
        if how.to_review:
            with open_session(engine) as session, session.begin():
                keep_suspects(session, suspects.found, began)
        report = AuditReport(
            run.id,
            len(given.ids),
            suspects.learnt,
            suspects.texts,
            suspects.by_label,
            suspects.left_out,
            len(suspects.found) if how.to_review else 0,
        )
        run.counts = asdict(report)
        with open_session(engine) as session, session.begin():
            run.save(session)
    return report, doubted


def _with_texts(session: Session, taxonomy: Taxonomy, suspects: Sequence[Found]) -> list[Doubted]:
    t, j = store.Text, store.Judgement
    harmful = exists().where(j.text_id == t.id, j.asserted.overlap(list(taxonomy.harmful)))
    read: dict[uuid.UUID, tuple[str, bool]] = {}
    for start in range(0, len(suspects), _CHUNK):
        ids = [each.text_id for each in suspects[start : start + _CHUNK]]
        rows = session.execute(select(t.id, t.masked, harmful).where(t.id.in_(ids)))
        read.update({text_id: (masked, harsh) for text_id, masked, harsh in rows})
    doubted = []
    for each in suspects:
        if each.text_id not in read:
            # removed meanwhile
            continue
        masked, harsh = read[each.text_id]
        chances = {str(why.values["label"]): why.values for why in each.why if "wrong" in why.values}
        given = {label: values["given"] == "yes" for label, values in chances.items()}
        wrong = {label: values["wrong"] / 100 for label, values in chances.items()}
        doubted.append(Doubted(each.text_id, masked, each.labels, given, wrong, each.why, harsh, each.value))
    return doubted
