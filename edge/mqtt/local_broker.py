"""A broker for a workstation that has none: amqtt in a child process, on loopback, gone when its parent is.

amqtt is an optional dependency and speaks MQTT 3.1.1; a device uses a real broker. The child ends when its standard
input does, because that pipe closes however the parent dies.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import ipaddress
import logging
import socket
import subprocess
import sys
import time
import warnings
from typing import TYPE_CHECKING

from edge import hints
from edge.errors import UnavailableError
from edge.mqtt.address import PORTS, BrokerAddress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

START_S = 30.0
"""Time for the child to start: importing amqtt takes a second, on a busy machine several."""

_PROBE_S = 1.0
"""Time for a broker to accept a TCP connection."""


@contextlib.contextmanager
def ensure_broker(url: str) -> Iterator[bool]:
    """Make sure that a broker answers at `url` as long as the context lasts.

    Yields:
        True if one was started; False if one answers already, or if `url` names another machine or more than a plain
        TCP connection.

    Raises:
        ConfigError: the URL is not usable.
        UnavailableError: no broker answers, and none can be started.
    """
    address = BrokerAddress.parse(url)
    if _answers(address) or not _is_here(address.host) or address.scheme != "mqtt":
        yield False
        return
    if importlib.util.find_spec("amqtt") is None:
        hint = "" if hints.on_device() else f", or {hints.install('broker')}"
        raise UnavailableError(f"no broker answers at {address}: run `sudo apt install mosquitto`{hint}")
    command = [sys.executable, "-m", "edge.mqtt.local_broker", "--port", str(address.port)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C must not end the broker before we have disconnected
    ) as child:
        try:
            _await(address, child)
            yield True
        finally:
            if child.stdin is not None:
                child.stdin.close()
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()


def serve(port: int) -> None:
    """Run the broker until standard input ends.

    Raises:
        UnavailableError: amqtt is not installed, or the port is taken.
    """
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    try:
        from amqtt.broker import Broker
        from amqtt.errors import BrokerError
    except ImportError:
        raise UnavailableError(f"amqtt is missing: {hints.install('broker')}") from None

    async def run() -> None:
        broker = Broker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
                "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
            }
        )
        try:
            await broker.start()
        except (BrokerError, OSError) as error:
            raise UnavailableError(f"the broker cannot start on port {port}: {error}") from None
        await asyncio.to_thread(sys.stdin.buffer.read)
        with contextlib.suppress(Exception):  # the process ends anyway
            await asyncio.wait_for(broker.shutdown(), 2)

    asyncio.run(run())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the broker.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(
        prog="python -m edge.mqtt.local_broker",
        description="A small MQTT broker on loopback. It ends when its standard input does (Ctrl-D).",
        epilog=f"Example: python -m edge.mqtt.local_broker --port {PORTS['mqtt']}",
    )
    parser.add_argument("--port", type=int, default=PORTS["mqtt"], help="TCP port (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        serve(options.port)
    except UnavailableError as error:
        print(f"emotion-edge: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        pass
    return 0


def _await(address: BrokerAddress, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while not _answers(address):
        if child.poll() is not None or time.monotonic() > deadline:
            raise UnavailableError(
                f"the broker at {address} did not start: check whether another program uses its port"
            )
        time.sleep(0.05)


def _answers(address: BrokerAddress) -> bool:
    try:
        with socket.create_connection((address.host, address.port), timeout=_PROBE_S):
            return True
    except OSError:
        return False


def _is_here(host: str) -> bool:
    """Whether this name leads to 127.0.0.1."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host) == ipaddress.ip_address("127.0.0.1")
    except ValueError:
        return False


if __name__ == "__main__":
    sys.exit(main())
