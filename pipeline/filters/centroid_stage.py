"""The centroid filter: similarities by ranges of texts, then the cuts, then the decisions by ranges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from pipeline.filters.asserted import draw_review, find_asserted
from pipeline.filters.centroid import (
    REVIEW_REASON,
    STAGE,
    FilterReport,
    Found,
    compare,
    decide,
    find_prototypes,
    put_cuts,
    summaries,
    take_turns,
)
from pipeline.filters.cuts import ChosenCut, Cut, choose_cut
from pipeline.runs.ranges import spans_of_texts
from pipeline.runs.stage import SHARD_TEXTS, Next, Part, Plan, RunView, Step, Values, WorkContext
from pipeline.store.session import open_session
from pipeline.vectors.embed_stage import encoder_of
from pipeline.vectors.spaces import space_in_use


@dataclass(frozen=True, slots=True)
class CentroidStage:
    """Parameters: `encoder`, `labels` (None: all), `cut` (of `Cut`), `anchored`, `seed`."""

    name: str = STAGE
    queue: str = "cpu"
    what: str = "filtering"
    in_shards: bool = True
    limit_seconds: int = 3600
    shard_texts: int = 10 * SHARD_TEXTS

    def plan(self, ctx: WorkContext, params: Mapping[str, Any]) -> Plan:
        """The prototypes of each label from a sample of its vectors, and ranges of the texts in scope."""
        how = Cut(**params.get("cut", {}))
        labels = params.get("labels")
        seed = params.get("seed", ctx.settings.seed)
        encoder = params.get("encoder") or space_in_use(ctx.engine, ctx.settings)
        keys = ctx.taxonomy.keys if labels is None else tuple(key for key in ctx.taxonomy.keys if key in set(labels))
        anchors = None
        if params.get("anchored"):
            anchors = {key: encoder_of(ctx, encoder).encode(ctx.taxonomy[key].all_exemplars()) for key in keys}
        with open_session(ctx.engine) as session, session.begin():
            find_asserted(session, keys)
            found, prototypes, skipped = find_prototypes(
                session, encoder, keys, how, anchors=anchors, seed=seed, strict=labels is not None
            )
            spans, _ = spans_of_texts(session, size=self.shard_texts)
        kept = {
            "encoder": encoder,
            "labels": labels,
            "cut": asdict(how),
            "anchored": bool(params.get("anchored")),
            "seed": seed,
            "taxonomy": ctx.taxonomy.version,
        }
        prepared = {
            "keys": list(keys),
            "found": {key: [one.support, one.vectors] for key, one in found.items()},
            "prototypes": {key: one.centroids.astype(float).tolist() for key, one in prototypes.items()},
            "skipped": skipped,
        }
        where = encoder if labels is None else f"{encoder}:{','.join(keys)}"
        return Plan(where, [Part(span, {"step": "compare"}) for span in spans], params=kept, prepared=prepared)

    def work(self, ctx: WorkContext, run: RunView, part: Part, step: Step) -> Values:
        """Measure the similarities of a range, or decide on it."""
        keys: list[str] = run.prepared["keys"]
        with open_session(ctx.engine) as session, session.begin():
            find_asserted(session, keys, part.span)
            if part.args["step"] == "compare":
                centroids = {
                    key: np.asarray(rows, dtype=np.float32) for key, rows in run.prepared["prototypes"].items()
                }
                compare(session, run.params["encoder"], centroids, keys)
                _keep_scores(session, run.id, keys)
                step(session, 0)
                return {}
            take_turns(session, keys, shared=True)
            _take_scores(session, run.id, keys, part)
            put_cuts(session, keys, _cuts(run))
            kept = decide(session, run.id, keys, part.span)
            step(session, 0)
            return {"kept": kept}

    def reduce(self, ctx: WorkContext, session: Session, run: RunView, counts: Values) -> Values | Next:
        """Choose the cuts once all similarities are known; draw from what was dropped at the end."""
        how = Cut(**run.params["cut"])
        keys: list[str] = run.prepared["keys"]
        if "cuts" not in run.prepared:
            cuts = {key: choose_cut(scores, how) for key, scores in _scores(session, run.id).items()}
            spans, _ = spans_of_texts(session, size=self.shard_texts)
            return Next(
                [Part(span, {"step": "decide"}) for span in spans],
                dict(run.prepared) | {"cuts": {key: asdict(one) for key, one in cuts.items()}},
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
        if not run.parked:
            session.execute(text("DELETE FROM filter_score WHERE run_id = :run"), {"run": run.id})
        decided = summaries(
            keys,
            {key: Found(*numbers) for key, numbers in run.prepared["found"].items()},
            {key: len(rows) for key, rows in run.prepared["prototypes"].items()},
            _cuts(run),
            counts.get("kept", {}),
            drawn,
            run.prepared["skipped"],
        )
        return asdict(FilterReport(run.id, run.params["encoder"], decided))


def _cuts(run: RunView) -> dict[str, ChosenCut]:
    return {key: ChosenCut(**values) for key, values in run.prepared["cuts"].items()}


def _keep_scores(session: Session, run_id: int, keys: list[str]) -> None:
    """Put what was compared in this transaction where the shards that come after find it."""
    session.execute(
        text("""
            INSERT INTO filter_score (run_id, label, text_id, score)
            SELECT :run, (CAST(:keys AS text[]))[label], text_id, score FROM centroid_compared
            ON CONFLICT DO NOTHING
        """),
        {"run": run_id, "keys": keys},
    )


def _take_scores(session: Session, run_id: int, keys: list[str], part: Part) -> None:
    """Put a range's similarities where `decide` looks for them."""
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


def _scores(session: Session, run_id: int) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    rows = session.execute(
        text("""
            SELECT label, string_agg(float4send(score), ''::bytea) FROM filter_score WHERE run_id = :run GROUP BY label
        """),
        {"run": run_id},
    )
    return {str(label): np.frombuffer(bytes(sent), dtype=">f4").astype(np.float64) for label, sent in rows}
