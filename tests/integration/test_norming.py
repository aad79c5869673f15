"""Texts of the week over a real store: chosen once, answered blind, heard without names, then settled."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update

from pipeline import store
from pipeline.judgement import RaterKind, RaterRef
from pipeline.ledger.book import NewJudgement, rater_id, record
from pipeline.review.settle import settle
from pipeline.store.session import open_session
from pipeline.store.tables.accounts import Role
from pipeline.store.tables.human_loop import AnnotationState, Change, TaskState
from pipeline.store.tables.volunteers import AnswerKind
from saring.accounts.sealing import seal
from saring.accounts.volunteers import ask_to_join, let_in, set_wishes
from saring.actions import norming, norming_review
from saring.actions.volunteers import hand, leave
from sync.pull.apply import RATER
from sync.quality.divided import monday, start_of_week
from tests.support.review import MEI, REASON
from tests.support.store import new_database
from tests.support.web import Browser, Web, forms_of, serving_web, words_of

_PEOPLE = ("1", "2", "3", "4")
#: what four people say of each text; None: not asked
_SAID: Mapping[str, Sequence[str | None]] = {
    "two against two": ("hate", "hate", "safe for work", "safe for work"),
    "one against three": ("hate", "safe for work", "safe for work", "safe for work"),
    "one against one": ("hate", "safe for work", None, None),
    "another one": (None, "hate", "safe for work", None),
    "a label to avoid": ("porn", "safe for work", None, None),
    "all alike": ("hate", "hate", "hate", "hate"),
    "somebody is still asked": ("hate", "safe for work", None, None),
    "planted": ("hate", "safe for work", "hate", "safe for work"),
    "long ago": ("hate", "safe for work", "hate", "safe for work"),
    "settled before": ("hate", "safe for work", "hate", "safe for work"),
    "no source has it": ("hate", "safe for work", "hate", "safe for work"),
}


@dataclass
class Week:
    """A dashboard over texts that divided people last week."""

    web: Web
    texts: Mapping[str, uuid.UUID]
    week: date

    def place(self, name: str) -> int:
        n = store.NormingText
        with open_session(self.web.home.engine) as session:
            return session.scalars(select(n.place).where(n.text_id == self.texts[name])).one()

    def join(self, name: str, user: str) -> tuple[int, Browser]:
        """A volunteer who was let in, with a browser in English."""
        with self.web.home.begin() as session:
            person, token = ask_to_join(session, name, language="en")
            let_in(session, person.id, user=user, token=seal(self.web.home.settings, "f" * 40))
        browser = self.web.anonymous()
        browser.post_form(f"/enter/{token}", f"/enter/{token}")
        return person.id, browser

    def hidden(self, account: int) -> dict[int, str | None]:
        return {topic.place: topic.hidden for topic in norming.topics(self.web.home, account, self.week)}

    def votes(self) -> list[store.NormingVote]:
        with open_session(self.web.home.engine) as session:
            return list(session.scalars(select(store.NormingVote)))


@pytest.fixture
def week(server_url: str, template: str, new_home: Path) -> Iterator[Week]:
    away = {"label_studio_url": "http://127.0.0.1:9", "label_studio_api_key": "nobody"}
    with new_database(server_url, template) as url, serving_web(new_home, url, **away) as web:
        this = monday(datetime.now(UTC))
        yield Week(web, _plant(web, start_of_week(this) - timedelta(days=2)), this)


def _plant(web: Web, at: datetime) -> dict[str, uuid.UUID]:
    taxonomy, texts = web.home.taxonomy, {name: uuid.uuid4() for name in _SAID}
    with web.home.begin() as session:
        project = store.Project(
            url="http://127.0.0.1:1", label_studio_id=7, label_studio_created_at=at, title="P", harsh_cap=40
        )
        session.add(project)
        session.flush()
        raters = {user: rater_id(session, RaterRef(RaterKind.HUMAN, RATER, user)) for user in _PEOPLE}
        rows = [
            {"id": text, "body": f"secret {name}", "masked": f"teks: {name}", "in_scope": name != "no source has it"}
            for name, text in texts.items()
        ]
        session.execute(insert(store.Text), rows)
        tasks, annotations = [], []
        for number, (name, said) in enumerate(_SAID.items(), start=1):
            tasks.append(
                {
                    "project_id": project.id,
                    "text_id": texts[name],
                    "label_studio_id": number,
                    "strategy": "random",
                    "reason": "drawn at random",
                    "gold": name == "planted",
                    "state": TaskState.OPEN if name == "somebody is still asked" else TaskState.DONE,
                }
            )
            for user, label in zip(_PEOPLE, said, strict=True):
                if label is None:
                    continue
                denied = frozenset(taxonomy.keys) - {label}
                record(
                    session,
                    raters[user],
                    [NewJudgement(texts[name], frozenset({label}), denied)],
                    taxonomy_version=taxonomy.version,
                )
                annotations.append(
                    {
                        "project_id": project.id,
                        "label_studio_id": len(annotations) + 1,
                        "created_at": at,
                        "updated_at": at - timedelta(weeks=9 if name == "long ago" else 0),
                        "task_id": number,
                        "text_id": texts[name],
                        "rater_id": raters[user],
                        "state": AnnotationState.SUBMITTED,
                        "chosen": [label],
                        "change": Change.SCRATCH,
                    }
                )
        session.execute(insert(store.Task), tasks)
        session.execute(insert(store.Annotation), annotations)
        settle(
            session,
            taxonomy,
            texts["settled before"],
            MEI,
            yes={"hate"},
            no=set(),
            reason=REASON,
            shown=None,
        )
    return texts


def test_five_are_chosen_once_answered_blind_heard_without_names_and_settled(week: Week) -> None:
    web, home = week.web, week.web.home
    aina, browser = week.join("aina", "9101")
    _, other = week.join("badrul", "9102")
    _, silent = week.join("chong", "9103")
    assert words_of(browser.get("/norming").text).count("Answer (Text") == 5
    places = {name: week.place(name) for name in list(_SAID)[:5]}
    assert places["two against two"] == 1
    assert sorted(places.values()) == [1, 2, 3, 4, 5]
    # one that divided people more comes too late, and an hour later nothing else is chosen
    with home.begin() as session:
        session.execute(update(store.Task).values(state=TaskState.DONE))
    assert norming.weeks(home, now=datetime.now(UTC) + timedelta(hours=2)) == [week.week]
    assert {name: week.place(name) for name in places} == places

    # nothing is told before one's own answer
    address = f"/norming/{week.week}/1"
    theirs = other.post_form(address, address, kind="labels", labels="hate", reason="kata kasar")
    assert theirs.url.path == f"{address}/heard"
    shown = browser.get(f"{address}/heard", follow_redirects=True)
    assert shown.url.path == address
    assert "kata kasar" not in shown.text
    assert browser.post_form(address, address, kind="labels").status_code == 422
    assert browser.post_form(address, address, kind="none", reason="x" * 301).status_code == 422
    refused = browser.send_form(address, _fields(browser, address) | {"kind": "skipped"})
    assert refused.status_code == 422
    both = _fields(browser, address) | {"kind": "labels"}
    answer = browser.post(
        address,
        data=both | {"labels": ["hate", "safe for work"]},
        headers={"Origin": web.url, "Sec-Fetch-Site": "same-origin"},
    )
    assert "exclude each other" in answer.text
    mine = "panggil saya di 012-345 6789, ini petikan"
    heard = browser.post_form(address, address, kind="labels", labels="safe for work", reason=mine)
    said = words_of(heard.text)
    assert "kata kasar" in said
    assert "ini petikan" in said
    assert "345 6789" not in heard.text
    assert "Not settled yet" in said
    # the first answer counts, and there is no name and no word of anybody in the log
    assert norming.vote(home, aina, week.week, 1, AnswerKind.LABELS, ["hate"], "lain")
    assert sorted(label for vote in week.votes() for label in vote.labels) == ["hate", "safe for work"]
    with open_session(home.engine) as session:
        log = [json.dumps([row.act, row.details]) for row in session.scalars(select(store.AuditEntry))]
    assert [line for line in log if "norming.vote" in line]
    assert not [line for line in log if "kata kasar" in line or "petikan" in line]

    # what maintainers see, and do
    maintainer = web.client(Role.MAINTAINER)
    page = maintainer.get("/volunteers/norming")
    assert "aina, badrul" in page.text
    assert "hate" not in {vote.reason for vote in week.votes()}
    settle_at = f"/volunteers/norming/{week.week}/1/settle"
    nothing = maintainer.post_form("/volunteers/norming", settle_at, ground="meaning")
    assert nothing.status_code == 422
    done = maintainer.post_form("/volunteers/norming", settle_at, **{"mark:hate": "no", "ground": "meaning"})
    assert "Those who answered see it" in done.text
    note_at = f"/volunteers/norming/{week.week}/1/note"
    maintainer.post_form("/volunteers/norming", note_at, words="Petikan bukan kebencian.")
    told = words_of(browser.get(f"{address}/heard").text)
    assert "These labels do not fit: Hate" in told
    assert "Petikan bukan kebencian." in told
    assert "Petikan" not in silent.get(address, follow_redirects=True).text
    j, r = store.Judgement, store.Rater
    with open_session(home.engine) as session:
        query = select(j).join(r, r.id == j.rater_id).where(j.text_id == week.texts["two against two"])
        judgements = session.scalars(query.where(r.name == "adjudication")).all()
        # blind answers are none: four of before, and the settled one
        assert len(session.scalars(query).all()) == 5
    assert [list(judgement.denied) for judgement in judgements] == [["hate"]]
    words = next(vote for vote in week.votes() if vote.reason == "kata kasar")
    maintainer.post_form("/volunteers/norming", f"/volunteers/norming/words/{words.id}/remove")
    assert "kata kasar" not in browser.get(f"{address}/heard").text
    browser.post_form(f"{address}/heard", f"{address}/words")
    assert {vote.reason for vote in week.votes()} == {""}

    # the next week has others
    later = datetime.now(UTC) + timedelta(weeks=1)
    assert norming.weeks(home, now=later) == [week.week + timedelta(weeks=1), week.week]
    assert week.place("somebody is still asked") == 1


def test_wishes_caps_removal_and_consent_are_honoured(week: Week) -> None:
    home = week.web.home
    norming.weeks(home)
    account, browser = week.join("devi", "9104")
    avoided = week.place("a label to avoid")
    with home.begin() as session:
        set_wishes(session, account, avoid=["porn"], daily_cap=None, break_minutes=20)
    assert week.hidden(account) == {place: "avoided" if place == avoided else None for place in range(1, 6)}
    assert not norming.vote(home, account, week.week, avoided, AnswerKind.NONE)
    assert "a label to avoid" not in browser.get(f"/norming/{week.week}/{avoided}").text
    free = [place for place in range(1, 6) if place != avoided]

    assert norming.vote(home, account, week.week, free[0], AnswerKind.UNDECIDED, reason="tak pasti")
    assert hand(home, account).today == 1
    with home.begin() as session:
        set_wishes(session, account, avoid=[], daily_cap=1, break_minutes=20)
    assert {week.hidden(account)[place] for place in free[1:]} == {"cap"}
    assert not norming.vote(home, account, week.week, free[1], AnswerKind.NONE)
    with home.begin() as session:
        set_wishes(session, account, avoid=[], daily_cap=None, break_minutes=20)
        session.execute(update(store.Project).values(harsh_cap=1))
    assert week.hidden(account)[free[1]] == "harsh"

    with home.begin() as session:
        session.execute(update(store.Text).where(store.Text.masked == "teks: two against two").values(in_scope=False))
    assert week.hidden(account)[1] == "removed"
    assert norming.heard(home, account, week.week, 1) is None
    assert norming_review.watched(home, week.week).texts[0].removed

    leave(home, account)
    assert week.votes() == []
    assert norming.topics(home, account, week.week) == []
    assert norming_review.watched(home, week.week).people == []
    page = words_of(browser.get("/norming").text)
    assert "Your own page says why" in page
    assert browser.get(f"/norming/{week.week - timedelta(weeks=3)}").status_code == 404


def _fields(browser: Browser, address: str) -> dict[str, str]:
    form = next(form for form in forms_of(browser.get(address).text) if form.action == address)
    return {name: value for name, value in form.fields.items() if name != "labels"}
