"""Volunteers' pages without Label Studio: asking to join, personal links, wishes, consent, and one's own figures."""

from __future__ import annotations

import json
import stat
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from pipeline import store
from pipeline.errors import SaringError, UsageError
from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.book import rater_id
from pipeline.models.purposes import LABELS
from pipeline.settings import Settings
from pipeline.store.session import open_session
from pipeline.store.tables.accounts import Role
from pipeline.store.tables.core import ModelState
from pipeline.store.tables.human_loop import AnnotationState, Change, TaskState
from pipeline.store.tables.volunteers import AnswerKind
from saring.accounts import volunteers
from saring.accounts.people import by_name, set_role
from saring.accounts.sealing import KEY_FILE, seal, unseal
from saring.accounts.volunteers import ask_to_join, find_volunteer, let_in
from saring.actions.practice import check, practice
from saring.actions.volunteer_figures import own_work
from saring.actions.volunteers import hand
from saring.home import Home
from sync.phone.held import harsh_today
from sync.pull.apply import RATER
from tests.support.store import new_database
from tests.support.web import Web, forms_of, serving_web, words_of

_DAY = datetime(2026, 11, 20, 4, tzinfo=UTC)


@pytest.fixture(scope="module")
def web(server_url: str, template: str, module_home: Path) -> Iterator[Web]:
    """A dashboard over a store of volunteers, which the tests of this file share."""
    away = {"label_studio_url": "http://127.0.0.1:9", "label_studio_api_key": "nobody"}
    with new_database(server_url, template) as url, serving_web(module_home, url, **away) as web:
        yield web


def _let_in(web: Web, name: str, user: str) -> tuple[int, str]:
    """A volunteer who was let in, with a token that Label Studio would not know; account, and path of the link."""
    with web.home.begin() as session:
        person, token = ask_to_join(session, name)
        let_in(session, person.id, user=user, token=seal(web.home.settings, "f" * 40))
    return person.id, f"/enter/{token}"


def test_somebody_asks_to_join_and_waits_until_a_maintainer_looks(web: Web) -> None:
    browser = web.anonymous()
    page = browser.get("/join")
    # Malay first, and English for whoever wants it
    assert "Menjadi sukarelawan" in page.text
    browser.get("/join?language=en", follow_redirects=True)
    refused = browser.post_form("/join", "/join", name="Siti")
    assert refused.status_code == 422
    assert "Tick that you agree" in refused.text
    asked = browser.post_form("/join", "/join", name="Siti Aminah", agreed="yes")
    assert asked.status_code == 200
    link = "/enter/" + asked.text.partition("/enter/")[2].partition('"')[0]
    waits = browser.get(link)
    assert "has not let you in yet" in waits.text
    assert browser.post(link).status_code == 200
    assert "saring_session" not in browser.cookies
    with web.home.begin() as session:
        person = by_name(session, "siti-aminah")
        assert (person.role, person.language) == (None, "en")

    maintainer = web.client(Role.MAINTAINER)
    assert "Siti-Aminah" in maintainer.get("/volunteers").text
    # there is no Label Studio here
    failed = maintainer.post_form("/volunteers", f"/volunteers/{person.id}/approve", password="no token of anybody")
    assert failed.status_code in (409, 422)
    gone = maintainer.post_form("/volunteers", f"/volunteers/{person.id}/refuse")
    assert "is not let in" in gone.text
    assert browser.get(link).status_code == 404
    # what was typed into the field for a token is in no log
    with open_session(web.home.engine) as session:
        entries = [json.dumps(row.details) for row in session.scalars(select(store.AuditEntry))]
    assert not [entry for entry in entries if "no token of anybody" in entry]


def test_a_personal_link_signs_in_as_often_as_one_likes_until_it_is_replaced(web: Web) -> None:
    account, link = _let_in(web, "balqis", "9001")
    for _ in range(2):
        browser = web.anonymous()
        # to open it is not to sign in: chat programs open links
        assert browser.get(link).status_code == 200
        assert "saring_session" not in browser.cookies
        browser.post_form(link, link)
        assert browser.get("/me").status_code == 200
        assert browser.get("/queue").status_code == 403
    maintainer = web.client(Role.MAINTAINER)
    shown = maintainer.post_form("/volunteers", f"/volunteers/{account}/link")
    newer = "/enter/" + shown.text.partition("/enter/")[2].partition('"')[0]
    assert web.anonymous().get(link).status_code == 404
    assert web.anonymous().get(newer).status_code == 200
    # a link without a password never opens more than a volunteer may see
    with web.home.begin() as session:
        set_role(session, account, Role.REVIEWER)
    raised = web.anonymous()
    assert raised.get(newer).status_code == 403
    assert raised.post(newer).status_code == 403
    assert "saring_session" not in raised.cookies
    again = maintainer.post("/volunteers/1/link", data={})
    assert again.status_code == 403


def test_who_is_signed_out_is_told_to_open_their_link_in_both_languages(web: Web) -> None:
    browser = web.anonymous()
    for address in ("/me", "/label", "/norming"):
        shown = words_of(browser.get(address, follow_redirects=True).text)
        assert shown.index("Buka semula pautan peribadi anda") < shown.index("Open your personal link again")
        assert shown.index("Open your personal link again") < shown.index("Kata laluan")
    # the note stays where another language is chosen
    page = browser.get("/me", follow_redirects=True).text
    switch = next(address for address in unescape(page).split('"') if address.startswith("/sign-in?language=en"))
    assert "Open your personal link again" in browser.get(switch, follow_redirects=True).text
    # whoever keeps the texts has a password
    assert "personal link" not in browser.get("/queue", follow_redirects=True).text


def test_a_wrong_link_leads_to_nothing_that_a_volunteer_may_not_open(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = web.anonymous()
    shown = browser.get("/enter/wrong")
    assert shown.status_code == 404
    assert "Ke ringkasan" not in shown.text
    assert '<a class="button" href="/join">Menjadi sukarelawan</a>' in shown.text
    in_english = browser.get("/enter/wrong?language=en", follow_redirects=True)
    assert "Ask a maintainer for a new one" in in_english.text
    monkeypatch.setitem(web.home.settings.__dict__, "join", False)
    assert "/join" not in web.anonymous().get("/enter/wrong").text.partition("<main")[2]


def test_a_maintainer_invites_somebody_who_agrees_before_they_are_given_texts(web: Web) -> None:
    maintainer = web.client(Role.MAINTAINER)
    shown = maintainer.post_form("/volunteers", "/volunteers/invite", name="Nur Iman")
    # there is no Label Studio here
    assert "let them in at Volunteers later" in words_of(shown.text)
    assert ">Copy</button>" in shown.text
    assert "/volunteers/invite" in maintainer.get("/volunteers").text
    link = "/enter/" + shown.text.partition("/enter/")[2].partition('"')[0]
    again = maintainer.post_form("/volunteers", "/volunteers/invite", name="Nur Iman")
    assert again.status_code == 422
    assert 'value="Nur Iman"' in again.text
    with web.home.begin() as session:
        account = by_name(session, "nur-iman").id
        let_in(session, account, user="9010", token=seal(web.home.settings, "f" * 40))
    assert "has not agreed to the terms yet" in maintainer.get("/volunteers").text

    browser = web.anonymous()
    opened = browser.post_form(link, link)
    assert opened.url.path == "/me"
    assert "Saya bersetuju" in opened.text
    assert hand(web.home, account).problem == "closed"
    browser.post_form("/me", "/account/preferences", language="en")
    assert "You can label now" in browser.post_form("/me", "/me/agree", agreed="yes").text
    assert hand(web.home, account).problem != "closed"
    assert "has not agreed" not in maintainer.get("/volunteers").text


def test_a_volunteer_with_a_password_is_asked_for_their_consent_first(web: Web) -> None:
    owner = web.client(Role.OWNER)
    invited = owner.post_form("/users", "/users/add", name="rina", role="volunteer")
    link = "/welcome/" + invited.text.partition("/welcome/")[2].partition('"')[0]
    browser = web.anonymous()
    chosen = browser.post_form(link, link, password="empat perkataan panjang", again="empat perkataan panjang")
    assert chosen.url.path == "/me"
    assert "Saya bersetuju" in chosen.text
    assert "rina" in words_of(web.client(Role.MAINTAINER).get("/volunteers").text)
    later = web.anonymous().post_form("/sign-in", "/sign-in", name="rina", password="empat perkataan panjang")
    assert later.url.path == "/me"


def test_wishes_are_kept_and_consent_can_be_taken_back_and_given_again(web: Web) -> None:
    account, link = _let_in(web, "chandra", "9002")
    browser = web.anonymous()
    browser.post_form(link, link)
    browser.post_form("/me", "/account/preferences", language="en")
    saved = browser.post_form("/me", "/me/wishes", avoid="porn", daily_cap="40", break_minutes="15")
    assert "Saved" in saved.text
    page = words_of(browser.get("/me").text)
    assert "5 to 120 minutes" in page
    assert "1 to 10,000. Empty: no limit" in page
    browser.post_form("/me", "/account/preferences", language="ms")
    for field, value, limits in (
        ("daily_cap", "many", "dari 1 hingga 10,000"),
        ("daily_cap", "0", "dari 1 hingga 10,000"),
        ("break_minutes", "1", "dari 5 hingga 120"),
        ("break_minutes", "", "dari 5 hingga 120"),
    ):
        wrong = browser.post_form("/me", "/me/wishes", **{field: value})
        assert wrong.status_code == 422
        assert limits in words_of(wrong.text)
        assert f'name="{field}" type="number"' in wrong.text and f'value="{value}"' in wrong.text
    browser.post_form("/me", "/account/preferences", language="en")
    with open_session(web.home.engine) as session:
        state = find_volunteer(session, account)
    assert state is not None
    assert (state.avoid, state.daily_cap, state.break_minutes, state.may_label) == (("porn",), 40, 15, True)

    assert browser.post_form("/me", "/me/leave").status_code == 422
    left = browser.post_form("/me", "/me/leave", sure="yes")
    assert "Your consent is taken back" in left.text
    assert browser.get("/label/tasks").json()["problem"] == "closed"
    with open_session(web.home.engine) as session:
        rater = session.scalars(select(store.Rater).where(store.Rater.version == "9002")).one()
        # before anything of theirs was pulled, so that what comes later does not count either
        assert rater.excluded_at is not None
        row = session.get_one(store.Volunteer, account)
        assert (row.token, row.approved_at) == (None, None)
    assert "took the consent back" in web.client(Role.MAINTAINER).get("/volunteers").text
    browser.post_form("/me", "/me/agree", agreed="yes")
    with open_session(web.home.engine) as session:
        again = find_volunteer(session, account)
    assert again is not None
    assert (again.withdrawn_at, again.approved_at) == (None, None)


def test_who_agreed_to_older_terms_is_asked_again_and_need_not_be_let_in_again(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, link = _let_in(web, "hana", "9007")
    browser = web.anonymous()
    browser.post_form(link, link)
    monkeypatch.setattr(volunteers, "CONSENT", "another")
    assert browser.get("/label/tasks").json()["problem"] == "closed"
    browser.post_form("/me", "/me/agree", agreed="yes")
    with open_session(web.home.engine) as session:
        state = find_volunteer(session, account)
    assert state is not None
    assert state.may_label


def test_what_is_sent_must_be_an_answer_to_a_task_that_was_given_out(web: Web) -> None:
    _, link = _let_in(web, "devi", "9003")
    browser = web.anonymous()
    browser.post_form(link, link)
    known = browser.get("/label/tasks").json()
    assert known["problem"] == "empty"
    answer = {"id": str(uuid.uuid4()), "project": 1, "task": 1, "kind": "labels", "labels": ["hate"], "seconds": 3}

    def send(answers: object, csrf: str = known["csrf"]) -> tuple[int, dict[str, object]]:
        sent = browser.send_form("/label/answers", {"csrf": csrf, "answers": json.dumps(answers)})
        return sent.status_code, sent.json() if sent.headers["content-type"] == "application/json" else {}

    assert send([answer])[1]["kept"] == {answer["id"]: "not held"}
    assert send([answer | {"kind": "hate"}])[0] == 422
    assert send({"no": "list"})[0] == 422
    assert send([answer] * 201)[0] == 422
    assert send([answer], csrf="of somebody else")[0] == 403


def test_a_volunteer_sees_their_own_work_and_how_often_others_agreed(web: Web) -> None:
    account, _ = _let_in(web, "elisa", "9004")
    texts = [uuid.uuid4() for _ in range(6)]
    with web.home.begin() as session:
        project = store.Project(
            url="http://127.0.0.1:1", label_studio_id=7, label_studio_created_at=_DAY, title="P", harsh_cap=40
        )
        session.add(project)
        session.flush()
        raters = {user: rater_id(session, RaterRef(RaterKind.HUMAN, RATER, user)) for user in ("9004", "1", "2")}
        session.execute(
            insert(store.Text),
            [{"id": text, "body": f"t{i}", "masked": f"t{i}", "in_scope": True} for i, text in enumerate(texts)],
        )
        rows = []
        for place, text in enumerate(texts):
            said = {"9004": ["hate"], "1": ["hate"] if place < 4 else ["racist"], "2": ["racist"]}
            for user, labels in said.items():
                # of the last text nobody else said anything; of the first, two others are of two minds
                if (place == 5 and user != "9004") or (user == "2" and place not in (0, 4)):
                    continue
                rows.append(
                    {
                        "project_id": project.id,
                        "label_studio_id": len(rows) + 1,
                        "created_at": _DAY,
                        "updated_at": _DAY - timedelta(days=place // 3),
                        "task_id": place + 1,
                        "text_id": text,
                        "rater_id": raters[user],
                        "state": AnnotationState.SUBMITTED,
                        "chosen": labels,
                        "change": Change.SCRATCH,
                    }
                )
        session.execute(insert(store.Annotation), rows)
        # one answer that was not pulled yet, and one that was
        for task, moment in ((1, _DAY), (9, _DAY)):
            session.add(
                store.PhoneAnswer(
                    id=uuid.uuid4(),
                    account_id=account,
                    project_id=project.id,
                    task_id=task,
                    kind=AnswerKind.LABELS,
                    labels=["hate"],
                    seconds=90.0,
                    harsh=True,
                    answered_at=moment,
                )
            )
    work = own_work(web.home, account, now=_DAY + timedelta(hours=1))
    assert (work.answers, work.today, work.waiting) == (7, 4, 2)
    assert work.agreed is not None
    # texts 1 to 4 fit at least half of the others, text 5 does not
    assert (work.agreed.texts, work.agreed.share) == (5, pytest.approx(0.8))
    assert work.agreed.low < 0.8 < work.agreed.high
    assert (work.harsh_today, work.harsh_minutes) == (2, pytest.approx(3.0))
    browser = web.client(Role.VOLUNTEER, "elisa")
    browser.post_form("/me", "/account/preferences", language="en")
    page = words_of(browser.get("/me").text)
    assert "80%" in page
    assert "No model has been trained yet" in page
    # a champion without a figure
    with web.home.begin() as session:
        session.add(
            store.Model(
                version="m1",
                purpose=LABELS,
                backend="linear",
                state=ModelState.CHAMPION,
                labels=["hate"],
                thresholds={},
                metrics={},
                artefact_hash="0",
                path="m1",
                taxonomy_version="1",
            )
        )
    page = words_of(browser.get("/me").text)
    assert "No model has been trained yet" not in page
    assert "There is a model that learnt from answers. It is not measured yet." in page


def test_a_skip_is_no_answer_and_uses_nothing_of_the_day_up(web: Web) -> None:
    account, link = _let_in(web, "indah", "9008")
    project = _project(web, 8)
    now = datetime.now(UTC)
    first = _answer(web, account, project, 1, AnswerKind.SKIPPED, now)
    _answer(web, account, project, 2, AnswerKind.SKIPPED, now)
    # skipped, brought back, and answered
    _answer(web, account, project, 1, AnswerKind.NONE, now, replaces=first)
    with web.home.begin() as session:
        volunteers.set_wishes(session, account, avoid=[], daily_cap=2, break_minutes=20)
    assert (hand(web.home, account).today, hand(web.home, account).problem) == (1, "away")
    work = own_work(web.home, account)
    assert (work.today, work.answers, work.skipped_today) == (1, 1, 1)
    browser = web.anonymous()
    browser.post_form(link, link)
    browser.post_form("/me", "/account/preferences", language="en")
    assert "Answers today 1 of 2 at most; skipped: 1" in words_of(browser.get("/me").text)
    # answered, brought back, and skipped
    answered = _answer(web, account, project, 3, AnswerKind.LABELS, now)
    assert (hand(web.home, account).today, hand(web.home, account).problem) == (2, "cap")
    _answer(web, account, project, 3, AnswerKind.SKIPPED, now, replaces=answered)
    assert hand(web.home, account).today == 1


def test_harsh_texts_are_those_that_were_met_and_a_pull_adds_none(web: Web) -> None:
    account, link = _let_in(web, "jaya", "9009")
    project = _project(web, 9)
    now, text = datetime.now(UTC), uuid.uuid4()
    with web.home.begin() as session:
        rater = rater_id(session, RaterRef(RaterKind.HUMAN, RATER, "9009"))
        session.add(store.Text(id=text, body="kasar", masked="kasar", in_scope=True))
        session.flush()
        session.add(
            store.Task(
                project_id=project,
                text_id=text,
                label_studio_id=1,
                strategy="s",
                reason="r",
                harsh=True,
                state=TaskState.OPEN,
            )
        )
        # on the phone, and not seen yet
        session.add(store.PhoneTask(account_id=account, project_id=project, task_id=2, harsh=True))
    # it reached the phone before its push was written down, so nothing said that it is harsh
    _answer(web, account, project, 1, AnswerKind.LABELS, now, harsh=False)
    before = own_work(web.home, account)
    assert (before.today, before.harsh_today, before.harsh_minutes) == (1, 1, pytest.approx(1.0))
    with web.home.begin() as session:
        session.execute(
            insert(store.Annotation).values(
                project_id=project,
                label_studio_id=1,
                created_at=now,
                updated_at=now,
                task_id=1,
                text_id=text,
                rater_id=rater,
                state=AnnotationState.SUBMITTED,
                chosen=["hate"],
                change=Change.SCRATCH,
            )
        )
    after = own_work(web.home, account)
    assert (after.today, after.harsh_today) == (1, 1)
    # the limit counts what the phone holds as well
    assert harsh_today(web.home.engine, account, "9009", now) == 2
    browser = web.anonymous()
    browser.post_form(link, link)
    browser.post_form("/me", "/account/preferences", language="en")
    assert "Harsh texts today 1 1 minute" in words_of(browser.get("/me").text)
    assert "1 minutes" not in browser.get("/me").text


def _project(web: Web, number: int) -> int:
    with web.home.begin() as session:
        project = store.Project(
            url="http://127.0.0.1:1", label_studio_id=number, label_studio_created_at=_DAY, title="P", harsh_cap=40
        )
        session.add(project)
        session.flush()
        return project.id


def _answer(
    web: Web,
    account: int,
    project: int,
    task: int,
    kind: AnswerKind,
    at: datetime,
    *,
    replaces: uuid.UUID | None = None,
    harsh: bool = False,
) -> uuid.UUID:
    """An answer that a phone sent and Label Studio has not taken yet; its id."""
    number = uuid.uuid4()
    with web.home.begin() as session:
        session.add(
            store.PhoneAnswer(
                id=number,
                account_id=account,
                project_id=project,
                task_id=task,
                kind=kind,
                labels=["hate"] if kind is AnswerKind.LABELS else [],
                replaces=replaces,
                seconds=60.0,
                harsh=harsh,
                answered_at=at,
            )
        )
    return number


def test_a_token_is_kept_encrypted_and_its_key_by_the_owner_of_the_home_only(new_home: Path) -> None:
    settings = Settings(home=new_home)
    sealed = seal(settings, "a secret token")
    assert b"secret" not in sealed
    assert unseal(settings, sealed) == "a secret token"
    key = new_home / KEY_FILE
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    key.unlink()
    seal(settings, "another")
    with pytest.raises(SaringError, match="backup"):
        unseal(settings, sealed)
    key.write_text("no key")
    with pytest.raises(SaringError, match="is not a key"):
        unseal(settings, sealed)


def test_not_more_people_wait_than_somebody_can_look_at(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volunteers, "MOST_WAITING", 3)
    with pytest.raises(UsageError, match="too many people wait"), web.home.begin() as session:
        for number in range(4):
            ask_to_join(session, f"orang-{number}")


def test_practice_shows_the_right_answer_after_each_text_and_ends_when_enough_is_known(web: Web) -> None:
    account, link = _let_in(web, "farid", "9005")
    browser = web.anonymous()
    browser.post_form(link, link)
    browser.post_form("/me", "/account/preferences", language="en")
    taxonomy = web.home.taxonomy

    def answer(right: bool) -> str:
        question = practice(web.home, account).question
        labels = [question.label] if question.has == right else []
        form = next(form for form in forms_of(browser.get("/practice").text) if form.action == "/practice")
        fields = {name: value for name, value in form.fields.items() if name != "labels"}
        shown = browser.send_form("/practice", fields | ({"labels": labels[0]} if labels else {}))
        assert shown.status_code == 200
        assert taxonomy[question.label].definition.en in unescape(shown.text)
        # sent again by the network, and counted once
        browser.send_form("/practice", fields | {"form_key": uuid.uuid4().hex})
        return words_of(shown.text)

    assert answer(right=True).startswith("Right!")
    assert answer(right=False).startswith("Not this time")
    while not practice(web.home, account).again:
        answer(right=False)
    page = words_of(browser.get("/practice").text)
    assert "begin again" in page
    assert "9 right answers in a row end it" in page
    for _ in range(8):
        assert "find the labels well" not in answer(right=True)
    assert "find the labels well" in answer(right=True)
    with open_session(web.home.engine) as session:
        state = find_volunteer(session, account)
        rows = session.scalars(select(store.PracticeAnswer).where(store.PracticeAnswer.account_id == account)).all()
    assert state is not None
    assert state.practised_at is not None
    assert [(row.round, row.place) for row in rows] == sorted({(row.round, row.place) for row in rows})
    # a place that was never shown is no answer
    assert check(web.home, account, 7, 3, []) is None


def test_practice_can_be_made_to_come_first(web: Web) -> None:
    account, _ = _let_in(web, "gopal", "9006")
    settings = web.home.settings.model_copy(update={"practice": "require"})
    with Home(settings=settings) as strict:
        assert hand(strict, account).problem == "practice"
        while not practice(strict, account).passed:
            question = practice(strict, account).question
            check(strict, account, question.round, question.place, [question.label] if question.has else [])
        assert hand(strict, account).problem != "practice"
