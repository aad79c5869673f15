"""The stage of the centroid filter: similarities by ranges of texts, then the cuts, then the decisions by ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.orm import Session

from pipeline.filters.asserted import draw_review, find_asserted
from pipeline.filters.centroid import (
    REVIEW_REASON,
    STAGE,
    FilterReport,
    Support,
    compare,
    decide,
    find_prototypes,
    load_scores,
    lock_labels,
    put_cuts,
    summaries,
)
from pipeline.filters.cuts import ChosenCut, Cut, choose_cut
from pipeline.filters.names import By, scale_of
from pipeline.filters.neighbours import compare_with_neighbours, load_sample
from pipeline.filters.saved_cuts import as_params, in_force, score_in_use
from pipeline.filters.summary import summarise
from pipeline.runs.ranges import spans_of_texts
from pipeline.runs.stage import SHARD_TEXTS, Next, Part, Plan, RunView, Step, WorkContext, is_together
from pipeline.runs.values import Values
from pipeline.store.spans import Span
from pipeline.vectors.embed import encoder_of
from pipeline.vectors.spaces import space_in_use


@dataclass(frozen=True, slots=True)
class CentroidParams:
    """Labels to filter, and settings of the cuts."""

    #: keys to filter; None: all of the taxonomy
    labels: Sequence[str] | None = None
    #: method of the cuts
    cut: Cut = field(default_factory=Cut)
    #: use the taxonomy's exemplars for the prototypes too
    anchored: bool = False
    #: the space to compare in; None: the one in use
    encoder: str | None = None
    #: of the prototypes' starting points and of the review sample; None: the settings'
    seed: int | None = None
    #: what the texts are scored by; None: the settings'
    by: By | None = None


@dataclass(frozen=True, slots=True)
class CentroidStage:
    """Decide on every label that a machine rater currently asserts; the same store and seed give the same decisions.

    The decisions on a label are the same whether it is filtered alone or with others. A cut that a person set
    (`pipeline.filters.saved_cuts`) takes the place of the computed one. Decisions on labels that are no
    longer asserted are removed; decisions on a label that is skipped stay as they are.

    Raises:
        TaxonomyError: a label that was named is not in the taxonomy.
        NotEnoughVectors: a label that was named has fewer vectors than the cut's minimum support.
        EncoderError: vectors of exemplars and of texts have different dimensions.
    """

    name: str = STAGE
    report: type[FilterReport] = FilterReport
    queue: str = "cpu"
    what: str = "filtering"
    in_shards: bool = True
    together: bool = True
    limit_seconds: int = 3600
    shard_texts: int = 10 * SHARD_TEXTS

    def plan(self, home: WorkContext, params: CentroidParams) -> Plan:
        """The prototypes of each label from a sample of its vectors, and ranges of the texts in scope."""
        how, labels, by = params.cut, params.labels, params.by or score_in_use(home.engine, home.settings)
        seed = home.settings.seed if params.seed is None else params.seed
        encoder = params.encoder or space_in_use(home.engine, home.settings)
        for key in labels or ():
            home.taxonomy[key]  # Raises where the key is unknown.
        keys = home.taxonomy.keys if labels is None else tuple(key for key in home.taxonomy.keys if key in set(labels))
        scale, anchors = scale_of(encoder, by), None
        if params.anchored and by == "similarity":
            anchors = {key: encoder_of(home, encoder).encode(home.taxonomy[key].all_exemplars()) for key in keys}
        with home.begin() as session:
            if is_together(session):
                lock_labels(session, keys)
            find_asserted(session, keys)
            support, prototypes, skipped = find_prototypes(
                session, encoder, keys, how, anchors=anchors, seed=seed, strict=labels is not None, by=by
            )
            cuts = [cut for key, cut in in_force(session, STAGE).items() if key in keys]
            saved = as_params([cut for cut in cuts if cut.fits(scale)])
            spans, _ = spans_of_texts(session, size=self.shard_texts)
        kept = (
            {
                "encoder": encoder,
                "labels": labels,
                "cut": asdict(how),
                "anchored": params.anchored,
                "seed": seed,
                "taxonomy": home.taxonomy.version,
            }
            | ({"saved_cuts": saved} if saved else {})
            | ({"by": by} if by != "similarity" else {})
        )
        prepared = {
            "keys": list(keys),
            "found": {key: [counts.support, counts.vectors] for key, counts in support.items()},
            "prototypes": {key: own.centroids.astype(float).tolist() for key, own in prototypes.items()},
            "skipped": skipped,
            "elsewhere": {cut.label: cut.encoder for cut in cuts if not cut.fits(scale)},
        }
        where = encoder if labels is None else f"{encoder}:{','.join(keys)}"
        return Plan(
            where, [Part(span, {"step": "compare"}) for span in spans or [Span()]], params=kept, prepared=prepared
        )

    def work(self, home: WorkContext, run: RunView, part: Part, step: Step) -> Values:
        """Measure the similarities of a range, or decide on it."""
        keys: list[str] = run.prepared["keys"]
        with home.begin() as session:
            together = is_together(session)
            if not together:
                find_asserted(session, keys, part.span)
            if part.args["step"] == "compare":
                _compare(session, run, keys, home.taxonomy.keys)
                if not together:
                    _keep_scores(session, run.id, keys)
                step(session, 0)
                return {}
            if not together:
                lock_labels(session, keys, shared=True)
                _take_scores(session, run.id, keys, part)
            put_cuts(session, keys, _cuts(run), _by(run))
            kept = decide(session, run.id, keys, part.span)
            step(session, 0)
            return {"kept": kept}

    def reduce(self, home: WorkContext, session: Session, run: RunView, counts: Values) -> FilterReport | Next:
        """Choose the cuts once all similarities are known; at the end, draw a review sample of the rejected texts."""
        how = Cut(**run.params["cut"])
        keys: list[str] = run.prepared["keys"]
        if "cuts" not in run.prepared:
            measured = load_scores(session, keys) if is_together(session) else _scores(session, run.id)
            saved = run.params.get("saved_cuts", {})
            elsewhere = run.prepared.get("elsewhere", {})
            cuts = {
                key: _by_hand(saved[key]) if key in saved else _noting(choose_cut(scores, how), elsewhere.get(key))
                for key, scores in measured.items()
            }
            spans, _ = spans_of_texts(session, size=self.shard_texts)
            return Next(
                [Part(span, {"step": "decide"}) for span in spans or [Span()]],
                dict(run.prepared) | {"cuts": {key: asdict(cut) for key, cut in cuts.items()}},
            )
        drawn = draw_review(
            session,
            STAGE,
            tuple(run.prepared["prototypes"]),
            reason=REVIEW_REASON,
            share=how.review_share,
            least=how.review_min,
            seed=run.params["seed"],
            run_id=run.id,
        )
        summarise(session, STAGE, keys)
        if not run.parked:
            session.execute(text("DELETE FROM filter_score WHERE run_id = :run"), {"run": run.id})
        decided = summaries(
            keys,
            {key: Support(*numbers) for key, numbers in run.prepared["found"].items()},
            {key: len(rows) for key, rows in run.prepared["prototypes"].items()},
            _cuts(run),
            counts.get("kept", {}),
            drawn,
            run.prepared["skipped"],
        )
        return FilterReport(run.id, run.params["encoder"], decided, _by(run))


def _by(run: RunView) -> By:
    by: By = run.params.get("by", "similarity")
    return by


def _compare(session: Session, run: RunView, keys: Sequence[str], taxonomy: Sequence[str]) -> None:
    """Score the asserted labels of this transaction."""
    encoder, prototypes = run.params["encoder"], run.prepared["prototypes"]
    if _by(run) == "neighbours":
        filtered = [key for key in keys if key in prototypes]
        columns = [list(taxonomy).index(key) for key in filtered]
        numbers = [list(keys).index(key) + 1 for key in filtered]
        compare_with_neighbours(session, encoder, load_sample(session, encoder, taxonomy), columns, numbers)
        return
    compare(session, encoder, {key: np.asarray(rows, dtype=np.float32) for key, rows in prototypes.items()}, keys)


def _by_hand(saved: Values) -> ChosenCut:
    return ChosenCut(saved["cut"], "by-hand", saved["reason"])


def _noting(computed: ChosenCut, encoder: str | None) -> ChosenCut:
    """A computed cut, with a word on one that a person set in another space."""
    if encoder is None:
        return computed
    return replace(computed, reason=f"{computed.reason}; the cut set by hand is of {encoder}")


def _cuts(run: RunView) -> dict[str, ChosenCut]:
    return {key: ChosenCut(**values) for key, values in run.prepared["cuts"].items()}


def _keep_scores(session: Session, run_id: int, keys: list[str]) -> None:
    """Save the similarities of this transaction for the shards that follow."""
    session.execute(
        text("""
            INSERT INTO filter_score (run_id, label, text_id, score)
            SELECT :run, (CAST(:keys AS text[]))[label], text_id, score FROM centroid_compared
            ON CONFLICT DO NOTHING
        """),
        {"run": run_id, "keys": keys},
    )


def _take_scores(session: Session, run_id: int, keys: list[str], part: Part) -> None:
    """Load the similarities of a range into the table that `decide` reads."""
    low, high = part.span.lower, part.span.upper
    session.execute(
        text(f"""
            CREATE TEMP TABLE centroid_compared ON COMMIT DROP AS
            SELECT array_position(CAST(:keys AS text[]), label)::smallint AS label, text_id, score FROM filter_score
            WHERE run_id = :run {"AND text_id >= :low" if low else ""} {"AND text_id < :high" if high else ""}
        """),  # noqa: S608 - conditions on ids, their values apart
        {"run": run_id, "keys": keys} | ({"low": low} if low else {}) | ({"high": high} if high else {}),
    )
    session.execute(text("ANALYZE centroid_compared"))


def _scores(session: Session, run_id: int) -> dict[str, NDArray[np.float64]]:
    rows = session.execute(
        text("""
            SELECT label, string_agg(float4send(score), ''::bytea) FROM filter_score WHERE run_id = :run GROUP BY label
        """),
        {"run": run_id},
    )
    return {str(label): np.frombuffer(bytes(sent), dtype=">f4").astype(np.float64) for label, sent in rows}
