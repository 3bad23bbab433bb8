"""Discovery messages are valid for Home Assistant, with any name and model of the device."""

from __future__ import annotations

import json

import pytest

from edge.messages import home_assistant, payloads
from edge.messages.payloads import Info
from edge.messages.topics import DISCOVERY
from tests.home_assistant.home_assistant import ANSWER_S
from tests.support.broker import until

LABELS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")


def discovery_message(device: str = "livingroom", base: str = "emotion", **options) -> payloads.Payload:
    """A discovery message, decoded from JSON."""
    values = {"labels": LABELS, "versions": {"emotion_edge": "1.2.3"}, **options.pop("info", {})}
    info = Info(device=device, model_id="b1", model_name="emotion", metrics={}, camera="demo", **values)
    payload = home_assistant.discovery(device, base, info, options.pop("health_interval_s", 30.0), **options)
    return json.loads(payloads.encode(payload))


@pytest.mark.parametrize(
    "payload",
    [
        discovery_message(),
        discovery_message("Küche ~ 'links' {{ 1 }}", base="~/haus/emotion"),
        discovery_message(info={"labels": (), "versions": {}}),
        discovery_message(info={"labels": ("uncertain", "none", "{{ x }}", "ü")}),
        discovery_message(health_interval_s=3600.0),
        discovery_message(absent=("throttled", "under_voltage", "cpu_temperature")),
    ],
    ids=["usual", "odd-names", "no-model", "odd-labels", "slow", "absent"],
)
def test_a_discovery_message_is_valid(home, payload):
    checked = home.request("validate", payload=payload)
    assert checked.keys() == payload["components"].keys()


def test_the_schemas_know_every_key(home):
    """Home Assistant drops unknown keys, so a misspelt one would pass validation."""
    payload = discovery_message()
    checked = home.request("validate", payload=payload)
    for key, component in payload["components"].items():
        assert component.keys() - {"platform"} <= checked[key].keys()


@pytest.mark.parametrize(
    ("key", "value"),
    [("device_class", "smile"), ("entity_category", "important"), ("state_topic", "emotion/#/state"), ("options", [])],
)
def test_a_mistake_is_found(home, key, value):
    payload = discovery_message()
    payload["components"]["expression"][key] = value
    with pytest.raises(pytest.fail.Exception, match="Invalid"):
        home.request("validate", payload=payload)


def test_a_mistake_is_logged(home, new_device):
    """Other tests rely on an empty log."""
    device = new_device("broken")
    device.publish(DISCOVERY, b"{")
    until(lambda: any("Unable to parse JSON" in line for line in home.request("log")), "the error is logged", ANSWER_S)
