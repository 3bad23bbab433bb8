"""Another bundle on a device: as the shadow, in use, and rolled back, while the service runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.broker import Listener, until
from tests.system.device import CHECKOUT, REPOSITORY, UNIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.device import Device

FIRST, OTHER = (
    json.loads((REPOSITORY / "model" / name / "manifest.json").read_text())["id"] for name in ("fused", "landmarks")
)
FOLDER = f"{CHECKOUT}/model/landmarks"
TIMEOUT_S = 60.0


def model(device: Device, *arguments: str) -> str:
    """Run `emotion-edge model` and return its output."""
    return device.run("emotion-edge", "model", *arguments, timeout_s=120).stdout.strip()


@pytest.fixture
def service(installed: Device) -> Iterator[Device]:
    """The service, running with the first bundle. At the end, it is as before."""
    installed.set()
    installed.run("systemctl", "reset-failed", UNIT, check=False)
    installed.run("systemctl", "restart", UNIT)
    installed.mark()
    yield installed
    model(installed, "shadow-off")
    model(installed, "rollback", FIRST)
    installed.run("systemctl", "stop", UNIT)


@pytest.fixture
def listener(service: Device) -> Iterator[Listener]:
    with Listener(service.broker.port) as listener:
        until(lambda: listener.payloads("info"), "info arrives")
        yield listener


def switched(listener: Listener, in_use: str, shadow: str | None) -> bool:
    info = listener.payloads("info")[-1]
    return (info["model"]["id"], info["shadow"]) == (in_use, shadow)


def test_a_bundle_becomes_the_shadow_and_then_the_model_without_a_restart(service: Device, listener: Listener):
    daemon = service.show("MainPID")
    assert model(service, "install", "--shadow", "--check", FOLDER).startswith("would install")

    assert (
        model(service, "install", "--shadow", FOLDER) == f"model bundle {OTHER} is installed as the shadow of {FIRST}"
    )
    service.run("systemctl", "reload", UNIT)
    until(lambda: switched(listener, FIRST, OTHER), "info names the shadow", TIMEOUT_S)
    until(lambda: listener.payloads("shadow/state"), "the shadow publishes its readings", TIMEOUT_S)

    assert model(service, "install", FOLDER) == f"model bundle {OTHER} is installed, after {FIRST}"
    service.run("systemctl", "reload", UNIT)
    until(lambda: switched(listener, OTHER, None), "info names the other bundle", TIMEOUT_S)
    until(lambda: listener.payloads("health")[-1]["model"] == OTHER, "health names it, too", TIMEOUT_S)

    assert model(service, "rollback") == f"back to model bundle {FIRST}, after {OTHER}, as asked for"
    service.run("systemctl", "reload", UNIT)
    until(lambda: switched(listener, FIRST, None), "info names the first bundle again", TIMEOUT_S)
    assert service.show("MainPID") == daemon != "0"
    assert {event["model"] for event in listener.payloads("event")} <= {FIRST, OTHER}


def test_after_a_crash_the_service_runs_without_the_shadow_until_it_is_reloaded(service: Device, listener: Listener):
    model(service, "install", "--shadow", "--trial", "0", FOLDER)
    service.run("systemctl", "reload", UNIT)
    until(lambda: switched(listener, FIRST, OTHER), "info names the shadow", TIMEOUT_S)

    service.run("systemctl", "kill", "--signal=SEGV", "--kill-whom=main", UNIT)
    until(lambda: switched(listener, FIRST, None), "info names no shadow", TIMEOUT_S)

    problem = listener.payloads("info")[-1]["shadow_problem"]
    assert problem.startswith(
        f"the program ended unexpectedly while /var/lib/emotion-edge/models/{OTHER} was the shadow"
    )
    assert any(f"no shadow runs: {problem}" in line for line in service.journal())
    until(service.is_ready, "the service runs", TIMEOUT_S)
    service.run("systemctl", "reload", UNIT)
    until(lambda: switched(listener, FIRST, OTHER), "info names the shadow again", TIMEOUT_S)
