"""The nearest labelled neighbours of a text: what people and data sets said of the texts that are most like it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from pipeline import store
from pipeline.judgement import Tier
from pipeline.ledger.decisions import TRUSTED
from pipeline.search.decided import decisions_of
from pipeline.search.narrow import MOST_LISTED, Condition
from pipeline.search.near import index_of, nearest, vector_of
from pipeline.taxonomy import Taxonomy

#: neighbours that are looked at for each one that is shown, because raters may disagree about some
_SPARE = 4
#: what makes a text a labelled one: a person or a data set has judged it
_LABELLED = Condition(
    "t.in_scope AND EXISTS (SELECT FROM judgement j JOIN rater r ON r.id = j.rater_id"
    " WHERE j.text_id = t.id AND r.kind = ANY(:trusted))",
    {"trusted": sorted(TRUSTED)},
)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A labelled text that is like another one."""

    text_id: uuid.UUID
    #: masked
    text: str
    #: cosine
    likeness: float
    #: labels that it has, with the tier of each decision
    labels: dict[str, Tier]
    harsh: bool


def labelled_neighbours(
    session: Session, taxonomy: Taxonomy, encoder: str, text_id: uuid.UUID, *, most: int = 5
) -> Sequence[Neighbour]:
    """The labelled texts that are most like a text, the most similar first.

    Without an index of a large store's vectors, and where few texts are labelled, only the first 3,000 labelled texts
    are compared: a random sample, since ids are hashes.

    Raises:
        EncoderError: the text has no vector.
    """
    vector = vector_of(session, encoder, text_id)
    index = index_of(session, encoder)
    scores = (
        nearest(session, encoder, vector, _LABELLED, but=text_id).scores
        if index.present or not index.worth_making
        else {}
    )
    if len(scores) < most:
        labelled = session.scalars(
            text(
                "SELECT DISTINCT j.text_id FROM judgement j WHERE j.rater_id = ANY("
                "SELECT id FROM rater WHERE kind = ANY(:trusted)) ORDER BY j.text_id LIMIT :most"
            ),
            {"trusted": sorted(TRUSTED), "most": MOST_LISTED},
        ).all()
        scores = scores | nearest(session, encoder, vector, _LABELLED, among=labelled, but=text_id).scores
    closest = sorted(scores, key=lambda each: (-scores[each], each))[: _SPARE * most]
    decided = decisions_of(session, taxonomy, closest)
    t = store.Text
    texts = {row.id: row.masked for row in session.execute(select(t.id, t.masked).where(t.id.in_(closest)))}
    neighbours = []
    for near in closest:
        decisions = decided.get(near, {})
        labels = {key: decisions[key].tier for key in taxonomy.keys if key in decisions and decisions[key].value}
        if labels:
            harsh = any(not taxonomy[key].benign for key in labels)
            neighbours.append(Neighbour(near, texts[near], scores[near], labels, harsh))
    return neighbours[:most]
