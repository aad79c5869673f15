"""The pages of the filters: cuts are looked at, saved and taken back, and the review sample is worked through."""

from __future__ import annotations

import html
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text

from pipeline import store
from pipeline.filters.centroid import STAGE
from pipeline.filters.centroid_stage import CentroidParams, CentroidStage
from pipeline.filters.cuts import Cut
from pipeline.runs.executor import run
from pipeline.store import open_session
from pipeline.store.tables.accounts import Role
from saring.accounts.audit import read_entries
from saring.actions.filter_cuts import cut_history
from tests.support.filtered import SPACE, Planted
from tests.support.store import new_database
from tests.support.web import Web, forms_of, serving_web, words_of

WHY = "those just below it <b>are</b> right"
SCRIPT = "<script>alert('x')</script> kucing"


@pytest.fixture(scope="module")
def web(server_url: str, template: str, module_home: Path) -> Iterator[Web]:
    """A dashboard over a store in which hate was filtered; 30 of 300 texts were rejected, and 20 of them drawn."""
    settings = {"encoder": SPACE, "filter_by": "similarity"}
    with new_database(server_url, template) as url, serving_web(module_home, url, **settings) as web:
        planted = Planted(web.home.engine)
        planted.plant({"hate"}, 0, 300)
        with web.home.begin() as session:
            session.execute(text("UPDATE text SET masked = :script"), {"script": SCRIPT})
        run(CentroidStage(), web.home, CentroidParams(cut=Cut("quantile"), encoder=SPACE))
        yield web


def cut_of(web: Web) -> float:
    with open_session(web.home.engine) as session:
        return float(session.scalars(select(store.FilterSummary.cut)).one() or 0)


def test_every_label_is_listed_with_its_cut_counts_and_sample(web: Web) -> None:
    shown = web.client(Role.VIEWER).get("/filter")
    words = words_of(shown.text)
    assert re.search(rf"Hate\s+{cut_of(web):.4f}\s+270\s+30\s+10\.0%", words), words
    assert "/filter/hate?filter=centroid" in shown.text
    # A viewer does not work through samples.
    assert "/filter/hate/sample" not in shown.text
    assert "Check the next one" in words_of(web.client(Role.REVIEWER).get("/filter").text) or "–" in words


def test_a_typed_cut_shows_its_counts_and_the_texts_on_either_side_without_scripts(web: Web) -> None:
    viewer = web.client(Role.VIEWER)
    first = viewer.get("/filter/hate")
    assert first.status_code == 200
    assert "270 kept, 30 rejected" in words_of(first.text)
    form = next(form for form in forms_of(first.text) if form.method == "get" and "cut" in form.fields)
    with open_session(web.home.engine) as session:
        middle = session.scalar(
            text("SELECT round(percentile_disc(0.5) WITHIN GROUP (ORDER BY score)::numeric, 3) FROM filter_decision")
        )
        below = session.scalar(
            text("SELECT count(*) FROM filter_decision WHERE score < CAST(:cut AS real)"), {"cut": middle}
        )
    cut = f"{float(middle):.6g}"
    moved = viewer.get(form.action, params={**form.fields, "cut": cut.replace(".", ",")})
    assert f"At a cut of {cut}: {300 - below} kept, {below} rejected." in words_of(moved.text)
    assert moved.text.count('<svg class="chart"') == 1
    part = viewer.get("/filter/hate/beside", params={"filter": "centroid", "cut": cut})
    assert f"{300 - below} kept, {below} rejected" in part.text
    assert "<html" not in part.text
    assert part.text.count("<li>") == 20
    # Texts are escaped, and hidden until they are asked for.
    assert SCRIPT not in part.text
    assert html.escape(SCRIPT, quote=False) in part.text.replace("&#39;", "'")
    assert part.text.count('<details class="harsh">') == 20
    wrong = viewer.get("/filter/hate", params={"cut": "many"})
    assert wrong.status_code == 422
    assert "not a number" in words_of(wrong.text)
    assert viewer.get("/filter/haet").status_code == 422
    assert viewer.get("/filter/hate", params={"filter": "other"}).status_code == 422


def test_a_maintainer_saves_a_cut_with_a_reason_and_takes_it_back(web: Web) -> None:
    assert "/filter/hate/cut" not in web.client(Role.REVIEWER).get("/filter/hate").text
    maintainer = web.client(Role.MAINTAINER)
    before = len(cut_history(web.home))
    without = maintainer.post_form("/filter/hate", "/filter/hate/cut", cut="0.93", reason=" ")
    assert without.status_code == 422
    assert "without a reason" in words_of(without.text)
    kept = next(form for form in forms_of(without.text) if form.action == "/filter/hate/cut")
    assert kept.fields["cut"] == "0.93"
    high = maintainer.post_form("/filter/hate", "/filter/hate/cut", cut="9", reason=WHY)
    assert high.status_code == 422
    assert next(form for form in forms_of(high.text) if form.action == "/filter/hate/cut").fields["reason"] == WHY
    assert len(cut_history(web.home)) == before

    saved = maintainer.post_form("/filter/hate", "/filter/hate/cut", cut="0.93", reason=WHY)
    assert saved.url.path == "/filter/hate"
    assert "The cut is saved" in words_of(saved.text)
    assert WHY not in saved.text
    assert html.escape(WHY) in saved.text
    [newest, *_] = cut_history(web.home)
    assert (newest.who, newest.reason, round(newest.cut or 0, 6)) == ("maintainer", WHY, 0.93)
    assert "waits for the next run" in words_of(maintainer.get("/filter").text)
    run(CentroidStage(), web.home, CentroidParams(cut=Cut("quantile"), encoder=SPACE))
    listed = words_of(maintainer.get("/filter").text)
    assert "set by hand" in listed
    assert "0.9300" in listed

    back = maintainer.post_form("/filter/hate", "/filter/hate/computed", reason="it was too high")
    assert "computes the cut again" in words_of(back.text)
    assert cut_history(web.home)[0].cut is None
    run(CentroidStage(), web.home, CentroidParams(cut=Cut("quantile"), encoder=SPACE))
    with web.home.begin() as session:
        acts = [entry.act for entry in read_entries(session)]
    assert {"filter.cut", "filter.computed"} <= set(acts)


def test_a_reviewer_works_through_the_sample_undoes_and_sees_the_precision(web: Web) -> None:
    page = "/filter/hate/sample?filter=centroid"
    reviewer = web.client(Role.REVIEWER)
    assert web.client(Role.VIEWER).get(page).status_code == 403
    first = reviewer.get(page)
    assert "Was this rightly rejected?" in words_of(first.text)
    assert SCRIPT not in first.text
    assert first.text.count("data-key=") >= 4
    shown = [_text_of(first.text)]
    for answer in ("rightly", "wrongly", "unsure"):
        after = reviewer.post_form(page, "/filter/hate/sample", answer=answer)
        assert after.status_code == 200
        shown.append(_text_of(after.text))
    assert len(set(shown)) == 4
    assert "1 rightly, 1 wrongly, 0 disputed, 1 that nobody could say" in words_of(after.text)
    assert "2 of 20 texts settled" in words_of(after.text)
    assert re.search(r"Rightly rejected 0\.50 \[0\.\d\d, 0\.\d\d\]", words_of(after.text))
    with open_session(web.home.engine) as session:
        asserted, denied, name, version = session.execute(
            text("""
                SELECT j.asserted, j.denied, r.name, r.version FROM judgement j JOIN rater r ON r.id = j.rater_id
                WHERE r.kind = 'human' AND j.text_id = :id
            """),
            {"id": shown[1]},
        ).one()
    assert (asserted, denied, name) == (["hate"], [], "saring")
    assert version.isdigit()

    undone = reviewer.post_form(page, "/filter/hate/undo")
    assert _text_of(undone.text) == shown[2]
    assert "0 that nobody could say" in words_of(undone.text)
    # Another reviewer answers a text that is settled already, from a page that was open before.
    other = web.client(Role.REVIEWER, "badrul")
    told = other.post_form(f"{page}&text={shown[0]}", "/filter/hate/sample", answer="wrongly")
    assert "Others answered this text before you: rightly rejected." in words_of(told.text)
    assert "now it is disputed" in words_of(told.text)
    listed = words_of(reviewer.get("/filter?renew=filter.precision").text)
    assert "of 20 checked" in listed or "Being computed" in listed


def test_an_answer_that_cannot_be_is_refused(web: Web) -> None:
    reviewer = web.client(Role.REVIEWER)
    page = "/filter/hate/sample?filter=centroid"
    assert reviewer.post_form(page, "/filter/hate/sample", answer="maybe").status_code == 422
    stranger = uuid.UUID(int=5)
    gone = reviewer.post_form(page, "/filter/hate/sample", answer="rightly", text=stranger)
    assert gone.status_code == 422
    assert "not in the review sample" in words_of(gone.text)
    nothing = web.client(Role.REVIEWER, "cheng").get("/filter/violence/sample")
    assert "Nothing of this sample is left" in words_of(nothing.text)


def test_the_pages_speak_malay(web: Web) -> None:
    viewer = web.client(Role.OWNER)
    viewer.post_form("/account", "/account/preferences", language="ms")
    for page, said in (
        ("/filter", "Penapis menolak label daripada mesin"),
        ("/filter/hate", "Teks di sekitar nilai potong"),
        ("/filter/hate/sample", "Adakah ini betul ditolak?"),
    ):
        assert said in words_of(viewer.get(page).text)
    assert STAGE == "filter-centroid"


def _text_of(page: str) -> uuid.UUID:
    [form] = [form for form in forms_of(page) if form.action == "/filter/hate/sample"]
    return uuid.UUID(form.fields["text"])
