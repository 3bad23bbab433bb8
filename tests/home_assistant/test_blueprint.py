"""The blueprint in Home Assistant; see the automations in conftest.py."""

from __future__ import annotations

import pytest

from edge.messages import payloads
from edge.messages.topics import STATE
from edge.values import Shown
from tests.home_assistant.home_assistant import ANSWER_S
from tests.home_assistant.test_entities import DEVICE_INFO, state
from tests.support.broker import Listener, until

SENSOR = "sensor.porch_expression"

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture
def porch(home, new_device):
    device = new_device("porch")
    device.publish_discovery(DEVICE_INFO)
    device.publish_availability(payloads.ONLINE)
    device.publish_payload(STATE, state())
    home.until_state(SENSOR, "none")
    return device


def face(expression: str) -> payloads.Payload:
    return state(Shown(1, expression, 0.9, 0.0, {}, 100.0))


def test_the_blueprint_is_listed(home):
    blueprint = home.request("blueprints")["emotion-edge/expression_held.yaml"]
    assert blueprint["name"] == "A held expression"
    assert {"sensor", "expressions", "held_for", "conditions", "actions"} == blueprint["input"].keys()
    assert home.state("automation.held") == "on", "an automation uses it"


def test_a_held_expression_triggers_the_action_once(home, porch, ha_broker):
    with Listener(ha_broker.port, "test/held") as listener:
        porch.publish_payload(STATE, face("happiness"))
        until(lambda: listener.payloads("held"), "the action", ANSWER_S)
        porch.publish_payload(STATE, face("happiness"))
        porch.publish_payload(STATE, face("anger"))
        home.until_state(SENSOR, "anger")
        porch.publish_payload(STATE, face("surprise"))
        until(lambda: len(listener.payloads("held")) > 1, "the action for the other expression", ANSWER_S)
        assert listener.payloads("held") == ["happiness", "surprise"]


def test_a_brief_expression_does_not_trigger_the_action(porch, ha_broker):
    with Listener(ha_broker.port, "test/#") as listener:
        porch.publish_payload(STATE, face("happiness"))
        porch.publish_payload(STATE, face("anger"))
        until(lambda: listener.payloads("seen"), "the smile is received", ANSWER_S)
        porch.publish_payload(STATE, face("surprise"))
        # Surprise is held later, so the action for the smile would have come first.
        until(lambda: listener.payloads("held"), "the action for the held expression", ANSWER_S)
        assert listener.payloads("held") == ["surprise"]


def test_an_offline_device_does_not_trigger_the_action(home, porch, ha_broker):
    with Listener(ha_broker.port, "test/#") as listener:
        porch.publish_payload(STATE, face("happiness"))
        porch.publish_availability(payloads.OFFLINE)
        home.until_state(SENSOR, "unavailable")
        until(lambda: listener.payloads("seen"), "the smile is received", ANSWER_S)
        porch.publish_payload(STATE, face("surprise"))
        porch.publish_availability(payloads.ONLINE)
        until(lambda: listener.payloads("held"), "the action for the held expression", ANSWER_S)
        assert listener.payloads("held") == ["surprise"]
