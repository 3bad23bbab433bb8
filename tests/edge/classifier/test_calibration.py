"""Of some seconds of a face only those frames are averaged on which it is at rest; too few of them are refused."""

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
    """What the frames of five seconds give."""
    calibration = Calibration(BUNDLE.features, MIN_QUALITY)
    for i, frame in enumerate(frames):
        assert calibration.step(frame, 100.0 + i / fps) is None
    found = calibration.step([], 100.0 + CALIBRATION_S)
    assert found is not None
    return found


def refused(frames: Sequence[Seen | None], fps: float = FPS) -> str:
    with pytest.raises(EdgeError) as error:
        measured(frames, fps)
    assert str(error.value).isprintable()
    return str(error.value)


@pytest.fixture(scope="module")
def play(models) -> Callable[[Callable[[float], Expression]], list[Seen]]:
    """What the mesh finds of the demo's person, who stays where it is and shows expressions by the second."""
    camera = DemoCamera(CameraSettings(width=640, height=480))

    def five_seconds(expression: Callable[[float], Expression]) -> list[Seen]:
        mesh = LiteRTFaceMesh(MeshSettings(), models)
        frames = []
        for i in range(FRAMES):
            # The first second of the demo, to and fro: it breathes, and goes nowhere.
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


def test_a_face_at_rest_is_taken_whole(still):
    assert len(measured(still)) >= FRAMES - 2  # the mesh may need a frame or two until it has settled


def test_it_is_over_after_five_seconds_of_any_frame_rate(still):
    face = still[10]
    for fps in (2.0, 6.0, 60.0):
        assert len(measured([face] * round(fps * CALIBRATION_S), fps)) == round(fps * CALIBRATION_S)


def test_closed_eyes_are_left_out(still):
    lids = {159: 145, 158: 153, 160: 144, 157: 154, 161: 163, 386: 374, 385: 380, 387: 373, 384: 381, 388: 390}
    lids |= {27: 145, 28: 153, 29: 144, 257: 374, 258: 380, 259: 373, 173: 155, 398: 382, 246: 7, 466: 249}
    frames = list(still)
    for i in (20, 21, 22, 50, 51):
        landmarks = still[i][0][0].landmarks.copy()
        landmarks[list(lids)] = landmarks[list(lids.values())]
        frames[i] = [seen(landmarks)]
    assert len(measured(frames)) == len(measured(still)) - 5


def test_a_second_of_a_smile_is_left_out_and_two_are_refused(still, smile):
    once = [*still[:30], *smile[30:45], *still[45:]]
    assert len(measured(once)) == pytest.approx(FRAMES - 15, abs=2)
    twice = [*still[:15], *smile[15:30], *still[30:45], *smile[45:60], *still[60:]]
    assert "keep a relaxed face" in refused(twice)


def test_who_speaks_all_the_time_is_refused(play):
    def vowel(second: float) -> Expression:
        return Expression(relax=1.8, close=0, corners_down=0.55, jaw_drop=1.0) if second % 0.6 > 0.3 else NEUTRAL

    assert "without speaking" in refused(play(vowel))


@pytest.mark.parametrize("start", [0, 4, 11])
def test_the_demo_never_rests_for_so_long(demo_readings, start):
    first = round(start * FPS)
    frames = [[seen(face.landmarks) for face in faces] for _, faces, _ in demo_readings[first : first + FRAMES]]
    assert "keep a relaxed face" in refused(frames)


def test_a_real_face_that_begins_to_smile_is_refused(models, media):
    camera = VideoCamera(media("single_face.mp4"), CameraSettings(), pace=False)
    mesh, frames = LiteRTFaceMesh(MeshSettings(), models), []
    with contextlib.suppress(EndOfStreamError):
        while frame := camera.read(1.0):
            frames.append([seen(face.landmarks) for face in mesh.process(frame)])
    assert "keep a relaxed face" in refused(frames, len(frames) / CALIBRATION_S)


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
def test_frames_that_say_nothing_are_left_out_and_too_many_of_them_refused(still, spoil, advice):
    whole = measured(still)
    few, many = list(still), list(still)
    few[40:55] = [spoil(face) for face in still[40:55]]
    many[40:65] = [spoil(face) for face in still[40:65]]
    assert len(measured(few)) == len(whole) - 15
    message = refused(many)
    assert advice in message
    assert f"of {FRAMES} frames can be used, 25 are spoilt" in message


def test_a_quality_that_is_no_number_is_none(still):
    assert "come nearer" in refused([[seen(face[0].landmarks, quality=float("nan"))] for (face,) in still])


def test_the_nearest_face_counts(still):
    behind = [[*face, seen(face[0][0].landmarks * 0.5, track=2)] for face in still]
    np.testing.assert_array_equal(measured(behind), measured(still))


def test_another_face_ends_it_at_once(still):
    calibration = Calibration(BUNDLE.features, MIN_QUALITY)
    assert calibration.step(still[10], 1.0) is None
    with pytest.raises(EdgeError, match="another came nearer"):
        calibration.step([*still[10], seen(still[10][0][0].landmarks * 2, track=2)], 1.1)


def test_without_a_face_or_a_camera_it_is_refused(still):
    assert "no face was seen" in refused([[] for _ in range(FRAMES)])
    assert "the camera gave no frame in 5 s" in refused([None] * FRAMES)
    assert "the camera gave 5 frames in 5 s, and 10 are needed" in refused([still[10]] * 5, 1.0)


def test_a_camera_that_is_silent_for_a_while_spoils_nothing(still):
    assert len(measured([*still[:30], *[None] * 5, *still[35:]])) == len(measured(still)) - 5


frames = st.sampled_from(["still", "smile", "far", "aside", "away", "silent", "other"])


@settings(max_examples=100, deadline=None)
@given(what=st.lists(frames, min_size=1, max_size=120))
def test_whatever_happens_it_ends_with_some_of_the_frames_or_one_line(still, smile, what):
    looks: dict[str, Seen | None] = {"still": still[10], "smile": smile[10], "far": far(still[10]), "silent": None}
    looks |= {"aside": aside(still[10]), "away": [], "other": [seen(smile[10][0][0].landmarks, track=7)]}
    with contextlib.suppress(EdgeError):
        found = measured([looks[each] for each in what], fps=30.0)
        assert "other" not in what or set(what) <= {"other", "away", "silent"}
        assert 0.7 * sum(each != "silent" for each in what) <= len(found) <= len(what)
