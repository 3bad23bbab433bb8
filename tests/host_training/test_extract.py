from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

import edge
from edge.errors import ConfigError
from edge.mesh_models import cache_folder, find
from host_training.extract import Source, measure
from host_training.votes import COLUMNS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.mesh_models import MeshModels
    from host_training.keypoints import Table

PORTRAIT = Path(edge.__file__).parent / "assets" / "demo-portrait.jpg"


@pytest.fixture(scope="module")
def models():
    try:
        return find([cache_folder()])
    except ConfigError as error:
        pytest.skip(f"needs the face mesh models: {error}")


@pytest.fixture(scope="module")
def portrait(models: MeshModels):
    """A square round the face of the picture that ships with the demo, uint8[S, S, 3]."""
    from edge.face_mesh import open_face_mesh
    from edge.settings import MeshSettings

    picture = cv2.cvtColor(cv2.imread(str(PORTRAIT)), cv2.COLOR_BGR2RGB)
    face = open_face_mesh(MeshSettings(max_faces=1), models).still(picture)[0]
    low, high = face.landmarks[:, :2].min(axis=0), face.landmarks[:, :2].max(axis=0)
    half = 0.6 * (high - low).max()
    x0, y0 = np.maximum((low + high) / 2 - half, 0).astype(int)
    return picture[y0 : y0 + int(2 * half), x0 : x0 + int(2 * half)]


@pytest.fixture
def rows(portrait: NDArray[np.uint8], models: MeshModels):
    small = cv2.cvtColor(cv2.resize(portrait, (48, 48), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    source = Source(
        name="tiny",
        pictures=[small, np.zeros_like(small), cv2.cvtColor(small, cv2.COLOR_GRAY2RGB)],
        votes=np.zeros((3, len(COLUMNS)), np.uint8),
        split=np.array(["train", "train", "test"]),
        group=np.array([4, -1, 4], np.int32),
        row=np.array([0, 5, 9], np.int32),
    )
    return measure(source, models, workers=1)


def test_a_face_of_48_px_is_found_and_a_black_picture_is_not(rows: Table):
    assert rows.found.tolist() == [True, False, True]
    assert rows.presence[0] > 0.5
    assert rows.presence[1] == 0


def test_landmarks_are_in_pixels_of_the_small_picture(rows: Table):
    eyes, chin = rows.landmarks[0, [468, 473]], rows.landmarks[0, 152]

    assert ((rows.landmarks[0, :, :2] > -5) & (rows.landmarks[0, :, :2] < 53)).all()
    assert eyes[0, 0] < 24 < eyes[1, 0]
    assert eyes[:, 1].max() < 24 < chin[1]


def test_rows_keep_their_order_and_carry_their_source(rows: Table):
    assert rows.source.tolist() == ["tiny/0", "tiny/5", "tiny/9"]
    assert rows.split.tolist() == ["train", "train", "test"]


def test_a_grey_picture_and_the_same_in_colour_are_measured_alike(rows: Table):
    np.testing.assert_array_equal(rows.landmarks[0], rows.landmarks[2])
