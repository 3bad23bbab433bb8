"""Signs a model bundle, so that devices can tell whose it is; no TensorFlow needed."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge import files
from edge.bundle import bundle as edge_bundle
from edge.bundle import signature
from edge.errors import ConfigError, DataError, NoInputError, OutputError
from host_training.errors import BundleWriteError

if TYPE_CHECKING:
    from datetime import date

    from nacl.signing import SigningKey

KIND = "emotion-edge-signing-key"
"""First word of a file with a secret key; the second is its 32 bytes (RFC 8032) in base64."""


def public_file(file: Path) -> Path:
    """Where the public half of a key lies."""
    return file.with_name(f"{file.name}.pub")


def new_key(file: Path) -> str:
    """Make a pair of keys: `file`, which only its owner may read, and beside it the line that devices are given.

    Returns:
        The id of the key.

    Raises:
        OutputError: one of the two is there already, or cannot be written.
    """
    from nacl.signing import SigningKey

    key = SigningKey.generate()
    public = bytes(key.verify_key)
    name = signature.key_id(public)
    pub = public_file(file)
    written: list[Path] = []
    try:
        for path, mode, words in (
            (file, 0o600, (KIND, _text(bytes(key)))),
            (pub, 0o644, (name, _text(public), "_".join(file.name.split()))),
        ):
            path.touch(mode, exist_ok=False)
            written.append(path)
            path.write_text(" ".join(words) + "\n", "utf-8")
            files.sync(path)
    except OSError as error:
        for path in written:
            path.unlink()
        if isinstance(error, FileExistsError):
            raise OutputError(
                f"{error.filename}: is there already, and no key is ever replaced; name another"
            ) from error
        raise OutputError(f"{file}: cannot be written ({error.strerror})") from error
    return name


def read_key(file: Path) -> SigningKey:
    """The secret key in a file.

    Raises:
        NoInputError: the file cannot be read.
        DataError: it holds no secret key.
    """
    from nacl.signing import SigningKey

    try:
        words = file.read_text("utf-8").split()
        if len(words) == 2 and words[0] == KIND:  # noqa: PLR2004  the words of the line
            return SigningKey(base64.b64decode(words[1], validate=True))
    except OSError as error:
        raise NoInputError(f"{file}: {error.strerror}") from error
    except ValueError:
        pass
    raise DataError(f"{file}: is no secret key; give what `emotion-train sign --new-key` wrote, and not its .pub")


def sign(folder: Path, key: SigningKey, *, counter: int | None = None, expires: date | None = None) -> dict[str, Any]:
    """Write counter, expiry and the hash of every file into a bundle's manifest, and sign that.

    All of it takes place in a copy, which must pass the checks of a device before it takes the place of the bundle.

    Args:
        folder: the bundle; its id stays what it is.
        key: from `read_key`.
        counter: a device takes no bundle with a lower one than it had; None: the seconds since 1970.
        expires: the last day on which it is loaded, in UTC; None: it never expires.

    Returns:
        The manifest.

    Raises:
        ConfigError: `folder` is no bundle that a device would take.
        BundleWriteError: it cannot be written; it is as it was.
    """
    folder = folder.resolve()
    edge_bundle.verified(folder)
    signature.verify_names(folder, (path.name for path in folder.iterdir()))
    try:
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
            copy = Path(scratch) / folder.name
            shutil.copytree(folder, copy, symlinks=True)
            manifest = _signed(copy, key, int(time.time()) if counter is None else counter, expires)
            files.sync_tree(copy)
            files.swap_directories(copy, folder)
            files.sync(folder.parent)
    except ConfigError as error:
        raise ConfigError(str(error).replace(str(copy), str(folder))) from error
    except OSError as error:
        raise BundleWriteError(f"{folder}: cannot be signed ({error.strerror or error}); it is as it was") from error
    return manifest


def _signed(folder: Path, key: SigningKey, counter: int, expires: date | None) -> dict[str, Any]:
    path = folder / edge_bundle.MANIFEST
    manifest = json.loads(path.read_text("utf-8"))
    manifest.pop("expires", None)
    manifest |= {"counter": counter, "files": hashes(folder)}
    if expires is not None:
        manifest["expires"] = expires.isoformat()
    made = {
        "key": signature.key_id(bytes(key.verify_key)),
        "signature": _text(key.sign(signature.canonical(manifest)).signature),
    }
    path.write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    (folder / signature.SIGNATURE).write_text(json.dumps(made, indent=1) + "\n", "utf-8")
    return edge_bundle.load(folder).manifest


def hashes(folder: Path) -> dict[str, str]:
    """The sha256 of every file of a bundle, by name, but for those that a manifest cannot list: itself and its like."""
    apart = {edge_bundle.MANIFEST, signature.SIGNATURE, signature.MESH}
    paths = sorted(path for path in folder.iterdir() if path.name not in apart)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
