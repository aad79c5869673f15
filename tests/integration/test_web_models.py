"""The pages on models, drift, guidelines and annotators, as they are served over a real store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from pipeline import store
from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.ledger.taxonomies import keep_taxonomy
from pipeline.store import make_engine, open_session
from pipeline.store.tables.accounts import Account, Role
from pipeline.store.tables.human_loop import AnnotationState, Change
from pipeline.taxonomy import load_taxonomy, parse_taxonomy
from saring.accounts.audit import read_entries
from saring.actions import registry
from tests.support.ledger import RuleLedger
from tests.support.store import new_database
from tests.support.waiting import until
from tests.support.web import Browser, Web, serving_web, words_of

BADRUL = RaterRef(RaterKind.HUMAN, "badrul")
SEVEN = RaterRef(RaterKind.HUMAN, "label-studio", "7")
_EARLIER = """
labels:
  - key: hate
    definition: {en: An older definition, ms: Takrif lama}
    exemplars: {en: [we do not want those people here]}
"""


@pytest.fixture(scope="module")
def web(server_url: str, template: str, module_home: Path) -> Iterator[Web]:
    """A store with two models, a volunteer with thirty answers, an older version of the taxonomy, and its pages."""
    with new_database(server_url, template) as url:
        engine = make_engine(url)
        ledger = RuleLedger(engine, load_taxonomy(), module_home)
        ids = ledger.plant({"train": 100, "dev": 40, "test": 40})
        ledger.retrain()
        ledger.say(BADRUL, [id_ for id_, split in ledger.splits.items() if split == "train"], flip=True)
        ledger.retrain()
        with open_session(engine) as session, session.begin():
            older = parse_taxonomy(_EARLIER.encode())
            keep_taxonomy(session, older)
            session.execute(update(store.TaxonomyVersion).values(first_seen=datetime(2026, 1, 1, tzinfo=UTC)))
            keep_taxonomy(session, ledger.taxonomy)
            record(
                session, rater_id(session, BADRUL), [NewJudgement(ids[0], frozenset({"hate"}))], taxonomy_version="lost"
            )
            rater = rater_id(session, SEVEN)
            now = datetime(2026, 2, 2, 3, tzinfo=UTC)
            project = store.Project(
                url="http://localhost:1",
                label_studio_id=1,
                label_studio_created_at=now,
                title="Labelling",
                harsh_cap=40,
            )
            session.add(project)
            session.flush()
            for i, text_id in enumerate(ids[:30]):
                at = now + timedelta(minutes=i)
                session.add(
                    store.Annotation(
                        project_id=project.id,
                        label_studio_id=i + 1,
                        created_at=at,
                        updated_at=at,
                        task_id=i + 1,
                        text_id=text_id,
                        rater_id=rater,
                        state=AnnotationState.SUBMITTED,
                        chosen=sorted(ledger.texts[text_id]),
                        change=Change.SCRATCH,
                        lead_time=20.0,
                    )
                )
                said = NewJudgement(text_id, ledger.texts[text_id], external_ref=f"ls:{project.id}:{i + 1}:x")
                record(session, rater, [said], taxonomy_version=ledger.taxonomy.version)
        engine.dispose()
        with serving_web(module_home, url) as made:
            yield made


@pytest.fixture(scope="module")
def see(web: Web) -> Callable[..., str]:
    """The words of a page, once its figures are there."""

    def open_page(path: str, wanted: str, role: Role = Role.VIEWER) -> str:
        client = web.client(role)
        page = ""

        def is_there() -> bool:
            nonlocal page
            answer = client.get(path)
            assert answer.status_code == 200, words_of(answer.text)
            page = answer.text
            return wanted in page

        until(is_there, f"{path} shows {wanted!r}")
        return page

    return open_page


@pytest.fixture
def good(web: Web) -> str:
    version = registry.champion_version(web.home)
    assert version is not None
    return version


@pytest.fixture
def bad(web: Web) -> str:
    [version] = [model.version for model in registry.list_models(web.home) if model.state == "rejected"]
    return version


def last_act(web: Web, act: str) -> dict[str, object]:
    with web.home.begin() as session:
        entries = read_entries(session, limit=50)
    return next(entry.details for entry in entries if entry.act == act)


def maintainer(web: Web) -> Browser:
    return web.client(Role.MAINTAINER, "siti")


def test_a_model_has_curves_slices_probes_and_the_examples_that_changed(
    see: Callable[..., str], good: str, bad: str
) -> None:
    page = see(f"/models/{bad}", "Precision, with its 95% interval")
    words = words_of(page)
    assert "Does not pass the gate:" in words
    assert f"Differences from {good}" in words
    assert "wrong now" in words
    # texts of the test set may be harsh, so each is hidden until it is asked for
    assert page.count('<details class="harsh">') >= 5
    assert page.count('<svg class="chart"') == 2
    probes = words_of(see(f"/models/{bad}", "Exemplars found"))
    assert "Near-misses left alone" in probes
    pairs = words_of(see(f"/models/{bad}", "Left out where it is not"))
    assert "A negation that turns the meaning round" in pairs
    right = words_of(see(f"/models/{bad}?turned=right", "Examples that changed"))
    assert right.count("wrong now") < words.count("wrong now")
    assert "Nobody answered a text" in words_of(see(f"/models/{bad}", "Nobody answered"))


def test_two_models_are_compared_on_demand(see: Callable[..., str], good: str, bad: str) -> None:
    words = words_of(see(f"/models/{good}/against/{bad}", "Passes the gate:"))
    assert f"{good}, as if it would replace {bad}" in words
    assert f"Probe pairs beside {bad}" in words


def test_the_gates_own_report_is_served_in_a_sandbox(web: Web, bad: str) -> None:
    answer = web.client(Role.VIEWER).get(f"/models/{bad}/gate")
    assert answer.status_code == 200
    assert "sandbox" in answer.headers["content-security-policy"]


def test_a_maintainer_promotes_and_rolls_back_with_a_reason_and_a_viewer_cannot(web: Web, good: str, bad: str) -> None:
    viewer = web.client(Role.VIEWER)
    assert f"/models/{bad}/promote" not in viewer.get(f"/models/{bad}").text
    person = maintainer(web)
    refused = person.post_form(f"/models/{bad}", f"/models/{bad}/promote", reason=" ")
    assert refused.status_code == 422
    assert "Give a reason" in words_of(refused.text)
    promoted = person.post_form(f"/models/{bad}", f"/models/{bad}/promote", reason="better on <rojak>")
    assert f"{bad} is the champion now." in words_of(promoted.text)
    assert "better on &lt;rojak&gt; (siti)" in promoted.text
    assert last_act(web, "models.promote")["reason"] == "better on <rojak>"
    back = person.post_form("/models", "/models/roll-back", reason="false alarms")
    assert f"{good} is the champion again." in words_of(back.text)
    assert registry.champion_version(web.home) == good


def test_a_model_that_is_not_there_is_no_fault(web: Web) -> None:
    assert web.client(Role.VIEWER).get("/models/labels-linear-none").status_code == 404
    assert web.client(Role.VIEWER).get("/guidelines/none").status_code == 404
    assert web.client(Role.VIEWER).get("/annotators/999").status_code == 404


def test_drift_says_what_it_compared(see: Callable[..., str]) -> None:
    words = words_of(see("/drift", "Languages by week"))
    assert "There are too few vectors on a side" in words
    assert "Share that the champion gives the label" in words


def test_guidelines_show_the_labels_in_the_persons_language_and_each_versions_judgements(
    web: Web, see: Callable[..., str]
) -> None:
    current = web.home.taxonomy
    older = parse_taxonomy(_EARLIER.encode()).version
    words = words_of(see("/guidelines", "content not kept"))
    assert current["hate"].definition.en in words
    assert older in words
    malay = web.client(Role.VIEWER, "minah")
    with web.home.begin() as session:
        session.execute(update(Account).where(Account.name == "minah").values(language="ms"))
    assert current["hate"].definition.ms in words_of(malay.get("/guidelines").text)
    page = see(f"/guidelines/{current.version}", "Differences from version")
    assert "<del>An older definition</del>" in page or "<del>An</del>" in page or "<del>An older" in page
    assert "badrul" in words_of(page)
    assert "was not kept" in words_of(see("/guidelines/lost", "was not kept"))


def test_volunteers_are_numbers_to_all_but_owners(web: Web, see: Callable[..., str]) -> None:
    with web.home.begin() as session:
        web.client(Role.VIEWER, "aisyah")
        session.execute(update(Account).where(Account.name == "aisyah").values(label_studio_user="7"))
    assert "aisyah" not in words_of(see("/annotators", "#7", Role.MAINTAINER))
    assert "aisyah" in words_of(see("/annotators", "#7", Role.OWNER))
    assert "aisyah" in words_of(see("/annotators/7", "Skill by label", Role.OWNER))
    assert "Label Studio does not run" in words_of(web.client(Role.OWNER).get("/annotators?names=email").text)


def test_a_volunteer_is_excluded_and_included_again_with_reasons(web: Web, see: Callable[..., str]) -> None:
    assert "Exclude" not in words_of(see("/annotators/7", "Skill by label"))
    person = maintainer(web)
    excluded = person.post_form("/annotators/7", "/annotators/7/exclude", reason="answers unread")
    assert "Their judgements are not used any more." in words_of(excluded.text)
    with open_session(web.home.engine) as session:
        rater = session.scalars(select(store.Rater).where(store.Rater.version == "7")).one()
        assert (rater.excluded_at is not None, rater.excluded_why) == (True, "answers unread (siti)")
    assert last_act(web, "annotators.exclude")["reason"] == "answers unread"
    included = person.post_form("/annotators/7", "/annotators/7/include", reason="spoke with them")
    assert "Their judgements are used again." in words_of(included.text)
    assert "spoke with them (siti)" in words_of(included.text)
    with open_session(web.home.engine) as session:
        assert session.scalars(select(store.Rater.excluded_at).where(store.Rater.version == "7")).one() is None


def test_every_page_works_in_malay(web: Web, good: str) -> None:
    client = web.client(Role.OWNER, "puteri")
    with web.home.begin() as session:
        session.execute(update(Account).where(Account.name == "puteri").values(language="ms"))
    for path in ("/models", f"/models/{good}", "/drift", "/guidelines", "/annotators", "/annotators/7"):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert '<html lang="ms"' in answer.text
