"""The test bed: containers that boot systemd. They are built once, and booted afresh for each test run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.broker import Mosquitto
from tests.system import rootfs
from tests.system.container import Container
from tests.system.device import Device

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def trixie() -> Iterator[Container]:
    """Debian 13: Python 3.13, systemd 257, and a virtual Pi camera."""
    yield from _booted(rootfs.TRIXIE)


@pytest.fixture(scope="session")
def bookworm() -> Iterator[Container]:
    """Debian 12: Python 3.11, systemd 252, no camera."""
    yield from _booted(rootfs.BOOKWORM)


def _booted(release: rootfs.Release) -> Iterator[Container]:
    if os.geteuid() != 0:
        pytest.skip("not root: containers that boot systemd need root")
    if missing := rootfs.missing_programs():
        pytest.skip(f"missing: apt install {' '.join(missing)}")
    container = Container(release)
    try:
        yield container.boot()
    finally:
        container.close()


@pytest.fixture(scope="session")
def installed(trixie: Container, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """The product on trixie, installed by its own installer, with its own broker. The service may be stopped."""
    broker = Mosquitto(tmp_path_factory.mktemp("broker"))
    broker.start()
    device = Device(trixie, broker)
    device.push_checkout()
    device.set()
    device.install()
    yield device
    broker.kill()
