"""Announcements pass the checks of Home Assistant itself, whatever the name and the model of the device."""

from __future__ import annotations

import json

import pytest

from edge.messages import home_assistant, payloads
from edge.messages.payloads import Info
from edge.messages.topics import DISCOVERY
from tests.home_assistant.home_assistant import ANSWER_S
from tests.support.broker import until

LABELS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")


def announcement(device: str = "livingroom", base: str = "emotion", **options) -> payloads.Payload:
    """As Home Assistant would decode it."""
    values = {"labels": LABELS, "versions": {"emotion_edge": "1.2.3"}, **options.pop("info", {})}
    info = Info(device=device, model_id="b1", model_name="emotion", metrics={}, camera="demo", **values)
    payload = home_assistant.discovery(device, base, info, options.pop("health_interval_s", 30.0), **options)
    return json.loads(payloads.encode(payload))


@pytest.mark.parametrize(
    "payload",
    [
        announcement(),
        announcement("Küche ~ 'links' {{ 1 }}", base="~/haus/emotion"),
        announcement(info={"labels": (), "versions": {}}),
        announcement(info={"labels": ("uncertain", "none", "{{ x }}", "ü")}),
        announcement(health_interval_s=3600.0),
        announcement(absent=("throttled", "under_voltage", "cpu_temperature")),
    ],
    ids=["usual", "odd-names", "no-model", "odd-labels", "slow", "absent"],
)
def test_an_announcement_is_valid(home, payload):
    checked = home.ask("validate", payload=payload)
    assert checked.keys() == payload["components"].keys()


def test_a_schema_leaves_nothing_out(home):
    """Home Assistant drops keys that it does not know, so a misspelt one would pass."""
    payload = announcement()
    checked = home.ask("validate", payload=payload)
    for key, component in payload["components"].items():
        assert component.keys() - {"platform"} <= checked[key].keys()


@pytest.mark.parametrize(
    ("key", "value"),
    [("device_class", "smile"), ("entity_category", "important"), ("state_topic", "emotion/#/state"), ("options", [])],
)
def test_a_mistake_would_be_found(home, key, value):
    payload = announcement()
    payload["components"]["expression"][key] = value
    with pytest.raises(pytest.fail.Exception, match="Invalid"):
        home.ask("validate", payload=payload)


def test_a_complaint_would_be_heard(home, new_device):
    """Other tests rely on a quiet log."""
    device = new_device("broken")
    device.publish(DISCOVERY, b"{")
    until(lambda: any("Unable to parse JSON" in line for line in home.ask("complaints")), "a complaint", ANSWER_S)
