"""Layouts of data sets: finding files quickly, and naming the layouts that were expected."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from tqdm import tqdm

from edge.camera.formats import advice, is_picture
from edge.camera.images import image_files
from host_training.data.keypoints import TEST, TRAIN, VALIDATION
from host_training.errors import SourceError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MISSING = "the picture is missing"
NO_PICTURE = "the file's name is not that of a picture"
MARGIN = 0.25
"""Margin on each side of a face's box, as a share of its length: the boxes are tight, and the mesh prefers heads."""

SPLIT_FOLDERS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation"), VALIDATION),
    **dict.fromkeys(("test", "testing"), TEST),
}
"""Usual names of the folders of splits, in lower case."""


class Listing:
    """Set of existing files, read folder by folder: to ask for each of hundreds of thousands would take minutes."""

    def __init__(self) -> None:
        self._names: dict[Path, frozenset[str]] = {}

    def __contains__(self, file: Path) -> bool:
        folder = file.parent
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(os.listdir(folder))  # noqa: PTH208 - names, not paths
            except (FileNotFoundError, NotADirectoryError):
                self._names[folder] = frozenset()
        return file.name in self._names[folder]


def pictures(folder: Path, dropped: Counter[str]) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Yield the pictures in a folder and below it, sorted, each with the names of the folders that lead to it.

    Args:
        folder: the folder.
        dropped: counts the other files.
    """
    for path in tqdm(image_files(folder), desc=f"looking through {folder.name}", unit=" files", leave=False):
        if path.is_symlink() and not path.exists():
            dropped[f"the link {path.relative_to(folder).as_posix()!r} leads nowhere"] += 1
        elif is_picture(path):
            yield path, path.relative_to(folder).parts[:-1]
        else:
            dropped[advice(path) or NO_PICTURE] += 1


def first_of(path: Path, *candidates: str) -> Path | None:
    """The first of some relative paths that exists in a folder."""
    return next((path / name for name in candidates if (path / name).exists()), None)


def widened(left: int, top: int, width: int, height: int) -> tuple[int, int, int, int]:
    """A box around a face with `MARGIN` on each side: x, y, width and height in px."""
    across, down = round(width * MARGIN), round(height * MARGIN)
    return left - across, top - down, width + 2 * across, height + 2 * down


def held_out(source: str, share: float) -> str:
    """`validation` for a share of the training rows of a data set without a validation split, `train` for the rest.

    It depends only on the picture's name, so it is the same on every machine and for every copy.
    """
    number = int.from_bytes(hashlib.sha256(source.encode()).digest()[:8], "big")
    return VALIDATION if number < share * 2**64 else TRAIN


def unknown_layout(path: Path, layouts: Sequence[str], dropped: Counter[str] | None = None) -> SourceError:
    """The error about a data set that is in none of its layouts.

    Args:
        path: the user's.
        layouts: those that were expected.
        dropped: reasons for which files were left out; the message has the most frequent one.
    """
    found = f" ({dropped.most_common(1)[0][0]})" if dropped else ""
    return SourceError(f"{path}: not in a known layout{found}; give {', or '.join(layouts)}")
