"""Log lines about a broker that accepts the connection and refuses a subscription."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edge.mqtt.inbox import Inbox
from edge.mqtt.publisher import Publisher
from edge.settings import MqttSettings
from tests.support.broker import until
from tests.support.scripted_broker import ACCEPT_NEW, ScriptedBroker

if TYPE_CHECKING:
    import pytest

NOT_AUTHORISED = 0x87


def test_a_refused_subscription_is_logged_with_its_topic(caplog: pytest.LogCaptureFixture):
    broker = ScriptedBroker(ACCEPT_NEW, suback=NOT_AUTHORISED)
    publisher = Publisher(MqttSettings(url=broker.url, username="anna"), "dev", Inbox(time.monotonic))
    publisher.start()
    until(lambda: "does not let" in caplog.text, "the refusal is logged")
    publisher.stop(0.2)
    broker.close()
    line = next(record.message for record in caplog.records if "does not let" in record.message)
    assert line.startswith(f"{broker.url} does not let user 'anna' subscribe to emotion/dev/command/+ (Not authorized)")
