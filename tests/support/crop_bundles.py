"""Small real bundles whose classifier reads crops."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

import edge
from edge.bundle import bundle as bundles
from edge.bundle.manifest import SCHEMA
from edge.camera.demo.camera import DemoCamera
from edge.classifier.crop import FaceCrop
from edge.classifier.features import Features
from edge.classifier.network import Classifier, network
from edge.face_mesh.litert import LiteRTFaceMesh
from edge.face_mesh.models import LANDMARKER, MEMBERS
from edge.settings import CameraSettings, MeshSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.values import Face

DATA = Path(__file__).with_name("networks")
LABELS = ["neutral", "happiness", "surprise"]
CORNERS = [61, 291, 13, 14]
"""Landmarks of the mouth, which the networks in networks/ read."""
FACE_CROP = FaceCrop(48)


class Portrait(NamedTuple):
    """A picture of the demo's person."""

    rgb: np.ndarray
    face: Face


@pytest.fixture(scope="session")
def portraits(models) -> list[Portrait]:
    """Pictures of the demo's person with different expressions, and their faces."""
    camera, mesh = DemoCamera(CameraSettings(width=640, height=480)), LiteRTFaceMesh(MeshSettings(), models)
    pictures = [camera.draw(second) for second in (1.0, 5.0, 9.0, 14.0)]
    return [Portrait(rgb, *mesh.still(rgb)) for rgb in pictures]


@pytest.fixture(scope="session")
def crop_features(landmark_bundle) -> Callable[[str], Features]:
    """The feature contract of a network in networks/: with landmarks, a crop, or both."""
    with np.load(landmark_bundle / bundles.GOLDEN) as golden:
        faces = golden["landmarks"]

    def features(name: str) -> Features:
        points = CORNERS if "landmarks" in name else []
        return Features.fit(faces, np.array(points, np.intp), FACE_CROP if "crop" in name else None)

    return features


@pytest.fixture
def crop_bundle(portraits, crop_features, tmp_path) -> Callable[[str], Path]:
    """Make a bundle of a network in networks/, as the training kit does; returns its folder."""

    def make(name: str) -> Path:
        folder = tmp_path / "bundles" / name
        folder.mkdir(parents=True)
        features = crop_features(name)
        (folder / bundles.NETWORK).write_bytes((DATA / f"{name}.tflite").read_bytes())
        features.save(folder / bundles.FEATURES)
        landmarks = np.array([face.landmarks for _, face in portraits])
        crops = np.array([FACE_CROP(rgb, face.landmarks) for rgb, face in portraits])
        classifier = Classifier(network(folder / bundles.NETWORK, features, len(LABELS)), features, 1.0)
        probabilities = classifier.probabilities(landmarks, crops)
        np.savez(folder / bundles.GOLDEN, landmarks=landmarks, crops=crops, probabilities=probabilities)
        manifest = {
            "schema": SCHEMA,
            "id": name,
            "counter": 1,
            "labels": LABELS,
            "inputs": list(features.inputs),
            "temperature": 1.0,
            "feature_contract": features.contract_hash,
            "landmarker_sha256": MEMBERS[LANDMARKER],
            "least_edge_version": edge.__version__,
            "files": {
                file: hashlib.sha256((folder / file).read_bytes()).hexdigest()
                for file in (bundles.NETWORK, bundles.FEATURES, bundles.GOLDEN)
            },
            "provenance": {"metrics": {"accuracy": 0.5, "macro_f1": 0.25}},
        }
        (folder / bundles.MANIFEST).write_text(json.dumps(manifest))
        return folder

    return make
