"""Proposals for texts: known ones from the ledger and the champion, others from the champion alone."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.ledger.book import judgements_by_text
from pipeline.measure.arrays import Floats
from pipeline.models.artefact import TrainedModel
from pipeline.preannotation.evidence import Evidence, gather_evidence
from pipeline.preannotation.policy import Policy, features_of
from pipeline.preannotation.proposal import Proposal, confidence, reasons, ticks
from pipeline.preannotation.told import tell
from pipeline.taxonomy import Taxonomy
from pipeline.vectors.stored import reading_in

#: texts that are read at once
_CHUNK = 2_000


def propose(
    session: Session,
    text_ids: Sequence[uuid.UUID],
    *,
    taxonomy: Taxonomy,
    model: TrainedModel | None,
    policy: Policy,
    people: bool = True,
) -> dict[uuid.UUID, Proposal]:
    """Propose labels to tick on texts of the store; unknown ids are left out.

    Args:
        session: an open session.
        text_ids: the texts.
        taxonomy: the labels.
        model: the champion; None: there is none.
        policy: the weights of the evidence.
        people: take over the labels on which people agree. False for what is shown to volunteers: a second rater must
            not see the answer of the first, and a planted task must not show its own.
    """
    proposals: dict[uuid.UUID, Proposal] = {}
    for start in range(0, len(text_ids), _CHUNK):
        chunk = list(text_ids[start : start + _CHUNK])
        masked = texts_of(session, chunk)
        known = [text_id for text_id in dict.fromkeys(chunk) if text_id in masked]
        evidence = evidence_of(session, known, taxonomy)
        if not people:
            evidence = [replace(of_text, people={}) for of_text in evidence]
        champion = stored_scores(session, model, {text_id: masked[text_id] for text_id in known}, taxonomy.keys)
        proposals.update(zip(known, _proposals(session, evidence, champion, taxonomy, policy), strict=True))
    return proposals


def propose_new(
    texts: Sequence[str], *, taxonomy: Taxonomy, model: TrainedModel | None, policy: Policy
) -> list[Proposal]:
    """Propose labels to tick on repaired, masked texts that are not in the store."""
    nothing = [Evidence()] * len(texts)
    return _proposals(None, nothing, champion_scores(model, texts, taxonomy.keys), taxonomy, policy)


@dataclass(frozen=True, slots=True)
class Preannotator:
    """One champion (or none) with one policy, for what is shown to volunteers."""

    taxonomy: Taxonomy
    model: TrainedModel | None
    policy: Policy

    @property
    def version(self) -> str:
        """Version of the proposals: it changes whenever the same evidence may give other ticks."""
        return f"{model_name(self.model)}-{self.policy.version}-{self.taxonomy.version[:8]}"

    def known(self, session: Session, text_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Proposal]:
        """Proposals for texts of the store."""
        return propose(session, text_ids, taxonomy=self.taxonomy, model=self.model, policy=self.policy, people=False)

    def fresh(self, texts: Sequence[str]) -> list[Proposal]:
        """Proposals for repaired, masked texts that the store does not know."""
        return propose_new(texts, taxonomy=self.taxonomy, model=self.model, policy=self.policy)


def model_name(model: TrainedModel | None) -> str:
    """Name of the champion in a version."""
    return model.manifest.version if model is not None else "ledger"


def texts_of(session: Session, text_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, str]:
    """The masked texts of the ids that the store knows."""
    t = store.Text
    rows = session.execute(select(t.id, t.masked).where(t.id == func.any(list(text_ids))))
    return {text_id: masked for text_id, masked in rows}  # noqa: C416 - rows are tuples to people, not to mypy


def evidence_of(session: Session, text_ids: Sequence[uuid.UUID], taxonomy: Taxonomy) -> list[Evidence]:
    """The evidence in the ledger on each text, in order."""
    excludes = excludes_of(taxonomy)
    t = store.Text
    texts = select(t.id).where(t.id == func.any(list(text_ids)))
    by_id = {
        text_id: gather_evidence(judgements, excludes)
        for text_id, judgements in judgements_by_text(session, texts=texts)
    }
    return [by_id.get(text_id, Evidence()) for text_id in text_ids]


def excludes_of(taxonomy: Taxonomy) -> Mapping[str, frozenset[str]]:
    """For each label, the labels that can't be true beside it."""
    return taxonomy.excludes


def stored_scores(
    session: Session, model: TrainedModel | None, masked: Mapping[uuid.UUID, str], labels: Sequence[str]
) -> Floats:
    """Those of `champion_scores` for texts of the store, by id, whose vectors are read and not computed again."""
    reads = None if model is None else reading_in(session, model, {text: text_id for text_id, text in masked.items()})
    return champion_scores(reads, list(masked.values()), labels)


def champion_scores(model: TrainedModel | None, texts: Sequence[str], labels: Sequence[str]) -> Floats:
    """The champion's probabilities [texts, labels]; nan for labels that it does not know."""
    scores = np.full((len(texts), len(labels)), np.nan)
    if model is None or not texts:
        return scores
    known = {label: i for i, label in enumerate(model.labels)}
    shared = [(i, known[label]) for i, label in enumerate(labels) if label in known]
    for start in range(0, len(texts), _CHUNK):
        rows = slice(start, start + _CHUNK)
        probabilities = model.probabilities(texts[rows])
        for ours, theirs in shared:
            scores[rows, ours] = probabilities[:, theirs]
    return scores


def _proposals(
    session: Session | None, evidence: Sequence[Evidence], champion: Floats, taxonomy: Taxonomy, policy: Policy
) -> list[Proposal]:
    keys, excludes = taxonomy.keys, excludes_of(taxonomy)
    probabilities = policy.probabilities(features_of(evidence, champion, keys))
    decided: list[tuple[dict[str, float], tuple[str, ...]]] = []
    for row, of_text in zip(probabilities, evidence, strict=True):
        scores = {key: round(float(p), 4) for key, p in zip(keys, row, strict=True)}
        scores |= {key: float(value) for key, value in of_text.people.items() if key in scores}
        decided.append((scores, ticks(scores, excludes)))
    explanations = _explanations(
        session,
        (
            assertion.judgement
            for of_text, (_, labels) in zip(evidence, decided, strict=True)
            for label in labels
            for assertion in of_text.assertions.get(label, ())
        ),
    )
    column = {key: i for i, key in enumerate(keys)}
    proposals = []
    for of_text, row, (scores, labels) in zip(evidence, champion, decided, strict=True):
        by_people = {label: of_text.people.get(label) is True for label in labels}
        sure = {label: _number(row[column[label]]) for label in labels}
        why = {
            label: reasons(label, of_text, sure[label], explanations, by_people=by_people[label]) for label in labels
        }
        told = {label: tell(taxonomy[label], of_text, sure[label], by_people=by_people[label]) for label in labels}
        proposals.append(Proposal(labels, scores, why, round(confidence(scores, labels), 4), told))
    return proposals


def _explanations(session: Session | None, judgements: Iterable[int]) -> Mapping[int, str]:
    wanted = sorted(set(judgements))
    if session is None or not wanted:
        return {}
    j = store.Judgement
    rows = session.execute(select(j.id, j.explanation).where(j.id == func.any(wanted), j.explanation.is_not(None)))
    return {judgement: explanation or "" for judgement, explanation in rows}


def _number(value: np.float64) -> float | None:
    return float(value) if np.isfinite(value) else None
