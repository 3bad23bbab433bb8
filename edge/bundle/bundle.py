"""Loads a model bundle, and only one that is whole and gives the right answers on this very machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

import edge
from edge.bundle import signature
from edge.bundle.manifest import Manifest
from edge.bundle.signature import refused
from edge.classifier.features import INPUTS, Features
from edge.classifier.network import Classifier, network
from edge.face_mesh.models import LANDMARKER, MEMBERS
from edge.validation import InvalidError
from edge.values import LANDMARKS

if TYPE_CHECKING:
    from pathlib import Path

    from edge.bundle.signature import TrustedKeys
    from edge.classifier.baseline import Baseline
    from edge.classifier.crop import FaceCrop

MANIFEST = signature.MANIFEST
NETWORK, FEATURES, GOLDEN = "classifier.tflite", "features.npz", "golden.npz"

GOLDEN_TOLERANCE = 0.02
"""The two interpreters may round an int8 value to neighbours. On an uncertain face that moves a probability by
up to 0.04; the golden faces are ones that the model is sure of, where it is less than 0.01."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that has passed every check."""

    folder: Path
    manifest: Manifest
    features: Features
    classifier: Classifier

    @property
    def id(self) -> str:
        """Name and fingerprint of the model, as events carry it."""
        return self.manifest.id

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the probabilities."""
        return self.manifest.labels

    @property
    def inputs(self) -> tuple[str, ...]:
        """What its classifier reads: landmarks, crop, or both."""
        return self.features.inputs

    @property
    def network_bytes(self) -> int:
        """Size of the network's file."""
        return (self.folder / NETWORK).stat().st_size

    @property
    def supports_baseline(self) -> bool:
        """Whether it can be told what a person's neutral face is, see `edge.classifier.baseline`."""
        return self.features.neutral is not None

    def with_baseline(self, baseline: Baseline | None) -> Bundle:
        """The same, reading a person whose neutral face is known; None, or where it takes none: anybody."""
        vector = None if baseline is None else baseline.vector(self.features)
        return replace(self, classifier=self.classifier.with_baseline(vector))

    @property
    def metrics(self) -> dict[str, float]:
        """The headline figures of its evaluation."""
        return dict(self.manifest.provenance.metrics)


def load(folder: Path, keys: TrustedKeys | None = None) -> Bundle:
    """Read, verify and self-test a bundle.

    Args:
        folder: where it lies.
        keys: of which one must have signed it; None: no signature is needed.

    Raises:
        ConfigError: something is missing, altered, too new, not signed as asked for, or gives other answers here than
            where it was made.
        UnavailableError: it cannot be checked on this machine, since a library is missing.
    """
    manifest = verified(folder, keys)
    features = Features.load(folder / FEATURES)
    if features.contract_hash != manifest.feature_contract:
        raise refused(folder, "its features are not the ones that this version computes")
    if manifest.landmarker_sha256 != MEMBERS[LANDMARKER]:
        raise refused(folder, "it was trained on the landmarks of another face mesh")
    if manifest.inputs != features.inputs:
        raise refused(folder, f"{MANIFEST} and {FEATURES} do not agree on what it reads")
    model = network(folder / NETWORK, features, len(manifest.labels))
    classifier = Classifier(model, features, manifest.temperature)
    _self_test(folder, classifier, features.crop, len(manifest.labels))
    return Bundle(folder, manifest, features, classifier)


def verified(folder: Path, keys: TrustedKeys | None = None) -> Manifest:
    """The manifest of a bundle whose files are all as they were made; nothing of it has been run yet.

    Raises:
        ConfigError, UnavailableError: see `load`.
    """
    try:
        data = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise refused(folder, f"{MANIFEST} cannot be read ({error.strerror})") from error
    # Before anything is parsed or looked at: an interpreter may crash, or worse, on a crafted network.
    if keys is not None:
        signature.verify(folder, data, keys)
    try:
        manifest = Manifest.from_json(data)
    except InvalidError as error:
        raise refused(folder, f"{MANIFEST}: {error}") from error
    if keys is not None:
        signature.verify_expiry(folder, manifest.expires)
        signature.verify_names(folder, manifest.files)
    if manifest.inputs not in INPUTS:
        raise refused(folder, "it reads what this version does not know; update emotion-edge")
    if _version(manifest.least_edge_version) > _version(edge.__version__):
        raise refused(folder, f"it needs emotion-edge {manifest.least_edge_version} or later")
    if missing := {NETWORK, FEATURES, GOLDEN} - manifest.files.keys():
        raise refused(folder, f"{MANIFEST} does not list {', '.join(sorted(missing))}")
    signature.verify_hashes(folder, manifest.files)
    return manifest


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdecimal())


def _self_test(folder: Path, classifier: Classifier, crop: FaceCrop | None, labels: int) -> None:
    """The golden faces must give the golden probabilities with this machine's own interpreter."""
    crops = None
    try:
        with np.load(folder / GOLDEN, allow_pickle=False) as golden:
            landmarks = golden["landmarks"].astype(np.float32)
            expected = golden["probabilities"].astype(np.float32)
            if crop is not None:
                crops = golden["crops"]
    except Exception as error:
        raise refused(folder, f"{GOLDEN} is damaged ({error})") from error
    if landmarks.shape[1:] != (LANDMARKS, 3) or not np.isfinite(landmarks).all():
        raise refused(folder, f"{GOLDEN} is damaged (not all of it are landmarks)")
    if not len(landmarks) or expected.shape != (len(landmarks), labels):
        raise refused(folder, f"{GOLDEN} does not fit the labels")
    if crop is not None and (
        crops is None or crops.dtype != np.uint8 or crops.shape != (len(landmarks), crop.size, crop.size)
    ):
        raise refused(folder, f"{GOLDEN} does not hold a crop of each face")
    off = float(np.abs(classifier.probabilities(landmarks, crops) - expected).max())
    if not off <= GOLDEN_TOLERANCE:
        raise refused(folder, f"it gives other probabilities here than where it was made (off by {off:.3f})")
