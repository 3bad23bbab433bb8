"""A network namespace for a test, with a broker at port 1883."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PORT = 1883
START_S = 20.0

_UP = """
import fcntl, os, socket, struct, sys
SIOCSIFFLAGS, IFF_UP = 0x8914, 1  # netdevice(7)
fcntl.ioctl(socket.socket(), SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))
os.execvp(sys.argv[1], sys.argv[1:])
"""


class Network:
    """A network namespace in which commands reach the broker at `localhost:1883`, and nothing else."""

    def __init__(self, enter: list[str]) -> None:
        """Keep how to enter it.

        Args:
            enter: words before a command that run it inside.
        """
        self._enter = enter

    def start(self, command: str, folder: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
        """Start a shell command inside.

        Args:
            command: command line for bash.
            folder: working directory.
            environment: the complete environment.
        """
        return subprocess.Popen(
            [*self._enter, "bash", "-euc", command], cwd=folder, env=environment, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip


@contextlib.contextmanager
def with_broker(folder: Path) -> Iterator[Network]:
    """Create a namespace with a running mosquitto. Skips the test where that is impossible.

    Args:
        folder: folder for the broker's configuration.
    """
    if shutil.which("mosquitto") is None or shutil.which("mosquitto_pub") is None:
        pytest.skip("mosquitto is missing: sudo apt install mosquitto mosquitto-clients")
    if subprocess.run(["unshare", "--map-root-user", "--net", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system doesn't allow network namespaces (unshare --net)")
    config, log = folder / "mosquitto.conf", folder / "mosquitto.log"
    config.write_text(f"listener {PORT}\nallow_anonymous true\nuser root\nlog_dest file {log}\n", encoding="utf-8")
    broker = subprocess.Popen(
        ["unshare", "--map-root-user", "--net", sys.executable, "-c", _UP, "mosquitto", "-c", config]
    )
    try:
        deadline = time.monotonic() + START_S
        while not (log.exists() and "running" in log.read_text()):
            assert broker.poll() is None, "mosquitto has ended"
            assert time.monotonic() < deadline, "mosquitto doesn't answer"
            time.sleep(0.05)
        yield Network(["nsenter", "--target", str(broker.pid), "--user", "--net", "--preserve-credentials"])
    finally:
        broker.terminate()
        broker.wait(START_S)
