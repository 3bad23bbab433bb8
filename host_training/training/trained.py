"""The bundles that were trained here, each in a folder of its name, and a link to the latest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge import files
from edge.errors import NoInputError, OutputError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

LATEST, FLOAT = "latest", "float"
"""The link, and the folder of the float networks, see `engines.float_path`."""


@dataclass(frozen=True, slots=True)
class TrainedBundles:
    """The folder of these bundles."""

    root: Path

    def folder(self, name: str) -> Path:
        """Where the bundle of that name goes.

        Raises:
            UsageError: the folder has another thing of that name.
        """
        if name in {LATEST, FLOAT}:
            raise UsageError(f"a bundle in {self.root} cannot be called {name!r}; give it another name")
        return self.root / name

    def set_latest(self, folder: Path) -> None:
        """Let the link lead to one of these bundles.

        Raises:
            OutputError: the folder cannot be written, or something else has the link's name.
        """
        link = self.root / LATEST
        try:
            files.replace_symlink(link, folder.name)
        except OSError as error:
            raise OutputError(f"{link}: cannot be written ({error.strerror or error}); {folder} is complete") from error

    def latest(self) -> Path | None:
        """The bundle that was trained last; None: none was.

        Raises:
            NoInputError: it is no longer there.
        """
        link = self.root / LATEST
        if not link.is_symlink():
            return None
        folder = self.root / link.readlink()
        if not folder.is_dir():
            raise NoInputError(
                f"{folder}: what was trained last is no longer there; train it again, name a bundle with BUNDLE=DIR, "
                f"or remove {link}"
            )
        return folder
