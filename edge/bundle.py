"""Loads a model bundle, and only one that is whole and gives the right answers on this very machine."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import edge
from edge.classifier import Classifier, network
from edge.errors import ConfigError
from edge.features import CROP, INPUTS, Features
from edge.mesh_models import LANDMARKER, MEMBERS, MeshModels, cache_folder, find
from edge.values import LANDMARKS

if TYPE_CHECKING:
    from edge.patch import Patch
    from edge.settings import Settings

SCHEMA = 1
MANIFEST, NETWORK, FEATURES, GOLDEN = "manifest.json", "emotion.tflite", "features.npz", "golden.npz"

INSTALLED = Path("/var/lib/emotion-edge/models/current")
"""The bundle in use on a device."""
CHECKOUT = Path(edge.__file__).parent.parent / "model" / "emotion"
"""The one that comes with a checkout of the project."""
LANDMARKS_ALONE = "landmarks"
"""Folder, beside either of the two, of a bundle that reads no picture."""

GOLDEN_TOLERANCE = 0.02
"""The two interpreters may round an int8 value to neighbours. On an uncertain face that moves a probability by
up to 0.04; the golden faces are ones that the model is sure of, where it is less than 0.01."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that has passed every check."""

    folder: Path
    manifest: dict[str, Any]
    features: Features
    classifier: Classifier

    @property
    def id(self) -> str:
        """Name and fingerprint of the model, as events carry it."""
        return str(self.manifest["id"])

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the probabilities."""
        return tuple(self.manifest["labels"])

    @property
    def inputs(self) -> tuple[str, ...]:
        """What its classifier reads: landmarks, crop, or both."""
        return self.features.inputs

    @property
    def network_bytes(self) -> int:
        """Size of the network's file."""
        return (self.folder / NETWORK).stat().st_size

    @property
    def metrics(self) -> dict[str, float]:
        """The headline figures of its evaluation."""
        return dict(self.manifest["provenance"]["metrics"])


def locate(configured: str) -> Path:
    """The folder of the bundle to use: the configured one, else the device's, else the checkout's."""
    if configured:
        return Path(configured)
    return INSTALLED if INSTALLED.exists() else CHECKOUT


def in_use(settings: Settings) -> Bundle:
    """The bundle that the settings lead to, loaded.

    Raises:
        ConfigError: see `load`.
    """
    return load(locate(settings.model.bundle))


def for_camera(settings: Settings) -> Bundle:
    """The bundle for the camera that the settings name: a recording holds landmarks and no picture.

    Where no bundle is configured, a recording is read with the one for landmarks alone, if that is there.

    Raises:
        ConfigError: see `load`; or the camera is a recording and the bundle reads pictures.
    """
    if not settings.camera.source.strip().startswith("recording:"):
        return in_use(settings)
    folder = locate(settings.model.bundle)
    beside = folder.parent / LANDMARKS_ALONE
    bundle = load(folder if settings.model.bundle or not beside.exists() else beside)
    if CROP in bundle.inputs:
        raise ConfigError(
            f"model bundle {bundle.folder} reads the picture of a face, which a recording does not hold: "
            "set model.bundle to one that reads landmarks alone (`emotion-edge model list` shows what each reads)"
        )
    return bundle


def at_hand(settings: Settings) -> list[tuple[Path, Bundle | ConfigError]]:
    """Every bundle that can be found here, loaded or with what is wrong with it; the first is the one in use.

    They are the configured one, the device's, and those of the checkout.
    """
    folders = [locate(settings.model.bundle)]
    for home in (INSTALLED.parent, CHECKOUT.parent):
        folders += sorted(manifest.parent for manifest in home.glob(f"*/{MANIFEST}"))
    distinct: dict[Path, Path] = {}
    for folder in folders:  # `current` is another name for one of its neighbours
        distinct.setdefault(folder.resolve(), folder)
    return [(folder, _attempt(folder)) for folder in distinct.values()]


def _attempt(folder: Path) -> Bundle | ConfigError:
    try:
        return load(folder)
    except ConfigError as error:
        return error


def mesh_in_use(settings: Settings) -> MeshModels:
    """The mesh models that the settings lead to: the configured ones, else the bundle's, else those fetched.

    Raises:
        ConfigError: see `mesh_models.find`.
    """
    if settings.mesh.models:
        return find([Path(settings.mesh.models)])
    return find([locate(settings.model.bundle) / "mesh", cache_folder()])


def load(folder: Path) -> Bundle:
    """Read, verify and self-test a bundle.

    Raises:
        ConfigError: something is missing, altered, too new, or gives other answers here than where it was made.
    """
    manifest = _manifest(folder)
    _verify_files(folder, manifest["files"])
    features = Features.load(folder / FEATURES)
    if features.contract_hash != manifest["feature_contract"]:
        raise _refused(folder, "its features are not the ones that this version computes")
    if manifest["landmarker_sha256"] != MEMBERS[LANDMARKER]:
        raise _refused(folder, "it was trained on the landmarks of another face mesh")
    labels = manifest["labels"]
    if manifest["inputs"] != list(features.inputs):
        raise _refused(folder, f"{MANIFEST} and {FEATURES} do not agree on what it reads")
    model = network(folder / NETWORK, features, len(labels))
    classifier = Classifier(model, features, float(manifest["temperature"]))
    _self_test(folder, classifier, features.patch, len(labels))
    return Bundle(folder, manifest, features, classifier)


def _refused(folder: Path, reason: str) -> ConfigError:
    return ConfigError(f"model bundle {folder}: {reason}; install another bundle or set model.bundle")


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise _refused(folder, f"{MANIFEST} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise _refused(folder, f"{MANIFEST} is damaged ({error})") from error
    wanted = {
        "schema": int,
        "id": str,
        "labels": list,
        "inputs": list,
        "temperature": float,
        "feature_contract": str,
        "landmarker_sha256": str,
        "least_edge_version": str,
        "files": dict,
        "provenance": dict,
    }
    if not isinstance(manifest, dict):
        raise _refused(folder, f"{MANIFEST} is no manifest")
    for key, kind in wanted.items():
        if not isinstance(manifest.get(key), kind):
            raise _refused(folder, f"{MANIFEST} lacks a proper {key!r}")
    if manifest["schema"] != SCHEMA or tuple(manifest["inputs"]) not in INPUTS:
        raise _refused(folder, "it is of a kind that this version does not know; update emotion-edge")
    if _version(manifest["least_edge_version"]) > _version(edge.__version__):
        raise _refused(folder, f"it needs emotion-edge {manifest['least_edge_version']} or later")
    labels = manifest["labels"]
    if not all(isinstance(label, str) for label in labels) or not 1 < len(labels) == len(set(labels)):
        raise _refused(folder, f"{MANIFEST} has no proper list of labels")
    metrics = manifest["provenance"].get("metrics")
    if not isinstance(metrics, dict) or not all(isinstance(value, int | float) for value in metrics.values()):
        raise _refused(folder, f"{MANIFEST} has no proper metrics in its provenance")
    return manifest


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _verify_files(folder: Path, files: dict[str, str]) -> None:
    missing = {NETWORK, FEATURES, GOLDEN} - files.keys()
    if missing:
        raise _refused(folder, f"{MANIFEST} does not list {', '.join(sorted(missing))}")
    for name, expected in files.items():
        if Path(name).name != name:
            raise _refused(folder, f"{MANIFEST} names {name!r}, which is not a file of the bundle")
        try:
            actual = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except OSError as error:
            raise _refused(folder, f"{name} cannot be read ({error.strerror})") from error
        if actual != expected:
            raise _refused(folder, f"{name} is not the file that the manifest describes (sha256 {actual[:12]}…)")


def _self_test(folder: Path, classifier: Classifier, patch: Patch | None, labels: int) -> None:
    """The golden faces must give the golden probabilities with this machine's own interpreter."""
    patches = None
    try:
        with np.load(folder / GOLDEN, allow_pickle=False) as golden:
            landmarks = golden["landmarks"].astype(np.float32)
            expected = golden["probabilities"].astype(np.float32)
            if patch is not None:
                patches = golden["patches"]
    except Exception as error:
        raise _refused(folder, f"{GOLDEN} is damaged ({error})") from error
    if landmarks.shape[1:] != (LANDMARKS, 3) or not np.isfinite(landmarks).all():
        raise _refused(folder, f"{GOLDEN} is damaged (not all of it are landmarks)")
    if not len(landmarks) or expected.shape != (len(landmarks), labels):
        raise _refused(folder, f"{GOLDEN} does not fit the labels")
    if patch is not None and (
        patches is None or patches.dtype != np.uint8 or patches.shape != (len(landmarks), patch.size, patch.size)
    ):
        raise _refused(folder, f"{GOLDEN} does not hold a patch of each face")
    off = float(np.abs(classifier.probabilities(landmarks, patches) - expected).max())
    if not off <= GOLDEN_TOLERANCE:
        raise _refused(folder, f"it gives other probabilities here than where it was made (off by {off:.3f})")
