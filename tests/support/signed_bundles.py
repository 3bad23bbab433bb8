"""Bundles signed by the training kit."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, NamedTuple

import pytest

from edge.bundle import bundle as bundles
from edge.bundle import signature
from host_training.training import signing
from host_training.training.bundle_files import hashes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Key(NamedTuple):
    """A signing key, and the file of its public key, which also serves as trusted keys."""

    secret: signing.Key
    public: Path

    @property
    def id(self) -> str:
        return self.secret.name

    @property
    def trusted(self) -> signature.TrustedKeys:
        return signature.read_trusted_keys(self.public)


@pytest.fixture(scope="session")
def keys(tmp_path_factory) -> tuple[Key, Key]:
    """Two key pairs."""
    folder = tmp_path_factory.mktemp("keys")

    def key(name: str) -> Key:
        return Key(signing.new_key(folder / name), folder / f"{name}.pub")

    return key("first"), key("second")


@pytest.fixture
def signed(landmark_bundle, keys, tmp_path) -> Callable[..., Path]:
    """Make a signed bundle with an id; returns its folder."""

    def make(name: str = "a", counter: int = 1, *, key: Key = keys[0], **more) -> Path:
        folder = tmp_path / "signed" / f"{name}-{counter}"
        shutil.copytree(landmark_bundle, folder)
        manifest = json.loads((folder / bundles.MANIFEST).read_text())
        (folder / bundles.MANIFEST).write_text(json.dumps({**manifest, "id": name}))
        signing.sign(folder, key.secret, counter=counter, **more)
        return folder

    return make


@pytest.fixture
def sign_by_hand(keys) -> Callable[..., None]:
    """Sign bundles that the training kit refuses to sign."""

    def sign(folder: Path, **changes) -> None:
        manifest = {**json.loads((folder / bundles.MANIFEST).read_text()), **changes}
        data = json.dumps(manifest).encode()
        (folder / bundles.MANIFEST).write_bytes(data)
        (folder / signature.SIGNATURE).write_bytes(signing.signed(data, keys[0].secret, "by hand"))

    return sign


@pytest.fixture
def crashing(crop_bundle, sign_by_hand) -> Path:
    """A bundle with a valid signature and a network that crashes tflite-runtime with the process."""
    folder = crop_bundle("crop")
    network = bytearray((folder / bundles.NETWORK).read_bytes())
    network[3] = 128
    (folder / bundles.NETWORK).write_bytes(network)
    sign_by_hand(folder, counter=99, files=hashes(folder))
    return folder
