"""How the files of a data set lie: finding them quickly, and saying what was expected."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from tqdm import tqdm

from edge.camera.images import image_files
from host_training.data.keypoints import TEST, TRAIN, VALIDATION
from host_training.errors import SourceError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MISSING = "the picture is missing"
NO_PICTURE = "the file is no picture, by its name"
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
"""Of files that are taken for pictures."""
MARGIN = 0.25
"""Of the sides of a box around a face: the boxes are tight, and the face mesh is surer when it sees a head."""

SPLIT_FOLDERS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation"), VALIDATION),
    **dict.fromkeys(("test", "testing"), TEST),
}


class Listing:
    """Tells whether files are there with one look at each folder: hundreds of thousands would take minutes."""

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
    """The pictures in a folder and those below it, sorted, each with the folders that lead to it.

    Args:
        folder: where to look.
        dropped: other files are counted there.
    """
    for path in tqdm(image_files(folder), desc=f"looking through {folder.name}", unit=" files", leave=False):
        if path.suffix.lower() in SUFFIXES:
            yield path, path.relative_to(folder).parts[:-1]
        else:
            dropped[NO_PICTURE] += 1


def first_of(path: Path, *candidates: str) -> Path | None:
    """The first of some places in a folder that exists."""
    return next((path / name for name in candidates if (path / name).exists()), None)


def widened(left: int, top: int, width: int, height: int) -> tuple[int, int, int, int]:
    """A box around a face with `MARGIN` on each side: x, y, width and height in px."""
    across, down = round(width * MARGIN), round(height * MARGIN)
    return left - across, top - down, width + 2 * across, height + 2 * down


def held_out(source: str, share: float) -> str:
    """`validation` for a share of the training rows of a data set that has a test split only; `train` for the rest.

    It hangs on the picture's name alone, so it is the same on every machine and for every copy.
    """
    number = int.from_bytes(hashlib.sha256(source.encode()).digest()[:8], "big")
    return VALIDATION if number < share * 2**64 else TRAIN


def unknown(path: Path, layouts: Sequence[str], dropped: Counter[str] | None = None) -> SourceError:
    """What to raise where a data set is in none of its layouts.

    Args:
        path: what the user gave.
        layouts: what was expected.
        dropped: what there is and why it does not count; the most frequent reason goes into the message.
    """
    found = f" ({dropped.most_common(1)[0][0]})" if dropped else ""
    return SourceError(f"{path}: not in a layout that is known{found}; give {', or '.join(layouts)}")
