"""The centroid filter: a label from a machine is kept only for texts that lie near the label's centres.

Prototypes are estimated from a sample of the label's vectors; everything else happens where the vectors are. A text
below the cut is rejected, not deleted, and a random sample of the rejected texts goes to people.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector
from sqlalchemy import text
from sqlalchemy.orm import Session

from pipeline.errors import EncoderError, NotEnoughVectors
from pipeline.filters.asserted import forget_stale
from pipeline.filters.cuts import ChosenCut, Cut
from pipeline.filters.names import CENTROID, REVIEW_REASONS, SCORES, By
from pipeline.filters.prototypes import SAMPLE, Prototypes, make_prototypes
from pipeline.store.locks import lock_key, take
from pipeline.store.spans import Span
from pipeline.vectors.encoders.protocol import Vectors
from pipeline.vectors.table import read_vectors

#: name of the filter's runs and decisions
STAGE = CENTROID
#: reason of the texts in the review sample
REVIEW_REASON = REVIEW_REASONS[STAGE]


@dataclass(frozen=True, slots=True)
class LabelFilter:
    """Result of the filter for one label."""

    label: str
    #: texts for which a filtered rater asserts the label
    support: int
    #: those of them that have a vector
    vectors: int
    prototypes: int = 0
    cut: float | None = None
    #: the method that chose the cut; `by-hand`: a person set it
    method: str | None = None
    #: the numbers behind the cut
    reason: str = ""
    kept: int = 0
    dropped: int = 0
    #: rejected texts drawn for people
    in_review: int = 0
    #: the reason why nothing was decided; None where something was
    skipped: str | None = None


@dataclass(frozen=True, slots=True)
class FilterReport:
    """Result of one run, label by label in the taxonomy's order."""

    run_id: int
    encoder: str
    labels: tuple[LabelFilter, ...]
    #: what the texts were scored by
    by: By = "similarity"

    @property
    def kept(self) -> int:
        """Labels of texts that are kept."""
        return sum(label.kept for label in self.labels)

    @property
    def dropped(self) -> int:
        """Labels of texts that are rejected."""
        return sum(label.dropped for label in self.labels)


@dataclass(frozen=True, slots=True)
class Support:
    """Numbers of texts and vectors of a label."""

    #: texts that have it, and those of them that have a vector
    support: int
    vectors: int


def lock_labels(session: Session, keys: Sequence[str], *, shared: bool = False) -> None:
    """Lock the labels for this transaction, one by one in a fixed order: a filter of one label and a filter of all
    labels may run at the same time. Shared locks exclude only locks that are not shared."""
    for key in sorted(keys):
        take(session, lock_key(f"{STAGE}-label", key), shared=shared)


def find_prototypes(
    session: Session,
    encoder: str,
    keys: Sequence[str],
    how: Cut,
    *,
    anchors: Mapping[str, Vectors] | None,
    seed: int,
    strict: bool,
    by: By = "similarity",
    tell: Callable[[int, str], None] | None = None,
) -> tuple[dict[str, Support], dict[str, Prototypes], dict[str, str]]:
    """The prototypes of each label from a sample of its vectors, and the reasons why labels have none. Call
    `find_asserted` first. Where texts are scored by their neighbours, a label with enough vectors has an empty entry.

    Raises:
        NotEnoughVectors: a label has too few vectors, and the call is strict.
        EncoderError: anchors and vectors have different dimensions.
    """
    support: dict[str, Support] = {}
    prototypes: dict[str, Prototypes] = {}
    skipped: dict[str, str] = {}
    samples = load_samples(session, encoder, keys)
    for count, key in enumerate(keys):
        if tell is not None:
            tell(count, key)
        support[key], sample = samples[key]
        if support[key].vectors < how.min_support:
            skipped[key] = _too_few(support[key], how, encoder)
            if strict:
                raise NotEnoughVectors(f"label {key!r}: {skipped[key]}")
            continue
        if by == "neighbours":
            prototypes[key] = Prototypes(sample[:0], ())
            continue
        prototypes[key] = _prototypes_of(key, sample, how, (anchors or {}).get(key), seed)
    return support, prototypes, skipped


def load_samples(session: Session, encoder: str, keys: Sequence[str]) -> dict[str, tuple[Support, Vectors]]:
    """For each label, its numbers of texts and vectors, and the vectors of its first texts in order of id.

    Ids are hashes of the texts, so the first are a uniform random sample.
    """
    counted = session.execute(text("SELECT label, count(*) FROM asserted_label GROUP BY label"))
    texts = {int(label): int(count) for label, count in counted}
    rows = session.execute(
        text("""
            WITH numbered AS (
                SELECT a.label, a.text_id, row_number() OVER (PARTITION BY a.label ORDER BY a.text_id) AS nth,
                    count(*) OVER (PARTITION BY a.label) AS total
                FROM asserted_label a JOIN text_vector v ON v.text_id = a.text_id AND v.encoder = :encoder
            )
            SELECT n.label, min(n.total), string_agg(halfvec_send(v.embedding), ''::bytea ORDER BY n.nth)
            FROM numbered n JOIN text_vector v ON v.text_id = n.text_id AND v.encoder = :encoder
            WHERE n.nth <= :sample GROUP BY n.label
        """),
        {"encoder": encoder, "sample": SAMPLE},
    )
    loaded = {label: (total, bytes(sent)) for label, total, sent in rows}
    samples = {}
    for number, key in enumerate(keys, start=1):
        total, sent = loaded.get(number, (0, b""))
        samples[key] = Support(texts.get(number, 0), total), read_vectors(sent)
    return samples


def _prototypes_of(key: str, sample: Vectors, how: Cut, anchors: Vectors | None, seed: int) -> Prototypes:
    if anchors is not None and anchors.shape[1] != sample.shape[1]:
        raise EncoderError(
            f"the exemplars of {key!r} have {anchors.shape[1]} dimensions and its texts {sample.shape[1]}: "
            "embed both with the same encoder"
        )
    own = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")
    return make_prototypes(sample, trim=how.trim, anchors=anchors, rng=np.random.default_rng([seed, own]))


def compare(session: Session, encoder: str, prototypes: Mapping[str, Vectors], keys: Sequence[str]) -> None:
    """Collect into `centroid_compared` each text's similarity to the nearest prototype of its label, in one pass.

    Vectors and prototypes have length 1, so the inner product is the cosine, at a third of the work.
    """
    numbers = {number: key for number, key in enumerate(keys, start=1) if key in prototypes}
    values: dict[str, object] = {"encoder": encoder, "numbers": list(numbers)}
    cases = []
    for number, key in numbers.items():
        products = []
        for i, prototype in enumerate(prototypes[key]):
            values[f"p{number}_{i}"] = HalfVector(prototype)
            products.append(f"-(v.embedding <#> CAST(:p{number}_{i} AS halfvec))")
        cases.append(f"WHEN {number} THEN greatest({', '.join(products)})")
    score = f"CASE a.label {' '.join(cases)} END" if cases else "NULL"
    session.execute(
        text(f"""
            CREATE TEMP TABLE centroid_compared ON COMMIT DROP AS
            SELECT a.label, a.text_id, ({score})::real AS score
            FROM asserted_label a JOIN text_vector v ON v.text_id = a.text_id AND v.encoder = :encoder
            WHERE a.label = ANY(CAST(:numbers AS smallint[]))
        """),  # noqa: S608 - made of numbers only
        values,
    )


def load_scores(session: Session, keys: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """The similarities of each compared label, as they are stored."""
    rows = session.execute(
        text("SELECT label, string_agg(float4send(score), ''::bytea) FROM centroid_compared GROUP BY label")
    )
    return {keys[label - 1]: np.frombuffer(bytes(sent), dtype=">f4").astype(np.float64) for label, sent in rows}


def put_cuts(session: Session, keys: Sequence[str], cuts: Mapping[str, ChosenCut], by: By = "similarity") -> None:
    """Write the cuts to the table `centroid_cut`, with the reasons of decisions by them."""
    score = SCORES[by]
    session.execute(
        text("""
            CREATE TEMP TABLE centroid_cut (
                label smallint PRIMARY KEY, name text, cut real, why_kept text, why_dropped text
            ) ON COMMIT DROP
        """)
    )
    rows = [
        {
            "label": number,
            "name": key,
            "cut": cuts[key].value,
            "why_kept": f"{score} of at least {cuts[key].value:.3f} ({cuts[key].reason})",
            "why_dropped": f"{score} below {cuts[key].value:.3f} ({cuts[key].reason})",
        }
        for number, key in enumerate(keys, start=1)
        if key in cuts
    ]
    if rows:
        session.execute(text("INSERT INTO centroid_cut VALUES (:label, :name, :cut, :why_kept, :why_dropped)"), rows)


def decide(session: Session, run_id: int, keys: Sequence[str], span: Span | None = None) -> dict[str, int]:
    """Write the decisions that changed, remove those on labels that are no longer asserted, and count the kept labels:
    for all texts, or for those in `span`."""
    forget_stale(session, STAGE, keys, span)
    session.execute(
        text("""
            INSERT INTO filter_decision (stage, label, text_id, kept, score, cut, reason, run_id)
            SELECT :stage, c.name, s.text_id, n.kept, s.score, c.cut, n.reason, :run
            FROM centroid_compared s JOIN centroid_cut c USING (label)
            CROSS JOIN LATERAL (
                SELECT s.score >= c.cut, CASE WHEN s.score >= c.cut THEN c.why_kept ELSE c.why_dropped END
            ) AS n (kept, reason)
            LEFT JOIN filter_decision d ON d.stage = :stage AND d.label = c.name AND d.text_id = s.text_id
            WHERE (d.kept, d.score, d.cut, d.reason) IS DISTINCT FROM (n.kept, s.score, c.cut, n.reason)
            ON CONFLICT (stage, label, text_id) DO UPDATE
            SET kept = excluded.kept, score = excluded.score, cut = excluded.cut, reason = excluded.reason,
                run_id = excluded.run_id
        """),
        {"stage": STAGE, "run": run_id},
    )
    kept = text("""
        SELECT c.name, count(*) FROM centroid_compared s JOIN centroid_cut c USING (label)
        WHERE s.score >= c.cut GROUP BY c.name
    """)
    return {str(name): int(count) for name, count in session.execute(kept)}


def _too_few(support: Support, how: Cut, encoder: str) -> str:
    if support.support < how.min_support:
        texts = "1 text has" if support.support == 1 else f"{support.support} texts have"
        return f"{texts} this label from a machine; the filter needs {how.min_support}"
    have = "has" if support.vectors == 1 else "have"
    return (
        f"{support.vectors} of its {support.support} texts {have} a vector of {encoder}; the filter needs "
        f"{how.min_support}: run `saring embed`"
    )


def summaries(
    keys: Sequence[str],
    support: Mapping[str, Support],
    prototypes: Mapping[str, int],
    cuts: Mapping[str, ChosenCut],
    kept: Mapping[str, int],
    drawn: Mapping[str, int],
    skipped: Mapping[str, str],
) -> tuple[LabelFilter, ...]:
    """The result for each label, from the numbers of each step by label."""
    return tuple(
        LabelFilter(
            label=key,
            support=support[key].support,
            vectors=support[key].vectors,
            prototypes=prototypes[key],
            cut=cuts[key].value,
            method=cuts[key].method,
            reason=cuts[key].reason,
            kept=kept.get(key, 0),
            dropped=support[key].vectors - kept.get(key, 0),
            in_review=drawn.get(key, 0),
        )
        if key in prototypes and key in cuts
        else LabelFilter(key, support[key].support, support[key].vectors, skipped=skipped.get(key))
        for key in keys
    )
