"""`watch` against a real broker: what it prints to a file and to a terminal, and how it waits for the broker."""

from __future__ import annotations

import io
import json
import threading
from typing import TYPE_CHECKING

import pytest

from edge.errors import ConfigError, PermissionRefusedError
from edge.fleet.watch import watch
from edge.messages import payloads
from edge.messages.payloads import Info
from edge.settings import MqttSettings
from tests.support.broker import Listener, until
from tests.support.watched import CHANGE, FACE, OTHER, SAME, compared, event, state

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.broker import Mosquitto

pytest_plugins = ["tests.support.broker"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def seen(broker: Mosquitto, out: io.StringIO, last: str, *published: tuple[str, bytes], **options: bool) -> str:
    """What `watch` printed, once `last` is part of it."""
    stop = threading.Event()
    watcher = threading.Thread(
        target=watch,
        args=(MqttSettings(url=broker.url),),
        kwargs={"out": out, "stop_event": stop, **options},
        daemon=True,
    )
    watcher.start()
    with Listener(broker.port) as publisher:
        until(lambda: broker.log.read_text().count("Sending SUBACK") >= 2, "both are subscribed")
        for topic, payload in published:
            publisher.client.publish(topic, payload, 1).wait_for_publish(30)
        until(lambda: last in out.getvalue(), f"{last!r} is shown")
    stop.set()
    watcher.join(30)
    assert not watcher.is_alive()
    return out.getvalue()


def test_watch_shows_messages_of_its_base_only(broker: Mosquitto):
    text = seen(broker, io.StringIO(), "online", ("other/pi/event", event(CHANGE)), ("emotion/a/b/c", b"x"),
                ("emotion/pi/event", event(CHANGE)), ("emotion/pi/availability", b"online"))  # fmt: skip
    assert [line.split()[1] for line in text.splitlines()] == ["pi", "pi"]
    assert "\x1b" not in text


def test_watch_prints_raw_lines_on_request(broker: Mosquitto):
    published = ("emotion/pi/state", state(FACE)), ("emotion/pi/x", b"\x00\nend")
    text = seen(broker, io.StringIO(), "end", *published, raw_lines=True)
    first, second = text.splitlines()
    assert json.loads(first.removeprefix("emotion/pi/state "))["expression"] == "happiness"
    assert second == "emotion/pi/x \\x00\\nend"


def test_watch_compares_shadows_and_ends_with_the_result(broker: Mosquitto):
    info = payloads.encode(payloads.info(Info("pi", {}, "m1", None, {}, "demo", [], None, "m2")))
    published = (
        ("emotion/pi/state", state(FACE)),
        ("emotion/pi/info", info),
        ("emotion/pi/shadow/state", compared(SAME)),
    )
    text = seen(broker, io.StringIO(), "sadness", *published, ("emotion/pi/shadow/state", compared(OTHER)), shadow=True)
    first, second, last = text.splitlines()
    assert first.endswith("pi  m2 is the shadow of m1")
    assert second.endswith("pi  face 1 neutral, the shadow says sadness")
    assert last == "pi: 50.0 % of 2 states agree; neutral -> sadness 1  (m2 as the shadow of m1)"


def test_watch_shows_how_far_shadows_agree_below_on_a_terminal(broker: Mosquitto, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    published = [("emotion/pi/shadow/state", compared(SAME, at=second)) for second in (1.0, 2.0)]
    text = seen(broker, Terminal(), "of 2 states", *published, shadow=True)
    assert text.endswith("\r\x1b[Kpi: 100.0 % of 2 states agree  (m2 as the shadow of m1)\n")


def test_watch_prints_the_counts_of_shadows_as_json(broker: Mosquitto):
    published = ("emotion/pi/info", b"{}"), ("emotion/pi/shadow/state", compared(SAME))
    text = seen(broker, io.StringIO(), "states", *published, raw_lines=True, shadow=True)
    (line,) = text.splitlines()
    assert json.loads(line)["share"] == 1.0


def test_watch_redraws_one_line_on_a_terminal(broker: Mosquitto, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    text = seen(broker, Terminal(), "no face", ("emotion/pi/state", state(FACE)), ("emotion/pi/state", state()))
    assert "\n" not in text
    assert text.count("\r\x1b[K") == 3
    assert "\x1b[2m" in text


def test_watch_respects_no_color(broker: Mosquitto, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NO_COLOR", "1")
    text = seen(broker, Terminal(), "happiness", ("emotion/pi/event", event(CHANGE)))
    assert "\x1b[3" not in text


def test_watch_waits_for_a_missing_broker_and_reports_it_once(broker: Mosquitto):
    broker.stop()
    out, stop = io.StringIO(), threading.Event()
    watcher = threading.Thread(
        target=watch, args=(MqttSettings(url=broker.url),), kwargs={"out": out, "stop_event": stop}
    )
    watcher.start()
    until(lambda: "waiting for the broker" in out.getvalue(), "it says that it waits")
    broker.start()
    until(lambda: "Sending SUBACK" in broker.log.read_text(), "it is subscribed")
    stop.set()
    watcher.join(30)
    assert out.getvalue().count("waiting") == 1


def test_watch_ends_when_the_broker_refuses_the_user(new_broker: Callable[..., Mosquitto]):
    broker = new_broker(settings="allow_anonymous false")
    broker.start()
    url = broker.url.replace("//", "//anna:wrong@")
    with pytest.raises(PermissionRefusedError, match=r"refuses user 'anna'") as error:
        watch(MqttSettings(url=url), out=io.StringIO(), stop_event=threading.Event())
    assert error.value.exit_status == 77


def test_watch_rejects_a_wildcard_as_a_device():
    with pytest.raises(ConfigError):
        watch(MqttSettings(), device="#", out=io.StringIO())
