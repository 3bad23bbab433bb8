"""The parts of a Raspberry Pi's file system that the code reads, and its firmware.

PYTEST_DONT_REWRITE: this module is both a helper and a plugin; pytest would warn that it is already imported.

The files are those of Raspberry Pi OS Bookworm on a Pi 4, and of Trixie with a newer kernel on a Pi 5:
config.txt from RPi-Distro/pi-gen (stage1/00-boot-files), the devices and sysfs from raspberrypi/linux
(drivers/char/broadcom/vcio.c, drivers/firmware/raspberrypi.c, drivers/hwmon/raspberrypi-hwmon.c) and its device trees.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from edge.device import raspberry_pi

CONFIG = """\
# For more options and information see
# http://rptl.io/configtxt
# Some settings may impact device functionality. See link above for details

# Uncomment some or all of these to enable the optional hardware interfaces
#dtparam=i2c_arm=on
#dtparam=spi=on

# Enable audio (loads snd_bcm2835)
dtparam=audio=on

# Automatically load overlays for detected cameras
camera_auto_detect=1

# Automatically load overlays for detected DSI displays
display_auto_detect=1

# Automatically load initramfs files, if found
auto_initramfs=1

# Enable DRM VC4 V3D driver
dtoverlay=vc4-kms-v3d
max_framebuffers=2

# Run in 64-bit mode
arm_64bit=1

[cm4]
# Enable host mode on the 2711 built-in XHCI USB controller.
otg_mode=1

[all]
"""

PICAMERA2 = '''\
"""The part of picamera2 that lists cameras, as in its manual."""

class Picamera2:
    @staticmethod
    def global_camera_info():
        return {cameras!r}
'''

HEALTHY = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "SubState": "running",
    "Result": "success",
    "StatusText": "14.9 frames/s, happiness, broker connected",
}
"""Output of `systemctl show` for a healthy service."""


class Firmware:
    """Answers on /dev/vcio and /dev/vcio_gencmd like the kernel and the firmware."""

    def __init__(self) -> None:
        self.flags = 0
        self.requests: list[str] = []
        self._real_ioctl = fcntl.ioctl

    def __call__(self, device: int, request: int, message: Any = 0, *more: Any) -> Any:
        name = Path(f"/proc/self/fd/{device}").readlink().name
        if not name.startswith("vcio"):
            return self._real_ioctl(device, request, message, *more)
        size, _, tag, value_bytes = struct.unpack_from("=4I", message)
        if request != 0xC0086400 or size != len(message) or 20 + value_bytes > size:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if tag != 0x00030080 or struct.unpack_from("=I", message, 20 + value_bytes)[0] != 0:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        self.requests.append(name)
        command = bytes(message[24:]).partition(b"\0")[0].decode()
        known = command == "get_throttled"
        answer = f"throttled=0x{self.flags:x}" if known else 'error=1 error_msg="Command not registered"'
        struct.pack_into("=I", message, 4, 0x80000000)
        struct.pack_into(f"=I{value_bytes - 4}s", message, 20, 0 if known else 1, answer.encode())
        return 0


class PiRoot:
    """The root of a Pi's file system, healthy until a test changes it."""

    def __init__(self, root: Path, model: str, firmware: Firmware) -> None:
        self.root = root
        self.firmware = firmware
        self.write("proc/device-tree/model", f"{model}\0")
        self.write("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n")
        self.write("sys/class/thermal/thermal_zone0/temp", "48312\n")
        self.write("boot/firmware/config.txt", CONFIG)
        self.write("dev/vcio", "")
        self.cameras({"Model": "imx708", "Location": 2, "Rotation": 180, "Num": 0})

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def hwmon(self, *names: str) -> None:
        """Add sensors in the order of their detection; each is a link to its device."""
        for number, name in enumerate(names):
            self.write(f"sys/devices/virtual/{name}/name", f"{name}\n")
            link = self.root / f"sys/class/hwmon/hwmon{number}"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(self.root / f"sys/devices/virtual/{name}")
        self.alarm("0")

    def alarm(self, value: str) -> None:
        """Set the alarm of the kernel's voltage monitor."""
        self.write("sys/devices/virtual/rpi_volt/in0_lcrit_alarm", f"{value}\n")

    def temperature(self, celsius: float) -> None:
        """Set the temperature of the processor."""
        self.write("sys/class/thermal/thermal_zone0/temp", f"{celsius * 1000:.0f}\n")

    def no_firmware(self) -> None:
        """Remove the firmware's devices, as for a user outside the group video."""
        for path in self.root.glob("dev/vcio*"):
            path.unlink()

    def config(self, *lines: str, instead_of: str = "") -> None:
        """Add lines to config.txt, and remove `instead_of`."""
        text = CONFIG.replace(instead_of, "") if instead_of else CONFIG
        self.write("boot/firmware/config.txt", text + "\n".join((*lines, "")))

    def cameras(self, *cameras: dict[str, Any]) -> None:
        """Install a picamera2 that lists these."""
        self.write(f"{raspberry_pi.PACKAGES}/picamera2/__init__.py", PICAMERA2.format(cameras=list(cameras)))

    def service(self, **state: str) -> None:
        """Install a systemctl that shows this state of the service, otherwise a healthy one."""
        lines = "\n".join(f"{key}={value}" for key, value in {**HEALTHY, **state}.items())
        self.write("usr/bin/systemctl", f"#!/bin/sh\ncat <<'END'\n{lines}\nEND\n").chmod(0o755)


@pytest.fixture
def firmware(monkeypatch: pytest.MonkeyPatch) -> Firmware:
    answers = Firmware()
    monkeypatch.setattr(fcntl, "ioctl", answers)
    return answers


@pytest.fixture
def pi4(tmp_path: Path, firmware: Firmware) -> PiRoot:
    pi = PiRoot(tmp_path / "pi4", "Raspberry Pi 4 Model B Rev 1.5", firmware)
    pi.hwmon("cpu_thermal", "rpi_volt")
    pi.write("sys/devices/platform/soc/soc:firmware/get_throttled", "0\n")
    return pi


@pytest.fixture
def pi5(tmp_path: Path, firmware: Firmware) -> PiRoot:
    pi = PiRoot(tmp_path / "pi5", "Raspberry Pi 5 Model B Rev 1.0", firmware)
    pi.hwmon("cpu_thermal", "rp1_adc", "pwmfan", "rpi_volt")
    pi.write("dev/vcio_gencmd", "")
    return pi


@pytest.fixture
def distribution(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let this Python import the packages of a Pi, and treat NumPy as one of them."""

    def use(pi: PiRoot) -> None:
        import numpy as np

        packages = pi.root / raspberry_pi.PACKAGES
        monkeypatch.syspath_prepend(packages)
        monkeypatch.setattr(np, "__file__", str(packages / "numpy/__init__.py"))
        monkeypatch.delitem(sys.modules, "picamera2", raising=False)

    yield use
    sys.modules.pop("picamera2", None)
