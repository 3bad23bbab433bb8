"""What the machine says of itself: memory, temperature, throttling, clock. Unknown is None, never a guess."""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import struct
from pathlib import Path

ROOT = Path("/")
"""Where /proc, /sys and /dev are looked for."""

TIME_ERROR = 5
"""What adjtimex(2) answers while the clock has not been set from anywhere."""

UNDER_VOLTAGE, FREQUENCY_CAPPED, THROTTLED = 1 << 0, 1 << 1, 1 << 2
"""Bits of the firmware's get_throttled that tell of now (Raspberry Pi documentation, vcgencmd)."""
SINCE_BOOT = 16
"""Shifted left by this, the same bits tell whether it has been so since the machine was switched on."""

FIRMWARE_DEVICES = ("dev/vcio_gencmd", "dev/vcio")
"""Of the group video. The first carries nothing but what vcgencmd asks; older kernels have only the second."""
KERNEL_FLAGS = "sys/devices/platform/soc*/soc*:firmware/get_throttled"
"""soc/soc:firmware on a Pi 4, soc@107c000000/soc@107c000000:firmware on a Pi 5; newer kernels have neither."""

_PROPERTY = 0xC0086400
"""_IOWR(100, 0, char *) of a 64-bit system (raspberrypi/linux, drivers/char/broadcom/vcio.c)."""
_GENCMD = 0x00030080
_GENCMD_BYTES = 1024
_GENCMD_MESSAGE = struct.Struct(f"=6I{_GENCMD_BYTES}sI")
"""Bytes in all, state, tag, bytes of its value, 0, result, text, end (raspberrypi/utils, vcgencmd.c)."""


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
    """What the firmware says of voltage and heat, now and since the start: the bits that `UNDER_VOLTAGE` begins."""
    answer = _ask_firmware("get_throttled", root) or ""  # throttled=0x50000
    return _hexadecimal(answer.rpartition("=")[2])


def throttling(root: Path = ROOT) -> tuple[bool | None, bool | None]:
    """Whether the firmware slows the processor down, and whether the voltage is too low, right now.

    The firmware itself is asked first. The file that older kernels have for it puts a warning ("deprecated") into
    the kernel's log when it is read. For the voltage the kernel has a monitor of its own, which also sees a dip
    that the firmware has forgotten a moment later.
    """
    flags = firmware_flags(root)
    if flags is None:
        flags = next((_hexadecimal(_read(path) or "") for path in root.glob(KERNEL_FLAGS)), None)
    alarm = _voltage_alarm(root)
    if flags is None:
        return None, alarm
    return bool(flags & (FREQUENCY_CAPPED | THROTTLED)), bool(flags & UNDER_VOLTAGE or alarm)


def _ask_firmware(question: str, root: Path) -> str | None:
    """What `vcgencmd` would print, without starting a process for it."""
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
    """The alarm of the kernel's voltage monitor (drivers/hwmon/raspberrypi-hwmon.c); its number is any."""
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
    """Whether the wall clock has been set from a time server; a Pi without one starts in the past."""
    # struct timex is at most 208 bytes; all zero only asks.
    answer: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(256))
    return 0 <= answer < TIME_ERROR


def board(root: Path = ROOT) -> str:
    """Model of the board as the device tree tells it, as in `Raspberry Pi 4 Model B Rev 1.5`; empty without one."""
    return (_read(root / "proc/device-tree/model") or "").rstrip("\0")


def machine() -> str:
    """Model of the board where it tells, and the processor architecture."""
    return ", ".join(filter(None, (board(), platform.machine())))


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
