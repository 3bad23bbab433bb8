"""The blueprint, read and run by Home Assistant's own automations; see the automations in conftest.py."""

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
    device.announce(DEVICE_INFO)
    device.available(payloads.ONLINE)
    device.say(STATE, state())
    home.until_state(SENSOR, "none")
    return device


def face(expression: str) -> payloads.Payload:
    return state(Shown(1, expression, 0.9, 0.0, {}, 100.0))


def test_the_blueprint_is_listed(home):
    blueprint = home.ask("blueprints")["emotion-edge/expression_held.yaml"]
    assert blueprint["name"] == "A held expression"
    assert {"sensor", "expressions", "held_for", "conditions", "actions"} == blueprint["input"].keys()
    assert home.state("automation.held") == "on", "an automation was made from it"


def test_a_held_expression_triggers_the_action_once(home, porch, ha_broker):
    with Listener(ha_broker.port, "test/held") as listener:
        porch.say(STATE, face("happiness"))
        until(lambda: listener.payloads("held"), "the action", ANSWER_S)
        porch.say(STATE, face("happiness"))
        porch.say(STATE, face("anger"))
        home.until_state(SENSOR, "anger")
        porch.say(STATE, face("surprise"))
        until(lambda: len(listener.payloads("held")) > 1, "the action for the other one", ANSWER_S)
        assert listener.payloads("held") == ["happiness", "surprise"]


def test_what_only_flits_across_a_face_does_not(porch, ha_broker):
    with Listener(ha_broker.port, "test/#") as listener:
        porch.say(STATE, face("happiness"))
        porch.say(STATE, face("anger"))
        until(lambda: listener.payloads("seen"), "the smile was seen", ANSWER_S)
        porch.say(STATE, face("surprise"))
        # Held for as long, and later: the action for the smile would have come before.
        until(lambda: listener.payloads("held"), "the action for what was held", ANSWER_S)
        assert listener.payloads("held") == ["surprise"]


def test_nothing_is_done_about_a_device_that_is_away(home, porch, ha_broker):
    with Listener(ha_broker.port, "test/#") as listener:
        porch.say(STATE, face("happiness"))
        porch.available(payloads.OFFLINE)
        home.until_state(SENSOR, "unavailable")
        until(lambda: listener.payloads("seen"), "the smile was seen", ANSWER_S)
        porch.say(STATE, face("surprise"))
        porch.available(payloads.ONLINE)
        until(lambda: listener.payloads("held"), "the action for what was held", ANSWER_S)
        assert listener.payloads("held") == ["surprise"]
