"""Loads a model bundle, if it is complete and gives the right answers on this machine."""

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
"""Maximum difference of a golden probability. The two interpreters may round an int8 value differently. That moves a
probability by up to 0.04 on an uncertain face, and by less than 0.01 on the golden faces, which are certain."""


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
        """The inputs of its classifier: landmarks, crop, or both."""
        return self.features.inputs

    @property
    def network_bytes(self) -> int:
        """Size of the network's file."""
        return (self.folder / NETWORK).stat().st_size

    @property
    def supports_baseline(self) -> bool:
        """Whether it accepts a neutral baseline, see `edge.classifier.baseline`."""
        return self.features.neutral is not None

    def with_baseline(self, baseline: Baseline | None) -> Bundle:
        """The same bundle with a neutral baseline; without one if that is None or the bundle accepts none."""
        vector = None if baseline is None else baseline.vector(self.features)
        return replace(self, classifier=self.classifier.with_baseline(vector))

    @property
    def metrics(self) -> dict[str, float]:
        """The headline figures of its evaluation."""
        return dict(self.manifest.provenance.metrics)


def load(folder: Path, keys: TrustedKeys | None = None) -> Bundle:
    """Read, verify and self-test a bundle.

    Args:
        folder: of the bundle.
        keys: one of them must have signed it; None: no signature is needed.

    Raises:
        ConfigError: something is missing, altered, too new or not signed as required, or the network gives other
            answers here than where it was made.
        UnavailableError: a library that the check needs is missing.
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
    """Verify the files of a bundle and return its manifest. Nothing of the bundle is run.

    Raises:
        ConfigError, UnavailableError: see `load`.
    """
    try:
        data = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise refused(folder, f"{MANIFEST} cannot be read ({error.strerror})") from error
    # Before anything is parsed: an interpreter may crash, or worse, on a crafted network.
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
    """Check that the golden faces give the golden probabilities with this machine's interpreter."""
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
