from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.classifier.features import Features
from edge.classifier.network import LEFT_IRIS, RIGHT_IRIS
from host_training.data.conditions import eye_distance, frontality_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEATURES = Path(__file__).parents[3] / "model" / "fused" / "features.npz"


def test_a_turned_face_is_found_to_be_turned(faces: NDArray[np.float32]):
    features = Features.load(FEATURES)
    angle = np.radians(40)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    frontal = faces[[np.argmax(frontality_of(features, faces))]]

    turned = frontality_of(features, (frontal @ turn.T).astype(np.float32))

    before = np.degrees(np.arccos(frontality_of(features, frontal)))
    assert before < 10
    assert np.degrees(np.arccos(turned)) == pytest.approx(40, abs=before[0])


def test_a_face_that_turns_away_is_no_smaller():
    landmarks = np.zeros((1, 478, 3), np.float32)
    landmarks[0, LEFT_IRIS], landmarks[0, RIGHT_IRIS] = (3, 5, 10), (33, 5, -30)

    assert eye_distance(landmarks) == pytest.approx([50])
