"""Installation hints, which work in a checkout, in the environment of a wheel, and on a device."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge import hints

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = Path(__file__).parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
ON_DEVICE = "import pathlib, sys; from edge import hints; hints.RELEASES = pathlib.Path(sys.prefix).parent; "
MAIN = "from {package}.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """An environment without any packages."""
    folder = tmp_path_factory.mktemp("environments") / "bare"
    venv.create(folder, symlinks=True, with_pip=False)
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """An environment with this project's wheel and pip, but without the dependencies."""
    folder = tmp_path_factory.mktemp("environments") / "with a wheel"
    venv.create(folder, symlinks=True, with_pip=False)
    (packages,) = folder.glob("lib/python3.*/site-packages")
    for name in ("edge", "host_training"):
        shutil.copytree(REPOSITORY / name, packages / name)
    (packages / "pip").mkdir()
    (packages / "pip" / "__init__.py").touch()
    # Metadata as setuptools writes it.
    lines = ["Metadata-Version: 2.4", f"Name: {PROJECT['name']}", "Version: 0"]
    lines += [f"Requires-Dist: {requirement}" for requirement in PROJECT["dependencies"]]
    for extra, requirements in PROJECT["optional-dependencies"].items():
        for requirement in requirements:
            what, _, marker = requirement.partition("; ")
            condition = f'({marker}) and extra == "{extra}"' if marker else f'extra == "{extra}"'
            lines.append(f"Requires-Dist: {what}; {condition}")
    (packages / "emotion_edge-0.dist-info").mkdir()
    (packages / "emotion_edge-0.dist-info" / "METADATA").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def error_of(tmp_path) -> Callable[..., str]:
    """Run a command in an environment that lacks its dependencies, and return its error."""

    def run(environment: Path, *words: str, package: str = "edge", setting: str = "import sys; ", **more: str) -> str:
        python = environment / "bin" / "python"
        own = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
        done = subprocess.run(
            [python, "-c", setting + MAIN.format(package=package), *words],
            capture_output=True, text=True, check=False, cwd=tmp_path, env={**own, **more},
        )  # fmt: skip
        assert done.returncode == 69, done.stderr
        *starting, line = done.stderr.splitlines()
        assert [each for each in starting if not each.endswith(" starting ...")] == []
        return line

    return run


def named(line: str) -> list[str]:
    """The words of the command in a hint."""
    return shlex.split(re.search("`(.*)`", line)[1])


def plain(requirements: list[str]) -> set[str]:
    return {requirement.partition(";")[0] for requirement in requirements}


def test_in_a_wheel_the_dependencies_are_installed(wheel, error_of):
    line = error_of(wheel, "classify", "holiday.jpg")
    assert line.startswith("emotion-edge: No module named ")
    python, *words = named(line)
    assert Path(python).parent == wheel / "bin", "they belong into this environment"
    assert words[:3] == ["-m", "pip", "install"]
    assert set(words[3:]) == plain(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["litert"])


def test_in_a_wheel_the_training_kit_needs_its_extra(wheel, error_of):
    line = error_of(wheel, "describe", "table.parquet", package="host_training")
    assert line.startswith("emotion-train: No module named ")
    assert set(named(line)[4:]) == plain(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["train"])


def test_collecting_needs_a_smaller_extra(wheel, error_of):
    line = error_of(wheel, "collect", "camera", "--out", "mine.parquet", package="host_training")
    packages = {re.split(r"[^\w-]", word)[0] for word in named(line)[4:]}
    assert {"pyarrow", "numpy"} <= packages
    assert not {"tensorflow", "scikit-learn"} & packages
    assert len([word for word in named(line) if word.startswith("pyarrow")]) == 1, "the one for this Python"


def test_in_a_checkout_the_checkout_is_installed(bare, error_of):
    line = error_of(bare, "classify", "holiday.jpg", PYTHONPATH=str(REPOSITORY))
    assert named(line)[-2:] == ["--editable", f"{REPOSITORY}[litert]"]
    line = error_of(bare, "describe", "table.parquet", package="host_training", PYTHONPATH=str(REPOSITORY))
    assert named(line)[-2:] == ["--editable", f"{REPOSITORY}[train]"]


def test_an_environment_without_pip_was_made_by_uv(bare, error_of):
    words = named(error_of(bare, "classify", "holiday.jpg", PYTHONPATH=str(REPOSITORY)))
    assert words[:5] == ["uv", "pip", "install", "--python", str(bare / "bin" / "python")]


def test_the_python_of_the_system_is_not_changed(monkeypatch):
    monkeypatch.setattr(hints, "_system_python", lambda: True)
    line = hints.install("train")
    assert line.startswith(f"run `{sys.executable} -m venv {REPOSITORY}/.venv/own && ")
    assert f"{REPOSITORY}/.venv/own/bin/pip install --editable '{REPOSITORY}[train]'`" in line


def test_on_a_device_the_installer_repairs_the_service(wheel, error_of):
    line = error_of(wheel, "classify", "holiday.jpg", setting=ON_DEVICE)
    assert line.endswith(
        ": run the installer again (`sudo ./deploy/install.sh` in a checkout, or `make deploy` on a workstation)"
    )


def test_on_a_device_an_extra_is_installed_into_its_environment(wheel, error_of):
    line = error_of(wheel, "describe", "table.parquet", package="host_training", setting=ON_DEVICE)
    assert named(line)[:2] == ["sudo", str(wheel / "bin" / "python")]


def test_a_library_that_does_not_load_is_reinstalled(monkeypatch):
    monkeypatch.setattr(hints, "checkout", lambda: None)
    monkeypatch.setattr(hints, "_installed", lambda _name: True)
    monkeypatch.setattr(hints, "_requirements", lambda _extra: iter([("numpy", "numpy>=1.24,<3")]))
    assert hints.install("litert").endswith(" install --force-reinstall 'numpy>=1.24,<3'`")


def test_without_a_checkout_the_hint_creates_an_environment(monkeypatch):
    monkeypatch.setattr(hints, "checkout", lambda: None)
    assert "/usr/bin/python3 -m venv --system-site-packages" in hints.use_system_packages()


def test_only_hints_names_installation_commands():
    for package in ("edge", "host_training"):
        for source in (REPOSITORY / package).rglob("*.py"):
            if source != Path(hints.__file__):
                assert not re.search(r"pip install|install\.sh`", source.read_text()), f"{source} has a hint of its own"
