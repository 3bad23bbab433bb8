"""The usual faults of a Raspberry Pi, found in the files under `root`, each in one line with its remedy."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from edge import hints
from edge.device import system
from edge.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

BOOT_CONFIGS = ("boot/firmware/config.txt", "boot/config.txt")
"""Configuration of the firmware, since Bookworm and before."""
PACKAGES = "usr/lib/python3/dist-packages"
"""Folder of the distribution's Python packages."""

HOT_C = 80.0
"""Degrees Celsius at which the firmware throttles (Raspberry Pi documentation, "Frequency management")."""
SUPPLIES = {"4": "5.1 V, 3 A", "5": "5.1 V, 5 A"}
"""Ratings of the official power supplies, by generation."""

_LEGACY = re.compile(r"start_x=1|start_file=start4?_?x\.elf")
"""Lines that give the camera to the firmware (Raspberry Pi documentation, "Legacy config.txt options")."""
_FINDS_CAMERAS = re.compile(r"camera_auto_detect=1|dtoverlay=(imx|ov|arducam)\w+")
"""Lines that make the kernel look for a camera: for any, or for one by its sensor."""
_CONTACTS = {
    "Raspberry Pi 3 Model": "the HDMI socket",
    "Raspberry Pi 4 Model": "the HDMI sockets",
    "Raspberry Pi 5 Model": "the Ethernet socket",
}
"""Sockets that the contacts of the cable face at the board's end (Raspberry Pi documentation, "Camera")."""


def generation(root: Path) -> str:
    """`4` for a Pi 4, 400 or Compute Module 4, and so on; empty for other models and machines."""
    found = re.match(r"Raspberry Pi (?:Compute Module )?(\d)", system.board(root))
    return found[1] if found else ""


def is_raspberry_pi(root: Path) -> bool:
    """Whether this machine is a Raspberry Pi, according to the device tree."""
    return system.board(root).startswith("Raspberry Pi")


def power(root: Path) -> str:
    """Check the power supply.

    Raises:
        UnavailableError: the voltage is too low, or was at some time since the boot.
    """
    flags = system.firmware_flags(root)
    _, low = system.throttling(root)
    delivers = SUPPLIES.get(generation(root))
    advice = f"use the official power supply{f' ({delivers})' if delivers else ''} and its own cable"
    if low:
        raise UnavailableError(f"the voltage is too low: {advice}")
    if flags is not None and flags & system.UNDER_VOLTAGE << system.SINCE_BOOT:
        raise UnavailableError(f"the voltage has been too low since the boot: {advice}; a reboot clears this")
    if flags is not None:
        return "the voltage has been high enough since the boot"
    return "the voltage is unknown" if low is None else "the voltage is high enough now"


def heat(root: Path) -> str:
    """Check the temperature.

    Raises:
        UnavailableError: the processor is so hot that the firmware throttles it.
    """
    celsius = system.cpu_temperature_c(root)
    found = "the temperature is unknown" if celsius is None else f"the processor is at {celsius:.0f} °C"
    throttled, low = system.throttling(root)
    if (throttled and not low) or (celsius is not None and celsius >= HOT_C):
        raise UnavailableError(
            f"{found} and throttled: add a heat sink or a fan, improve the airflow, or lower camera.fps"
        )
    flags = system.firmware_flags(root) or 0
    slowed = flags & (system.FREQUENCY_CAPPED | system.THROTTLED) << system.SINCE_BOOT
    # The firmware also throttles at a low voltage.
    if slowed and not flags & system.UNDER_VOLTAGE << system.SINCE_BOOT:
        return f"{found}; it has been throttled for heat since the boot"
    return found


def picamera2(root: Path) -> str:
    """Check picamera2, with all that it needs of the distribution.

    Returns:
        Cameras listed by libcamera, separated by commas; empty: none.

    Raises:
        UnavailableError: the legacy camera stack is in the way, picamera2 is missing, or it does not work.
    """
    config, lines = _boot_config(root)
    for line in lines:
        if _LEGACY.fullmatch(line):
            raise UnavailableError(
                f"{config} has {line}, which reserves the camera for the legacy stack: remove that line and reboot"
            )
    packages = root / PACKAGES
    spec = find_spec("picamera2")
    if spec is None and (packages / "picamera2").exists():
        raise UnavailableError(f"picamera2 is installed, but this Python can't find it: {hints.use_system_packages()}")
    if spec is None:
        raise UnavailableError("picamera2 is missing: run `sudo apt install python3-picamera2`")
    import numpy as np

    if _within(spec.origin, packages) and not _within(np.__file__, packages):
        raise UnavailableError(
            f"NumPy {np.__version__} in {Path(np.__file__).parent} is not the distribution's, for which "
            f"picamera2 was compiled: {hints.use_system_packages()}"
        )
    try:
        from picamera2 import Picamera2

        return ", ".join(str(camera["Model"]) for camera in Picamera2.global_camera_info())
    except Exception as error:
        # A broken installation: a library of the wrong version may raise anything.
        raise UnavailableError(
            f"picamera2 does not work ({type(error).__name__}: {error}): {hints.use_system_packages()}"
        ) from error


def no_camera(root: Path) -> str:
    """What to do if libcamera lists no camera."""
    config, lines = _boot_config(root)
    if lines and not any(_FINDS_CAMERAS.match(line) for line in lines):
        return f"the kernel doesn't look for a camera: add the line camera_auto_detect=1 to {config} and reboot"
    name = system.board(root)
    turned = next(
        (f", with the contacts facing {socket}" for start, socket in _CONTACTS.items() if name.startswith(start)), ""
    )
    narrow = " (a Pi 5 needs the narrow one with 22 contacts)" if name.startswith("Raspberry Pi 5 Model") else ""
    return f"no camera found: switch off, push the camera cable{narrow} fully in at both ends{turned}, and switch on"


def _within(file: str | None, folder: Path) -> bool:
    return file is not None and Path(file).is_relative_to(folder)


def _boot_config(root: Path) -> tuple[str, list[str]]:
    """Name of the firmware's configuration, and its lines that apply to this board.

    A section in brackets limits the lines below it to a model (Raspberry Pi documentation, "Conditional filters").
    """
    for name in BOOT_CONFIGS:
        try:
            text = (root / name).read_text(encoding="utf-8-sig", errors="replace")
        except OSError:
            continue
        return f"/{name}", list(_settings(text, generation(root)))
    return f"/{BOOT_CONFIGS[0]}", []


def _settings(text: str, model: str) -> Iterator[str]:
    holds = True
    for line in text.splitlines():
        setting = re.sub(r"\s", "", line.partition("#")[0])
        if setting.startswith("["):
            holds = setting == "[all]" or bool(model and re.match(rf"\[(pi|cm){model}", setting))
        elif setting and holds:
            yield setting
