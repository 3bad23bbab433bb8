"""A real RTSP server that tests start, kill, freeze and start again.

PYTEST_DONT_REWRITE: this module is both a helper and a plugin; pytest would warn that it is already imported.
"""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.broker import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PYTHON = "/usr/bin/python3"
"""The system's Python, for which Debian packages GStreamer."""
SERVER = Path(__file__).with_name("rtsp_server.py")
NEEDED = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst; Gst.init(None); "
NEEDED += "assert all(map(Gst.ElementFactory.find, ['x264enc', 'rtph264pay', 'videotestsrc', 'jpegenc']))"


class RtspServer:
    """A camera that keeps its port over several runs."""

    def __init__(self, *options: str) -> None:
        self.options = options
        self.port = free_port()
        self.url = f"rtsp://127.0.0.1:{self.port}/stream"
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [PYTHON, SERVER, "--port", str(self.port), *self.options], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"{self.port}\n"

    def freeze(self) -> None:
        """Stop serving without closing a connection, as a camera does whose cable is pulled."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


@pytest.fixture(scope="session")
def gstreamer() -> None:
    """Skip if there is no RTSP server."""
    done = subprocess.run([PYTHON, "-c", NEEDED], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(
            "GStreamer's RTSP server is missing (Debian: sudo apt install python3-gi gir1.2-gst-rtsp-server-1.0 "
            "gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly)"
        )


@pytest.fixture
def rtsp_server(gstreamer: None) -> Iterator[Callable[..., RtspServer]]:  # noqa: ARG001 - skips
    """Starts servers with options of rtsp_server.py, and ends them after the test."""
    servers: list[RtspServer] = []

    def start(*options: str) -> RtspServer:
        servers.append(RtspServer(*options))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
