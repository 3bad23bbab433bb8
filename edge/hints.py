"""What to type to install what is missing, wherever this copy of emotion-edge stands: checkout, wheel or device."""

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
"""Folder of the environments that deploy/install.sh makes on a device."""
DEVICE_EXTRA = "litert"
"""Extra that the installer puts on a device."""


def checkout() -> Path | None:
    """The checkout that this code lies in; None: it was installed from a wheel, or by the installer of a device."""
    folder = Path(edge.__file__).resolve().parents[1]
    return folder if (folder / "pyproject.toml").is_file() else None


def on_device() -> bool:
    """Whether the installer of a device has put this here."""
    return Path(sys.prefix).is_relative_to(RELEASES)


def installer() -> str:
    """How to run the installer of a device again, to be read after `run`."""
    folder = checkout()
    if folder is not None:
        return f"`sudo {shlex.quote(str(folder / 'deploy' / 'install.sh'))}`"
    return "the installer again (`sudo ./deploy/install.sh` in a checkout, or `make deploy` on a workstation)"


def use_system_packages() -> str:
    """How to get an environment that sees the distribution's packages, with the NumPy that they are made for."""
    if on_device() or checkout() is not None:
        return f"run {installer()}"
    return (
        "install emotion-edge in an environment of `/usr/bin/python3 -m venv --system-site-packages DIR`, without a "
        "NumPy of its own"
    )


def install(extra: str) -> str:
    """How to install the libraries of an extra, here.

    Args:
        extra: of pyproject.toml; the libraries that are always needed come along.

    Returns:
        An instruction that begins with `run`, in one line.
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

    # An environment that uv made has no pip of its own.
    return f"uv pip install --python {python}" if find_spec("pip") is None else f"{python} -m pip install"


def _system_python() -> bool:
    import sysconfig

    return sys.prefix == sys.base_prefix and Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists()


def _requirements(extra: str) -> Iterator[tuple[str, str]]:
    """What an installed emotion-edge needs: name and requirement, as in `amqtt` and `amqtt<0.13,>=0.11`."""
    from importlib import metadata

    for line in metadata.requires(DISTRIBUTION) or ():
        requirement, _, marker = line.partition(";")
        if all(_holds(clause, extra) for clause in re.sub(r"[()]", "", marker).split(" and ") if clause.strip()):
            name = re.match(r"[\w.-]+", requirement)
            yield name[0] if name else "", requirement.strip()


def _holds(clause: str, extra: str) -> bool:
    """Whether a clause of a marker (PEP 508) holds; pyproject.toml has two kinds of them."""
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
