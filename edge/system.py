"""What the machine says of itself: memory, temperature, throttling, clock. Unknown is None, never a guess."""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path

ROOT = Path("/")
"""Where /proc and /sys are looked for."""

TIME_ERROR = 5
"""What adjtimex(2) answers while the clock has not been set from anywhere."""

MADV_DONTNEED = 4
"""madvise(2): the pages are not needed any more."""

_CHANGED = ("Private_Dirty", "Anonymous", "Swap")
"""Counts of a mapping that are zero as long as it is as in its file."""

UNDER_VOLTAGE, FREQUENCY_CAPPED, THROTTLED = 1 << 0, 1 << 1, 1 << 2
"""Bits of the firmware's get_throttled that tell of now (Raspberry Pi documentation, vcgencmd)."""


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


def release_startup_code() -> None:
    """Unmap the program code that only the start has touched.

    Importing the libraries runs through tens of megabytes of code that is never needed again. It stays in the
    page cache, where the kernel may now drop it first; what is needed after all is mapped again at a touch.
    Only mappings of which every page is still as in its file are released, so nothing can be lost.
    """
    madvise = ctypes.CDLL(None).madvise
    for line, fields in _mappings():
        addresses, permissions, _offset, _device, _inode, *path = line.split()
        if (
            permissions == "r-xp"
            and path
            and path[0].startswith("/")
            and not any(fields.get(name) for name in _CHANGED)
        ):
            start, end = (int(address, 16) for address in addresses.split("-"))
            madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), MADV_DONTNEED)


def _mappings() -> list[tuple[str, dict[str, int]]]:
    """Each mapping of this process: its line in /proc/self/smaps, and its counts in kB."""
    mappings: list[tuple[str, dict[str, int]]] = []
    for line in (_read(Path("/proc/self/smaps")) or "").splitlines():
        name, colon, value = line.partition(":")
        if colon and value.endswith(" kB"):
            mappings[-1][1][name] = int(value.split()[0])
        elif "-" in line.split(" ", 1)[0]:
            mappings.append((line, {}))
    return mappings


def cpu_temperature_c(root: Path = ROOT) -> float | None:
    """Temperature of the processor in degrees Celsius."""
    text = _read(root / "sys/class/thermal/thermal_zone0/temp")
    return int(text) / 1000 if text and text.lstrip("-").isdigit() else None


def throttling(root: Path = ROOT) -> tuple[bool | None, bool | None]:
    """Whether the firmware slows the processor down, and whether the voltage is too low, right now."""
    text = _read(root / "sys/devices/platform/soc/soc:firmware/get_throttled")
    try:
        bits = int(text or "", 16)
    except ValueError:
        return None, None
    return bool(bits & (FREQUENCY_CAPPED | THROTTLED)), bool(bits & UNDER_VOLTAGE)


def clock_synchronised() -> bool:
    """Whether the wall clock has been set from a time server; a Pi without one starts in the past."""
    # struct timex is at most 208 bytes; all zero only asks.
    answer: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(256))
    return 0 <= answer < TIME_ERROR


def machine() -> str:
    """Model of the board where it tells, and the processor architecture."""
    board = _read(Path("/proc/device-tree/model"))
    return f"{board.rstrip(chr(0))}, {platform.machine()}" if board else platform.machine()


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
