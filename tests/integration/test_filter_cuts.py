"""Cuts that a person sets: counted before they are used, used by later runs, taken back, and never lost."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, delete, text, update
from sqlalchemy.exc import DBAPIError

from pipeline import store
from pipeline.errors import UsageError
from pipeline.filters.centroid import STAGE, FilterReport, LabelFilter
from pipeline.filters.centroid_stage import CentroidParams, CentroidStage
from pipeline.filters.histogram import stored
from pipeline.filters.names import SENTIMENT
from pipeline.filters.saved_cuts import as_params, in_force, save_cut, score_in_use
from pipeline.filters.sentiment import decide
from pipeline.runs.executor import run
from pipeline.settings import Settings
from pipeline.store.session import open_session
from pipeline.taxonomy import load_taxonomy
from saring.actions.filter_cuts import at_cut, beside_cut, cut_history, filtered_label, filtered_labels, set_cut
from saring.actions.filtering import filter_by_centroid, write_filter_page
from saring.context import Context
from tests.support.filtered import SPACE, Planted
from tests.support.stages import StageHome

_ROOT = Path(__file__).resolve().parents[2]
WHY = "those just below it are right"


def a_home(engine: Engine) -> Context:
    return StageHome(engine, taxonomy=load_taxonomy(), settings=Settings(encoder=SPACE, filter_by="similarity"))


def filter_all(ctx: Context, **options: object) -> FilterReport:
    return run(CentroidStage(), ctx, CentroidParams(encoder=SPACE, **options))  # type: ignore[arg-type]


def of(report: FilterReport, key: str) -> LabelFilter:
    [found] = [label for label in report.labels if label.label == key]
    return found


@pytest.fixture(scope="module")
def planted(module_engine: Engine) -> Planted:
    """A store in which hate and sexist were filtered once."""
    field = Planted(module_engine)
    field.plant({"hate"}, 0, 300)
    field.plant({"hate"}, 2, 60)
    field.plant({"sexist"}, 1, 120)
    filter_all(a_home(module_engine))
    return field


@pytest.fixture
def ctx(planted: Planted) -> Iterator[Context]:
    """The filtered store; a cut that a test leaves behind is taken back."""
    ctx = a_home(planted.engine)
    yield ctx
    with ctx.begin() as session:
        for cut in [*in_force(session, STAGE).values(), *in_force(session, SENTIMENT).values()]:
            save_cut(session, cut.stage, cut.label, None, reason="the test is over", who="test")


def scores(planted: Planted, label: str) -> list[float]:
    return sorted(stored(d.score) for d in planted.decisions(label).values() if d.score is not None)


def test_the_counts_at_any_cut_are_those_of_the_scores(planted: Planted, ctx: Context) -> None:
    found = filtered_label(ctx, "hate")
    values = scores(planted, "hate")
    assert found.summary is not None
    kept = sum(d.kept for d in planted.decisions("hate").values())
    assert (found.summary.kept, found.summary.dropped) == (kept, 360 - kept)
    assert found.summary.histogram.total == 360
    edges = found.summary.histogram.bins.edges
    for cut in [*edges[::40], values[17], values[200] + 1e-6, -1.0, 1.0, float(found.summary.cut or 0)]:
        told = at_cut(ctx, "hate", cut, limit=0)
        assert (told.dropped, told.kept) == (
            sum(value < stored(cut) for value in values),
            sum(value >= stored(cut) for value in values),
        )


def test_the_texts_next_to_a_cut_are_the_nearest_and_go_on_behind_the_last(planted: Planted, ctx: Context) -> None:
    values = scores(planted, "hate")
    cut = values[100]
    told = at_cut(ctx, "hate", cut, limit=7)
    assert [one.score for one in told.below.texts] == values[99:92:-1]
    assert [one.score for one in told.above.texts] == values[100:107]
    assert told.below.behind is not None
    more = beside_cut(ctx, "hate", cut, above=False, behind=told.below.behind, limit=7)
    assert [one.score for one in more.texts] == values[92:85:-1]
    last = beside_cut(ctx, "hate", values[3], above=False, behind=(values[1], uuid.UUID(int=0)), limit=7)
    assert [one.score for one in last.texts] == values[0:1]
    assert last.behind is None
    assert all(one.harsh and one.text.startswith("kucing nombor") for one in told.above.texts)


def test_texts_without_a_harmful_label_are_not_marked_harsh(planted: Planted, ctx: Context) -> None:
    ctx.__dict__["taxonomy"] = load_taxonomy()
    mild = ctx.taxonomy.keys
    benign = next(key for key in mild if key not in ctx.taxonomy.harmful)
    with ctx.begin() as session:
        from pipeline.filters.near_cut import harsh_texts

        ids = list(planted.decisions("sexist"))[:5]
        assert harsh_texts(session, ids, ctx.taxonomy.harmful) == set(ids)
        assert harsh_texts(session, ids, [benign]) == set()


def test_a_saved_cut_decides_the_next_run_and_the_report_says_so(
    planted: Planted, ctx: Context, tmp_path: Path
) -> None:
    before = of(filter_all(ctx), "hate")
    values = scores(planted, "hate")
    cut = stored(values[200])
    saved = set_cut(ctx, "hate", cut, reason=WHY, who="aisyah")
    assert (saved.cut, saved.reason, saved.who) == (cut, WHY, "aisyah")
    waiting = filtered_label(ctx, "hate")
    assert waiting.waits and waiting.saved == saved
    # Nothing is decided anew until the filter runs.
    assert sum(d.kept for d in planted.decisions("hate").values()) == before.kept

    report = filter_all(ctx)

    hate, sexist = of(report, "hate"), of(report, "sexist")
    assert (hate.cut, hate.method, hate.reason) == (cut, "by-hand", f"set by hand: {WHY}")
    assert (hate.kept, hate.dropped) == (160, 200)
    assert (hate.kept, hate.dropped) != (before.kept, before.dropped)
    assert sexist.method != "by-hand"
    decided = planted.decisions("hate")
    assert all(d.kept == (stored(d.score) >= cut) and stored(d.cut) == cut for d in decided.values())
    dropped = next(d for d in decided.values() if not d.kept)
    assert dropped.reason == f"similarity below {cut:.3f} (set by hand: {WHY})"
    assert not filtered_label(ctx, "hate").waits
    with open_session(ctx.engine) as session:
        params = session.get_one(store.Run, report.run_id).params
    assert params["saved_cuts"] == {"hate": {"id": saved.id, "cut": cut, "reason": f"set by hand: {WHY}"}}
    page = write_filter_page(ctx, report, tmp_path).read_text(encoding="utf-8")
    assert f"set by hand: {WHY}" in page

    set_cut(ctx, "hate", None, reason="the encoder changed", who="aisyah")
    after = of(filter_all(ctx), "hate")
    assert (after.cut, after.method, after.kept) == (before.cut, before.method, before.kept)


def test_a_label_alone_is_decided_by_its_saved_cut_too(planted: Planted, ctx: Context) -> None:
    cut = stored(scores(planted, "sexist")[30])
    set_cut(ctx, "sexist", cut, reason=WHY, who="aisyah")
    alone = filter_all(ctx, labels=["sexist"])
    assert [(label.label, label.dropped) for label in alone.labels] == [("sexist", 30)]


def test_a_cut_of_another_space_is_not_used_and_the_run_says_so(planted: Planted, ctx: Context) -> None:
    with ctx.begin() as session:
        save_cut(session, STAGE, "hate", 0.1, reason=WHY, who="aisyah", encoder="another")
    found = filtered_label(ctx, "hate")
    assert found.saved is not None
    assert (found.saved.encoder, found.fits, found.waits) == ("another", False, False)
    hate = of(filter_all(ctx), "hate")
    assert hate.method != "by-hand"
    assert hate.reason.endswith("; the cut set by hand is of another")
    assert set_cut(ctx, "hate", 0.4, reason=WHY, who="aisyah").encoder == SPACE
    assert filtered_label(ctx, "hate").waits


def test_a_saved_cut_decides_the_sentiment_rule_of_its_label_only(planted: Planted, ctx: Context) -> None:
    ids = [*planted.decisions("hate")][:40]
    with ctx.begin() as session:
        run_row = store.Run(stage=SENTIMENT, state="done")
        session.add(run_row)
        session.flush()
        for place, text_id in enumerate(ids):
            negative = (place + 0.5) / len(ids)
            session.add(
                store.TextSentiment(text_id=text_id, model="m", negative=negative, neutral=1 - negative, positive=0)
            )
        session.flush()
        save_cut(session, SENTIMENT, "hate", 0.5, reason=WHY, who="aisyah")
        saved = as_params(list(in_force(session, SENTIMENT).values()))
        labels = decide(
            session,
            ctx.taxonomy,
            run_row.id,
            cut=0.2,
            review_share=0.05,
            review_least=5,
            seed=1,
            saved_cuts=saved,
        )
        [hate] = [label for label in labels if label.label == "hate"]
        assert (hate.kept, hate.dropped, hate.cut, hate.by_hand) == (20, 20, 0.5, f"set by hand: {WHY}")
        assert {label.cut for label in labels if label.label != "hate"} == {0.2}
        reasons = session.scalars(
            text("SELECT DISTINCT reason FROM filter_decision WHERE stage = :stage AND NOT kept"), {"stage": SENTIMENT}
        ).all()
        assert reasons == [f"sentiment is hardly negative (below 0.5, set by hand: {WHY})"]
        session.rollback()


@pytest.mark.parametrize(
    ("cut", "reason", "name", "problem"),
    [
        (1.5, WHY, "centroid", "from -1 to 1"),
        (-0.2, WHY, "sentiment", "from 0 to 1"),
        (float("nan"), WHY, "centroid", "out of range"),
        (0.5, " \n ", "centroid", "without a reason"),
        (None, WHY, "centroid", "nothing to take back"),
        (0.5, WHY, "distance", "no filter is called 'distance'"),
    ],
)
def test_a_cut_that_cannot_be_is_refused(ctx: Context, cut: float | None, reason: str, name: str, problem: str) -> None:
    before = cut_history(ctx)
    with pytest.raises(UsageError, match=problem):
        set_cut(ctx, "hate", cut, reason=reason, who="aisyah", name=name)
    assert cut_history(ctx) == before


def test_the_history_keeps_every_cut_and_the_database_refuses_to_change_one(ctx: Context) -> None:
    first = set_cut(ctx, "hate", 0.4, reason="first", who="aisyah")
    second = set_cut(ctx, "hate", 0.5, reason="second", who="badrul")
    assert list(cut_history(ctx, "hate"))[:2] == [second, first]
    assert filtered_label(ctx, "hate").saved == second
    assert [one.label for one in filtered_labels(ctx, "centroid") if one.saved is not None] == ["hate"]
    for change in (update(store.FilterCut).values(reason="other"), delete(store.FilterCut)):
        with pytest.raises(DBAPIError, match="append-only"), ctx.begin() as session:
            session.execute(change)


def test_labels_filtered_before_summaries_were_kept_are_counted_when_asked_for(ctx: Context) -> None:
    counted = [(one.label, one.summary) for one in filtered_labels(ctx)]
    with ctx.begin() as session:
        session.execute(delete(store.FilterSummary))
    assert [(one.label, one.summary) for one in filtered_labels(ctx)] == counted
    assert {label for label, _ in counted} == {"hate", "sexist"}


def test_a_text_of_an_earlier_draw_has_the_largest_of_its_probabilities(engine: Engine) -> None:
    field = Planted(engine)
    field.plant({"hate"}, 0, 600, spread=0.8)
    ctx = a_home(engine)
    filter_all(ctx)
    for share in (0.8, 0.2):
        cut = stored(np.quantile(scores(field, "hate"), share))
        set_cut(ctx, "hate", cut, reason=WHY, who="aisyah")
        filter_all(ctx)
    with open_session(engine) as session:
        rows = session.execute(
            text("""
                SELECT v.inclusion_probability FROM review v JOIN filter_decision d USING (text_id, label)
                WHERE d.stage = :stage AND NOT d.kept
            """),
            {"stage": STAGE},
        ).scalars()
        chances = list(rows)
    # Of the 120 that are rejected now, 20 were drawn. The first run drew all of the few that it rejected; the third
    # run would draw what the second one drew of 480, with a greater probability.
    assert len(chances) >= 20
    assert {round(chance, 4) for chance in chances} <= {1.0, 0.1667}


def test_cuts_that_people_set_on_similarities_keep_that_score(planted: Planted, ctx: Context) -> None:
    undecided = StageHome(planted.engine, taxonomy=load_taxonomy(), settings=Settings(encoder=SPACE))
    assert score_in_use(undecided.engine, undecided.settings) == "neighbours"
    set_cut(ctx, "hate", 0.4, reason=WHY, who="aisyah")
    assert score_in_use(undecided.engine, undecided.settings) == "similarity"
    assert of(filter_all(undecided), "hate").method == "by-hand"
    named = Settings(encoder=SPACE, filter_by="neighbours")
    assert score_in_use(planted.engine, named) == "neighbours"


def test_exemplars_are_refused_where_there_are_no_centres(ctx: Context) -> None:
    with pytest.raises(UsageError, match=r"--anchors moves the centres of labels.*: add --by similarity"):
        filter_by_centroid(ctx, anchored=True, by="neighbours")


def test_the_commands_set_show_and_take_back_a_cut(
    environment: dict[str, str], database_url: str, engine: Engine
) -> None:
    field = Planted(engine)
    field.plant({"hate"}, 0, 60)
    filter_all(a_home(engine))
    middle = scores(field, "hate")[20]
    environment = environment | {"SARING_FILTER_BY": "similarity"}

    def answer(*words: str) -> dict[str, object]:
        done = subprocess.run(
            [sys.executable, "-m", "saring", "filter", *words], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        result: dict[str, object] = json.loads(done.stdout) if "--json" in words else {"said": done.stdout}
        return result

    said = answer("cut", "hate", "--to", f"{middle:.6f}", "--why", WHY)["said"]
    assert re.search(r"of the scores of the last run, \d+ are kept and \d+ rejected", str(said))
    shown = answer("cuts", "--label", "hate", "--json")
    [label] = shown["labels"]  # type: ignore[misc]
    assert label["by_hand"] == pytest.approx(middle, abs=1e-6)
    assert label["waits"] is True
    assert [cut["reason"] for cut in shown["history"]] == [WHY]  # type: ignore[attr-defined]
    answer("cut", "hate", "--computed", "--why", "tried it")
    assert WHY in str(answer("cuts")["said"]) and "computed again" in str(answer("cuts")["said"])
    assert os.environ.get("SARING_HOME") == os.devnull
