"""The broker of a simulated fleet, with its processor time and memory."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil

from edge.mqtt.address import BrokerAddress

if TYPE_CHECKING:
    from pathlib import Path

    from edge.settings import MqttSettings


class Broker:
    """One mosquitto on loopback, without a log."""

    def __init__(self, folder: Path, clients: MqttSettings, *, tls: bool) -> None:
        """Start it.

        Args:
            folder: folder for its files.
            clients: settings of the devices; `settings` are the same with the address of this broker.
            tls: whether it accepts only encrypted connections.
        """
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
        if program is None:
            sys.exit("fleet_sim: no mosquitto here: apt install mosquitto")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        lines = [f"listener {self.port} 127.0.0.1", "allow_anonymous true", "sys_interval 1", "log_type none"]
        if tls:
            certificate, key = make_certificate(folder)
            lines += [f"certfile {certificate}", f"keyfile {key}"]
            self.settings = replace(clients, url=f"mqtts://localhost:{self.port}", ca_file=str(certificate))
        else:
            self.settings = replace(clients, url=f"mqtt://localhost:{self.port}")
        self.client_config = folder / "emotion-edge.toml"
        self.client_config.write_text(f"[mqtt]\nurl = '{self.settings.url}'\nca_file = '{self.settings.ca_file}'\n")
        if os.geteuid() == 0:  # otherwise it would become a user without access to the folder
            lines.append("user root")
        config = folder / "mosquitto.conf"
        config.write_text("\n".join([*lines, ""]))
        self._command = [program, "-c", str(config)]
        self.start()

    @property
    def address(self) -> BrokerAddress:
        return BrokerAddress.of(self.settings)

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.usage = psutil.Process(self._process.pid)
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self._process.poll() is not None:
                sys.exit(f"fleet_sim: {' '.join(self._command)} ended with {self._process.returncode}")
            time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL: no DISCONNECT, nothing saved, as in a power cut."""
        self._process.kill()
        self._process.wait()

    @property
    def cpu_s(self) -> float:
        times = self.usage.cpu_times()
        return times.user + times.system

    @property
    def rss_mb(self) -> float:
        return self.usage.memory_info().rss / 1e6


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for localhost and its key: ECDSA on P-256, the cheapest common kind."""
    certificate, key = folder / "broker.crt", folder / "broker.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-addext", "keyUsage=critical,digitalSignature,keyCertSign", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key
