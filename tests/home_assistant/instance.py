"""A Home Assistant without its web pages, for the tests: JSON lines in, JSON lines out.

Run by the Python of Home Assistant's own environment. The first line has the options, every other line is a
request `{"do": NAME, ...}`; the answer to each is one line, `{"is": RESULT}` or `{"failed": REASON}`. Ends with its
input. It uses nothing but loopback: for the broker, and for Home Assistant's own web server, which MQTT depends on.
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

ABOUT_ITSELF = ("calls async_forward_entry_setups", "No device components to cleanup for")
"""Warnings of Home Assistant 2025.4 about itself: when the first device that it discovers has entities of several
platforms, and when it receives the empty message with which it has removed a device."""


class Complaints(logging.Handler):
    """All warnings and errors that a person would find in Home Assistant's log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not any(words in record.getMessage() for words in ABOUT_ITSELF):
            self.lines.append(f"{record.levelname} {record.name}: {self.format(record)}")


async def start(how: dict[str, Any]) -> core.HomeAssistant:
    """Set up what configuration.yaml contains, and MQTT as a person would: by the dialogue that asks for the broker."""
    hass = core.HomeAssistant(how["folder"])
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
    broker = {"broker": "127.0.0.1", "port": how["broker_port"]}
    result = await hass.config_entries.flow.async_configure(flow["flow_id"], broker)
    if result["type"] != "create_entry":
        raise RuntimeError(f"MQTT could not be set up: {result}")
    await hass.async_start()
    return hass


class Requests:
    """The requests of the tests."""

    def __init__(self, hass: core.HomeAssistant, complaints: Complaints) -> None:
        self._hass = hass
        self._complaints = complaints

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
        """Enable every disabled entity, as a person would in the list of entities."""
        registry = entity_registry.async_get(self._hass)
        for entity in list(registry.entities.values()):
            if entity.disabled_by:
                registry.async_update_entity(entity.entity_id, disabled_by=None)
        (entry,) = self._hass.config_entries.async_entries("mqtt")
        await self._hass.config_entries.async_reload(entry.entry_id)

    async def complaints(self) -> Any:
        return self._complaints.lines

    async def blueprints(self) -> Any:
        """Metadata by path, or the error with which it could not be read."""
        found = await self._hass.data["blueprint"]["automation"].async_get_blueprints()
        return {
            path: blueprint.metadata if hasattr(blueprint, "metadata") else f"unusable: {blueprint}"
            for path, blueprint in found.items()
        }

    async def validate(self, payload: dict[str, Any]) -> Any:
        """Check an announcement with the schemas that Home Assistant itself uses for it.

        Returns:
            Configuration of each component with all defaults, by its key.
        """
        from homeassistant.components.mqtt.schemas import DEVICE_DISCOVERY_SCHEMA

        checked = DEVICE_DISCOVERY_SCHEMA(payload)
        shared = {key: checked[key] for key in ("device", "origin", "availability_topic")}
        components = {}
        for key, component in checked["components"].items():
            options = dict(component)
            module = import_module(f"homeassistant.components.mqtt.{options.pop('platform')}")
            # A component without options is to be removed, so there is nothing to check.
            components[key] = module.DISCOVERY_SCHEMA({**shared, **options}) if options else {}
        # Templates are objects, and become text.
        return json.loads(json.dumps(components, default=str))


async def main() -> None:
    complaints = Complaints()
    logging.getLogger().addHandler(complaints)
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=2**24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    hass = await start(json.loads(await lines.readline()))
    requests = Requests(hass, complaints)
    answer({"is": "ready"})
    while line := await lines.readline():
        request = json.loads(line)
        try:
            answer({"is": await getattr(requests, request.pop("do"))(**request)})
        except Exception as error:  # noqa: BLE001 - the test reports it, whatever it is
            answer({"failed": f"{type(error).__name__}: {error}"})
    await hass.async_stop()


def answer(what: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json_bytes(what) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(main())
