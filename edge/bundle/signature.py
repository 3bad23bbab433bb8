"""Who made a model bundle: an Ed25519 signature over its manifest, which in turn has the hash of every file."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import stat
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge import hints
from edge.device.system import clock_synchronised
from edge.errors import ConfigError, UnavailableError
from edge.face_mesh import models

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

log = logging.getLogger(__name__)

MANIFEST, SIGNATURE, MESH = "manifest.json", "manifest.sig", "mesh"
KEY_BYTES = 32
KEY_ID_DIGITS = 16
"""Hexadecimal digits of the public key's hash in its id."""


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """The keys of which one must have signed a bundle."""

    file: Path
    public: Mapping[str, bytes]
    """The 32 bytes of each key (RFC 8032), by its id."""


def key_id(public: bytes) -> str:
    """What a public key is called: the beginning of its sha256."""
    return hashlib.sha256(public).hexdigest()[:KEY_ID_DIGITS]


def read_trusted_keys(file: Path) -> TrustedKeys:
    """Read a file of trusted keys: one a line, as `KEY_ID BASE64 comment`; lines that begin with # are comments.

    Raises:
        ConfigError: it cannot be read, a line is no key, or it holds none.
    """
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(
            f"{file}: the trusted keys cannot be read ({reason}); mend it or model.trusted_keys"
        ) from error
    public = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        key = _decoded(words[1]) if len(words) > 1 else b""
        if len(key) != KEY_BYTES or key_id(key) != words[0]:
            raise ConfigError(
                f"{file}: line {number} is no public key; copy the line of the .pub file that belongs to your key"
            )
        public[words[0]] = key
    if not public:
        raise ConfigError(f"{file}: holds no key, so no model bundle can be trusted; add one, or remove the file")
    return TrustedKeys(file, public)


def canonical(manifest: Mapping[str, Any]) -> bytes:
    """The form of a manifest that is signed, which does not change when it is written anew.

    JSON with sorted keys and without white space in UTF-8, as RFC 8785 has it, but for numbers, which are written as
    Python does, and for the order of characters beyond the first 65,536.

    Raises:
        ValueError: it holds something that JSON has no word for.
    """
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def today() -> date | None:
    """The date in UTC; None while the clock has not been set, as on a Pi that has just started."""
    return datetime.now(UTC).date() if clock_synchronised() else None


def verify(folder: Path, manifest: Mapping[str, Any], keys: TrustedKeys, on: date | None) -> None:
    """Make sure that one of the keys has signed the manifest, and for longer than until now.

    Args:
        folder: of the bundle, with the signature.
        manifest: as read from there.
        keys: the trusted ones.
        on: from `today`. While that is not known no bundle has expired: a device that cannot reach a time server
            would otherwise be locked out.

    Raises:
        ConfigError: it is unsigned, signed by another key, altered, or expired.
        UnavailableError: PyNaCl is not installed.
    """
    signer, signature = _signature(folder, keys)
    if signer not in keys.public:
        raise refused(folder, f"it is signed with the key {signer!r}, which is not in {keys.file}")
    try:
        from nacl.exceptions import BadSignatureError
        from nacl.signing import VerifyKey
    except ImportError as error:
        raise UnavailableError(f"signatures cannot be checked ({error}): {hints.install('litert')}") from error
    try:
        VerifyKey(keys.public[signer]).verify(canonical(manifest), signature)
    except (BadSignatureError, ValueError, RecursionError) as error:
        raise refused(folder, f"it was altered after it was signed with the key {signer}") from error
    if "expires" not in manifest:
        return
    try:
        expires = date.fromisoformat(manifest["expires"])
    except (TypeError, ValueError) as error:
        raise refused(folder, f"{MANIFEST} does not say properly when it expires") from error
    if on is None:
        log.warning("the clock has not been set, so whether model bundle %s expired on %s is unknown", folder, expires)
    elif on > expires:
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


def verify_hashes(folder: Path, files: Mapping[str, Any]) -> None:
    """Make sure that the files of a manifest are there, byte for byte.

    Raises:
        ConfigError: one is missing, altered, or outside of the bundle.
    """
    for name, expected in files.items():
        # Nor may it hold what no file's name can.
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


def _signature(folder: Path, keys: TrustedKeys) -> tuple[str, bytes]:
    """Key id and signature, of whatever length."""
    try:
        text = (folder / SIGNATURE).read_text("utf-8")
    except FileNotFoundError as error:
        raise refused(folder, f"it has no {SIGNATURE}, and {keys.file} asks for a signature") from error
    except (OSError, ValueError) as error:
        raise refused(folder, f"{SIGNATURE} cannot be read") from error
    try:
        content = json.loads(text)
        return str(content["key"]), _decoded(content["signature"])
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise refused(folder, f"{SIGNATURE} is damaged") from error


def _decoded(text: str) -> bytes:
    """The bytes behind base64; none where it is no base64."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


def _is_plain(path: Path) -> bool:
    return stat.S_ISREG(path.lstat().st_mode)
