"""Packs what a device needs into archives on this workstation, each named by a hash of its content.

    pack.py checkout [--key FILE]        the part of this checkout that deploy/install.sh needs
    pack.py wheels ARCHITECTURE PYTHON   the Python packages for a device, `aarch64 3.13`, and the face mesh models
    pack.py bundle DIR [--key FILE]      a model bundle

The playbooks read one JSON object from stdout. The same content gives the same archive, so a device that has an archive
of this name needs no new one.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from edge.bundle import bundle
from edge.errors import EdgeError, NoInputError, OutputError, UnavailableError
from edge.face_mesh import models
from edge.paths import home_path

if TYPE_CHECKING:
    from edge.bundle.manifest import Manifest

REPOSITORY = Path(__file__).resolve().parents[2]
BUILD = REPOSITORY / "build" / "deploy"
CHECKOUT = (
    *(
        "deploy/install.sh",
        "deploy/device/allow_network.py",
        "deploy/device/emotion-edge.service",
        "deploy/constraints/device.txt",
    ),
    *("edge", "host_training", "model/fused", "model/landmarks"),
    *("pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE"),
)
"""Files and folders that the installer needs."""
REQUIREMENTS = REPOSITORY / "deploy" / "constraints" / "device.txt"
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux2014")
"""Platform tags of the wheels that the C library of Raspberry Pi OS Bookworm and Trixie can load."""
LAST = "whole"
"""Last file of an archive: if it is there, all the others are."""


def main() -> int:
    """Pack and print what was packed; print one line and return a status of sysexits.h if that is impossible."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest="what", required=True)
    checkout = what.add_parser("checkout")
    wheels = what.add_parser("wheels")
    wheels.add_argument("architecture")
    wheels.add_argument("python")
    model = what.add_parser("bundle")
    model.add_argument("folder", type=home_path)
    for each in (checkout, model):
        each.add_argument("--key", type=home_path, help="sign the copies of the model bundles with this key")
    args = parser.parse_args()
    try:
        BUILD.mkdir(parents=True, exist_ok=True)
        if args.what == "checkout":
            packed = pack_checkout(args.key)
        elif args.what == "wheels":
            packed = pack_wheels(args.architecture, args.python)
        else:
            packed = pack_bundle(args.folder, args.key)
    except EdgeError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    except OSError as error:
        failure = OutputError(f"{error.filename or BUILD}: {error.strerror or error}")
        print(failure, file=sys.stderr)
        return failure.exit_status
    print(json.dumps(packed))
    return 0


def pack_checkout(key: Path | None) -> dict[str, str]:
    """Pack the part of this checkout that the installer needs, with signed copies of its bundles if there is a key.

    Raises:
        EdgeError: a part is missing, or a bundle or the key is not valid.
    """
    with tempfile.TemporaryDirectory(dir=BUILD) as scratch:
        copy = Path(scratch)
        for name in CHECKOUT:
            _copy(REPOSITORY / name, copy / name)
        manifest = _checked(copy / "model" / "fused", key)
        _checked(copy / "model" / "landmarks", key)
        return _archive("checkout", copy, "emotion-edge") | {"id": manifest.id}


def pack_bundle(folder: Path, key: Path | None) -> dict[str, str]:
    """Pack a model bundle, signed if there is a key; `manifest` is the sha256 of its manifest, which covers all files.

    Raises:
        EdgeError: the folder is not a bundle, or the key is not valid.
    """
    if not folder.is_dir():
        raise NoInputError(f"{folder}: no such folder; pass BUNDLE=DIR, the folder of a model bundle")
    with tempfile.TemporaryDirectory(dir=BUILD) as scratch:
        copy = Path(scratch) / folder.resolve().name
        _copy(folder, copy)
        manifest = _checked(copy, key)
        digest = hashlib.sha256((copy / bundle.MANIFEST).read_bytes()).hexdigest()
        return _archive("bundle", copy, copy.name) | {"id": manifest.id, "manifest": digest}


def pack_wheels(architecture: str, python: str) -> dict[str, str]:
    """Pack the Python packages of one kind of device, and the face mesh models.

    Args:
        architecture: as `uname -m` prints it, `aarch64` or `x86_64`.
        python: the version, `3.11` to `3.13`.

    Raises:
        UnavailableError: the packages cannot be downloaded.
    """
    task = models.fetch(models.cache_folder()).task
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:8]
    folder = BUILD / f"{architecture}-{python}-{wanted}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=BUILD) as scratch:
            _download(Path(scratch) / "wheels", architecture, python)
            (Path(scratch) / "wheels").rename(folder)
    shutil.copy(task, folder)
    return _archive("wheels", folder, "wheels", compression="")  # wheels are compressed


def _download(folder: Path, architecture: str, python: str) -> None:
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"),
        *("--dest", str(folder), "--no-deps", "--only-binary=:all:", "--python-version", python.replace(".", "")),
        *(f"--platform={platform}_{architecture}" for platform in PLATFORMS),
        *("--requirement", str(REQUIREMENTS), "setuptools"),
    ]
    done = subprocess.run(command, check=False, text=True, capture_output=True)
    if done.returncode:
        reasons = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        why = reasons[-1] if reasons else f"pip exited with status {done.returncode}"
        raise UnavailableError(f"the packages for Python {python} on {architecture} cannot be downloaded: {why}")


def _copy(source: Path, target: Path) -> None:
    if not source.exists():
        raise NoInputError(f"{source} is missing; deploy from a complete checkout of the project")
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", ".*"))
    else:
        shutil.copy(source, target)


def _checked(folder: Path, key: Path | None) -> Manifest:
    """The manifest of a bundle, which is signed on the way where there is a key."""
    try:
        if key is not None:
            from host_training.training import signing

            # Its own counter, so that signing it again gives the same file.
            return signing.sign(folder, signing.read_key(key), counter=bundle.verified(folder).counter)
        return bundle.verified(folder)
    except EdgeError as error:  # users know it by the name of their folder
        raise type(error)(str(error).replace(f"{folder.parent}/", "")) from error


def _archive(kind: str, folder: Path, inner: str, *, compression: str = "gz") -> dict[str, str]:
    """Pack a folder as NAME/inner, where NAME has a hash of the content. An archive of that name is not made again."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for path in paths:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(folder)} {path.stat().st_mode & 0o100} {content}\n".encode())
    name = f"{kind}-{digest.hexdigest()[:12]}"
    file = BUILD / f"{name}.tar"
    if not file.exists():
        new = file.with_suffix(".new")
        with tarfile.open(str(new), f"w:{compression}") as archive:  # type: ignore[call-overload]
            for path in paths:
                archive.add(path, f"{name}/{inner}/{path.relative_to(folder)}", filter=_of_root)
            archive.addfile(_of_root(tarfile.TarInfo(f"{name}/{LAST}")), io.BytesIO())
        new.rename(file)
    return {"name": name, "file": str(file), "folder": f"{name}/{inner}"}


def _of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Let all users read it on the device and only root change it, whatever the permissions are here."""
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mode = 0o755 if member.mode & 0o100 else 0o644
    return member


if __name__ == "__main__":
    sys.exit(main())
