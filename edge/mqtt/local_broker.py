"""A broker for a machine where none runs: a child process on loopback, gone when its parent is.

It is mosquitto where that is installed, else amqtt, an optional dependency that speaks MQTT 3.1.1; a device uses a real
broker. The child ends when its standard input does, because that pipe closes however the parent dies.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import ipaddress
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from edge import hints
from edge.errors import UnavailableError
from edge.mqtt.address import PORTS, BrokerAddress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

START_S = 30.0
"""Time for the child to start: importing amqtt takes a second, on a busy machine several."""

POLL_S = 0.5
"""How often it is looked whether mosquitto still runs."""

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
    if answers(address) or not _is_here(address.host) or address.scheme != "mqtt":
        yield False
        return
    if not available():
        hint = "" if hints.on_device() else f", or {hints.install('broker')}"
        raise UnavailableError(f"no broker answers at {address}: run `sudo apt install mosquitto`{hint}")
    command = [sys.executable, "-m", "edge.mqtt.local_broker", "--port", str(address.port)]
    if program := mosquitto():
        command += ["--mosquitto", program]
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


def mosquitto() -> str | None:
    """Path of mosquitto, if it is installed; Debian's is not in every user's PATH."""
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin")


def available() -> bool:
    """Whether `ensure_broker` could start a broker here."""
    return mosquitto() is not None or importlib.util.find_spec("amqtt") is not None


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
    parser.add_argument("--mosquitto", metavar="FILE", help="the program to run (default: amqtt)")
    options = parser.parse_args(arguments)
    try:
        if options.mosquitto:
            _run_mosquitto(options.mosquitto, options.port)
        else:
            from edge.mqtt import amqtt_broker

            amqtt_broker.serve(options.port)
    except UnavailableError as error:
        print(f"emotion-edge: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        pass
    return 0


def _run_mosquitto(program: str, port: int) -> None:
    """Run mosquitto until standard input ends, or until it ends itself.

    Raises:
        UnavailableError: it has ended, mostly because the port is taken.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as settings:
        settings.write(f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest none\n")
        settings.flush()
        with subprocess.Popen([program, "-c", settings.name], stdin=subprocess.DEVNULL) as broker:
            try:
                while broker.poll() is None:
                    ready, _, _ = select.select([sys.stdin], [], [], POLL_S)
                    if ready and not os.read(sys.stdin.fileno(), 4096):
                        return
                raise UnavailableError(f"{program} has ended: check whether another program uses port {port}")
            finally:
                broker.terminate()


def _await(address: BrokerAddress, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while not answers(address):
        if child.poll() is not None or time.monotonic() > deadline:
            raise UnavailableError(
                f"the broker at {address} did not start: check whether another program uses its port"
            )
        time.sleep(0.05)


def answers(address: BrokerAddress) -> bool:
    """Whether something accepts connections there."""
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
