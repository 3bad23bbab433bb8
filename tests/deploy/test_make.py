"""`make deploy` before anything is reached: which devices, and what it says where none is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the files that make needs, as links, so that a test may add a fleet.yml."""
    for name in ("Makefile", "deploy", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    skipped = ("MAKE", "MFLAGS", "HOSTS", "INVENTORY", "MQTT", "NAME")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(skipped)}
    # Nothing that takes time: no search for interpreters.
    found = [f"PYTHON={sys.executable}", "PYTHON311=", "PYTHON313="]
    return subprocess.run(
        ["make", *arguments, *found],
        cwd=checkout, env=environment | {"NAME": "of-the-system"}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_without_devices_the_ways_are_named(checkout: Path):
    done = make(checkout, "deploy")

    assert done.returncode != 0
    for way in ("sudo ./deploy/install.sh", "make deploy HOSTS=", "make deploy INVENTORY=FILE", "--check"):
        assert way in done.stderr


@pytest.mark.parametrize(
    ("arguments", "inventory"),
    [
        (["deploy"], "fleet.yml"),
        (["deploy-model"], "fleet.yml"),
        (["rollback"], "fleet.yml"),
        (["status"], "fleet.yml"),
        (["deploy", "HOSTS=pi@hall"], "deploy/ansible/hosts.py"),
        (["deploy", "INVENTORY=other.yml"], "other.yml"),
        (["undeploy"], "deploy/ansible/hosts.py"),  # which then asks for devices: nothing is removed by default
    ],
)
def test_the_fleet_of_the_folder_is_taken_unless_others_are_named(checkout: Path, arguments: list[str], inventory: str):
    (checkout / "fleet.yml").touch()
    done = make(checkout, "--dry-run", *arguments)

    assert f'--inventory "{inventory}"' in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "commands"),
    [
        ([], ["train --table model/keypoints/ferplus.parquet --models build/models"]),
        (
            ["TABLES=my_faces.parquet b.parquet", "RECIPE=r.toml"],
            [
                "merge model/keypoints/ferplus.parquet my_faces.parquet b.parquet --out build/tables/my-faces.parquet",
                "train --table build/tables/my-faces.parquet --recipe r.toml --name my-faces --models build/models",
            ],
        ),
        (["NAME=five"], ["train --table model/keypoints/ferplus.parquet --name five --models build/models"]),
    ],
)
def test_training_goes_into_your_models_and_takes_your_tables(
    checkout: Path, arguments: list[str], commands: list[str]
):
    lines = [line.split() for line in make(checkout, "--dry-run", "train", *arguments).stdout.splitlines()]

    assert [" ".join(words[1:]) for words in lines if words[0].endswith("/emotion-train")] == commands
