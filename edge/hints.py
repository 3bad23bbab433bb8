"""Commands that install missing libraries, for a checkout, an installed wheel or a device."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import edge

if TYPE_CHECKING:
    from collections.abc import Iterator

DISTRIBUTION = "emotion-edge"
RELEASES = Path("/opt/emotion-edge/releases")
"""Folder of the environments that deploy/install.sh creates on a device."""
DEVICE_EXTRA = "litert"
"""Extra that deploy/install.sh installs on a device."""


def checkout() -> Path | None:
    """The checkout that contains this code; None if it is an installed wheel or on a device."""
    folder = Path(edge.__file__).resolve().parents[1]
    return folder if (folder / "pyproject.toml").is_file() else None


def on_device() -> bool:
    """Whether deploy/install.sh has installed this code."""
    return Path(sys.prefix).is_relative_to(RELEASES)


def installer() -> str:
    """How to run deploy/install.sh again; follows `run`."""
    folder = checkout()
    if folder is not None:
        return f"`sudo {shlex.quote(str(folder / 'deploy' / 'install.sh'))}`"
    return "the installer again (`sudo ./deploy/install.sh` in a checkout, or `make deploy` on a workstation)"


def use_system_packages() -> str:
    """How to create an environment with the distribution's packages and the NumPy that they need."""
    if on_device() or checkout() is not None:
        return f"run {installer()}"
    return (
        "install emotion-edge in an environment of `/usr/bin/python3 -m venv --system-site-packages DIR`, without a "
        "NumPy of its own"
    )


def install(extra: str) -> str:
    """How to install the libraries of an extra in this environment.

    Args:
        extra: extra in pyproject.toml; the required libraries are included.

    Returns:
        A line that begins with `run`.
    """
    if on_device() and extra == DEVICE_EXTRA:
        return f"run {installer()}"
    python, folder = shlex.quote(sys.executable), checkout()
    if folder is not None:
        what = f"--editable {shlex.quote(f'{folder}[{extra}]')}"
        if _system_python():  # pip refuses to change it (PEP 668)
            own = shlex.quote(str(folder / ".venv" / "own"))
            return f"run `{python} -m venv {own} && {own}/bin/pip install {what}`, and use what is in {own}/bin"
        return f"run `{_pip(python)} {what}`"
    needed = list(_requirements(extra))
    missing = [requirement for name, requirement in needed if not _installed(name)]
    option = "" if missing else "--force-reinstall "
    requirements = " ".join(shlex.quote(each) for each in missing or (requirement for _, requirement in needed))
    return f"run `{'sudo ' if on_device() else ''}{_pip(python)} {option}{requirements}`"


def _pip(python: str) -> str:
    from importlib.util import find_spec

    # An environment created by uv has no pip.
    return f"uv pip install --python {python}" if find_spec("pip") is None else f"{python} -m pip install"


def _system_python() -> bool:
    import sysconfig

    return sys.prefix == sys.base_prefix and Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists()


def _requirements(extra: str) -> Iterator[tuple[str, str]]:
    """Requirements of the installed distribution: name and specifier, such as `amqtt` and `amqtt<0.13,>=0.11`."""
    from importlib import metadata

    for line in metadata.requires(DISTRIBUTION) or ():
        requirement, _, marker = line.partition(";")
        if all(_holds(clause, extra) for clause in re.sub(r"[()]", "", marker).split(" and ") if clause.strip()):
            name = re.match(r"[\w.-]+", requirement)
            yield name[0] if name else "", requirement.strip()


def _holds(clause: str, extra: str) -> bool:
    """Whether a clause of a marker (PEP 508) holds; pyproject.toml uses two kinds."""
    variable, operator, value = clause.split()
    value = value.strip("'\"")
    if variable == "extra":
        return value == extra
    older = sys.version_info[:2] < tuple(map(int, value.split(".")))
    return older == (operator == "<")


def _installed(name: str) -> bool:
    from importlib import metadata

    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
