"""The discovered entities in a running Home Assistant, over a real broker."""

from __future__ import annotations

import dataclasses
import itertools
import signal
import subprocess
import sys

import pytest

import edge
from edge.messages import home_assistant, payloads
from edge.messages.home_assistant import CALIBRATION
from edge.messages.payloads import Health, Info, Percentiles, WallClock
from edge.messages.topics import EVENT, HEALTH, INFO, STATE
from edge.values import Change, Place, Shown
from tests.home_assistant.home_assistant import ANSWER_S, REPOSITORY
from tests.support.broker import Listener, until
from tests.support.schemas import schema

LABELS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
DEVICE_INFO = Info(
    device="any",
    versions={"emotion_edge": edge.__version__},
    model_id="b1",
    model_name="emotion",
    metrics={"accuracy": 0.8},
    camera="picamera2:0",
    labels=LABELS,
)
CLOCK = WallClock(offset_s=1_700_000_000.0, synchronised=True)
FACE = Shown(3, "happiness", 0.9, 0.0, {"happiness": 0.9}, 100.0)
HEALTH_VALUES = {
    "fps": 14.9, "target_fps": 15.0, "frame_age_ms": Percentiles(41.0, 58.0), "latency_ms": Percentiles(31.7, 44.0),
    "cpu_temperature_c": 58.4, "throttled": False, "under_voltage": True, "rss_mb": 121.5, "dropped": 3, "queued": 0,
    "lost_events": 2, "uptime_s": 3600.0, "mesh_backend": "litert", "model": "b1",
}  # fmt: skip

pytestmark = pytest.mark.usefixtures("quiet")


def state(*faces: Shown, paused: bool = False) -> payloads.Payload:
    return payloads.state(faces, at=1.0, clock=CLOCK, paused=paused)


def health(**values) -> payloads.Payload:
    return payloads.health(Health(**{**HEALTH_VALUES, **values}), at=1.0, clock=CLOCK)


def info(**values) -> payloads.Payload:
    return payloads.info(dataclasses.replace(DEVICE_INFO, **values))


def event(change: Change) -> payloads.Payload:
    return payloads.event(change, run="r", seq=1, clock=CLOCK, model="b1")


@pytest.fixture
def present(home, new_device):
    """Create devices that are discovered and online."""

    def create(name: str, **options):
        device = new_device(name)
        device.publish_discovery(DEVICE_INFO, **options)
        device.publish_availability(payloads.ONLINE)
        for entity in (f"button.{name}_calibrate", f"event.{name}_expression_change"):
            home.until_other(entity, "unavailable")
        return device

    return create


def test_a_device_appears_with_all_its_entities(home, present):
    present("appears")
    (device,) = [found for found in home.request("devices") if found["name"] == "appears"]
    assert (device["manufacturer"], device["sw_version"]) == ("emotion-edge", edge.__version__)
    entities = [found for found in home.request("entities") if found["device_id"] == device["id"]]
    names = {found["original_name"]: found["entity_category"] for found in entities}
    assert {
        "Expression", "Face present", "Faces", "Distance of the nearest face", "Expression change", "Reading",
    } == {name for name, category in names.items() if category is None}  # fmt: skip
    assert {"Calibrate", "Forget calibration", "Reload settings and model"} == {
        name for name, category in names.items() if category == "config"
    }
    assert {"Model version", "Processor temperature", "Throttled", "Frame rate"} < names.keys()


def test_a_face_appears_and_leaves(home, present):
    device = present("seen")
    device.publish_payload(STATE, state(FACE))
    home.until_state("sensor.seen_expression", "happiness")
    assert home.state("binary_sensor.seen_face_present") == "on"
    assert home.state("sensor.seen_faces") == "1"
    assert home.attributes("sensor.seen_expression")["options"] == [*LABELS, "uncertain", "none"]
    device.publish_payload(STATE, state())
    home.until_state("sensor.seen_expression", "none")
    assert home.state("binary_sensor.seen_face_present") == "off"
    assert home.state("sensor.seen_faces") == "0"


def test_the_distance_is_that_of_the_nearest_face(home, present):
    device = present("far")
    entity = "sensor.far_distance_of_the_nearest_face"
    nearest, other = (dataclasses.replace(FACE, place=Place(0.5, 0.5, metres)) for metres in (1.2, 2.5))
    unknown = dataclasses.replace(FACE, place=Place(0.5, 0.5, None))
    device.publish_payload(STATE, state(unknown, other, nearest))
    home.until_state(entity, "1.2")
    assert home.attributes(entity)["unit_of_measurement"] == "m"
    device.publish_payload(STATE, state(unknown))
    home.until_state(entity, "unknown")
    device.publish_payload(STATE, state(other))
    home.until_state(entity, "2.5")
    device.publish_payload(STATE, state())
    home.until_state(entity, "unknown")


def test_a_change_is_an_event(home, present):
    device = present("change")
    entity = "event.change_expression_change"
    assert home.attributes(entity)["event_types"] == [*LABELS, "uncertain", "none"]
    device.publish_payload(EVENT, event(Change(3, "surprise", "happiness", 0.8, 10.0, 2.5)))
    until(lambda: home.attributes(entity)["event_type"] == "surprise", "the event has fired", ANSWER_S)
    attributes = home.attributes(entity)
    assert (attributes["change"], attributes["previous"], attributes["duration_s"]) == ("update", "happiness", 2.5)
    device.publish_payload(EVENT, event(Change(3, None, "surprise", 0.8, 12.0, 2.0)))
    until(lambda: home.attributes(entity)["event_type"] == "none", "the end has fired", ANSWER_S)
    assert home.attributes(entity)["change"] == "end"


def test_the_switch_pauses_and_shows_the_state_of_the_device(home, present, ha_broker):
    device = present("pauses")
    device.publish_payload(STATE, state(FACE))
    home.until_state("switch.pauses_reading", "on")
    with Listener(ha_broker.port, "emotion/pauses/command/#") as listener:
        home.call("switch.turn_off", "switch.pauses_reading")
        until(lambda: listener.payloads("pause") == [{"paused": True}], "pause is sent", ANSWER_S)
        assert home.state("switch.pauses_reading") == "on", "the device has not confirmed the pause yet"
        device.publish_payload(STATE, state(paused=True))
        home.until_state("switch.pauses_reading", "off")
        home.call("switch.turn_on", "switch.pauses_reading")
        until(lambda: listener.payloads("pause")[1:] == [{"paused": False}], "resuming is sent", ANSWER_S)
    assert not any(message.retain for message in listener.messages)


def test_presence_is_unknown_while_a_device_is_paused(home, present):
    device = present("blind")
    device.publish_payload(STATE, state(FACE))
    home.until_state("binary_sensor.blind_face_present", "on")
    device.publish_payload(STATE, state(paused=True))
    home.until_state("binary_sensor.blind_face_present", "unknown")
    assert home.state("sensor.blind_expression") == "unknown"
    assert home.state("sensor.blind_faces") == "unknown"


@pytest.mark.parametrize(
    ("button", "command", "payload"),
    [
        ("calibrate", "calibrate", {}),
        ("forget_calibration", "calibrate", {"clear": True}),
        ("reload_settings_and_model", "reload", {}),
        ("identify", "identify", {}),
    ],
)
def test_a_button_sends_its_command(home, present, ha_broker, button, command, payload):
    present("buttons")
    with Listener(ha_broker.port, "emotion/buttons/command/#") as listener:
        home.call("button.press", f"button.buttons_{button}")
        until(lambda: listener.payloads(command) == [payload], "the command arrives", ANSWER_S)


def test_diagnostics_show_health_and_info(home, present):
    device = present("well")
    device.publish_payload(HEALTH, health())
    device.publish_payload(INFO, info())
    home.until_state("sensor.well_frame_rate", "14.9")
    assert home.state("sensor.well_processor_temperature") == "58.4"
    assert home.state("binary_sensor.well_throttled") == "off"
    assert home.state("binary_sensor.well_under_voltage") == "on"
    home.until_state("sensor.well_model_version", "b1")
    assert home.state("sensor.well_camera") == "picamera2:0"
    assert home.state("binary_sensor.well_problem") == "off"


def test_a_calibration_shows_its_date(home, present):
    device, entity = present("calm"), "sensor.calm_calibrated"
    device.publish_payload(INFO, info(baseline="2025-03-14T15:09:26.535Z"))
    home.until_state(entity, "2025-03-14T15:09:26+00:00")
    device.publish_payload(INFO, info())
    home.until_state(entity, "unknown")
    device.publish_payload(INFO, info(baseline="2025-03-15T15:09:26.535Z"))
    home.until_state(entity, "2025-03-15T15:09:26+00:00")
    older = info()
    del older["baseline"]
    device.publish_payload(INFO, older)
    home.until_state(entity, "unknown")


def test_a_model_without_calibration_has_no_button(home, present):
    device = present("plain")
    device.publish_discovery(DEVICE_INFO, absent=CALIBRATION)
    for entity in ("button.plain_calibrate", "button.plain_forget_calibration", "sensor.plain_calibrated"):
        home.until_state(entity, None)
    assert home.state("button.plain_identify") is not None


def test_missing_values_are_unknown(home, present):
    device = present("mute")
    device.publish_payload(HEALTH, health(cpu_temperature_c=58.4))
    home.until_state("sensor.mute_processor_temperature", "58.4")
    device.publish_payload(HEALTH, health(cpu_temperature_c=None, throttled=None, under_voltage=None))
    device.publish_payload(INFO, info(model_id=None))
    home.until_state("sensor.mute_processor_temperature", "unknown")
    home.until_state("sensor.mute_camera", "picamera2:0")
    for entity in ("binary_sensor.mute_throttled", "binary_sensor.mute_under_voltage", "sensor.mute_model_version"):
        assert home.state(entity) == "unknown"


def test_a_problem_has_a_reason(home, present):
    device = present("ill")
    reason = "the bundle was refused: " + "its hashes differ; " * 30
    device.publish_payload(INFO, info(problem=reason, camera="v" * 300, model_id="m" * 300))
    home.until_state("binary_sensor.ill_problem", "on")
    assert home.attributes("binary_sensor.ill_problem")["reason"] == reason
    home.until_state("sensor.ill_camera", "v" * 255)
    home.until_state("sensor.ill_model_version", "m" * 255)


def test_all_entities_of_an_offline_device_are_unavailable(home, present):
    device = present("away")
    device.publish_payload(STATE, state(FACE))
    home.until_state("sensor.away_expression", "happiness")
    device.publish_availability(payloads.OFFLINE)
    home.until_state("sensor.away_expression", "unavailable")
    states = {entity: found["state"] for entity, found in home.request("states").items() if ".away_" in entity}
    assert set(states.values()) == {"unavailable"}, states
    device.publish_availability(payloads.ONLINE)
    home.until_state("sensor.away_expression", "happiness")


def test_an_old_value_expires(home, present, monkeypatch):
    monkeypatch.setattr(home_assistant, "EXPIRE_MIN_S", 3)
    device = present("silent", health_interval_s=1.0)

    def shown() -> bool:
        device.publish_payload(STATE, state(FACE))  # repeatedly: on a busy machine it may expire before the check
        return home.state("sensor.silent_expression") == "happiness"

    until(shown, "the state is shown", ANSWER_S)
    assert home.state("switch.silent_reading") == "on"
    # The device publishes nothing more, and no last will says that it is offline.
    home.until_state("sensor.silent_expression", "unavailable")
    assert home.state("binary_sensor.silent_face_present") == "unavailable"
    assert home.state("switch.silent_reading") == "on"


def test_every_possible_payload_is_accepted(home, present):
    """With all entities enabled, no payload causes a warning in the log, which `quiet` asserts."""
    device = present("all")
    device.publish_payload(HEALTH, health())
    device.publish_payload(STATE, state(FACE))
    home.request("enable_all")
    home.until_state("sensor.all_memory", "121.5")
    home.until_state("sensor.all_expression", "happiness")
    home.until_other("event.all_expression_change", "unavailable")
    values: tuple[bool | None, ...] = (None, True, False)
    nothing = Percentiles(None, None)
    for throttled, under_voltage in itertools.product(values, values):
        device.publish_payload(HEALTH, health(throttled=throttled, under_voltage=under_voltage, cpu_temperature_c=None))
    device.publish_payload(
        HEALTH, health(latency_ms=nothing, frame_age_ms=nothing, fps=float("nan"), rss_mb=0.0, lost_events=0)
    )
    for expression in (*LABELS, "uncertain"):
        device.publish_payload(STATE, state(Shown(1, expression, 0.5, 0.0, {}, 1.0), FACE))
        device.publish_payload(EVENT, event(Change(1, expression, None, 0.5, 0.0, 0.0)))
        device.publish_payload(EVENT, event(Change(1, None, expression, 0.5, 0.0, 1.0)))
    device.publish_payload(STATE, state())
    device.publish_payload(INFO, info(model_id=None, labels=(), metrics={}, versions={}, camera=""))
    for topic in (STATE, HEALTH, INFO, EVENT):
        for example in schema(topic.schema)["examples"]:
            device.publish_payload(topic, example)
    for topic in (STATE, HEALTH, INFO):
        device.publish(topic, b"")
    device.publish_payload(STATE, state(FACE, paused=True))
    home.until_state("switch.all_reading", "off")


def test_a_missing_component_is_removed(home, present):
    device = present("lacks")
    assert home.state("binary_sensor.lacks_throttled") is not None
    device.publish_discovery(DEVICE_INFO, absent=("throttled", "under_voltage"))
    home.until_state("binary_sensor.lacks_throttled", None)
    home.until_state("binary_sensor.lacks_under_voltage", None)
    assert home.state("sensor.lacks_expression") is not None
    device.publish_discovery(DEVICE_INFO)
    home.until_other("binary_sensor.lacks_throttled", None)


def test_a_component_that_never_existed_may_be_missing(home, new_device):
    device = new_device("never")
    device.publish_discovery(DEVICE_INFO, absent=("throttled",))
    home.until_other("sensor.never_expression", None)
    assert home.state("binary_sensor.never_throttled") is None


def test_another_model_changes_the_options(home, present):
    device = present("relabelled")
    device.publish_discovery(dataclasses.replace(DEVICE_INFO, labels=("calm", "happiness")))
    entity = "sensor.relabelled_expression"
    wanted = ["calm", "happiness", "uncertain", "none"]
    until(lambda: home.attributes(entity).get("options") == wanted, "other options", ANSWER_S)
    device.publish_payload(STATE, state(Shown(1, "calm", 0.5, 0.0, {}, 1.0)))
    home.until_state(entity, "calm")


def test_a_removed_device_leaves_no_entities(home, present):
    device = present("leaves")
    present("stays")
    device.remove()
    home.until_state("sensor.leaves_expression", None)
    until(
        lambda: "leaves" not in {found["name"] for found in home.request("devices")}, "the device is removed", ANSWER_S
    )
    names = {found["entity_id"].partition(".")[2].partition("_")[0] for found in home.request("entities")}
    assert "leaves" not in names
    assert "stays" in names


def test_unusual_names_are_separate_devices(home, new_device):
    names = ["Küche", "K_c3_bcche", "living room", "living-room", "living_room", "a.b", 'quo"te', "{{ 1 }}"]
    for name in names:
        new_device(name).publish_discovery(DEVICE_INFO)
    until(lambda: set(names) <= {found["name"] for found in home.request("devices")}, "all are discovered", ANSWER_S)


def test_the_daemon_on_the_demo_is_discovered(home, ha_broker, tmp_path):
    config = tmp_path / "own.toml"
    config.write_text('[device]\nname = "demo"\n[mqtt]\nhealth_interval_s = 1.0\n')
    daemon = subprocess.Popen(
        [sys.executable, "-m", "edge", "run", "--config", config, "--camera", "demo", "--mqtt", ha_broker.url],
        stdin=subprocess.DEVNULL,
        cwd=REPOSITORY,
    )
    try:
        home.until_state("sensor.demo_expression", "happiness")
        assert home.state("binary_sensor.demo_face_present") == "on"
        home.until_state("switch.demo_reading", "on")
        assert home.state("button.demo_calibrate") == home.state("sensor.demo_calibrated") == "unknown"
        until(lambda: home.attributes("event.demo_expression_change")["event_type"], "an event has fired", ANSWER_S)
        home.until_other("sensor.demo_frame_rate", "unavailable")
        assert float(home.state("sensor.demo_frame_rate")) > 1
        home.call("switch.turn_off", "switch.demo_reading")
        home.until_state("switch.demo_reading", "off")
        home.until_state("sensor.demo_expression", "unknown")
        home.call("switch.turn_on", "switch.demo_reading")
        home.until_other("sensor.demo_expression", "unknown")
    finally:
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(60) == 0
    home.until_state("sensor.demo_expression", "unavailable")
