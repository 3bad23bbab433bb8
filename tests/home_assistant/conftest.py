"""One Home Assistant for all tests, which use different device names."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.home_assistant.home_assistant import REPOSITORY, Device, HomeAssistant
from tests.support.broker import Mosquitto

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLUEPRINT = REPOSITORY / "deploy" / "integrations" / "home-assistant" / "expression_held.yaml"

AUTOMATION = """
automation:
  - alias: Held
    use_blueprint:
      path: emotion-edge/expression_held.yaml
      input:
        sensor: sensor.porch_expression
        expressions: [happiness, surprise]
        held_for:
          seconds: 2
        actions:
          - action: mqtt.publish
            data:
              topic: test/held
              payload: "{{ trigger.to_state.state }}"
  - alias: Seen
    triggers:
      - trigger: state
        entity_id: sensor.porch_expression
        to: happiness
    actions:
      - action: mqtt.publish
        data:
          topic: test/seen
          payload: happiness
"""


@pytest.fixture(scope="session")
def ha_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """The broker that Home Assistant and the devices share."""
    broker = Mosquitto(tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, ha_broker: Mosquitto) -> Iterator[HomeAssistant]:
    """A Home Assistant with the broker, the blueprint, an automation from it, and one without it."""
    folder = tmp_path_factory.mktemp("home-assistant")
    blueprints = folder / "blueprints" / "automation" / "emotion-edge"
    blueprints.mkdir(parents=True)
    shutil.copy(BLUEPRINT, blueprints)
    with HomeAssistant(folder, ha_broker, AUTOMATION) as running:
        yield running


@pytest.fixture
def quiet(home: HomeAssistant) -> Iterator[None]:
    """Fails if a test causes a warning or an error in Home Assistant's log."""
    before = len(home.request("log"))
    yield
    assert home.request("log")[before:] == []


@pytest.fixture
def new_device(ha_broker: Mosquitto) -> Iterator[Callable[[str], Device]]:
    """Create devices that end with the test."""
    devices: list[Device] = []

    def make(name: str) -> Device:
        devices.append(Device(ha_broker, name))
        return devices[-1]

    yield make
    for device in devices:
        device.close()
