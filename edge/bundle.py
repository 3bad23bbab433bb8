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
from edge.features import Features
from edge.mesh_models import LANDMARKER, MEMBERS, MeshModels, cache_folder, find

if TYPE_CHECKING:
    from edge.settings import Settings

SCHEMA = 1
MANIFEST, NETWORK, FEATURES, GOLDEN = "manifest.json", "emotion.tflite", "features.npz", "golden.npz"

INSTALLED = Path("/var/lib/emotion-edge/models/current")
"""The bundle in use on a device."""
CHECKOUT = Path(edge.__file__).parent.parent / "model" / "emotion"
"""The one that comes with a checkout of the project."""

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
    model = network(folder / NETWORK, features.size, len(labels))
    classifier = Classifier(model, features, float(manifest["temperature"]))
    _self_test(folder, classifier, len(labels))
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
    if manifest["schema"] != SCHEMA or manifest["inputs"] != ["landmarks"]:
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


def _self_test(folder: Path, classifier: Classifier, labels: int) -> None:
    """The golden landmarks must give the golden probabilities with this machine's own interpreter."""
    try:
        with np.load(folder / GOLDEN, allow_pickle=False) as golden:
            landmarks = golden["landmarks"].astype(np.float32)
            expected = golden["probabilities"].astype(np.float32)
    except Exception as error:
        raise _refused(folder, f"{GOLDEN} is damaged ({error})") from error
    if not np.isfinite(landmarks).all():
        raise _refused(folder, f"{GOLDEN} is damaged (not all of it are numbers)")
    if not len(landmarks) or expected.shape != (len(landmarks), labels):
        raise _refused(folder, f"{GOLDEN} does not fit the labels")
    off = float(np.abs(classifier.probabilities(landmarks) - expected).max())
    if not off <= GOLDEN_TOLERANCE:
        raise _refused(folder, f"it gives other probabilities here than where it was made (off by {off:.3f})")
