"""What a person sees of the messages, and that nothing a stranger publishes can break it."""

from __future__ import annotations

import io
import json
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ConfigError, PermissionRefusedError
from edge.fleet.agreement import ShadowView
from edge.fleet.lines import View, confidence_bar, raw
from edge.fleet.watch import watch
from edge.messages import payloads
from edge.messages.payloads import Health, Info, Percentiles, WallClock
from edge.settings import MqttSettings
from edge.values import Change, Shown
from tests.support.broker import Listener, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.broker import Mosquitto

pytest_plugins = ["tests.support.broker"]

NOW = datetime(2025, 3, 14, 15, 9, 26, tzinfo=UTC)
CLOCK = WallClock(NOW.timestamp(), synchronised=True)
CHANGE = Change(3, "happiness", "neutral", 0.87, 0.0, 4.0)
KEYS = ["type", "time", "faces", "track", "confidence", "expression", "fps"]
FACE = Shown(3, "happiness", 0.87, 0.0, {"happiness": 0.87}, 100.0)


def event(change: Change) -> bytes:
    return payloads.encode(payloads.event(change, run="r", seq=1, clock=CLOCK, model="m"))


def state(*faces: Shown, at: float = 0.0) -> bytes:
    return payloads.encode(payloads.state(faces, at=at, clock=CLOCK))


def read(view: View | ShadowView, topic: str, payload: bytes, *, live_state: bool = False) -> str | None:
    return view.read(f"emotion/{topic}", payload, now=NOW, live_state=live_state)


def test_an_event_is_one_line_with_all_that_matters():
    line = read(View("emotion", colour=False), "pi/event", event(CHANGE)) or ""
    for part in ("pi", "update", "face 3", "happiness", "87%", "was neutral"):
        assert part in line
    assert "\n" not in line
    assert "{" not in line


def test_a_face_that_left_says_what_it_showed():
    line = read(View("emotion", colour=False), "pi/event", event(Change(3, None, "happiness", 0.87, 0.0, 4.25)))
    assert "face 3  left, was happiness for 4.2 s" in (line or "")


@pytest.mark.parametrize(
    ("share", "bar"), [(0.0, "░" * 10), (0.52, "█" * 5 + "░" * 5), (1.0, "█" * 10), (9e9, "█" * 10)]
)
def test_a_confidence_is_a_bar(share: float, bar: str):
    assert confidence_bar(share).startswith(bar + " ")


def test_a_state_is_a_line_only_when_an_expression_changes():
    view = View("emotion", colour=False)
    assert read(view, "pi/state", state(FACE))
    assert read(view, "pi/state", state(FACE, at=1.0)) is None
    assert read(view, "pi/state", state())


def test_on_a_terminal_states_are_the_last_line_and_fit_it():
    view = View("emotion", colour=False)
    assert read(view, "pi/state", state(FACE), live_state=True) is None
    assert read(view, "attic/state", state(), live_state=True) is None
    assert view.status(80) == "attic: no face  ·  pi: face 3 happiness █████████░  87%"
    assert len(view.status(20)) == 20


def test_a_device_that_left_has_no_state():
    view = View("emotion", colour=False)
    read(view, "pi/state", state(FACE), live_state=True)
    assert read(view, "pi/availability", b"offline")
    assert view.status(80) == ""


def test_health_and_info_are_dim_and_only_told_when_they_change():
    view = View("emotion", colour=True)
    values = Health(
        14.9, 15.0, Percentiles(41, 58), Percentiles(1, 2), 58.4, True, None, 120.0, 0, 2, 0, 1.0, "litert", "m1"
    )
    health = payloads.encode(payloads.health(values, at=0.0, clock=CLOCK))
    info = payloads.encode(payloads.info(Info("pi", {"emotion_edge": "1"}, "m1", None, {}, "demo", [], "bad bundle")))
    line = read(view, "pi/health", health) or ""
    assert line.startswith("\x1b[2m")
    assert "14.9 fps, age 41/58 ms, 58 °C, throttled, queued 2" in line
    assert read(view, "pi/health", health) is None
    assert "PROBLEM: bad bundle" in (read(view, "pi/info", info) or "")


@pytest.mark.parametrize("kind", ["event", "state", "health", "info", "availability", "other"])
@given(payload=st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(KEYS), inner),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_no_payload_breaks_the_view_or_reaches_the_terminal_as_a_command(kind: str, payload: bytes):
    view = View("emotion", colour=False)
    line = read(view, f"pi\x1b[2J/{kind}", payload) or ""
    assert (line + view.status(200) + raw(kind, payload)).isprintable()


@pytest.mark.parametrize(
    "payload",
    [b"[" * 60_000, b"9" * 60_000, b" " * 10_000_000, b"\xff\xfe", b'{"faces": {"a": 1}, "time": 1e999}'],
)
def test_a_hostile_payload_is_no_more_than_a_short_line(payload: bytes):
    assert len(read(View("emotion", colour=False), "pi/state", payload) or "") < 200


def compared(*pairs: tuple[str, str], models: tuple[str, str] = ("m2", "m1"), at: float = 0.0) -> bytes:
    """What a shadow publishes, for faces 1, 2, ...: what the bundle in use shows, and what the shadow would."""
    sides = zip(*pairs, strict=True) if pairs else ((), ())
    in_use, shadow = ([Shown(i, label, 0.9, 0.0) for i, label in enumerate(side, 1)] for side in sides)
    return payloads.encode(payloads.shadow_state(shadow, in_use, models=models, at=at, clock=CLOCK))


SAME, OTHER = ("neutral", "neutral"), ("neutral", "sadness")


def test_agreement_is_counted_for_each_face_and_state():
    view = ShadowView("emotion")
    for payload in (compared(SAME), compared(SAME, OTHER), compared(), compared(("fear", "surprise")), compared(OTHER)):
        read(view, "pi/shadow/state", payload)
    read(view, "attic/shadow/state", compared(SAME))
    assert view.summary() == [
        "attic: 100.0 % of 1 states agree  (m2 as the shadow of m1)",
        "pi: 40.0 % of 5 states agree; neutral -> sadness 2, fear -> surprise 1  (m2 as the shadow of m1)",
    ]
    assert view.status(60) == "attic: 100.0 % of 1 states agree  ·  pi: 40.0 % of 5 states…"


def test_a_disagreement_is_a_line_when_it_begins():
    view = ShadowView("emotion")
    lines = [
        read(view, "pi/shadow/state", compared(*pairs)) for pairs in ((SAME,), (OTHER,), (OTHER, SAME), (SAME, OTHER))
    ]
    assert lines[0] is lines[2] is None
    assert (lines[1] or "").endswith("pi  face 1 neutral, the shadow says sadness")
    assert (lines[3] or "").endswith("pi  face 2 neutral, the shadow says sadness")


def test_a_face_that_only_the_shadow_still_holds_is_not_compared():
    view = ShadowView("emotion")
    shown = [Shown(1, "fear", 0.9, 0.0)]
    payload = payloads.shadow_state(shown, [], models=("m2", "m1"), at=0.0, clock=CLOCK)
    read(view, "pi/shadow/state", payloads.encode(payload))
    assert view.summary() == ["pi: no face yet  (m2 as the shadow of m1)"]


def test_other_bundles_are_counted_from_the_start():
    view = ShadowView("emotion")
    read(view, "pi/shadow/state", compared(OTHER))
    read(view, "pi/shadow/state", compared(SAME, models=("m3", "m1")))
    assert view.summary() == ["pi: 100.0 % of 1 states agree  (m3 as the shadow of m1)"]


@pytest.mark.parametrize(
    ("shadow", "problem", "line"),
    [("m2", None, "m2 is the shadow of m1"), (None, None, "no shadow"), (None, "bad bundle", "no shadow: bad bundle")],
)
def test_who_is_a_shadow_is_told_once(shadow: str | None, problem: str | None, line: str):
    view = ShadowView("emotion")
    info = payloads.info(Info("pi", {}, "m1", None, {}, "demo", [], None, shadow, problem))
    assert (read(view, "pi/info", payloads.encode(info)) or "").endswith(f"  pi  {line}")
    assert read(view, "pi/info", payloads.encode(info)) is None


def test_the_counts_are_printed_as_json_on_request():
    view = ShadowView("emotion")
    view.as_json("emotion/pi/shadow/state", compared(SAME))
    counts = json.loads(view.as_json("emotion/pi/shadow/state", compared(OTHER)) or "")
    assert counts == {
        "device": "pi", "model": "m2", "in_use": "m1", "states": 2, "agreed": 1, "share": 0.5,
        "disagreements": [{"in_use": "neutral", "shadow": "sadness", "states": 1}],
    }  # fmt: skip
    assert view.as_json("emotion/pi/info", b"{}") is None


@pytest.mark.parametrize("kind", ["info", "shadow/state"])
@given(payload=st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from([*KEYS, "model", "in_use", "shadow", "id"]), inner),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_no_payload_breaks_the_comparison(kind: str, payload: bytes):
    view = ShadowView("emotion")
    line = read(view, f"pi\x1b[2J/{kind}", payload) or ""
    text = (
        line + view.status(200) + "".join(view.summary()) + (view.as_json(f"emotion/pi\x1b[2J/{kind}", payload) or "")
    )
    assert text.isprintable()


def test_made_up_expressions_do_not_fill_the_memory():
    view = ShadowView("emotion")
    for i in range(500):
        read(view, "pi/shadow/state", compared(*((str(i), f"not {i}"),) * 2))
    assert len(view.as_json("emotion/pi/shadow/state", compared()) or "") < 20_000


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


def test_watch_shows_what_arrives_and_nothing_from_other_topics(broker: Mosquitto):
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


def test_watch_waits_for_a_broker_that_is_away_and_says_so_once(broker: Mosquitto):
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


def test_watch_refuses_a_device_that_is_a_pattern():
    with pytest.raises(ConfigError):
        watch(MqttSettings(), device="#", out=io.StringIO())
