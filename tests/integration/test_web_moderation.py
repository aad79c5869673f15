"""The pages for applications: policies, what programs can ask for, and differences of a challenger in the shadow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_backend.moderation.config import ModerationLimits
from ml_backend.moderation.openapi import document
from ml_backend.moderation.shadow import LabelCounts, ShadowCounts
from pipeline.learning import registry
from pipeline.store import make_engine, open_session
from pipeline.store.tables.accounts import Role
from saring.actions.moderation import read_policies
from saring.actions.shadow import add_counts, set_shadow
from saring.web.api_words import SENTENCES
from tests.support.backend import promote, train_model
from tests.support.commands import answered, typed
from tests.support.store import new_database
from tests.support.web import Web, serving_web, words_of


@pytest.fixture(scope="module")
def web(server_url: str, template: str, module_home: Path) -> Iterator[Web]:
    """The pages of a store with a champion."""
    with new_database(server_url, template) as url:
        engine = make_engine(url)
        promote(engine, train_model(module_home / "models"))
        engine.dispose()
        with serving_web(module_home, url) as web:
            yield web


def test_whether_texts_are_kept_is_chosen_with_the_policy_and_shown_where_it_is_chosen(web: Web) -> None:
    maintainer = web.client(Role.MAINTAINER)
    maintainer.post_form("/policies", "/policies/set", name="forum", default="recall=0.9")
    assert "texts are kept" not in words_of(maintainer.get("/policies").text)
    saved = maintainer.post_form("/policies", "/policies/set", name="forum", label="porn", store_texts="yes")
    assert "texts are kept" in words_of(saved.text)
    # another change leaves it as it is
    maintainer.post_form("/policies", "/policies/set", name="forum", label="porn", target="precision=0.8")
    assert read_policies(web.home)["forum"].store_texts
    maintainer.post_form("/tokens", "/tokens/make", name="a forum", role="viewer")
    assert "forum (texts are kept)" in words_of(maintainer.get("/tokens").text)
    refused = maintainer.post_form("/policies", "/policies/set", name="forum", store_texts="perhaps")
    assert refused.status_code == 422
    maintainer.post_form("/policies", "/policies/set", name="forum", store_texts="no")
    assert not read_policies(web.home)["forum"].store_texts


def test_people_read_what_programs_can_ask_for_in_their_language(web: Web) -> None:
    viewer = web.client(Role.VIEWER)
    page = words_of(viewer.get("/api").text)
    for shown in ("POST /v1/moderations", "results[].flagged", "comment.text", "The calibrated probability of each."):
        assert shown in page
    assert viewer.get("/api/openapi.json").json()["paths"].keys() >= {"/v1/moderations", "/v1/reports"}
    malay = words_of(viewer.get("/api", headers={"Accept-Language": "ms"}).text)
    assert "Kebarangkalian tertentukur bagi setiap satu." in malay
    assert web.anonymous().get("/api/openapi.json", follow_redirects=False).status_code == 303


def test_each_sentence_of_the_document_can_be_shown_in_malay() -> None:
    described = document("http://localhost", ModerationLimits(), {"hate": ""})

    def sentences(value: object) -> Iterator[str]:
        if isinstance(value, dict):
            yield from (text for name, text in value.items() if name in ("summary", "description") and text)
            for part in value.values():
                yield from sentences(part)
        elif isinstance(value, list):
            for part in value:
                yield from sentences(part)

    said = {text for text in sentences(described["paths"]) if isinstance(text, str)}
    said |= {text for text in sentences(described["components"]) if isinstance(text, str)}
    assert said == set(SENTENCES)


def test_differences_in_the_shadow_are_shown_with_the_gate_s_report(web: Web) -> None:
    with open_session(web.home.engine) as session:
        champion = registry.champion(session, "sfw")
        assert champion is not None
    other = train_model(web.home.settings.models_dir, "kuali", extra=1)
    with open_session(web.home.engine) as session, session.begin():
        registry.register(session, other.model.manifest, other.path)
    version = other.model.manifest.version
    set_shadow(web.home, version)
    viewer = web.client(Role.VIEWER)
    assert "No text was compared yet." in words_of(viewer.get(f"/models/{version}").text)
    counts = {"porn": LabelCounts(both=5, champion_only=30, challenger_only=15, neither=150)}
    add_counts(web.home, ShadowCounts(champion.version, version, 200, 7, counts))
    page = words_of(viewer.get(f"/models/{version}").text)
    assert f"Beside {champion.version}" in page
    assert "200 live texts were compared. 7 more were left out" in page
    assert "5 30 15 22.5%" in page
    assert "In the shadow" not in words_of(viewer.get(f"/models/{champion.version}").text)
    home = {"SARING_HOME": str(web.home.settings.home)}
    home["SARING_DATABASE_URL"] = web.home.engine.url.render_as_string(hide_password=False)
    [shown] = answered(typed(home, "models", "show", version, "--json"))["shadow"]
    assert shown["labels"]["porn"] == {"both": 5, "champion_only": 30, "challenger_only": 15, "neither": 150}
    assert "challenger only" in typed(home, "models", "show", version).stdout
