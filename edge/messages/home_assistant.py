"""The announcement of a device to Home Assistant: one retained payload for all its entities. Pure.

The format is MQTT device discovery, which Home Assistant supports since 2024.11
(https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload). An empty payload on the same topic removes
the device and its entities from Home Assistant.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edge.messages.payloads import NONE
from edge.messages.topics import AVAILABILITY, COMMAND, EVENT, HEALTH, INFO, PRODUCT, STATE, Namespace, object_id
from edge.values import UNCERTAIN

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from edge.messages.payloads import Info, Payload

MISSED_MAX = 3
"""Intervals without a message after which values expire in Home Assistant."""

EXPIRE_MIN_S = 60
"""Minimum time until values expire, s: longer than the restart of a broker, however short the interval is."""

CALIBRATION = ("calibrate", "forget_calibration", "calibrated")
"""Components that a device lacks if its model doesn't use a neutral baseline."""

_STATE_MAX = 255
"""Maximum number of characters of a state in Home Assistant (homeassistant.const.MAX_LENGTH_STATE_STATE)."""


def discovery(device: str, base: str, info: Info, health_interval_s: float, *, absent: Collection[str] = ()) -> Payload:
    """The announcement of a device.

    A null in a message becomes `unknown` in Home Assistant, and so does everything about faces while the device is
    paused: it doesn't know whether somebody is there. Values that aren't updated become `unavailable`.

    Args:
        device: name of the device, as in its topics.
        base: levels before it, as in mqtt.base.
        info: software, model and camera of the device; its labels are the expressions that can be shown.
        health_interval_s: longest time between two states, and between two messages on `health`, s.
        absent: keys of components that this device doesn't have. Home Assistant removes those that it knew.

    Raises:
        ValueError: `absent` names an unknown component.
    """
    identifier = object_id(device)
    names = Namespace(base, device)
    version = info.versions.get("emotion_edge", "")
    expire_s = max(EXPIRE_MIN_S, math.ceil(MISSED_MAX * health_interval_s))
    components = _components(names, info.labels, expire_s)
    if unknown := sorted(set(absent) - set(components)):
        raise ValueError(f"unknown component {', '.join(unknown)}")
    for key, component in components.items():
        # No identifier has a full stop, so no two devices share an entity.
        component["unique_id"] = f"{identifier}.{key}"
    return {
        "device": {
            "identifiers": [identifier],
            "name": device,
            "manufacturer": PRODUCT,
            "model": "Facial expression sensor",
            "sw_version": version,
        },
        "origin": {"name": PRODUCT, "sw_version": version},
        "availability_topic": names.path(AVAILABILITY),
        # A component with nothing but its platform is removed by Home Assistant.
        "components": {
            key: {"platform": component["platform"]} if key in absent else component
            for key, component in components.items()
        },
    }


def _components(names: Namespace, labels: Sequence[str], expire_s: int) -> Payload:
    """The configuration of every component by its key, still without `unique_id`."""
    state = {"state_topic": names.path(STATE), "expire_after": expire_s}
    health = {"state_topic": names.path(HEALTH), "expire_after": expire_s, "entity_category": "diagnostic"}
    info = {"state_topic": names.path(INFO), "entity_category": "diagnostic"}
    expressions = list(dict.fromkeys([*labels, UNCERTAIN, NONE]))
    return {
        "expression": {
            "platform": "sensor",
            "name": "Expression",
            "icon": "mdi:emoticon-outline",
            "device_class": "enum",
            "options": expressions,
            "value_template": _unless_paused("value_json.expression"),
            "qos": 1,
            **state,
        },
        "face_present": {
            "platform": "binary_sensor",
            "name": "Face present",
            "device_class": "occupancy",
            "value_template": _unless_paused("'ON' if value_json.faces else 'OFF'"),
            "qos": 1,
            **state,
        },
        "faces": {
            "platform": "sensor",
            "name": "Faces",
            "icon": "mdi:account-multiple",
            "state_class": "measurement",
            "value_template": _unless_paused("value_json.faces | count"),
            **state,
        },
        "distance": {
            "platform": "sensor",
            "name": "Distance of the nearest face",
            "device_class": "distance",
            "unit_of_measurement": "m",
            "suggested_display_precision": 1,
            "state_class": "measurement",
            "value_template": _unless_paused(
                "value_json.faces | map(attribute='distance_m') | select('number') | min | default(none)"
            ),
            **state,
        },
        "expression_change": {
            "platform": "event",
            "name": "Expression change",
            "icon": "mdi:emoticon-outline",
            "event_types": expressions,
            "state_topic": names.path(EVENT),
            "value_template": _CHANGE,
            "qos": 1,
        },
        "reading": {
            "platform": "switch",
            "name": "Reading",
            "icon": "mdi:eye",
            "state_topic": names.path(STATE),
            "value_template": _value("'OFF' if value_json.paused else 'ON'"),
            "state_on": "ON",
            "state_off": "OFF",
            "command_topic": names.path(COMMAND, "pause"),
            "payload_on": '{"paused": false}',
            "payload_off": '{"paused": true}',
            "qos": 1,
        },
        "calibrate": {
            "name": "Calibrate",
            "icon": "mdi:tune-variant",
            "entity_category": "config",
            **_button(names, "calibrate"),
        },
        "forget_calibration": {
            "name": "Forget calibration",
            "icon": "mdi:tune-variant",
            "entity_category": "config",
            **_button(names, "calibrate", '{"clear": true}'),
        },
        "reload": {
            "name": "Reload settings and model",
            "icon": "mdi:reload",
            "entity_category": "config",
            **_button(names, "reload"),
        },
        "identify": {
            "name": "Identify",
            "device_class": "identify",
            "entity_category": "diagnostic",
            **_button(names, "identify"),
        },
        "frame_rate": {
            "platform": "sensor",
            "name": "Frame rate",
            "icon": "mdi:speedometer",
            "unit_of_measurement": "fps",
            "suggested_display_precision": 1,
            "state_class": "measurement",
            "value_template": _value("value_json.fps"),
            **health,
        },
        "frame_rate_limit": {
            "platform": "sensor",
            "name": "Frame rate limit",
            "icon": "mdi:speedometer",
            "unit_of_measurement": "fps",
            "suggested_display_precision": 1,
            "state_class": "measurement",
            "value_template": _value("value_json.target_fps"),
            "enabled_by_default": False,
            **health,
        },
        "latency": {
            "platform": "sensor",
            "name": "Latency",
            "device_class": "duration",
            "unit_of_measurement": "ms",
            "suggested_display_precision": 0,
            "state_class": "measurement",
            "value_template": _value("value_json.latency_ms.p50"),
            "enabled_by_default": False,
            **health,
        },
        "cpu_temperature": {
            "platform": "sensor",
            "name": "Processor temperature",
            "device_class": "temperature",
            "unit_of_measurement": "°C",
            "suggested_display_precision": 0,
            "state_class": "measurement",
            "value_template": _value("value_json.cpu_temperature_c"),
            **health,
        },
        "throttled": {
            "platform": "binary_sensor",
            "name": "Throttled",
            "device_class": "problem",
            "value_template": _on_off("value_json.throttled"),
            **health,
        },
        "under_voltage": {
            "platform": "binary_sensor",
            "name": "Under-voltage",
            "device_class": "problem",
            "value_template": _on_off("value_json.under_voltage"),
            **health,
        },
        "memory": {
            "platform": "sensor",
            "name": "Memory",
            "device_class": "data_size",
            "unit_of_measurement": "MB",
            "suggested_display_precision": 0,
            "state_class": "measurement",
            "value_template": _value("value_json.rss_mb"),
            "enabled_by_default": False,
            **health,
        },
        "lost_events": {
            "platform": "sensor",
            "name": "Lost events",
            "icon": "mdi:message-alert-outline",
            "state_class": "total_increasing",
            "value_template": _value("value_json.lost_events"),
            "enabled_by_default": False,
            **health,
        },
        "model": {
            "platform": "sensor",
            "name": "Model version",
            "icon": "mdi:brain",
            "value_template": _value(f"value_json.model.id[:{_STATE_MAX}] if value_json.model else None"),
            **info,
        },
        "camera": {
            "platform": "sensor",
            "name": "Camera",
            "icon": "mdi:camera",
            "value_template": _value(f"value_json.camera[:{_STATE_MAX}]"),
            **info,
        },
        "calibrated": {
            "platform": "sensor",
            "name": "Calibrated",
            "icon": "mdi:tune-variant",
            "device_class": "timestamp",
            # The retained message may be that of an older version, which has no such key.
            "value_template": _value("value_json.get('baseline')"),
            **info,
        },
        "problem": {
            "platform": "binary_sensor",
            "name": "Problem",
            "device_class": "problem",
            "value_template": _on_off("value_json.problem is not none"),
            # The reason is an attribute, because a sentence is too long for a state.
            "json_attributes_topic": names.path(INFO),
            "json_attributes_template": _REASON,
            **info,
        },
    }


_CHANGE = (
    "{{ {'event_type': value_json.expression, 'previous': value_json.previous, 'change': value_json.type,"
    " 'track': value_json.track, 'confidence': value_json.confidence, 'duration_s': value_json.duration_s,"
    " 'time': value_json.time} | to_json if value_json is defined else '' }}"
)
"""Template for the event entity: a JSON object with `event_type`; its other keys become attributes."""

_REASON = "{{ {'reason': value_json.problem} | to_json if value_json is defined else '{}' }}"


def _button(names: Namespace, command: str, payload: str = "{}") -> Payload:
    """A button that sends a command."""
    return {
        "platform": "button",
        "command_topic": names.path(COMMAND, command),
        "payload_press": payload,
        "qos": COMMAND.qos,
    }


def _value(value: str) -> str:
    """A template for a Jinja expression. Null and an emptied topic give `None`, which means unknown."""
    return f"{{{{ ({value}) if value_json is defined else None }}}}"


def _unless_paused(value: str) -> str:
    """The same, and unknown while the device is paused."""
    return _value(f"None if value_json.paused else ({value})")


def _on_off(value: str) -> str:
    """A template for a binary sensor from a Jinja expression that is true, false or null."""
    return _value(f"None if ({value}) is none else 'ON' if ({value}) else 'OFF'")
