"""Signs model bundles with keys in minisign's form, so that devices can tell whose they are; no TensorFlow needed."""

from __future__ import annotations

import base64
import secrets
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge import files
from edge.bundle import bundle as edge_bundle
from edge.bundle import signature
from edge.errors import DataError, NoInputError, OutputError
from host_training.training.bundle_files import hashes, rewritten, write_manifest

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from nacl.signing import SigningKey

    from edge.bundle.manifest import Manifest

PLAIN, ENCRYPTED = b"\0\0", b"Sc"
"""How the secret of a key file is encrypted: not at all, or with a password."""
CHECKSUM = b"B2"
"""Algorithm of the checksum in a key file; that of an unencrypted secret is zero."""
_HEAD = signature.KEY_ALGORITHM + PLAIN + CHECKSUM + bytes(48)
"""Before key id and secret: what follows the algorithms is for passwords alone."""
CHECKSUM_BYTES = 32


@dataclass(frozen=True, slots=True)
class Key:
    """A key that signs."""

    id: bytes
    """8 bytes by which it is told from others."""
    secret: SigningKey

    @property
    def name(self) -> str:
        """The id, as minisign prints it."""
        return signature.key_name(self.id)


def public_file(file: Path) -> Path:
    """Where the public half of a key lies."""
    return file.with_name(f"{file.name}.pub")


def new_key(file: Path) -> Key:
    """Make a pair of keys: `file`, which only its owner may read, and beside it the public one that devices are given.

    Raises:
        OutputError: one of the two is there already, or cannot be written.
    """
    from nacl.signing import SigningKey

    key = Key(secrets.token_bytes(signature.KEY_ID_BYTES), SigningKey.generate())
    public = bytes(key.secret.verify_key)
    secret = _HEAD + key.id + bytes(key.secret) + public + bytes(CHECKSUM_BYTES)
    written: list[Path] = []
    try:
        for path, mode, what, data in (
            (file, 0o600, "secret key, not encrypted", secret),
            (public_file(file), 0o644, "public key", signature.KEY_ALGORITHM + key.id + public),
        ):
            path.touch(mode, exist_ok=False)
            written.append(path)
            path.write_text(f"{signature.UNTRUSTED}emotion-edge {what} {key.name}\n{_text(data)}\n", "utf-8")
            files.sync(path)
    except OSError as error:
        for path in written:
            path.unlink()
        if isinstance(error, FileExistsError):
            raise OutputError(f"{error.filename}: exists, and no key is ever replaced; give another name") from error
        raise OutputError(f"{file}: cannot be written ({error.strerror})") from error
    return key


def read_key(file: Path) -> Key:
    """The secret key in a file that `new_key` or `minisign -G -W` wrote.

    Raises:
        NoInputError: the file cannot be read.
        DataError: it holds no secret key, or an encrypted one.
    """
    from nacl.signing import SigningKey

    try:
        _, line = file.read_text("utf-8-sig").rstrip("\n").split("\n")
        data = base64.b64decode(line, validate=True)
    except OSError as error:
        raise NoInputError(f"{file}: {error.strerror}") from error
    except ValueError:
        data = b""
    key_id, rest = data[len(_HEAD) :][: signature.KEY_ID_BYTES], data[len(_HEAD) + signature.KEY_ID_BYTES :]
    if len(rest) != 2 * signature.KEY_BYTES + CHECKSUM_BYTES or not data.startswith(signature.KEY_ALGORITHM):
        raise DataError(
            f"{file}: is not a secret key; give the file that `emotion-train sign --new-key` wrote, not its .pub"
        )
    if data[2:4] != PLAIN:
        raise DataError(
            f"{file}: is encrypted with a password, which cannot be entered during a deployment; "
            "make a key with `emotion-train sign --new-key`"
        )
    return Key(key_id, SigningKey(rest[: signature.KEY_BYTES]))


def sign(folder: Path, key: Key, *, counter: int | None = None, expires: date | None = None) -> Manifest:
    """Write counter, expiry and the hash of every file into a bundle's manifest, and sign that.

    Args:
        folder: the bundle; its id stays the same.
        key: from `read_key`.
        counter: a device takes no bundle with a lower counter than it had; None: seconds since 1970.
        expires: last day, in UTC, on which it is loaded; None: it never expires.

    Returns:
        The manifest.

    Raises:
        ConfigError: `folder` is not a bundle that a device would load.
        BundleWriteError: it cannot be written; it is unchanged.
    """
    manifest = edge_bundle.verified(folder)
    signature.verify_names(folder, (path.name for path in folder.iterdir()))
    counter = int(time.time()) if counter is None else counter
    with rewritten(folder, "signed") as copy:
        manifest = replace(manifest, counter=counter, expires=expires, files=hashes(copy))
        write_manifest(copy, manifest)
        comment = f"{manifest.id}, counter {counter}"
        (copy / signature.SIGNATURE).write_bytes(signed(manifest.to_json(), key, comment))
    return manifest


def signed(manifest: bytes, key: Key, comment: str) -> bytes:
    """The signature file of a manifest; the same again for the same manifest, key and comment."""
    made = key.secret.sign(signature.digest(manifest)).signature
    lines = (
        f"{signature.UNTRUSTED}signature from emotion-edge key {key.name}",
        _text(signature.SIGNATURE_ALGORITHM + key.id + made),
        f"{signature.TRUSTED}{comment}",
        _text(key.secret.sign(made + comment.encode()).signature),
    )
    return "".join(f"{line}\n" for line in lines).encode()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
