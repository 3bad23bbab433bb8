"""The discovery message, without Home Assistant; tests/home_assistant tests it with one."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ConfigError
from edge.messages import payloads
from edge.messages.home_assistant import CALIBRATION, discovery
from edge.messages.payloads import Info
from edge.messages.topics import DISCOVERY, Namespace
from edge.mqtt.address import check_device

INFO = Info(
    device="livingroom",
    versions={"emotion_edge": "1.2.3"},
    model_id="b1",
    model_name="emotion",
    metrics={},
    camera="demo",
    labels=("neutral", "happiness"),
)


def topic(device: str, discovery: str = "homeassistant") -> str:
    return Namespace("emotion", device, discovery).path(DISCOVERY)


def is_device(name: str) -> bool:
    try:
        check_device(name)
    except ConfigError:
        return False
    return True


devices = st.text(min_size=1, max_size=50).filter(is_device) | st.text("aé_-/5f ", min_size=1).filter(is_device)


def unique_ids(payload: payloads.Payload) -> set[str]:
    return {component["unique_id"] for component in payload["components"].values()}


@given(devices)
def test_any_device_has_a_topic_that_home_assistant_subscribes_to(device: str):
    # As in homeassistant.components.mqtt.discovery.TOPIC_MATCHER.
    assert re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", topic(device))


@given(devices, devices)
def test_two_devices_share_no_ids_or_topics(one: str, other: str):
    assert (topic(one) == topic(other)) == (one == other)
    both = [discovery(device, "emotion", INFO, 30.0) for device in (one, other)]
    assert unique_ids(both[0]).isdisjoint(unique_ids(both[1])) == (one != other)


@pytest.mark.parametrize("pair", [("a_b", "a__b"), ("a_5fb", "a_b"), ("é", "_c3_a9"), ("a b", "a-b"), ("a", "A")])
def test_similar_names_have_different_ids(pair):
    assert len({topic(device) for device in pair}) == 2


def test_a_usual_name_stays_readable():
    assert topic("living-room2", "ha") == "ha/device/emotion-edge_living-room2/config"


def test_every_component_has_a_unique_id_and_name():
    payload = discovery("livingroom", "emotion", INFO, 30.0)
    components = payload["components"].values()
    assert len(unique_ids(payload)) == len(components) == len({component["name"] for component in components})


def test_all_topics_belong_to_the_device():
    payload = discovery("livingroom", "house/emotion", INFO, 30.0)
    topics = [payload["availability_topic"]]
    for component in payload["components"].values():
        topics += [value for key, value in component.items() if key.endswith("_topic")]
    assert all(found.startswith("house/emotion/livingroom/") for found in topics)
    levels = {found.removeprefix("house/emotion/livingroom/") for found in topics}
    assert {"availability", "state", "event", "health", "info", "command/pause"} < levels


@pytest.mark.parametrize("labels", [(), ("neutral", "happiness"), ("none", "uncertain", "calm")])
def test_every_possible_expression_is_listed_once(labels):
    components = discovery("a", "emotion", dataclasses.replace(INFO, labels=labels), 30.0)["components"]
    for found in (components["expression"]["options"], components["expression_change"]["event_types"]):
        assert len(found) == len(set(found))
        assert set(found) == {*labels, "uncertain", "none"}


@pytest.mark.parametrize(("interval_s", "expire_s"), [(1.0, 60), (30.0, 90), (30.1, 91), (3600.0, 10800)])
def test_values_expire_after_three_intervals_but_not_within_a_minute(interval_s, expire_s):
    components = discovery("a", "emotion", INFO, interval_s)["components"]
    assert {found["expire_after"] for found in components.values() if "expire_after" in found} == {expire_s}


def test_absent_components_are_removed():
    components = discovery("a", "emotion", INFO, 30.0, absent=("throttled",))["components"]
    assert components["throttled"] == {"platform": "binary_sensor"}


def test_without_calibration_its_components_are_absent():
    with_it, without = (
        discovery("a", "emotion", INFO, 30.0, absent=absent)["components"] for absent in ((), CALIBRATION)
    )
    assert [key for key in with_it if with_it[key] != without[key]] == list(CALIBRATION)
    assert not any("calibrat" in json.dumps(component) for component in without.values())


def test_an_unknown_absent_component_is_an_error():
    with pytest.raises(ValueError, match="unknown component smile"):
        discovery("a", "emotion", INFO, 30.0, absent=("smile", "throttled"))


def test_it_is_json_and_deterministic():
    first, second = (payloads.encode(discovery("Küche", "emotion", INFO, 30.0)) for _ in range(2))
    assert first == second
    assert json.loads(first)["device"]["name"] == "Küche"
