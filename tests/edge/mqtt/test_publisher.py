"""The publisher with a real mosquitto that starts late, dies, freezes and refuses."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from edge.errors import ConfigError
from edge.messages import payloads
from edge.messages.topics import STATE
from edge.mqtt import reconnect
from edge.mqtt.client import V5, V311
from edge.mqtt.publisher import Publisher
from edge.mqtt.reconnect import TAKEN_OVER_PAUSE_S
from edge.mqtt.session import IN_FLIGHT_MAX, Session
from edge.mqtt.worker import CONNECT_LIMIT_S, LOOP_LIMIT_S
from edge.settings import MqttSettings
from edge.values import Change, Shown
from tests.support.broker import WAIT_S, Listener, Mosquitto, free_port, retained, until
from tests.support.schemas import validator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from paho.mqtt.enums import MQTTProtocolVersion

pytest_plugins = ["tests.support.broker"]

KEEPALIVE_S = 2


class Device:
    """A publisher that numbers its events, like the daemon."""

    def __init__(
        self, url: str, name: str = "dev", *, clock: Callable[[], float] = time.monotonic, **settings: Any
    ) -> None:
        values: dict[str, Any] = {"url": url, "keepalive_s": KEEPALIVE_S, "retry_max_s": 0.5, **settings}
        self.publisher = Publisher(MqttSettings(**values), name, clock=clock)
        self.worker = self.publisher._worker
        self.seq = 0

    def publish_events(self, count: int, *, age_s: float = 0.0) -> None:
        for _ in range(count):
            self.seq += 1
            self.publisher.event({"seq": self.seq}, time.monotonic() - age_s)

    def connect(self) -> None:
        self.publisher.start()
        until(lambda: self.publisher.connected, "the publisher is connected")

    def wait_until_authorised(self) -> None:
        until(
            lambda: self.worker.reconnect.authorised and not self.worker.session.in_flight, "`online` is acknowledged"
        )

    def wait_until_delivered(self) -> None:
        until(lambda: self.publisher.connected and not self.publisher.queued, "all events are acknowledged")


@pytest.fixture
def device() -> Iterator[Callable[..., Device]]:
    devices = []

    def make(*args: Any, **settings: Any) -> Device:
        devices.append(Device(*args, **settings))
        return devices[-1]

    yield make
    for one in devices:
        one.publisher.stop(0.5)


def test_a_broker_that_starts_late_gets_the_newest_messages(
    new_broker: Callable[..., Mosquitto], device: Callable[..., Device]
):
    broker = new_broker()
    one = device(broker.url)
    one.publisher.start()
    one.publisher.state({"now": "old"})
    one.publisher.state({"now": "new"})
    one.publisher.info({"who": "me"})
    assert not one.publisher.connected
    broker.start()
    until(lambda: one.publisher.connected, "the publisher is connected")
    expected = {"availability": "online", "state": {"now": "new"}, "info": {"who": "me"}}
    until(lambda: retained(broker.port) == expected, "all messages are retained")


def test_events_are_delivered_in_order_and_never_retained(broker: Mosquitto, device: Callable[..., Device]):
    one = device(broker.url)
    with Listener(broker.port) as listener:
        one.connect()
        one.publish_events(50)
        until(lambda: len(listener.seqs()) >= 50, "all events arrive")
        assert listener.seqs() == list(range(1, 51))
    assert "event" not in retained(broker.port)


def test_health_is_retained_and_not_queued_without_a_broker(broker: Mosquitto, device: Callable[..., Device]):
    one = device(broker.url)
    one.publisher.health({"fps": 1})
    one.connect()
    until(lambda: "availability" in retained(broker.port), "the publisher is online")
    assert "health" not in retained(broker.port)
    one.publisher.health({"fps": 2})
    until(lambda: retained(broker.port).get("health") == {"fps": 2}, "the health is retained")


def test_it_is_connected_only_when_nothing_new_is_dropped_any_more(
    broker: Mosquitto, device: Callable[..., Device], monkeypatch: pytest.MonkeyPatch
):
    one = device(broker.url)
    republish, before = one.worker._outbox.republish, []

    def slow_republish() -> None:
        before.append(one.publisher.connected)
        one.publisher.health({"fps": 1})
        republish()

    monkeypatch.setattr(one.worker._outbox, "republish", slow_republish)
    one.connect()
    one.publisher.health({"fps": 2})
    until(lambda: retained(broker.port).get("health") == {"fps": 2}, "the health is retained")
    assert before == [False]


def test_the_state_of_a_shadow_is_neither_retained_nor_queued_without_a_broker(
    broker: Mosquitto, device: Callable[..., Device]
):
    one = device(broker.url)
    one.publisher.shadow_state({"now": 1})
    with Listener(broker.port) as listener:
        one.connect()
        one.publisher.state({"now": 2})
        one.publisher.shadow_state({"now": 2})
        until(lambda: listener.payloads("shadow/state"), "the state of the shadow arrives")
        assert listener.payloads("shadow/state") == listener.payloads("state") == [{"now": 2}]
    assert retained(broker.port) == {"availability": "online", "state": {"now": 2}}


def test_a_killed_program_is_offline(broker: Mosquitto):
    program = (
        "import time; from edge.mqtt.publisher import Publisher; from edge.settings import MqttSettings;"
        f"p = Publisher(MqttSettings(url={broker.url!r}), 'dev'); p.start(); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", program])
    until(lambda: retained(broker.port).get("availability") == "online", "the child is online")
    child.kill()
    child.wait()
    until(lambda: retained(broker.port).get("availability") == "offline", "the last will is retained")


def test_a_clean_stop_delivers_and_leaves_offline(broker: Mosquitto, device: Callable[..., Device]):
    one = device(broker.url)
    with Listener(broker.port) as listener:
        one.connect()
        one.publish_events(30)
        one.publisher.stop(3)
        assert one.publisher.queued == 0
        # With QoS 2, `offline` may overtake an event whose handshake is not complete.
        until(lambda: listener.payloads("availability")[-1:] == ["offline"], "offline arrives")
        until(lambda: 30 in listener.seqs(), "all events arrive")
        assert listener.seqs() == list(range(1, 31))
    assert retained(broker.port)["availability"] == "offline"


def test_a_clean_stop_is_not_the_last_will(broker: Mosquitto, device: Callable[..., Device]):
    one = device(broker.url)
    with Listener(broker.port) as listener:
        one.connect()
        one.publisher.stop(3)
        until(lambda: "Client emotion-edge-dev disconnected." in broker.log.read_text(), "a clean disconnect")
        until(lambda: "offline" in listener.payloads("availability"), "offline arrives")
        assert listener.payloads("availability") == ["online", "offline"]


def test_a_publisher_is_alive_whatever_the_broker_does(
    new_broker: Callable[..., Mosquitto], device: Callable[..., Device], monkeypatch: pytest.MonkeyPatch
):
    """Before each wait, it extends the time for which it counts as alive by more than the wait."""
    broker = new_broker()
    one = device(broker.url, keepalive_s=1, retry_max_s=3600.0)
    one.worker.reconnect._attempts = 16
    spare_s: dict[str, list[float]] = {"connect": [], "loop": [], "pause": []}

    def note(what: str, wait_s: float) -> None:
        spare_s[what].append(one.worker._alive_until - time.monotonic() - wait_s)

    def pause(seconds: float) -> bool:
        note("pause", seconds)
        return stop(min(seconds, 0.02))

    def connect(session: Session, timeout_s: float) -> None:
        note("connect", CONNECT_LIMIT_S - LOOP_LIMIT_S)  # a name server may need minutes
        original_connect(session, timeout_s)

    def loop_once(session: Session, timeout_s: float, wake: int) -> None:
        note("loop", timeout_s)
        original_loop_once(session, timeout_s, wake)

    stop, original_connect, original_loop_once = one.worker._stopping.wait, Session.connect, Session.loop_once
    monkeypatch.setattr(one.worker._stopping, "wait", pause)
    monkeypatch.setattr(Session, "connect", connect)
    monkeypatch.setattr(Session, "loop_once", loop_once)
    monkeypatch.setattr(reconnect, "ANSWER_S", 0.2)
    one.publisher.start()
    until(lambda: len(spare_s["pause"]) >= 3, "long pauses without a broker")
    broker.start()
    until(lambda: one.publisher.connected, "the publisher is connected")
    before = len(spare_s["loop"])
    until(lambda: len(spare_s["loop"]) >= before + 3, "short iterations without messages")
    broker.signal(signal.SIGSTOP)
    until(lambda: not one.publisher.connected, "the keepalive of a frozen broker runs out")
    until(lambda: one.worker.reconnect._unanswered >= 2, "attempts get no answer")
    # Half of the limit is a reserve for a busy machine.
    assert {what: min(spare) > LOOP_LIMIT_S / 2 for what, spare in spare_s.items()} == dict.fromkeys(spare_s, True)


@pytest.mark.parametrize("where", ["loop_once", "connect"])
def test_a_publisher_that_hangs_is_not_alive(
    broker: Mosquitto, device: Callable[..., Device], monkeypatch: pytest.MonkeyPatch, where: str
):
    later_s = 0.0
    hanging, resume = threading.Event(), threading.Event()
    original = getattr(Session, where)

    def hangs(*arguments: Any) -> None:
        hanging.set()
        resume.wait()
        original(*arguments)

    one = device(broker.url, clock=lambda: time.monotonic() + later_s)
    monkeypatch.setattr(Session, where, hangs)
    one.publisher.start()
    assert hanging.wait(WAIT_S)
    assert one.publisher.alive
    later_s = {"loop_once": LOOP_LIMIT_S, "connect": CONNECT_LIMIT_S}[where]
    assert not one.publisher.alive
    resume.set()
    until(lambda: one.publisher.alive and one.publisher.connected, "it is alive again")


def test_serves_compares_the_settings_of_the_connection(broker: Mosquitto, tmp_path: Path):
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text("old")
    ours = MqttSettings(url=broker.url, username="anna", password_file=str(password))
    publisher = Publisher(ours, "dev")
    assert publisher.serves(ours, "dev")
    assert publisher.serves(replace(ours, state_interval_s=9.0, health_interval_s=9.0), "dev"), (
        "settings of the daemon only"
    )
    assert not publisher.serves(ours, "another")
    assert not publisher.serves(replace(ours, keepalive_s=9), "dev")
    assert not publisher.serves(replace(ours, url="mqtt://elsewhere"), "dev")
    with pytest.raises(ConfigError, match=r"mqtt\.url"):
        publisher.serves(replace(ours, url="http://elsewhere"), "dev")
    password.write_text("new")
    assert not publisher.serves(ours, "dev"), "another password in the same file"


def test_stop_is_quick_when_the_broker_is_away(device: Callable[..., Device]):
    one = device(f"mqtt://127.0.0.1:{free_port()}")
    one.publisher.start()
    one.publish_events(1)
    started = time.monotonic()
    one.publisher.stop(60)
    assert time.monotonic() - started < 30, "it returns before its time-out"


def test_stop_does_not_wait_for_a_frozen_broker(broker: Mosquitto, device: Callable[..., Device]):
    one = device(broker.url)
    one.connect()
    broker.signal(signal.SIGSTOP)
    one.publish_events(1)
    started = time.monotonic()
    one.publisher.stop(0.2)
    assert time.monotonic() - started < WAIT_S


@pytest.mark.parametrize("persistence", [False, True])
def test_a_killed_broker_loses_and_repeats_nothing(
    tmp_path: Path, new_broker: Callable[..., Mosquitto], device: Callable[..., Device], *, persistence: bool
):
    store = f"persistence true\npersistence_location {tmp_path}/\nautosave_interval 1\n" if persistence else ""
    broker = new_broker(settings=f"allow_anonymous true\n{store}")
    broker.start()
    one = device(broker.url)
    with Listener(broker.port) as listener:
        one.connect()
        one.publisher.state({"now": 1})
        one.publisher.info({"who": "me"})
        one.publish_events(20)
        until(lambda: len(listener.seqs()) == 20, "the first events arrive")
        # A broker that lost its subscribers drops events, so the listener has to reconnect first.
        gate = threading.Event()
        one.worker.reconnect._next_pause_s = lambda: float(not gate.wait(WAIT_S))
        one.publish_events(20)
        broker.kill()
        one.publish_events(20)
        until(lambda: not listener.subscribed, "the listener is disconnected")
        broker.start()
        until(lambda: listener.subscribed, "the listener has reconnected")
        gate.set()
        one.wait_until_delivered()
        until(lambda: one.seq in listener.seqs(), "the last event arrives")
        seqs = listener.seqs()
        assert seqs == sorted(set(seqs)), "in order, no duplicates"
        assert set(range(41, 61)) <= set(seqs), "events without a broker are delivered later"
        # What the broker had taken and not passed on died with it; we ourselves give up no more than was in flight.
        assert one.publisher.lost <= IN_FLIGHT_MAX


def test_state_and_info_are_back_after_a_broker_that_forgot_them(broker: Mosquitto, device: Callable[..., Device]):
    one = device(broker.url)
    one.connect()
    one.publisher.state({"now": 1})
    one.publisher.info({"who": "me"})
    expected = {"availability": "online", "state": {"now": 1}, "info": {"who": "me"}}
    until(lambda: retained(broker.port) == expected, "all is retained")
    broker.kill()
    broker.start()
    until(lambda: retained(broker.port) == expected, "all is retained again")


@pytest.mark.parametrize("protocol", [V5, V311])
def test_a_broker_frozen_for_longer_than_the_keepalive_repeats_nothing(
    broker: Mosquitto, device: Callable[..., Device], monkeypatch: pytest.MonkeyPatch, protocol: MQTTProtocolVersion
):
    one = device(broker.url, keepalive_s=1)
    one.worker.reconnect.protocol = protocol
    one.worker.session = one.worker._new_session()
    with Listener(broker.port) as listener:
        one.connect()
        one.publish_events(5)
        one.wait_until_delivered()
        broker.signal(signal.SIGSTOP)
        one.publish_events(20)
        with monkeypatch.context() as patch:
            patch.setattr(reconnect, "ANSWER_S", 0.2)
            until(lambda: not one.publisher.connected, "the keepalive runs out")
            one.publish_events(5)
            # Each attempt leaves a connection that the broker will find.
            until(lambda: one.worker.reconnect._unanswered >= 3, "attempts fail")
        broker.signal(signal.SIGCONT)
        one.wait_until_delivered()
        until(lambda: len(listener.seqs()) >= 30, "all events arrive")
        assert listener.seqs() == list(range(1, 31))
        assert listener.payloads("availability")[-1] == "online"
    assert one.publisher.lost == 0


def test_a_half_open_connection_fills_the_bounded_queue_and_nothing_else(
    broker: Mosquitto, device: Callable[..., Device]
):
    one = device(broker.url, queue=10)
    one.connect()
    one.wait_until_authorised()
    broker.signal(signal.SIGSTOP)
    one.publisher.state({"now": 0})
    until(lambda: STATE in one.worker.session.in_flight, "a state is in flight")
    for number in range(1000):
        one.publisher.state({"now": number})
    one.publish_events(100)
    session = one.worker.session
    until(lambda: session.send_quota == 0, "the send quota is used up")
    in_flight = [message.topic.name for message in session.in_flight._messages.values()]
    assert sorted(in_flight) == ["event"] * (IN_FLIGHT_MAX - 1) + ["state"]
    assert len(session._client._out_messages) == IN_FLIGHT_MAX
    assert one.publisher.queued <= 10 + IN_FLIGHT_MAX
    assert one.publisher.lost == 100 - one.publisher.queued


def test_a_full_queue_keeps_the_newest_and_counts_the_rest(
    new_broker: Callable[..., Mosquitto], device: Callable[..., Device]
):
    broker = new_broker()
    one = device(broker.url, queue=5)
    one.publish_events(12)
    assert (one.publisher.queued, one.publisher.lost) == (5, 7)
    broker.start()
    with Listener(broker.port) as listener:
        one.connect()
        until(lambda: len(listener.seqs()) >= 5, "the rest arrives")
        assert listener.seqs() == [8, 9, 10, 11, 12]


def test_an_event_that_is_too_old_is_not_sent(broker: Mosquitto, device: Callable[..., Device]):
    one = device(broker.url, expiry_s=60)
    with Listener(broker.port) as listener:
        one.publish_events(1, age_s=61)
        one.publish_events(1, age_s=59)
        one.connect()
        until(listener.seqs, "an event arrives")
        assert listener.seqs() == [2]
    assert one.publisher.lost == 1


def test_an_event_has_a_message_expiry(broker: Mosquitto, device: Callable[..., Device]):
    one = device(broker.url, expiry_s=60)
    command = ["mosquitto_sub", "-V", "5", "-p", str(broker.port), "-t", "#", "-F", "%t %E", "-W", "10"]
    try:
        listener = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    except FileNotFoundError:
        pytest.skip("mosquitto_sub is missing (Debian: sudo apt install mosquitto-clients)")
    assert listener.stdout is not None
    until(lambda: "Sending SUBACK to auto-" in broker.log.read_text(), "mosquitto_sub is subscribed")
    one.publish_events(1, age_s=20)
    one.connect()
    lines = [listener.stdout.readline().split() for _ in range(2)]
    listener.kill()
    listener.communicate()
    expiry = dict(line for line in lines if len(line) == 2)["emotion/dev/event"]
    assert 35 <= int(expiry) <= 40


def test_all_payloads_are_valid(broker: Mosquitto, device: Callable[..., Device]):
    clock = payloads.WallClock(time.time() - time.monotonic(), synchronised=True)
    now, ms = time.monotonic(), payloads.Percentiles(1.0, 2.0)
    change = Change(1, "fear", None, 0.7, now, 0.0)
    shown = Shown(1, "fear", 0.7, now, {"fear": 0.7, "anger": 0.3}, 90.0)
    health = payloads.Health(9.9, 15.0, ms, ms, None, None, None, 80.0, 0, 0, 0, 1.0, "litert", "m1")
    one = device(broker.url)
    with Listener(broker.port) as listener:
        one.connect()
        one.publisher.event(payloads.event(change, run="r", seq=1, clock=clock, model="m"), now)
        one.publisher.state(payloads.state([shown], at=now, clock=clock))
        one.publisher.health(payloads.health(health, at=now, clock=clock))
        one.publisher.info(payloads.info(payloads.Info("dev", {}, None, None, {}, "demo", ["fear"])))
        models = ("m2", "m1")
        one.publisher.shadow_state(payloads.shadow_state([shown], [shown], models=models, at=now, clock=clock))
        for name in ("event", "state", "health", "info", "shadow_state"):
            topic = name.replace("_", "/")
            (payload,) = until(lambda topic=topic: listener.payloads(topic), f"{topic} arrives")
            validator(name).validate(payload)


@pytest.fixture
def restricted(tmp_path: Path, new_broker: Callable[..., Mosquitto]) -> Mosquitto:
    """A broker with passwords, and an access list by which `mute` may only read."""
    passwords, access = tmp_path / "passwords", tmp_path / "access"
    try:
        for options, user in ((["-c", "-b"], "anna"), (["-b"], "mute")):
            subprocess.run(["mosquitto_passwd", *options, str(passwords), user, "right"], check=True)
    except FileNotFoundError:
        pytest.skip("mosquitto_passwd is missing (Debian: sudo apt install mosquitto)")
    access.write_text("user anna\ntopic readwrite #\nuser mute\ntopic read #\n")
    broker = new_broker(settings=f"password_file {passwords}\nacl_file {access}")
    broker.start()
    return broker


@pytest.mark.parametrize(
    ("user", "password", "hint"),
    [("anna", "wrong", "mqtt.password_file"), ("mute", "right", "access list")],
)
def test_a_refused_first_connection_is_a_problem_in_one_line(
    restricted: Mosquitto, device: Callable[..., Device], user: str, password: str, hint: str
):
    one = device(restricted.url.replace("//", f"//{user}:{password}@"))
    one.publisher.start()
    problem = until(lambda: one.publisher.problem, "the refusal is a problem")
    assert problem.exit_status == 77
    assert "\n" not in str(problem)
    assert user in str(problem)
    assert f"127.0.0.1:{restricted.port}" in str(problem)
    assert hint in str(problem)


def test_the_right_password_is_no_problem(restricted: Mosquitto, device: Callable[..., Device], tmp_path: Path):
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text("right\n")
    one = device(restricted.url, username="anna", password_file=str(secret))
    one.connect()
    assert one.publisher.problem is None


def test_a_refusal_after_a_good_session_is_logged_once_and_tried_again(
    new_broker: Callable[..., Mosquitto], device: Callable[..., Device], caplog: pytest.LogCaptureFixture
):
    open_broker = new_broker()
    open_broker.start()
    one = device(open_broker.url)
    one.connect()
    one.wait_until_authorised()
    open_broker.stop()
    closed_broker = new_broker(port=open_broker.port, settings="allow_anonymous false")
    closed_broker.start()
    until(lambda: closed_broker.log.read_text().count("not authorised") >= 3, "three attempts were refused")
    assert one.publisher.problem is None
    assert sum("refuses" in record.message for record in caplog.records) == 1
    closed_broker.stop()
    open_again = new_broker(port=open_broker.port)
    open_again.start()
    until(lambda: one.publisher.connected, "it is connected again")


def test_two_devices_of_the_same_name_do_not_displace_each_other_forever(
    broker: Mosquitto,
    device: Callable[..., Device],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    first, second = device(broker.url), device(broker.url)
    pauses: list[float] = []
    for each in (first, second):
        wait = each.worker._stopping.wait
        noted = lambda seconds, wait=wait: bool(pauses.append(seconds)) or wait(seconds)  # noqa: E731
        monkeypatch.setattr(each.worker._stopping, "wait", noted)
    first.connect()
    second.connect()
    until(lambda: not first.publisher.connected, "the first has lost its connection")
    until(lambda: "device.name" in caplog.text, "one of them detects it")
    until(lambda: first.publisher.connected != second.publisher.connected, "the other one stays connected")
    until(lambda: TAKEN_OVER_PAUSE_S in pauses, "the one that detects it makes a long pause")
    assert max(pauses[:-1]) <= 0.5, "earlier pauses are ordinary ones"
    assert first.publisher.connected != second.publisher.connected
    assert caplog.text.count("device.name") == 1


def test_an_outage_and_its_end_log_one_line_each(
    broker: Mosquitto, device: Callable[..., Device], caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    one = device(broker.url)
    one.connect()
    broker.kill()
    until(lambda: one.worker.reconnect._attempts >= 3, "three attempts failed")
    broker.start()
    until(lambda: sum("connected to" in record.message for record in caplog.records) >= 2, "it is connected again")
    lines = [record.message for record in caplog.records]
    assert [line.split(" mqtt:")[0] for line in lines] == [
        "connected to",
        "no connection to the broker",
        "connected to",
    ]


@pytest.mark.parametrize("limit", ["max_qos 1", "max_qos 0", "retain_available false"])
def test_a_broker_with_fewer_features_gets_all_messages(
    new_broker: Callable[..., Mosquitto], device: Callable[..., Device], limit: str
):
    broker = new_broker(settings=f"allow_anonymous true\n{limit}")
    broker.start()
    one = device(broker.url)
    with Listener(broker.port) as listener:
        one.connect()
        one.publisher.state({"now": 1})
        one.publish_events(20)
        until(lambda: len(listener.seqs()) >= 20 and listener.payloads("state"), "all messages arrive")
        assert listener.seqs() == list(range(1, 21))
        assert listener.payloads("availability") == ["online"]
