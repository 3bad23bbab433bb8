"""Which bundle, shadow, face mesh models and trusted keys a process uses: answered once, from its settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import edge
from edge.bundle import bundle as bundles
from edge.bundle import signature
from edge.bundle.bundle import MANIFEST
from edge.bundle.signature import MESH
from edge.classifier.features import CROP_INPUT
from edge.errors import ConfigError
from edge.face_mesh import models

if TYPE_CHECKING:
    from edge.bundle.bundle import Bundle
    from edge.face_mesh.models import MeshModels
    from edge.settings import Settings

DEVICE = Path("/var/lib/emotion-edge/models")
"""Folder of a device's bundles, see `edge.bundle.store`."""
CURRENT, LANDMARKS, SHADOW = "current", "landmarks", "shadow"
"""Links in that folder: to the bundle in use, to one that reads landmarks alone, and to one that is only tried out."""
FUSED = "fused"
"""Bundle in use where no device's is; it lies, like `LANDMARKS`, in the folder of the released bundles."""
TRUSTED_KEYS = Path("/etc/emotion-edge/trusted-keys")
"""File of the public keys that a device trusts, where the settings name no other. Without it no signature is needed."""


def released() -> Path:
    """Folder of the released bundles: inside the package where it was installed, `model` beside it in a checkout."""
    package = Path(edge.__file__).parent
    packaged = package / "model"
    return packaged if packaged.is_dir() else package.parent / "model"


@dataclass(frozen=True, slots=True)
class Installation:
    """The folders and files that a process with certain settings uses. They are read when they are loaded."""

    bundle: Path
    """Folder of the bundle in use."""
    recording_bundle: Path
    """Folder of the bundle for recordings, which hold landmarks and no pictures."""
    shadow: Path | None
    """Folder of the bundle that runs as a shadow; None: none does."""
    mesh: tuple[Path, ...]
    """Folders of the face mesh models, in order of preference."""
    trusted_keys: Path | None
    """File of the trusted public keys; None: no signature is needed."""
    homes: tuple[Path, Path]
    """Folders that hold bundles: the device's, and that of the released ones."""

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        device: Path | None = None,
        released_bundles: Path | None = None,
        trusted_keys: Path | None = None,
    ) -> Installation:
        """What the settings lead to on this machine.

        The bundle in use is the configured one, else the device's, else the released one. The shadow is the configured
        one, else the device's, unless a bundle was configured. The face mesh models are the configured ones, else the
        bundle's, else those fetched.

        Args:
            settings: of model and mesh.
            device: in place of `DEVICE`.
            released_bundles: in place of `released()`.
            trusted_keys: in place of `TRUSTED_KEYS`.
        """
        model, home, packaged = settings.model, device or DEVICE, released_bundles or released()
        bundle = Path(model.bundle) if model.bundle else home / CURRENT
        if not model.bundle and not bundle.exists():
            bundle = packaged / FUSED
        beside = bundle.parent / LANDMARKS
        shadow = Path(model.shadow) if model.shadow else None
        if shadow is None and not model.bundle and (home / SHADOW).is_symlink():
            shadow = home / SHADOW
        return cls(
            bundle=bundle,
            recording_bundle=bundle if model.bundle or not beside.exists() else beside,
            shadow=shadow and shadow.resolve(),
            mesh=(Path(settings.mesh.models),) if settings.mesh.models else (bundle / MESH, models.cache_folder()),
            trusted_keys=_trusted_keys(model.trusted_keys, trusted_keys or TRUSTED_KEYS),
            homes=(home, packaged),
        )

    def load(self, *, recording: bool = False) -> Bundle:
        """The bundle in use, or with a recording the one for recordings.

        Raises:
            ConfigError, UnavailableError: see `bundle.load`; or it reads pictures, which a recording does not hold.
        """
        return self._load(self.recording_bundle if recording else self.bundle, recording=recording, key="model.bundle")

    def shadow_of(self, in_use: Bundle) -> Path | None:
        """Folder of the bundle that runs as the shadow of the one in use; None: no shadow, or the same bundle."""
        return None if self.shadow == in_use.folder.resolve() else self.shadow

    def load_shadow(self, folder: Path, *, recording: bool = False) -> Bundle:
        """The bundle in the folder that `shadow_of` gave.

        Raises:
            ConfigError, UnavailableError: see `load`.
        """
        return self._load(folder, recording=recording, key="model.shadow")

    def mesh_models(self) -> MeshModels:
        """The face mesh models, verified.

        Raises:
            ConfigError: see `models.find`.
        """
        return models.find(self.mesh)

    def keys(self) -> signature.TrustedKeys | None:
        """The trusted keys; None: no signature is needed.

        Raises:
            ConfigError: see `signature.read_trusted_keys`.
        """
        return None if self.trusted_keys is None else signature.read_trusted_keys(self.trusted_keys)

    def at_hand(self) -> list[tuple[Path, Bundle | ConfigError]]:
        """Every bundle here, loaded or with what is wrong with it: first the one in use, then the device's, the others.

        Raises:
            ConfigError: the trusted keys cannot be read.
        """
        keys = self.keys()
        distinct: dict[Path, Path] = {}
        for folder in (self.bundle, *(folder for home in self.homes for folder in stored(home))):
            distinct.setdefault(folder.resolve(), folder)  # `current` is another name for one of its neighbours
        found: list[tuple[Path, Bundle | ConfigError]] = []
        for folder in distinct.values():
            try:
                found.append((folder, bundles.load(folder, keys)))
            except ConfigError as error:
                found.append((folder, error))
        return found

    def _load(self, folder: Path, *, recording: bool, key: str) -> Bundle:
        bundle = bundles.load(folder, self.keys())
        if recording and CROP_INPUT in bundle.inputs:
            raise ConfigError(
                f"model bundle {folder} reads the picture of a face, which a recording does not hold: set {key} to one "
                "that reads landmarks alone (`emotion-edge model list` shows what each reads)"
            )
        return bundle


def stored(home: Path) -> list[Path]:
    """The bundles in a folder, by name: neither the links to them, nor those that are just being put there."""
    folders = sorted(manifest.parent for manifest in home.glob(f"*/{MANIFEST}"))
    return [folder for folder in folders if not folder.is_symlink() and not folder.name.startswith(".")]


def _trusted_keys(configured: str, default: Path) -> Path | None:
    if configured:
        return Path(configured)
    try:
        default.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:  # such as one that this user may not see; that must not count as none
        pass
    return default
