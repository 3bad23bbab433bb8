"""The daemon with a network camera: it waits for it, reads it, and shows its password to nobody."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.broker import Listener, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.broker import Mosquitto
    from tests.support.rtsp import RtspServer

pytest_plugins = ["tests.support.broker", "tests.support.rtsp"]
pytestmark = pytest.mark.usefixtures("models")

REPOSITORY = Path(__file__).parents[3]
SECRET = "Geheim2026"  # noqa: S105


def test_the_password_is_in_no_output(rtsp_server: Callable[..., RtspServer], broker: Mosquitto, tmp_path: Path):
    server = rtsp_server("--user", "kim", "--password", SECRET, "--digest")
    server.stop()
    password, config = tmp_path / "password", tmp_path / "own.toml"
    password.write_text(SECRET)
    password.chmod(0o600)
    camera = {"source": f"{server.url}?key={SECRET}", "username": "kim", "password_file": str(password)}
    lines = [f"{key} = {json.dumps(value)}" for key, value in camera.items()]
    config.write_text("\n".join(['[device]\nname = "test"\n[mqtt]\nhealth_interval_s = 1.0\n[camera]', *lines]))
    command = [sys.executable, "-m", "edge", "run", "--no-demo", "--config", str(config), "--mqtt", broker.url]
    with Listener(broker.port) as listener:
        daemon = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
        )
        try:
            until(lambda: listener.payloads("availability") == ["online"], "it is online although the camera is off")
            server.start()
            until(lambda: any(health["fps"] > 1 for health in listener.payloads("health")), "frames are processed")
            arguments = Path(f"/proc/{daemon.pid}/cmdline").read_text()
            daemon.send_signal(signal.SIGTERM)
            output = "".join(daemon.communicate(timeout=30))
        finally:
            daemon.kill()
            daemon.communicate()
        assert listener.payloads("info")[-1]["camera"] == f"rtsp://127.0.0.1:{server.port}"
        published = " ".join(f"{message.topic} {message.payload!r}" for message in listener.messages)
    assert f"camera rtsp://127.0.0.1:{server.port} is back" in output
    assert SECRET not in published + output + arguments
