from __future__ import annotations

import json

import numpy as np
import pytest

from edge.values import UNCERTAIN
from host_training.data import extract
from host_training.data.source import Pixels, Row, Source
from host_training.errors import TableError
from host_training.evaluation import scenes
from host_training.evaluation.face_range import (
    ARRIVALS,
    EMPTY_FPS,
    EMPTY_S,
    FPS,
    KEY,
    LIMIT_S,
    PICTURES,
    READ_S,
    STANDS,
    WALK_HEIGHTS,
    WALK_S,
    WALKS,
    _condition,
    _Seen,
    _stream,
    from_json,
    measure,
)
from host_training.evaluation.metrics import wilson
from host_training.evaluation.robustness import SEED
from tests.support.portraits import mesh_models, scaled

HEIGHTS = (6, 230)
"""One that no search finds, and one that every search finds."""
QUIET = np.zeros((1, 480, 640), np.int8)


@pytest.fixture(scope="module")
def pictures():
    """The demo's person, who smiles, and a picture without a face."""
    return dict(enumerate([Pixels(scaled(90, grey=True)[0]), Pixels(np.zeros((60, 60, 3), np.uint8))]))


@pytest.fixture(scope="module")
def photos(pictures, tmp_path_factory):
    rows = [Row(str(row), picture, "happiness", split="validation") for row, picture in pictures.items()]
    parts = tmp_path_factory.mktemp("parts")
    return extract.measure(Source("tiny", rows), mesh_models(), parts=parts, workers=1)[0]


@pytest.fixture(scope="module")
def found(bundle_folder, photos, pictures):
    return measure([bundle_folder], mesh_models(), photos, pictures, split="validation", heights=HEIGHTS)


def read_of(condition):
    (read,) = condition.read.values()
    return read


def test_every_height_picture_and_arrival_is_measured(found):
    assert [(c.width, c.height, c.arrival, c.face) for c in found.conditions] == [
        (*picture, arrival, face) for picture in PICTURES for arrival in ARRIVALS for face in HEIGHTS
    ]
    assert (found.rows, found.split, found.seed, found.scenes) == (2, "validation", SEED, scenes.PHOTOGRAPHS)


def test_a_large_face_is_found_and_read_and_one_without_landmarks_is_an_error(found):
    for condition in found.conditions:
        if condition.face == HEIGHTS[1] and condition.width == 640:
            assert condition.found == 0.5
            assert condition.found_interval == pytest.approx(wilson(1, 2), abs=1e-4)
            assert condition.seconds <= LIMIT_S
            assert read_of(condition).right == 0.5


def test_a_face_that_is_too_small_is_an_error(found):
    for condition in found.conditions:
        if condition.face == HEIGHTS[0]:
            assert (condition.found, condition.found_soon, condition.seconds) == (0, 0, None)
            assert (read_of(condition).right, read_of(condition).uncertain) == (0, 0)


def test_a_sample_is_always_the_same(bundle_folder, photos, pictures):
    first, again = (
        measure([bundle_folder], mesh_models(), photos, pictures, 1, split="validation", heights=HEIGHTS[1:])
        for _ in range(2)
    )

    assert first.rows == again.rows == 1
    for one, other in zip(first.conditions, again.conditions, strict=True):
        assert (one.found, one.read) == (other.found, other.read)  # how soon depends on the processor's load


def test_rows_of_other_splits_are_not_shown(bundle_folder, photos, pictures):
    with pytest.raises(TableError, match="no row of the test split"):
        measure([bundle_folder], mesh_models(), photos, pictures, heights=HEIGHTS)


def test_the_text_has_a_line_for_each_condition(found):
    page = found.text()

    assert page.startswith("2 validation faces in 2 scenes; missed faces are errors")
    for face in HEIGHTS:
        assert sum(line.startswith(f"{face:5} ") for line in page.splitlines()) == len(PICTURES) * len(ARRIVALS)


def test_it_can_be_read_from_its_json(found):
    document = json.loads(json.dumps({"rows": 1, KEY: found.as_dict()}, allow_nan=False))

    assert from_json(document) == found
    assert from_json({"rows": 1}) is None


class TestStream:
    @pytest.fixture
    def cutout(self):
        return scenes.cutout(*scaled(48, grey=True), 40)

    @pytest.fixture
    def stream(self, cutout):
        scene = np.full((480, 640), 90, np.uint8)
        return lambda *, walks, noise=QUIET: list(_stream(cutout, scene, noise, np.random.default_rng(5), walks=walks))

    @pytest.mark.parametrize("walks", [True, False])
    def test_the_face_comes_at_time_0_and_stays_until_it_must_be_read(self, stream, walks):
        frames = stream(walks=walks)

        times = np.array([frame.captured_at for frame, _ in frames])
        assert np.diff(times[times < 0]) == pytest.approx(1 / EMPTY_FPS)
        assert np.diff(times[times >= 0]) == pytest.approx(1 / FPS)
        assert times[0] == pytest.approx(-EMPTY_S)
        assert times[-1] >= LIMIT_S + READ_S - 1 / FPS
        for frame, landmarks in frames:
            assert (landmarks is None) == (frame.captured_at < 0)
            assert (frame.rgb == 90).all() == (landmarks is None)

    def test_a_face_that_stands_does_not_move(self, stream):
        places = [landmarks for _, landmarks in stream(walks=False) if landmarks is not None]

        assert all((place == places[0]).all() for place in places)

    def test_a_face_that_walks_moves_to_the_side_and_then_stands(self, stream):
        frames = [(frame.captured_at, at) for frame, at in stream(walks=True) if at is not None]
        x = np.array([at[:, 0].mean() for _, at in frames])

        assert abs(x[-1] - x[0]) == pytest.approx(WALK_HEIGHTS * 40, rel=0.05)
        assert (np.diff(x[: round(WALK_S * FPS)]) != 0).all()
        assert (x[round(WALK_S * FPS) + 1 :] == x[-1]).all()
        assert len({at[0, 1] for _, at in frames}) == 1

    def test_it_stays_in_the_picture(self, stream):
        for walks in (True, False):
            for _, at in stream(walks=walks):
                if at is not None:
                    assert at[:, :2].min() >= -1
                    assert (at[:, :2].max(axis=0) <= [641, 481]).all()

    def test_the_noise_is_that_of_a_camera(self, stream):
        noise = np.random.default_rng(1).normal(0, 3, (2, 480, 640)).round().astype(np.int8)

        first, second, third = (frame.rgb for frame, _ in stream(walks=False, noise=noise)[:3])

        assert (first == third).all()
        assert (first != second).any()
        assert first.std() == pytest.approx(3, rel=0.05)
        assert (first[:, :, 0] == first[:, :, 2]).all()


class TestFigures:
    def test_each_figure_is_of_the_faces_that_it_says(self):
        seen = [
            _Seen(0.5, ("fear",)),
            _Seen(2.5, (UNCERTAIN,)),
            _Seen(1.0, ("anger",)),
            _Seen(1.5, (None,)),
            _Seen(None, (None,)),
        ]

        condition = _condition(((640, 480), WALKS, 24), seen, ["fear"] * 5, ["mine"])

        assert (condition.found_soon, condition.found, condition.seconds) == (0.6, 0.8, 1.25)
        assert condition.found_interval == pytest.approx(wilson(4, 5), abs=1e-4)
        read = condition.read["mine"]
        assert (read.right, read.uncertain) == (0.2, 0.25)
        assert read.right_interval == pytest.approx(wilson(1, 5), abs=1e-4)

    def test_bundles_have_figures_of_their_own(self):
        condition = _condition(
            ((1280, 720), STANDS, 32), [_Seen(0.1, ("fear", "anger"))], ["anger"], ["first", "second"]
        )

        assert [read.right for read in condition.read.values()] == [0, 1]
        assert list(condition.read) == ["first", "second"]
