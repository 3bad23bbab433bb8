"""The table of topics, and their paths for a base and a device."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.messages.topics import COMMAND, DISCOVERY, HOME_ASSISTANT_STATUS, REPLY, TOPICS, Namespace, Topic
from tests.support.schemas import NAMES, schema

ACCESS_LIST = Path(__file__).parents[3] / "deploy" / "integrations" / "mosquitto" / "acl"

rows = pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
levels = st.text(st.characters(exclude_characters="/+#", exclude_categories=["C"]), min_size=1, max_size=9)


def test_every_row_has_a_unique_name_and_template():
    assert len({topic.name for topic in TOPICS}) == len({topic.template for topic in TOPICS}) == len(TOPICS)


def test_every_schema_belongs_to_a_topic():
    assert sorted(topic.schema for topic in TOPICS if topic.schema) == NAMES


@rows
def test_the_description_of_a_schema_names_its_topic_and_options(topic: Topic):
    if topic.schema is None:
        return
    text = schema(topic.schema)["description"]
    assert Namespace("emotion", "<device>").path(topic, "<name>") in text
    if topic.direction == "published":
        assert f"QoS {topic.qos}" in text
        assert bool(re.search(r"(?<!not )(?<!never )retained", text)) == topic.retained


def test_the_topics_of_a_device():
    names = Namespace("house/emotion", "livingroom", "homeassistant")
    assert [names.path(topic, "pause") for topic in TOPICS] == [
        "house/emotion/livingroom/availability",
        "house/emotion/livingroom/state",
        "house/emotion/livingroom/event",
        "house/emotion/livingroom/health",
        "house/emotion/livingroom/info",
        "house/emotion/livingroom/shadow/state",
        "house/emotion/livingroom/command/pause",
        "house/emotion/livingroom/reply/pause",
        "homeassistant/device/emotion-edge_livingroom/config",
        "homeassistant/status",
    ]


@given(st.lists(levels, min_size=1, max_size=3).map("/".join), levels, levels)
def test_topics_below_the_base_are_parsed(base: str, device: str, command: str):
    names = Namespace(base, device)
    for topic in set(TOPICS) - {DISCOVERY, HOME_ASSISTANT_STATUS}:
        path = names.path(topic, command)
        wanted = command if topic in {COMMAND, REPLY} else ""
        assert Namespace(base).parse(path) == (device, path.removeprefix(f"{base}/{device}/"), topic, wanted)


@pytest.mark.parametrize("path", ["", "emotion", "emotion/", "emotion/pi", "emotional/pi/state", "$SYS/uptime"])
def test_other_topics_are_not_parsed(path: str):
    assert Namespace("emotion").parse(path) is None


@pytest.mark.parametrize("rest", ["", "mood", "state/more", "shadow", "command", "reply/a/b", "discovery"])
def test_unknown_topics_below_the_base_have_no_row(rest: str):
    assert Namespace("emotion").parse(f"emotion/pi/{rest}") == ("pi", rest, None, "")


@rows
def test_the_access_list_allows_what_a_device_needs(topic: Topic):
    right = {"published": "write", "subscribed": "read"}[topic.direction]
    path = Namespace("emotion", "%u", "homeassistant").path(topic).replace("_25u", "%u")
    assert f"pattern {right} {path}" in ACCESS_LIST.read_text(encoding="utf-8").splitlines()
