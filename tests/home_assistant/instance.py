"""A Home Assistant for tests, controlled by JSON lines on stdin and stdout.

It runs in Home Assistant's environment. The first line has the options; every other line is a request
`{"do": NAME, ...}`, answered by one line, `{"is": RESULT}` or `{"failed": REASON}`. It ends with its input, and uses
only loopback connections: to the broker, and for Home Assistant's web server, on which MQTT depends.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from importlib import import_module
from typing import Any

from homeassistant import bootstrap, config_entries, core, loader
from homeassistant.config import async_hass_config_yaml
from homeassistant.core_config import async_process_ha_core_config
from homeassistant.helpers import device_registry, entity_registry
from homeassistant.helpers.json import json_bytes
from homeassistant.setup import async_setup_component

UNRELATED = ("calls async_forward_entry_setups", "No device components to cleanup for")
"""Unrelated warnings of Home Assistant 2025.4: after discovering a first device with entities of several platforms, and
after receiving the empty message by which it has removed a device itself."""


class Log(logging.Handler):
    """Collects the warnings and errors in Home Assistant's log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not any(words in record.getMessage() for words in UNRELATED):
            self.lines.append(f"{record.levelname} {record.name}: {self.format(record)}")


async def start(options: dict[str, Any]) -> core.HomeAssistant:
    """Set up configuration.yaml, and MQTT through its configuration flow, like a user."""
    hass = core.HomeAssistant(options["folder"])
    hass.config.skip_pip = True
    loader.async_setup(hass)
    config = await async_hass_config_yaml(hass)
    hass.config_entries = config_entries.ConfigEntries(hass, config)
    await loader.async_get_custom_components(hass)
    await bootstrap.async_load_base_functionality(hass)
    await async_process_ha_core_config(hass, config["homeassistant"])
    for domain in ("homeassistant", "http", "automation"):
        if not await async_setup_component(hass, domain, config):
            raise RuntimeError(f"{domain} could not be set up")
    flow = await hass.config_entries.flow.async_init("mqtt", context={"source": "user"})
    broker = {"broker": "127.0.0.1", "port": options["broker_port"]}
    result = await hass.config_entries.flow.async_configure(flow["flow_id"], broker)
    if result["type"] != "create_entry":
        raise RuntimeError(f"MQTT could not be set up: {result}")
    await hass.async_start()
    return hass


class Requests:
    """The requests, by name."""

    def __init__(self, hass: core.HomeAssistant, log: Log) -> None:
        self._hass = hass
        self._log = log

    async def states(self) -> Any:
        """State and attributes by entity id."""
        states = self._hass.states.async_all()
        return {state.entity_id: {"state": state.state, "attributes": dict(state.attributes)} for state in states}

    async def entities(self) -> Any:
        """All entities of the registry, including disabled ones."""
        entities = entity_registry.async_get(self._hass).entities.values()
        return [entity.extended_dict for entity in entities if entity.platform == "mqtt"]

    async def devices(self) -> Any:
        return [device.dict_repr for device in device_registry.async_get(self._hass).devices.values()]

    async def call(self, domain: str, service: str, data: dict[str, Any]) -> None:
        await self._hass.services.async_call(domain, service, data, blocking=True)

    async def enable_all(self) -> None:
        """Enable every disabled entity, like a user in the list of entities."""
        registry = entity_registry.async_get(self._hass)
        for entity in list(registry.entities.values()):
            if entity.disabled_by:
                registry.async_update_entity(entity.entity_id, disabled_by=None)
        (entry,) = self._hass.config_entries.async_entries("mqtt")
        await self._hass.config_entries.async_reload(entry.entry_id)

    async def log(self) -> Any:
        return self._log.lines

    async def blueprints(self) -> Any:
        """Metadata by path, or the error with which it could not be read."""
        found = await self._hass.data["blueprint"]["automation"].async_get_blueprints()
        return {
            path: blueprint.metadata if hasattr(blueprint, "metadata") else f"unusable: {blueprint}"
            for path, blueprint in found.items()
        }

    async def validate(self, payload: dict[str, Any]) -> Any:
        """Validate a discovery message with the schemas of Home Assistant.

        Returns:
            Configuration of each component by its key, with all defaults.
        """
        from homeassistant.components.mqtt.schemas import DEVICE_DISCOVERY_SCHEMA

        checked = DEVICE_DISCOVERY_SCHEMA(payload)
        shared = {key: checked[key] for key in ("device", "origin", "availability_topic")}
        components = {}
        for key, component in checked["components"].items():
            options = dict(component)
            module = import_module(f"homeassistant.components.mqtt.{options.pop('platform')}")
            # A component without options is removed, so there is nothing to validate.
            components[key] = module.DISCOVERY_SCHEMA({**shared, **options}) if options else {}
        # Templates are objects; convert them to text.
        return json.loads(json.dumps(components, default=str))


async def main() -> None:
    log = Log()
    logging.getLogger().addHandler(log)
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=2**24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    hass = await start(json.loads(await lines.readline()))
    requests = Requests(hass, log)
    respond({"is": "ready"})
    while line := await lines.readline():
        request = json.loads(line)
        try:
            respond({"is": await getattr(requests, request.pop("do"))(**request)})
        except Exception as error:  # noqa: BLE001 - the test reports any error
            respond({"failed": f"{type(error).__name__}: {error}"})
    await hass.async_stop()


def respond(what: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json_bytes(what) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(main())
