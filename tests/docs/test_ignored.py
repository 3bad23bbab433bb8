"""What the pages tell people to write into a clone is ignored by git: it must not be published by accident."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import pages
from tests.support.pages import PAGES, ROOT

if TYPE_CHECKING:
    from pathlib import Path

WRITES = re.compile(
    r"(?:--out|--keep-pictures|--preview-token-file|--key|--models|TABLES=|INVENTORY=|KEY=|>"
    r"|record(?: --\S+ \S+)* )[ =']*(?P<path>[\w./-]+)"
)
"""Options, variables and redirections of commands, followed by the path of a file of one's own."""


def git(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=cwd, capture_output=True, text=True, check=False)


def own_files() -> set[str]:
    found = {match["path"] for page in PAGES for command in pages.commands(page) for match in WRITES.finditer(command)}
    tracked = set(git("ls-files").stdout.splitlines())
    return {
        path
        for path in found
        if not path.startswith(("/", "-"))
        and path not in tracked
        and not any(name.startswith(f"{path}/") for name in tracked)
    }


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty repository with this one's .gitignore, so that nothing of the machine's own is heeded."""
    folder = tmp_path_factory.mktemp("clone")
    git("init", "--quiet", cwd=folder)
    shutil.copy(ROOT / ".gitignore", folder)
    return folder


def test_the_pages_name_files_of_ones_own() -> None:
    assert {"mine.parquet", "smile.landmarks", "preview-token"} <= own_files()


@pytest.mark.parametrize(
    "path",
    [
        *sorted(own_files()),
        "anna/keypoints.parquet",
        ".mine.parquet.pictures",
        ".mine.parquet.parts/000001.npz",
        "mine.decisions.csv",
        "build/mine.crops.npz",
        "mine.crops.npz",
        "token",
        "preview-token.txt",
        "fleet.key",
        "recordings/smile.landmarks",
        "photos/happy/anna_1.jpg",
        "fer2013.csv",
    ],
)
def test_what_people_write_is_ignored(clone: Path, path: str) -> None:
    assert git("check-ignore", "--no-index", "--quiet", path, cwd=clone).returncode == 0


@pytest.mark.parametrize(
    "path", ["model/keypoints/new.parquet", "model/keypoints/new.decisions.csv", "model/recordings/new.landmarks"]
)
def test_what_is_released_is_not_ignored(clone: Path, path: str) -> None:
    assert git("check-ignore", "--no-index", "--quiet", path, cwd=clone).returncode == 1


def test_nothing_tracked_is_ignored() -> None:
    assert git("ls-files", "--cached", "--ignored", "--exclude-standard").stdout == ""
