"""Memory, temperature, throttling and clock of this machine. What is unknown is None, never a guess."""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import struct
from pathlib import Path

ROOT = Path("/")
"""Folder of /proc, /sys and /dev."""

TIME_ERROR = 5
"""Result of adjtimex(2) while the clock is not synchronised."""

UNDER_VOLTAGE, FREQUENCY_CAPPED, THROTTLED = 1 << 0, 1 << 1, 1 << 2
"""Bits of the firmware's get_throttled for the present (Raspberry Pi documentation, vcgencmd)."""
SINCE_BOOT = 16
"""Shift of the bits that say the same for any time since the machine was switched on."""

FIRMWARE_DEVICES = ("dev/vcio_gencmd", "dev/vcio")
"""Devices of the firmware, of group video. The first allows only vcgencmd's questions; older kernels lack it."""
KERNEL_FLAGS = "sys/devices/platform/soc*/soc*:firmware/get_throttled"
"""File of older kernels: in soc/soc:firmware on a Pi 4, soc@107c000000/soc@107c000000:firmware on a Pi 5."""

_PROPERTY = 0xC0086400
"""_IOWR(100, 0, char *) of a 64-bit system (raspberrypi/linux, drivers/char/broadcom/vcio.c)."""
_GENCMD = 0x00030080
_GENCMD_BYTES = 1024
_GENCMD_MESSAGE = struct.Struct(f"=6I{_GENCMD_BYTES}sI")
"""Message: its size, state, tag, size of its value, 0, result, text, end (raspberrypi/utils, vcgencmd.c)."""


def rss_mb(pid: int | str = "self", root: Path = ROOT) -> float | None:
    """Resident memory of a process, in MB of 10^6 bytes."""
    try:
        status = (root / f"proc/{pid}/status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return None


def cpu_temperature_c(root: Path = ROOT) -> float | None:
    """Temperature of the processor in degrees Celsius."""
    text = _read(root / "sys/class/thermal/thermal_zone0/temp")
    return int(text) / 1000 if text and text.lstrip("-").isdigit() else None


def firmware_flags(root: Path = ROOT) -> int | None:
    """The firmware's bits for voltage and throttling, now and since the boot; see `UNDER_VOLTAGE`."""
    answer = _ask_firmware("get_throttled", root) or ""  # throttled=0x50000
    return _hexadecimal(answer.rpartition("=")[2])


def throttling(root: Path = ROOT) -> tuple[bool | None, bool | None]:
    """Whether the firmware throttles the processor now, and whether the supply voltage is too low now.

    The firmware itself is asked first: reading the file of older kernels puts a warning ("deprecated") into the
    kernel's log. The kernel has a voltage monitor of its own, which also catches short dips.
    """
    flags = firmware_flags(root)
    if flags is None:
        flags = next((_hexadecimal(_read(path) or "") for path in root.glob(KERNEL_FLAGS)), None)
    alarm = _voltage_alarm(root)
    if flags is None:
        return None, alarm
    return bool(flags & (FREQUENCY_CAPPED | THROTTLED)), bool(flags & UNDER_VOLTAGE or alarm)


def _ask_firmware(question: str, root: Path) -> str | None:
    """The output of `vcgencmd`, without a process for it."""
    for name in FIRMWARE_DEVICES:
        message = bytearray(
            _GENCMD_MESSAGE.pack(_GENCMD_MESSAGE.size, 0, _GENCMD, _GENCMD_BYTES, 0, 0, question.encode(), 0)
        )
        try:
            device = os.open(root / name, os.O_RDONLY)
            try:
                fcntl.ioctl(device, _PROPERTY, message)
            finally:
                os.close(device)
        except OSError:
            continue
        result, text = _GENCMD_MESSAGE.unpack(message)[5:7]
        return None if result else text.partition(b"\0")[0].decode(errors="replace")
    return None


def _voltage_alarm(root: Path) -> bool | None:
    """The alarm of the kernel's voltage monitor (drivers/hwmon/raspberrypi-hwmon.c), whichever number it has."""
    for name in root.glob("sys/class/hwmon/hwmon*/name"):
        if _read(name) == "rpi_volt":
            return {"0": False, "1": True}.get(_read(name.with_name("in0_lcrit_alarm")) or "")
    return None


def _hexadecimal(text: str) -> int | None:
    try:
        return int(text, 16)
    except ValueError:
        return None


def clock_synchronised() -> bool:
    """Whether a time server has set the wall clock. Without one, a Pi boots with a time of the past."""
    # struct timex has at most 208 bytes; all zero means a query.
    answer: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(256))
    return 0 <= answer < TIME_ERROR


def board(root: Path = ROOT) -> str:
    """Model of the board from the device tree, as in `Raspberry Pi 4 Model B Rev 1.5`; empty if there is none."""
    return (_read(root / "proc/device-tree/model") or "").rstrip("\0")


def machine() -> str:
    """Model of the board, if known, and architecture of the processor."""
    return ", ".join(filter(None, (board(), platform.machine())))


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
