"""Calibration averages the frames on which a face is at rest, and fails if there are too few."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.bundle import bundle as bundles
from edge.camera.demo.camera import DemoCamera
from edge.camera.demo.face import Expression
from edge.camera.demo.script import HAPPY, NEUTRAL, pose_at
from edge.camera.video import VideoCamera
from edge.classifier.calibration import CALIBRATION_S, Calibration
from edge.errors import EdgeError, EndOfStreamError
from edge.face_mesh.litert import LiteRTFaceMesh
from edge.settings import CameraSettings, MeshSettings
from edge.values import Face, Frame, Reading, bounding_box
from tests.support.released import LANDMARK_BUNDLE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

BUNDLE = bundles.load(LANDMARK_BUNDLE)
FPS = 15.0
FRAMES = round(FPS * CALIBRATION_S)
MIN_QUALITY = 0.25

Seen = list[tuple[Face, Reading]]


def seen(landmarks: NDArray[np.float32], *, track: int = 1, quality: float = 0.9) -> tuple[Face, Reading]:
    face = Face(track, landmarks.astype(np.float32), 1.0)
    return face, Reading(track, np.zeros(8, np.float32), quality, bounding_box(face.landmarks))


def measured(frames: Sequence[Seen | None], fps: float = FPS) -> NDArray[np.float32]:
    """Landmarks of the frames that a calibration of five seconds uses."""
    calibration = Calibration(BUNDLE.features, MIN_QUALITY)
    for i, frame in enumerate(frames):
        assert calibration.step(frame, 100.0 + i / fps) is None
    found = calibration.step([], 100.0 + CALIBRATION_S)
    assert found is not None
    return found


def error_of(frames: Sequence[Seen | None], fps: float = FPS) -> str:
    with pytest.raises(EdgeError) as error:
        measured(frames, fps)
    assert str(error.value).isprintable()
    return str(error.value)


@pytest.fixture(scope="module")
def play(models) -> Callable[[Callable[[float], Expression]], list[Seen]]:
    """Faces of the demo's person, who stays in place and shows an expression as a function of the time, s."""
    camera = DemoCamera(CameraSettings(width=640, height=480))

    def five_seconds(expression: Callable[[float], Expression]) -> list[Seen]:
        mesh = LiteRTFaceMesh(MeshSettings(), models)
        frames = []
        for i in range(FRAMES):
            # The first second of the demo forwards and backwards: the person breathes but doesn't move.
            picture = camera._portrait.draw(pose_at(abs((i / FPS) % 2 - 1)), expression(i / FPS))
            frames.append([seen(face.landmarks, track=face.track_id) for face in mesh.process(Frame(picture, i / FPS))])
        return frames

    return five_seconds


@pytest.fixture(scope="module")
def still(play) -> list[Seen]:
    return play(lambda _: NEUTRAL)


@pytest.fixture(scope="module")
def smile(play) -> list[Seen]:
    return play(lambda _: HAPPY)


def test_all_frames_of_a_face_at_rest_are_used(still):
    assert len(measured(still)) >= FRAMES - 2  # the mesh may need a frame or two to settle


def test_it_takes_five_seconds_at_any_frame_rate(still):
    face = still[10]
    for fps in (2.0, 6.0, 60.0):
        assert len(measured([face] * round(fps * CALIBRATION_S), fps)) == round(fps * CALIBRATION_S)


def test_frames_with_closed_eyes_are_ignored(still):
    lids = {159: 145, 158: 153, 160: 144, 157: 154, 161: 163, 386: 374, 385: 380, 387: 373, 384: 381, 388: 390}
    lids |= {27: 145, 28: 153, 29: 144, 257: 374, 258: 380, 259: 373, 173: 155, 398: 382, 246: 7, 466: 249}
    frames = list(still)
    for i in (20, 21, 22, 50, 51):
        landmarks = still[i][0][0].landmarks.copy()
        landmarks[list(lids)] = landmarks[list(lids.values())]
        frames[i] = [seen(landmarks)]
    assert len(measured(frames)) == len(measured(still)) - 5


def test_a_second_of_a_smile_is_ignored_and_two_are_an_error(still, smile):
    once = [*still[:30], *smile[30:45], *still[45:]]
    assert len(measured(once)) == pytest.approx(FRAMES - 15, abs=2)
    twice = [*still[:15], *smile[15:30], *still[30:45], *smile[45:60], *still[60:]]
    assert "keep a relaxed face" in error_of(twice)


def test_constant_speaking_is_an_error(play):
    def vowel(second: float) -> Expression:
        return Expression(relax=1.8, close=0, corners_down=0.55, jaw_drop=1.0) if second % 0.6 > 0.3 else NEUTRAL

    assert "without speaking" in error_of(play(vowel))


@pytest.mark.parametrize("start", [0, 4, 11])
def test_the_demo_never_rests_long_enough(demo_readings, start):
    first = round(start * FPS)
    frames = [[seen(face.landmarks) for face in faces] for _, faces, _ in demo_readings[first : first + FRAMES]]
    assert "keep a relaxed face" in error_of(frames)


@pytest.mark.parametrize("clip", ["smile.avi", "single_face.mp4"])
def test_a_face_that_begins_to_smile_is_an_error(models, media, clip):
    camera = VideoCamera(media(clip), CameraSettings(), pace=False)
    mesh, frames = LiteRTFaceMesh(MeshSettings(), models), []
    with contextlib.suppress(EndOfStreamError):
        while frame := camera.read(1.0):
            frames.append([seen(face.landmarks) for face in mesh.process(frame)])
    assert "keep a relaxed face" in error_of(frames, len(frames) / CALIBRATION_S)


def far(face: Seen) -> Seen:
    return [seen(face[0][0].landmarks, quality=0.2)]


def aside(face: Seen) -> Seen:
    """Turned by 30 degrees."""
    turn = np.array([[0.866, 0, 0.5], [0, 1, 0], [-0.5, 0, 0.866]])
    return [seen(face[0][0].landmarks @ turn)]


def away(_: Seen) -> Seen:
    return []


@pytest.mark.parametrize(
    ("spoil", "advice"), [(far, "come nearer, into more light"), (aside, "face the camera"), (away, "stay in view")]
)
def test_unusable_frames_are_ignored_and_too_many_are_an_error(still, spoil, advice):
    whole = measured(still)
    few, many = list(still), list(still)
    few[40:55] = [spoil(face) for face in still[40:55]]
    many[40:65] = [spoil(face) for face in still[40:65]]
    assert len(measured(few)) == len(whole) - 15
    message = error_of(many)
    assert advice in message
    assert f"of {FRAMES} frames can be used, 25 are spoilt" in message


def test_a_quality_of_nan_is_unusable(still):
    assert "come nearer" in error_of([[seen(face[0].landmarks, quality=float("nan"))] for (face,) in still])


def test_the_nearest_face_counts(still):
    behind = [[*face, seen(face[0][0].landmarks * 0.5, track=2)] for face in still]
    np.testing.assert_array_equal(measured(behind), measured(still))


def test_a_nearer_face_ends_it_at_once(still):
    calibration = Calibration(BUNDLE.features, MIN_QUALITY)
    assert calibration.step(still[10], 1.0) is None
    with pytest.raises(EdgeError, match="another came nearer"):
        calibration.step([*still[10], seen(still[10][0][0].landmarks * 2, track=2)], 1.1)


def test_without_faces_or_frames_it_is_an_error(still):
    assert "no face was seen" in error_of([[] for _ in range(FRAMES)])
    assert "the camera gave no frame in 5 s" in error_of([None] * FRAMES)
    assert "the camera gave 5 frames in 5 s, and 10 are needed" in error_of([still[10]] * 5, 1.0)


def test_missing_frames_are_ignored(still):
    assert len(measured([*still[:30], *[None] * 5, *still[35:]])) == len(measured(still)) - 5


frames = st.sampled_from(["still", "smile", "far", "aside", "away", "silent", "other"])


@settings(max_examples=100, deadline=None)
@given(what=st.lists(frames, min_size=1, max_size=120))
def test_any_sequence_gives_some_of_its_frames_or_an_error(still, smile, what):
    choices: dict[str, Seen | None] = {"still": still[10], "smile": smile[10], "far": far(still[10]), "silent": None}
    choices |= {"aside": aside(still[10]), "away": [], "other": [seen(smile[10][0][0].landmarks, track=7)]}
    with contextlib.suppress(EdgeError):
        found = measured([choices[each] for each in what], fps=30.0)
        assert "other" not in what or set(what) <= {"other", "away", "silent"}
        assert 0.7 * sum(each != "silent" for each in what) <= len(found) <= len(what)
