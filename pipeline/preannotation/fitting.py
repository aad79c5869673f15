"""Fit the policy on what people decided, on texts that are neither the champion's own nor in the test split."""

from __future__ import annotations

import numpy as np
from sqlalchemy.orm import Session

from pipeline.learning.sets.snapshot import learnt_from
from pipeline.ledger.decisions import decided_texts
from pipeline.ledger.held_out import SHARE, kept_split
from pipeline.ledger.test_set import members
from pipeline.measure.arrays import UNKNOWN
from pipeline.models.artefact import TrainedModel
from pipeline.preannotation.policy import Policy, choose_policy, default_policy, features_of
from pipeline.preannotation.propose import evidence_of, stored_scores, texts_of
from pipeline.taxonomy import Taxonomy

#: texts that are read at once
_CHUNK = 2_000


def fit_policy(session: Session, *, taxonomy: Taxonomy, model: TrainedModel | None) -> Policy:
    """The policy for a champion, from what people have decided until now; the fixed weights if that is too little.

    Texts of the test split are left out, as everything else that chooses leaves them out, and so are the texts that
    the champion learnt from, on which its probabilities are too good.
    """
    learnt = learnt_from(session, model.manifest.version) if model is not None else set()
    if learnt is None:
        return default_policy("the texts that the champion was trained on are not known")
    share = SHARE
    kept_out = learnt | members(session)
    ids = sorted(
        text.id
        for text in decided_texts(session, taxonomy, limit=0)
        if text.id not in kept_out and kept_split(text.id, text.split, share) != "test"
    )
    features, truths = [], []
    for start in range(0, len(ids), _CHUNK):
        chunk = ids[start : start + _CHUNK]
        evidence = evidence_of(session, chunk, taxonomy)
        masked = texts_of(session, chunk)
        champion = stored_scores(session, model, {text_id: masked[text_id] for text_id in chunk}, taxonomy.keys)
        truth = np.full(champion.shape, UNKNOWN, dtype=np.int8)
        for row, evidence_of_text in enumerate(evidence):
            for column, label in enumerate(taxonomy.keys):
                if label in evidence_of_text.people:
                    truth[row, column] = evidence_of_text.people[label]
        features.append(features_of(evidence, champion, taxonomy.keys))
        truths.append(truth)
    if not features:
        return default_policy("people have decided no usable text")
    name = model.manifest.version if model is not None else None
    return choose_policy(np.concatenate(features), np.concatenate(truths), champion=name)
