"""Tells Home Assistant what a device offers: one retained payload for all its entities.

Pure: no I/O. The format is that of MQTT device discovery, which Home Assistant has since 2024.11
(https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload). An empty payload on the same topic
takes the device and its entities out of Home Assistant.
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
"""Values expire in Home Assistant when so many intervals have passed without one."""
EXPIRE_MIN_S = 60
"""s, however short the interval is: a broker that restarts is no reason to forget what is shown."""

CALIBRATION = ("calibrate", "forget_calibration", "calibrated")
"""Keys of the components that a device lacks whose model cannot be told of a neutral face."""

_STATE_MAX = 255
"""Characters of a state; Home Assistant refuses longer ones (homeassistant.const.MAX_LENGTH_STATE_STATE)."""


def discovery(device: str, base: str, info: Info, health_interval_s: float, *, absent: Collection[str] = ()) -> Payload:
    """The announcement of a device.

    What is null in a message becomes `unknown` in Home Assistant, and so does everything about faces while the device
    is paused: it does not know whether somebody is there. Without news, values become `unavailable`.

    Args:
        device: second level of the device's topics.
        base: first level of them.
        info: what runs on the device; its labels are the expressions that there can be.
        health_interval_s: s, the longest time between two states, and between two of `health`.
        absent: keys of components that this device does not have. Home Assistant removes those that it knew.

    Raises:
        ValueError: `absent` names a component that does not exist.
    """
    identifier = object_id(device)
    names = Namespace(base, device)
    version = info.versions.get("emotion_edge", "")
    expire_s = max(EXPIRE_MIN_S, math.ceil(MISSED_MAX * health_interval_s))
    components = _components(names, info.labels, expire_s)
    if unknown := sorted(set(absent) - set(components)):
        raise ValueError(f"there is no component {', '.join(unknown)}")
    for key, component in components.items():
        # A full stop is not part of any identifier, so no two devices can have an entity in common.
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
        # The platform alone is how Home Assistant is told to remove a component.
        "components": {
            key: {"platform": component["platform"]} if key in absent else component
            for key, component in components.items()
        },
    }


def _components(names: Namespace, labels: Sequence[str], expire_s: int) -> Payload:
    """All components: key to configuration, still without `unique_id`."""
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
            "value_template": _seen("value_json.expression"),
            "qos": 1,
            **state,
        },
        "face_present": {
            "platform": "binary_sensor",
            "name": "Face present",
            "device_class": "occupancy",
            "value_template": _seen("'ON' if value_json.faces else 'OFF'"),
            "qos": 1,
            **state,
        },
        "faces": {
            "platform": "sensor",
            "name": "Faces",
            "icon": "mdi:account-multiple",
            "state_class": "measurement",
            "value_template": _seen("value_json.faces | count"),
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
            "value_template": _known("'OFF' if value_json.paused else 'ON'"),
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
            "value_template": _known("value_json.fps"),
            **health,
        },
        "frame_rate_limit": {
            "platform": "sensor",
            "name": "Frame rate limit",
            "icon": "mdi:speedometer",
            "unit_of_measurement": "fps",
            "suggested_display_precision": 1,
            "state_class": "measurement",
            "value_template": _known("value_json.target_fps"),
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
            "value_template": _known("value_json.latency_ms.p50"),
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
            "value_template": _known("value_json.cpu_temperature_c"),
            **health,
        },
        "throttled": {
            "platform": "binary_sensor",
            "name": "Throttled",
            "device_class": "problem",
            "value_template": _on("value_json.throttled"),
            **health,
        },
        "under_voltage": {
            "platform": "binary_sensor",
            "name": "Under-voltage",
            "device_class": "problem",
            "value_template": _on("value_json.under_voltage"),
            **health,
        },
        "memory": {
            "platform": "sensor",
            "name": "Memory",
            "device_class": "data_size",
            "unit_of_measurement": "MB",
            "suggested_display_precision": 0,
            "state_class": "measurement",
            "value_template": _known("value_json.rss_mb"),
            "enabled_by_default": False,
            **health,
        },
        "lost_events": {
            "platform": "sensor",
            "name": "Lost events",
            "icon": "mdi:message-alert-outline",
            "state_class": "total_increasing",
            "value_template": _known("value_json.lost_events"),
            "enabled_by_default": False,
            **health,
        },
        "model": {
            "platform": "sensor",
            "name": "Model version",
            "icon": "mdi:brain",
            "value_template": _known(f"value_json.model.id[:{_STATE_MAX}] if value_json.model else None"),
            **info,
        },
        "camera": {
            "platform": "sensor",
            "name": "Camera",
            "icon": "mdi:camera",
            "value_template": _known(f"value_json.camera[:{_STATE_MAX}]"),
            **info,
        },
        "calibrated": {
            "platform": "sensor",
            "name": "Calibrated",
            "icon": "mdi:tune-variant",
            "device_class": "timestamp",
            # An older version of the program, whose message may still be there, does not say it.
            "value_template": _known("value_json.get('baseline')"),
            **info,
        },
        "problem": {
            "platform": "binary_sensor",
            "name": "Problem",
            "device_class": "problem",
            "value_template": _on("value_json.problem is not none"),
            # A sentence is too long for a state.
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
"""The event entity wants a JSON object with `event_type`; the other keys become its attributes."""

_REASON = "{{ {'reason': value_json.problem} | to_json if value_json is defined else '{}' }}"


def _button(names: Namespace, command: str, payload: str = "{}") -> Payload:
    """A button that sends a command."""
    return {
        "platform": "button",
        "command_topic": names.path(COMMAND, command),
        "payload_press": payload,
        "qos": COMMAND.qos,
    }


def _known(value: str) -> str:
    """A template with the value of a Jinja expression; null, or an emptied topic, is `None`: unknown."""
    return f"{{{{ ({value}) if value_json is defined else None }}}}"


def _seen(value: str) -> str:
    """The same, but unknown while the device is paused, too."""
    return _known(f"None if value_json.paused else ({value})")


def _on(value: str) -> str:
    """The state of a binary sensor, from a Jinja expression that is true, false or null."""
    return _known(f"None if ({value}) is none else 'ON' if ({value}) else 'OFF'")
