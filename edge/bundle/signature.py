"""Who made a model bundle: a minisign signature of its manifest, which in turn has the hash of every file.

The bytes of the manifest are signed, and nothing in them is read before they are verified. Keys and signatures have the
form of minisign (https://jedisct1.github.io/minisign/), so that it can check them too:

    minisign -V -p fleet.key.pub -m model/fused/manifest.json
"""

from __future__ import annotations

import base64
import hashlib
import logging
import stat
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edge import hints
from edge.device.system import clock_synchronised
from edge.errors import ConfigError, UnavailableError
from edge.face_mesh import models

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

log = logging.getLogger(__name__)

MANIFEST, SIGNATURE, MESH = "manifest.json", "manifest.json.minisig", "mesh"
UNTRUSTED, TRUSTED = "untrusted comment: ", "trusted comment: "
"""Beginnings of the comment lines in minisign's files."""
KEY_ALGORITHM, SIGNATURE_ALGORITHM = b"Ed", b"ED"
"""First bytes of a public key (Ed25519, RFC 8032), and of a signature of the BLAKE2b hash of a file."""
KEY_ID_BYTES = 8
KEY_BYTES = 32
SIGNATURE_BYTES = 64


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """Public keys. One of them must have signed a bundle."""

    file: Path
    public: Mapping[str, bytes]
    """The 32 bytes of each key, by its id."""


def key_name(key_id: bytes) -> str:
    """The id of a key, 8 bytes, as minisign prints it."""
    return f"{int.from_bytes(key_id, 'little'):016X}"


def digest(manifest: bytes) -> bytes:
    """What is signed of a manifest: its BLAKE2b hash of 512 bits."""
    return hashlib.blake2b(manifest).digest()


def read_trusted_keys(file: Path) -> TrustedKeys:
    """Read a file of trusted keys: minisign's .pub files one after the other; lines that begin with # are comments.

    Raises:
        ConfigError: it cannot be read, a line is not a key, or it contains no key.
    """
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(
            f"{file}: the trusted keys cannot be read ({reason}); correct the file or model.trusted_keys"
        ) from error
    public = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith(("#", UNTRUSTED)):
            continue
        data = _decoded(line.strip())
        if len(data) != len(KEY_ALGORITHM) + KEY_ID_BYTES + KEY_BYTES or not data.startswith(KEY_ALGORITHM):
            raise ConfigError(
                f"{file}: line {number} is not a minisign public key; copy the lines of the .pub file of your key"
            )
        public[key_name(data[-KEY_BYTES - KEY_ID_BYTES : -KEY_BYTES])] = data[-KEY_BYTES:]
    if not public:
        raise ConfigError(f"{file}: contains no key, so no model bundle can be trusted; add one, or remove the file")
    return TrustedKeys(file, public)


def verify(folder: Path, manifest: bytes, keys: TrustedKeys) -> None:
    """Make sure that one of the keys has signed a manifest.

    Args:
        folder: of the bundle, with the signature.
        manifest: the bytes of the file.
        keys: the trusted ones.

    Raises:
        ConfigError: it is unsigned, signed by another key, or altered.
        UnavailableError: PyNaCl is not installed.
    """
    signer, signature, comment, comment_signature = _read_signature(folder, keys)
    if signer not in keys.public:
        raise refused(folder, f"it is signed with the key {signer}, which is not in {keys.file}")
    try:
        from nacl.exceptions import BadSignatureError
        from nacl.signing import VerifyKey
    except ImportError as error:
        raise UnavailableError(f"signatures cannot be checked ({error}): {hints.install('litert')}") from error
    key = VerifyKey(keys.public[signer])
    try:
        key.verify(digest(manifest), signature)
        key.verify(signature + comment, comment_signature)
    except (BadSignatureError, ValueError) as error:
        raise refused(folder, f"it was altered after it was signed with the key {signer}") from error


def verify_expiry(folder: Path, expires: date | None) -> None:
    """Make sure that a signed bundle has not expired.

    While the clock has not been set, as on a Pi that has just started, no bundle has: a device that cannot reach a time
    server would otherwise be locked out.

    Args:
        folder: of the bundle.
        expires: the last day, in UTC, on which it may be loaded; None: it never expires.

    Raises:
        ConfigError: it has.
    """
    if expires is None:
        return
    if not clock_synchronised():
        log.warning("the clock has not been set, so whether model bundle %s expired on %s is unknown", folder, expires)
    elif datetime.now(UTC).date() > expires:
        raise refused(folder, f"it expired on {expires}")


def verify_names(folder: Path, listed: Iterable[str]) -> None:
    """Make sure that a bundle is made of plain files, and only those of its manifest, besides the face mesh models.

    Raises:
        ConfigError: something else is there.
    """
    known = {MANIFEST, SIGNATURE, *listed}
    mesh = {models.TASK_NAME, *models.MEMBERS}
    try:
        for path in sorted(folder.iterdir()):
            mode = path.lstat().st_mode
            if path.name == MESH and stat.S_ISDIR(mode):
                strange = [each for each in path.iterdir() if each.name not in mesh or not _is_plain(each)]
            else:
                strange = [] if path.name in known and stat.S_ISREG(mode) else [path]
            if strange:
                name = str(strange[0].relative_to(folder))
                raise refused(folder, f"{name!r} is in it, which is not a file of the bundle")
    except OSError as error:
        raise refused(folder, f"it cannot be read ({error.strerror})") from error


def verify_hashes(folder: Path, files: Mapping[str, str]) -> None:
    """Make sure that the files of a manifest are there, byte for byte.

    Raises:
        ConfigError: one is missing, altered, or outside of the bundle.
    """
    for name, expected in files.items():
        # A name with a null byte, or with characters that a terminal acts on, is refused as well.
        if Path(name).name != name or not name.isprintable():
            raise refused(folder, f"{MANIFEST} names {name!r}, which is not a file of the bundle")
        try:
            actual = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except OSError as error:
            raise refused(folder, f"{name} cannot be read ({error.strerror})") from error
        if actual != expected:
            raise refused(folder, f"{name} is not the file that the manifest describes (sha256 {actual[:12]}…)")


def refused(folder: Path, reason: str) -> ConfigError:
    """The error for a bundle that must not be used."""
    return ConfigError(f"model bundle {folder}: {reason}; install another bundle or set model.bundle")


def _read_signature(folder: Path, keys: TrustedKeys) -> tuple[str, bytes, bytes, bytes]:
    """The id of the key, the signature, the trusted comment, and the signature of both."""
    try:
        text = (folder / SIGNATURE).read_text("utf-8-sig")
    except FileNotFoundError as error:
        raise refused(folder, f"it has no {SIGNATURE}, and {keys.file} asks for a signature") from error
    except (OSError, ValueError) as error:
        raise refused(folder, f"{SIGNATURE} cannot be read") from error
    head = len(SIGNATURE_ALGORITHM) + KEY_ID_BYTES
    try:
        untrusted, first, trusted, second = text.rstrip("\n").split("\n")
    except ValueError as error:
        raise refused(folder, f"{SIGNATURE} is damaged") from error
    signature, comment_signature = _decoded(first), _decoded(second)
    if (
        not (untrusted.startswith(UNTRUSTED) and trusted.startswith(TRUSTED))
        or not signature.startswith(SIGNATURE_ALGORITHM)
        or len(signature) != head + SIGNATURE_BYTES
        or len(comment_signature) != SIGNATURE_BYTES
    ):
        raise refused(folder, f"{SIGNATURE} is damaged, or not one that `minisign -S` writes")
    name = key_name(signature[len(SIGNATURE_ALGORITHM) : head])
    return name, signature[head:], trusted.removeprefix(TRUSTED).encode(), comment_signature


def _decoded(text: str) -> bytes:
    """The decoded bytes; empty if the text is not base64."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


def _is_plain(path: Path) -> bool:
    return stat.S_ISREG(path.lstat().st_mode)
