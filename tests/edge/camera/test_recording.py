from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.camera.recording import RecordingCamera
from edge.camera.recording_file import RecordingReader, RecordingWriter
from edge.errors import DataError, EndOfStreamError, NoInputError, OutputError
from edge.values import LANDMARKS, Face, Frame

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import ManualTime


def face(seed: int = 0, *, size: float = 600.0, track_id: int = 7) -> Face:
    landmarks = np.random.default_rng(seed).uniform(-0.2 * size, size, (LANDMARKS, 3)).astype(np.float32)
    return Face(track_id=track_id, landmarks=landmarks, presence=0.75)


def frame(at: float, *faces: Face) -> Frame:
    return Frame(rgb=np.zeros((2, 2, 3), np.uint8), captured_at=at, faces=faces)


@pytest.fixture
def recording(tmp_path: Path):
    path = tmp_path / "me.rec"
    with RecordingWriter(path, width=640, height=480, mesh_sha256="ab12") as writer:
        for i in range(10):
            writer.write(frame(50 + i / 10, *[face(i)] * (i % 3)))
    return path


def test_a_recording_is_read_as_it_was_written(recording: Path):
    reader = RecordingReader(recording)
    frames = list(reader)
    assert (reader.header.width, reader.header.height, reader.header.mesh_sha256) == (640, 480, "ab12")
    assert [len(f.faces) for f in frames] == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
    assert [f.captured_at for f in frames] == pytest.approx([i / 10 for i in range(10)])
    assert frames[1].faces[0].track_id == 7
    assert frames[1].faces[0].presence == 0.75


def test_no_picture_is_stored(recording: Path):
    assert all(f.rgb.shape == (0, 0, 3) for f in RecordingReader(recording))


@pytest.mark.parametrize(("width", "tolerance"), [(640, 1 / 32), (1600, 1 / 32), (1920, 1 / 16), (4056, 1 / 8)])
def test_landmarks_keep_the_resolution_that_the_header_states(tmp_path: Path, width: int, tolerance: float):
    written = face(size=width)
    with RecordingWriter(tmp_path / "a.rec", width=width, height=480) as writer:
        writer.write(frame(0, written))
    reader = RecordingReader(tmp_path / "a.rec")
    read = next(iter(reader)).faces[0].landmarks
    assert read.dtype == np.float32
    assert np.abs(read - written.landmarks).max() <= tolerance + 1e-3
    assert reader.header.units_per_px == pytest.approx(0.5 / tolerance)


def test_points_far_outside_the_frame_stay_far_outside(tmp_path: Path):
    far = Face(track_id=1, landmarks=np.full((LANDMARKS, 3), 1e6, np.float32), presence=1.0)
    with RecordingWriter(tmp_path / "a.rec", width=640, height=480) as writer:
        writer.write(frame(0, far))
    assert next(iter(RecordingReader(tmp_path / "a.rec"))).faces[0].landmarks.min(axis=None) > 2000


def test_a_recording_is_readable_while_it_is_being_written(tmp_path: Path):
    writer = RecordingWriter(tmp_path / "a.rec", width=640, height=480)
    writer.write(frame(0, face()))
    assert len(list(RecordingReader(tmp_path / "a.rec"))) == 1
    writer.close()


def test_an_existing_file_is_not_overwritten(recording: Path):
    with pytest.raises(OutputError, match="exists: choose another"):
        RecordingWriter(recording, width=640, height=480)


def test_a_missing_folder(tmp_path: Path):
    with pytest.raises(OutputError, match="cannot be written"):
        RecordingWriter(tmp_path / "no" / "a.rec", width=640, height=480)


def test_a_full_disk_is_reported_in_one_line(tmp_path: Path):
    writer = RecordingWriter(tmp_path / "a.rec", width=640, height=480)
    writer.close()
    writer._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115, PTH123 - the writer closes it
    with pytest.raises(OutputError, match=r"a\.rec cannot be written: No space left on device"):
        writer.write(frame(0, face()))


def test_a_truncated_recording_gives_its_complete_frames_and_then_an_error(recording: Path):
    recording.write_bytes(recording.read_bytes()[:-10])
    camera = RecordingCamera(recording, pace=False)
    for _ in range(9):
        assert camera.read(1.0) is not None
    for _ in range(2):
        with pytest.raises(DataError, match="damaged: 9 frames could be read"):
            camera.read(1.0)


@settings(max_examples=60)
@given(data=st.data())
def test_one_changed_byte_is_an_error_or_harmless(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    path = tmp_path_factory.mktemp("rec") / "a.rec"
    with RecordingWriter(path, width=640, height=480) as writer:
        for i in range(2):
            writer.write(frame(i, face(i)))
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    header_ends = content.index(b"}\n") if b"}\n" in content else 0
    try:
        frames = list(RecordingReader(path))
    except DataError as error:
        assert "\n" not in str(error)  # noqa: PT017 - no other error may occur
    else:
        assert at <= header_ends + 1
        assert len(frames) == 2


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"{}\n", b"[1]\n", b'{"format": "other"}\n', b"[" * 4000])
def test_a_foreign_file(tmp_path: Path, content: bytes):
    (tmp_path / "x.rec").write_bytes(content)
    with pytest.raises(DataError, match="is not a recording made with emotion-edge record"):
        RecordingCamera(tmp_path / "x.rec")


def test_a_later_version_is_rejected(recording: Path):
    recording.write_bytes(recording.read_bytes().replace(b'"version": 1', b'"version": 2'))
    with pytest.raises(DataError, match="version 2; this program reads 1"):
        RecordingReader(recording)


def test_missing_file(tmp_path: Path):
    with pytest.raises(NoInputError, match=r"no\.rec does not exist"):
        RecordingCamera(tmp_path / "no.rec")


def test_it_plays_at_the_recorded_speed(recording: Path, world: ManualTime):
    camera = RecordingCamera(recording, clock=world.clock, sleep=world.sleep)
    times = [camera.read(1.0).captured_at for _ in range(10)]
    assert times == pytest.approx([1000 + i / 10 for i in range(10)])
    assert world.now == pytest.approx(1000.9)
    with pytest.raises(EndOfStreamError):
        camera.read(1.0)


def test_read_waits_no_longer_than_its_time_out(recording: Path, world: ManualTime):
    camera = RecordingCamera(recording, clock=world.clock, sleep=world.sleep)
    camera.read(1.0)
    assert camera.read(0.04) is None
    assert world.now == pytest.approx(1000.04)
