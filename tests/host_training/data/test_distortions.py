from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_training.data.distortions import (
    BRIGHT_STOPS,
    DARK_STOPS,
    DISTORTIONS,
    GAMMA,
    JPEG_QUALITY,
    MOTION,
    NOISE,
    RESOLUTIONS,
    STRAY_SHARE,
    TRAINING,
    augmented,
    distorted,
)
from tests.support.portraits import scaled

KEEPING = [kind for kind in DISTORTIONS if kind not in {f"resolution-{size}" for size in RESOLUTIONS}]
BY_CHANCE = ["dark", "motion", "noise", "covered-mouth", "covered-eye", "covered-side"]
IRISES, MOUTH = [468, 473], [61, 291]


@pytest.fixture(params=[48, 400])
def height(request):
    """The face's height in px: that of FER2013, and that in a photograph."""
    return request.param


@pytest.fixture
def face(height):
    """A photograph in colours, and its landmarks."""
    return scaled(height)


def inside(picture, landmarks):
    """float[h, w]: the luminance of the box of the landmarks."""
    low, high = landmarks[:, :2].min(axis=0).astype(int), landmarks[:, :2].max(axis=0).astype(int)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if picture.ndim == 3 else picture
    return grey[low[1] : high[1], low[0] : high[0]].astype(float)


def detail(picture, landmarks):
    """Variance of the Laplacian of the face, at 48 px."""
    part = inside(picture, landmarks)
    scale = 48 / part.shape[0]
    if scale < 1:
        part = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return cv2.Laplacian(part, cv2.CV_64F).var()


def values_at(picture, landmarks, points):
    """The mean value round each of some landmarks."""
    places = landmarks[points, :2].round().astype(int)
    return np.array([picture[y - 1 : y + 2, x - 1 : x + 2].mean() for x, y in places])


@pytest.mark.parametrize("kind", DISTORTIONS)
@pytest.mark.parametrize("grey", [True, False])
def test_a_picture_stays_one_of_its_kind_and_the_original_stays_as_it_is(kind, grey):
    picture, landmarks = scaled(100, grey=grey)
    before = picture.copy()

    after, scale = distorted(kind, picture, landmarks, "tiny/1")

    assert after.dtype == np.uint8
    assert after.shape[2:] == picture.shape[2:]
    assert after.shape[:2] == tuple(round(length * scale) for length in picture.shape[:2])
    assert after.shape != before.shape or (after != before).any()
    np.testing.assert_array_equal(picture, before)


@pytest.mark.parametrize("kind", DISTORTIONS)
def test_a_row_is_always_distorted_in_the_same_way(kind, face):
    picture, landmarks = face
    first, again, other = (distorted(kind, picture, landmarks, row)[0] for row in ("tiny/1", "tiny/1", "tiny/2"))

    np.testing.assert_array_equal(first, again)
    assert np.array_equal(first, other) == (kind not in BY_CHANCE)


@pytest.mark.parametrize("kind", DISTORTIONS)
def test_every_distortion_has_a_one_line_summary(kind):
    assert 10 < len(DISTORTIONS[kind].summary) < 80
    assert "\n" not in DISTORTIONS[kind].summary


def test_dark_leaves_few_values_and_noise_in_them(face):
    picture, landmarks = face
    after, _ = distorted("dark", picture, landmarks, "tiny/1")

    left = 2 ** (-DARK_STOPS / GAMMA)
    assert inside(after, landmarks).mean() == pytest.approx(left * inside(picture, landmarks).mean(), rel=0.05)
    assert after.max(axis=None) < 255 * left + 20
    assert detail(after, landmarks) > 1.5 * detail(picture, landmarks) * left**2


def test_bright_cuts_off_at_white(face):
    picture, landmarks = face
    after, _ = distorted("bright", picture, landmarks, "tiny/1")

    raised = np.minimum(255, picture * 2 ** (BRIGHT_STOPS / GAMMA))
    assert np.abs(after - raised).max() <= 1
    assert (after == 255).mean() > 2 * (picture == 255).mean()


def test_low_contrast_narrows_the_range(face):
    picture, landmarks = face
    after, _ = distorted("low-contrast", picture, landmarks, "tiny/1")

    assert inside(after, landmarks).std() == pytest.approx(
        (1 - STRAY_SHARE) * inside(picture, landmarks).std(), rel=0.05
    )


@pytest.mark.parametrize("kind", ["blur", "motion", "resolution-20"])
def test_detail_goes_and_brightness_stays(kind, face):
    picture, landmarks = face
    after, scale = distorted(kind, picture, landmarks, "tiny/1")
    if scale < 1:
        after = np.asarray(cv2.resize(after, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8)

    assert detail(after, landmarks) < 0.5 * detail(picture, landmarks)
    assert inside(after, landmarks).mean() == pytest.approx(inside(picture, landmarks).mean(), rel=0.05)


@pytest.mark.parametrize("row", ["tiny/1", "tiny/2", "tiny/3"])
def test_motion_makes_a_line_of_a_dot(row, height):
    _, landmarks = scaled(height)
    dot = np.zeros((201, 201), np.uint8)
    dot[100, 100] = 255

    after, _ = distorted("motion", dot, landmarks, row)

    lit = np.argwhere(after > 0) - 100.0
    along, across = np.linalg.svd(lit, full_matrices=False)[2]
    assert np.ptp(lit @ along) == pytest.approx(MOTION * height, abs=2)
    assert np.ptp(lit @ across) <= 2


def test_noise_has_its_strength_in_a_face_of_48_px_whatever_the_size_of_the_picture(height):
    _, landmarks = scaled(height)
    flat = np.full((4 * height, 4 * height, 3), 128, np.uint8)

    after, _ = distorted("noise", flat, landmarks, "tiny/1")

    # Between the grains the noise is interpolated, and so a little weaker.
    assert after.std(axis=None) == pytest.approx(NOISE, rel=0.3)
    assert not np.ptp(after, axis=2).any()  # the brightness alone


def test_jpeg_does_to_a_small_face_what_jpeg_does():
    picture, landmarks = scaled(48, grey=True)
    after, _ = distorted("jpeg", picture, landmarks, "tiny/1")

    coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    np.testing.assert_array_equal(after, cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))


def test_jpeg_keeps_colours_in_their_places(face):
    picture, landmarks = face
    after, _ = distorted("jpeg", picture, landmarks, "tiny/1")

    for channel in range(3):
        assert after[..., channel].mean() == pytest.approx(picture[..., channel].mean(), abs=5)


@pytest.mark.parametrize("kind", ["bright", "low-contrast", "blur", "jpeg"])
def test_strength_does_not_depend_on_the_size_of_the_picture(kind):
    large, landmarks = scaled(480, grey=True)
    small = np.asarray(cv2.resize(large, None, fx=0.1, fy=0.1, interpolation=cv2.INTER_AREA), np.uint8)
    points = landmarks / np.float32(10)
    points[:, :2] -= 0.45

    of_large = cv2.resize(
        distorted(kind, large, landmarks, "tiny/1")[0], small.shape[::-1], interpolation=cv2.INTER_AREA
    )
    of_small = distorted(kind, small, points, "tiny/1")[0]

    change = np.abs(of_small.astype(float) - small).mean()
    assert np.abs(of_small.astype(float) - of_large).mean() < 0.5 * change


@pytest.mark.parametrize("size", RESOLUTIONS)
def test_a_face_of_low_resolution_has_its_px_and_landmarks_follow(size, height):
    _, landmarks = scaled(height)
    picture = np.zeros((2 * height, 2 * height), np.uint8)
    x, y = landmarks[IRISES[0], :2].round().astype(int).tolist()
    cv2.circle(picture, (x, y), height // 10, 255, -1)

    after, scale = distorted(f"resolution-{size}", picture, landmarks, "tiny/1")

    assert scale == pytest.approx(min(1, size / height), rel=1e-3)
    rows, columns = np.indices(after.shape)
    middle = np.array([np.average(columns, weights=after), np.average(rows, weights=after)])
    np.testing.assert_allclose(middle, (np.array([x, y]) + 0.5) * scale - 0.5, atol=0.15)


def test_a_face_that_is_small_already_stays_as_it_is():
    picture, landmarks = scaled(48)

    after, scale = distorted("resolution-60", picture, landmarks, "tiny/1")

    assert scale == 1
    np.testing.assert_array_equal(after, picture)


@pytest.mark.parametrize("degrees", [0, 50, -90])
@pytest.mark.parametrize("row", ["tiny/1", "tiny/2", "tiny/3", "tiny/4"])
@pytest.mark.parametrize("colours", [(), (3,)])
def test_a_hand_covers_what_it_is_said_to(degrees, row, colours, height):
    _, landmarks = scaled(height)
    turn = cv2.getRotationMatrix2D((0, 0), degrees, 1)[:, :2].astype(np.float32)
    landmarks[:, :2] = (landmarks[:, :2] - landmarks[:, :2].mean(axis=0)) @ turn.T + 2 * height
    white = np.full((4 * height, 4 * height, *colours), 255, np.uint8)

    def covers(part):
        after, _ = distorted(f"covered-{part}", white, landmarks, row)
        return [(values_at(after, landmarks, points) < 250).tolist() for points in (IRISES, MOUTH)]

    assert covers("mouth") == [[False, False], [True, True]]
    eyes, mouth = covers("eye")
    assert (sorted(eyes), mouth) == ([False, True], [False, False])
    eyes, mouth = covers("side")
    assert sorted(mouth) == [False, True]
    assert eyes in ([False, False], mouth)


class TestAugmented:
    def test_shape_and_original_stay_and_about_a_third_of_the_pictures_are_left_alone(self):
        picture, landmarks = scaled(48, grey=True)
        before, rng = picture.copy(), np.random.default_rng(0)

        many = [augmented(picture, landmarks, rng) for _ in range(400)]

        assert {each.shape for each in many} == {picture.shape}
        assert 0.2 < np.mean([np.array_equal(each, before) for each in many]) < 0.45
        np.testing.assert_array_equal(picture, before)

    def test_the_generator_decides(self, face):
        def drawn(seed):
            rng = np.random.default_rng(seed)
            picture, landmarks = face
            return [augmented(picture, landmarks, rng) for _ in range(12)]

        assert all(map(np.array_equal, drawn(1), drawn(1)))
        assert not all(map(np.array_equal, drawn(1), drawn(2)))

    def test_strength_counts_and_without_any_nothing_happens(self):
        picture, landmarks = scaled(48)

        def change(strength):
            rng = np.random.default_rng(0)
            drawn = [augmented(picture, landmarks, rng, strength).astype(float) for _ in range(40)]
            return np.mean([np.abs(each - picture).mean() for each in drawn])

        assert change(0) == 0
        assert change(0.3) < 0.7 * change(1)

    @pytest.mark.parametrize("place", range(len(TRAINING)))
    def test_every_kind_works_at_every_severity(self, place, face):
        picture, landmarks = face
        changes = []
        for severity in (0.0, 0.01, 0.5, 1.0):
            after = TRAINING[place][0](picture, landmarks, np.random.default_rng(3), severity)
            assert after.shape == picture.shape
            changes.append(np.abs(after.astype(float) - picture).mean())

        assert changes[0] == 0
        assert changes[1] <= changes[2] <= changes[3]
        assert changes[3] > 0.1

    @given(
        st.lists(st.floats(-200, 200, width=32), min_size=6, max_size=6),
        st.integers(1, 40),
        st.integers(1, 40),
        st.integers(0, 99),
    )
    def test_any_face_in_any_picture_gives_a_picture(self, corners, rows, columns, seed):
        landmarks = np.resize(np.array(corners, np.float32), (478, 3))
        rng = np.random.default_rng(seed)
        picture = rng.integers(0, 256, (rows, columns), np.uint8)

        assert augmented(picture, landmarks, rng).shape == picture.shape
        for kind in KEEPING:
            assert distorted(kind, picture, landmarks, str(seed))[0].shape == picture.shape
