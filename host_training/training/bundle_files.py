"""The files of a model bundle, and how to change some of them; no TensorFlow needed."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge import files
from edge.bundle import bundle as edge_bundle
from edge.bundle import signature
from edge.bundle.locate import FUSED, LANDMARKS, released
from edge.errors import ConfigError
from host_training.errors import BundleWriteError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.bundle.manifest import Manifest

CARD, REPORT = "MODEL_CARD.md", "report.json"


def hashes(folder: Path) -> dict[str, str]:
    """The sha256 of every file of a bundle by name, without those that its manifest cannot list, itself among them."""
    unlisted = {edge_bundle.MANIFEST, signature.SIGNATURE, signature.MESH}
    paths = sorted(path for path in folder.iterdir() if path.name not in unlisted)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a bundle."""
    path = folder / edge_bundle.MANIFEST
    path.write_bytes(manifest.to_json())
    files.sync(path)


def ensure_replaceable(folder: Path, *, force: bool) -> None:
    """Refuse to change a bundle that is released or under version control, unless that is meant.

    Raises:
        BundleWriteError: it is one, and there is no `force`.
    """
    if force or not (folder / edge_bundle.MANIFEST).exists():
        return
    if folder.resolve() in [(released() / name).resolve() for name in (FUSED, LANDMARKS)]:
        what = "a released bundle"
    elif _tracked(folder / edge_bundle.MANIFEST):
        what = "under version control"
    else:
        return
    raise BundleWriteError(f"{folder}: is {what}, and is not changed; give another folder, or --force to change it")


def _tracked(path: Path) -> bool:
    """Whether git keeps a file. Without git nothing is kept."""
    # In a clone of another user, too, where git answers nothing by default.
    git = ("git", "-c", "safe.directory=*", "-C", str(path.resolve().parent))
    command = [*git, "ls-files", "--error-unmatch", path.name]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@contextlib.contextmanager
def rewritten(folder: Path, how: str) -> Iterator[Path]:
    """A copy of a bundle to change; if it then passes a device's checks, it replaces the bundle in one step.

    Args:
        folder: the bundle.
        how: what happens to it, for the message, as in `signed`.

    Raises:
        ConfigError: the changed copy does not pass.
        BundleWriteError: it cannot be written; the bundle is unchanged.
    """
    folder = folder.resolve()
    try:
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
            copy = Path(scratch) / folder.name
            shutil.copytree(folder, copy, symlinks=True)
            try:
                yield copy
                edge_bundle.load(copy)
            except ConfigError as error:
                raise ConfigError(str(error).replace(str(copy), str(folder))) from error
            files.sync_tree(copy)
            files.swap_directories(copy, folder)
            files.sync(folder.parent)
    except OSError as error:
        raise BundleWriteError(f"{folder}: cannot be {how} ({error.strerror or error}); it is unchanged") from error


def write_card(folder: Path, text: str) -> None:
    """Replace the model card of a bundle, and its hash in the manifest.

    Raises:
        BundleWriteError: the bundle is signed, or cannot be written; it is unchanged.
        ConfigError: it does not pass a device's checks.
    """
    if (folder / signature.SIGNATURE).exists():
        raise BundleWriteError(f"{folder}: is signed, and a new card would void that; write the card, then sign")
    with rewritten(folder, "written") as copy:
        manifest = edge_bundle.verified(copy)
        (copy / CARD).write_text(text, "utf-8")
        write_manifest(copy, replace(manifest, files=hashes(copy)))
