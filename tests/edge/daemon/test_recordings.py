"""The released recordings, and `emotion-edge record`."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.bundle import bundle as bundles
from edge.camera.demo.camera import DemoCamera
from edge.camera.recording import RecordingCamera
from edge.camera.recording_file import RecordingReader
from edge.errors import DataError, EndOfStreamError, NoInputError
from edge.expression import ExpressionMachine
from edge.face_mesh.distance import place_of
from edge.face_mesh.models import LANDMARKER, MEMBERS
from edge.settings import CameraSettings, Settings
from tests.support.broker import Listener, until

pytest_plugins = ["tests.support.broker"]

REPOSITORY = Path(__file__).parents[3]
RECORDINGS = REPOSITORY / "model" / "recordings"
EXPRESSIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
NO_BROKER = "mqtt://127.0.0.1:9"


def path(expression: str) -> Path:
    return RECORDINGS / f"{expression}.landmarks"


def expected_events(expression: str) -> list[tuple[str, str | None]]:
    """The events of a released recording: neutral, the expression, neutral, end."""
    between = [] if expression == "neutral" else [("update", expression), ("update", "neutral")]
    return [("new", "neutral"), *between, ("end", None)]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "edge", *map(str, arguments)]


def emotion_edge(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=120, check=False, cwd=REPOSITORY)


@pytest.fixture
def start():
    """Start commands that end with the test."""
    running: list[subprocess.Popen] = []

    def run(*arguments: object) -> subprocess.Popen:
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        running.append(subprocess.Popen(command(*arguments), text=True, cwd=REPOSITORY, **pipes))
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.communicate()


def error_of(done: subprocess.CompletedProcess, status: int) -> str:
    """The single line of an error."""
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("emotion-edge: ")]
    return line


@pytest.fixture(scope="module")
def demo_pictures(tmp_path_factory) -> Path:
    """A folder with two pictures of the demo's person, smiling, 320x240 px."""
    folder = tmp_path_factory.mktemp("pictures")
    demo = DemoCamera(CameraSettings(width=320, height=240))
    for i in range(2):
        cv2.imwrite(str(folder / f"{i}.png"), demo.draw(1 + i / 10)[:, :, ::-1])
    return folder


@pytest.fixture(scope="module")
def empty_room(tmp_path_factory) -> Path:
    """A folder with a picture without a face."""
    folder = tmp_path_factory.mktemp("empty-room")
    cv2.imwrite(str(folder / "wall.png"), np.full((240, 320, 3), 128, np.uint8))
    return folder


def test_there_is_a_recording_of_each_expression(landmark_bundle):
    labels = bundles.load(landmark_bundle).labels
    assert sorted(labels) == sorted(EXPRESSIONS) == sorted(file.stem for file in RECORDINGS.glob("*.landmarks"))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_each_recording_gives_the_expected_events(landmark_bundle, expression):
    bundle = bundles.load(landmark_bundle)
    machine = ExpressionMachine(bundle.labels, Settings().expression)
    changes = []
    with contextlib.closing(RecordingCamera(path(expression), pace=False)) as camera:
        assert camera.header.mesh_sha256 == MEMBERS[LANDMARKER]
        with contextlib.suppress(EndOfStreamError):
            while frame := camera.read(0.0):
                changes += machine.step(bundle.classifier.read(frame.faces, frame.rgb), frame.captured_at)
    assert [(change.kind, change.expression) for change in changes] == expected_events(expression)
    assert machine.shown() == (), "the face ends before the recording"


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_recorded_face_is_in_the_frame_and_moves_naturally(expression):
    reader = RecordingReader(path(expression))
    faces = [frame.faces[0].landmarks for frame in reader if frame.faces]
    assert all((points[:, :2] > 0).all() for points in faces)
    assert all((points[:, :2] < (reader.header.width, reader.header.height)).all() for points in faces)
    steps = np.abs(np.diff(faces, axis=0)[:, :, :2]).max(axis=(1, 2))
    assert (steps > 0).all(), "it is never completely still"
    assert (steps < 20).all(), "it does not jump"


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize(
    "expressions", [("neutral", "contempt"), pytest.param(EXPRESSIONS, marks=pytest.mark.nightly, id="all")]
)
def test_devices_that_play_them_publish_the_expected_events(start, broker, tmp_path, expressions):
    daemons = {}
    with Listener(broker.port, "emotion/#") as listener:
        for name in expressions:
            config = tmp_path / f"{name}.toml"
            config.write_text(f'[device]\nname = "{name}"\n')
            daemons[name] = start(
                "run", "--config", config, "--camera", f"recording:{path(name)}", "--mqtt", broker.url
            )
        errors = {name: daemon.communicate(timeout=300)[1] for name, daemon in daemons.items()}
        for name in expressions:
            until(lambda name=name: listener.payloads(f"{name}/availability")[-1:] == ["offline"], f"{name} is offline")
    assert {name: daemon.returncode for name, daemon in daemons.items()} == dict.fromkeys(expressions, 0), errors
    for name in expressions:
        events = listener.payloads(f"{name}/event")
        published = [(event["type"], None if event["type"] == "end" else event["expression"]) for event in events]
        assert published == expected_events(name)
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("degrees", [0.0, 62.2])
def test_a_played_recording_has_positions_and_with_a_set_field_of_view_distances(start, broker, tmp_path, degrees):
    """A recording knows the size of its frames, and not with which lens they were taken."""
    config = tmp_path / "own.toml"
    config.write_text(f'[device]\nname = "played"\n[camera]\nfield_of_view = {degrees}\n')
    with Listener(broker.port, "emotion/#") as listener:
        start("run", "--config", config, "--camera", f"recording:{path('neutral')}", "--mqtt", broker.url)
        until(lambda: listener.payloads("played/event"), "the first event")
    (event, *_) = listener.payloads("played/event")
    reader = RecordingReader(path("neutral"))
    face = next(frame.faces[0] for frame in reader if frame.faces)
    low, high = face.landmarks[:, :2].min(axis=0), face.landmarks[:, :2].max(axis=0)
    x, y = (low + high) / 2 / (reader.header.width, reader.header.height)
    assert event["position"] == {"x": pytest.approx(x, abs=0.02), "y": pytest.approx(y, abs=0.02)}
    if degrees:
        place = place_of(face.landmarks, (reader.header.width, reader.header.height), degrees)
        assert event["distance_m"] == pytest.approx(place.distance_m, rel=0.05)
    else:
        assert event["distance_m"] is None


def test_a_header_without_a_size_is_rejected(tmp_path):
    header, _, records = path("neutral").read_bytes().partition(b"\n")
    (tmp_path / "forged").write_bytes(header.replace(b'"width": 640', b'"width": 0') + b"\n" + records)
    with pytest.raises(DataError, match="is not a recording"):
        RecordingReader(tmp_path / "forged")


@pytest.mark.usefixtures("models")
def test_a_truncated_recording_plays_its_complete_frames_and_then_fails(tmp_path):
    cut = tmp_path / "cut.landmarks"
    cut.write_bytes(path("happiness").read_bytes()[:60_000])
    done = emotion_edge("run", "--camera", f"recording:{cut}", "--mqtt", NO_BROKER)
    assert "frames could be read" in error_of(done, os.EX_DATAERR)
    assert [
        line.partition("face 1: ")[2].split(" (")[0] for line in done.stderr.splitlines() if "face 1: " in line
    ] == [
        "new neutral",
        "update happiness",
        "end happiness",
    ]


def test_an_unreadable_file_is_reported():
    # This file can be opened, but reading its beginning fails.
    with pytest.raises(NoInputError, match=f"cannot be read: {os.strerror(errno.EIO)}"):
        RecordingReader(Path("/proc/self/mem"))


def test_an_invalid_name_is_reported():
    with pytest.raises(NoInputError, match="is not the name of a file"):
        RecordingReader(Path("a\0b"))


def test_a_header_with_infinite_numbers_is_rejected(tmp_path):
    header, _, records = path("neutral").read_bytes().partition(b"\n")
    (tmp_path / "forged").write_bytes(header.replace(b'"width": 640', b'"width": 1e999') + b"\n" + records)
    with pytest.raises(DataError, match="is not a recording"):
        RecordingReader(tmp_path / "forged")


@pytest.mark.parametrize("seconds", ["0", "-3", "nan"])
def test_an_invalid_time_is_rejected_before_anything_is_opened(tmp_path, seconds):
    file = tmp_path / "a.landmarks"
    done = emotion_edge("record", "--camera", "demo", f"--seconds={seconds}", file)
    assert "--seconds" in error_of(done, os.EX_USAGE)
    assert not file.exists()


def test_an_existing_file_is_rejected_before_the_camera_is_opened(tmp_path):
    (tmp_path / "old").write_text("precious")
    done = emotion_edge("record", "--camera", "v4l2:/dev/video999", tmp_path / "old")
    assert " exists: choose another file" in error_of(done, os.EX_CANTCREAT)
    assert (tmp_path / "old").read_text() == "precious"


@pytest.mark.usefixtures("models")
def test_recording_without_a_face_says_how_to_aim(empty_room, tmp_path):
    done = emotion_edge("record", "--camera", f"images:{empty_room}", tmp_path / "a.landmarks")
    assert done.returncode == 0, done.stderr
    assert "1 frames, 0 faces; `emotion-edge run --preview --preview-picture` shows" in done.stdout


@pytest.mark.usefixtures("models")
def test_a_recording_of_a_recording_has_its_frame_size(demo_pictures, tmp_path):
    first, second = tmp_path / "first.landmarks", tmp_path / "second.landmarks"
    emotion_edge("record", "--camera", f"images:{demo_pictures}", first)
    assert emotion_edge("record", "--camera", f"recording:{first}", second).returncode == 0
    one, other = RecordingReader(first), RecordingReader(second)
    assert (other.header.width, other.header.height) == (one.header.width, one.header.height) == (320, 240)
    first_faces, second_faces = ([frame.faces[0].landmarks for frame in reader] for reader in (one, other))
    assert np.array_equal(first_faces, second_faces)


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_recording_without_damage(start, tmp_path, number):
    file = tmp_path / "a.landmarks"
    recorder = start("record", "--camera", "demo", file)
    until(lambda: file.exists() and file.stat().st_size > 10_000, "a few frames are recorded", 60)
    recorder.send_signal(number)
    output, errors = recorder.communicate(timeout=30)
    assert (recorder.returncode, errors) == (0, "")
    frames = len(list(RecordingReader(file)))
    assert f"{file}: {frames} frames" in output


@pytest.mark.usefixtures("models")
def test_a_full_disk_is_reported_and_the_recording_can_be_played(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "none", disk]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        file = disk / "a.landmarks"
        done = emotion_edge("record", "--camera", "demo", file)
        frames = len(list(RecordingReader(file)))
        (disk / "rest").write_bytes(bytes(disk_left(disk)))
        full = emotion_edge("record", "--camera", "demo", disk / "b.landmarks")
        assert not (disk / "b.landmarks").exists(), "no file without a header is left"
    finally:
        subprocess.run(["umount", disk], check=True)
    assert frames > 3
    line = error_of(done, os.EX_CANTCREAT)
    assert f"{os.strerror(errno.ENOSPC)}; the {frames} frames before can be played" in line
    assert os.strerror(errno.ENOSPC) in error_of(full, os.EX_CANTCREAT)


def disk_left(folder: Path) -> int:
    """Free space, bytes."""
    left = os.statvfs(folder)
    return left.f_bavail * left.f_bsize
