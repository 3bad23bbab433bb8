from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edge.camera.video import VideoCamera
from edge.errors import DataError, EndOfStreamError, NoInputError, UnavailableError
from edge.settings import CameraSettings

from .conftest import ManualTime, cut, write_clip

if TYPE_CHECKING:
    from edge.values import Frame

CLIPS = Path(__file__).with_name("clips")
ALL = CameraSettings(fps=1000.0)


def play(camera: VideoCamera) -> list:
    frames: list[Frame] = []
    while True:
        try:
            frame = camera.read(10.0)
        except EndOfStreamError:
            return frames
        assert frame is not None
        frames.append(frame)


@pytest.mark.parametrize(("codec", "suffix"), [("MJPG", ".avi"), ("mp4v", ".mp4")])
def test_every_frame_is_delivered_once_and_in_order(tmp_path: Path, codec: str, suffix: str):
    clip = write_clip(tmp_path / f"clip{suffix}", codec=codec)
    frames = play(VideoCamera(clip, ALL, pace=False))
    assert len(frames) == 40
    assert np.all(np.diff([frame.rgb.mean() for frame in frames]) > 2)


def test_channels_are_rgb(tmp_path: Path):
    path = tmp_path / "red.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (32, 32))
    writer.write(np.full((32, 32, 3), (0, 0, 250), np.uint8))
    writer.release()
    rgb = play(VideoCamera(path, ALL, pace=False))[0].rgb
    assert rgb[16, 16, 0] > 200
    assert rgb[16, 16, 2] < 50


def test_frames_have_the_timestamps_of_the_file(tmp_path: Path, world: ManualTime):
    frames = play(VideoCamera(write_clip(tmp_path / "a.avi"), ALL, pace=False, clock=world.clock))
    assert [frame.captured_at for frame in frames[:3]] == pytest.approx([1000.0, 1000.05, 1000.1])


def test_playing_takes_as_long_as_the_clip(tmp_path: Path, world: ManualTime):
    play(VideoCamera(write_clip(tmp_path / "a.avi"), ALL, clock=world.clock, sleep=world.sleep))
    assert world.now == pytest.approx(1000 + 39 / 20)


def test_read_waits_no_longer_than_its_time_out(tmp_path: Path, world: ManualTime):
    camera = VideoCamera(write_clip(tmp_path / "a.avi"), ALL, clock=world.clock, sleep=world.sleep)
    camera.read(1.0)
    assert camera.read(0.02) is None
    assert world.now == pytest.approx(1000.02)
    assert camera.read(1.0).captured_at == pytest.approx(1000.05)


def test_a_slow_reader_skips_frames_instead_of_falling_behind(tmp_path: Path, world: ManualTime):
    camera = VideoCamera(write_clip(tmp_path / "a.avi"), CameraSettings(fps=20.0), clock=world.clock, sleep=world.sleep)
    camera.read(1.0)
    world.now += 0.9
    assert camera.read(1.0).captured_at >= world.now - 0.051
    assert camera.dropped > 10


def test_after_a_long_pause_the_video_continues_where_it_was(tmp_path: Path, world: ManualTime):
    clip = write_clip(tmp_path / "a.avi")
    camera = VideoCamera(clip, ALL, clock=world.clock, sleep=world.sleep)
    camera.read(1.0)
    world.now += 60
    assert [camera.read(1.0).captured_at for _ in range(3)] == pytest.approx([1060.0, 1060.05, 1060.1])
    assert camera.dropped == 0


def test_a_machine_too_slow_for_the_video_still_shows_some_of_it(tmp_path: Path, world: ManualTime):
    def slow_clock() -> float:
        world.now += 0.15  # each frame of 0.05 s takes three times as long to decode
        return world.now

    camera = VideoCamera(write_clip(tmp_path / "a.avi"), ALL, clock=slow_clock, sleep=world.sleep)
    times = [frame.captured_at for frame in play(camera)]
    assert len(times) > 4
    assert times == sorted(set(times))


def test_the_settings_limit_the_frame_rate(tmp_path: Path):
    frames = play(VideoCamera(write_clip(tmp_path / "a.avi"), CameraSettings(fps=8.0), pace=False))
    assert len(frames) == 16  # two seconds


def test_missing_file(tmp_path: Path):
    with pytest.raises(NoInputError, match=r"none\.mp4 does not exist"):
        VideoCamera(tmp_path / "none.mp4", ALL)


def test_a_folder_is_not_a_video(tmp_path: Path):
    with pytest.raises(NoInputError, match="is a folder"):
        VideoCamera(tmp_path, ALL)


@pytest.mark.parametrize("content", [b"", b"not a video\n" * 500, os.urandom(20_000)])
def test_a_file_that_is_not_a_video(tmp_path: Path, content: bytes):
    path = tmp_path / "fake.mp4"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"fake\.mp4 is not a video"):
        VideoCamera(path, ALL)


def test_a_truncated_clip_plays_its_frames_and_then_reports_the_damage(tmp_path: Path):
    camera = VideoCamera(cut(write_clip(tmp_path / "a.avi"), 0.5), ALL, pace=False)
    read = 0

    def read_all() -> None:
        nonlocal read
        while camera.read(1.0):
            read += 1

    with pytest.raises(DataError, match="is damaged") as caught:
        read_all()
    assert 10 <= read <= 22
    assert str(caught.value).endswith(f"is damaged: {read} of 40 frames could be read")
    assert "\n" not in str(caught.value)


def test_reading_after_the_end_raises_again(tmp_path: Path):
    camera = VideoCamera(write_clip(tmp_path / "a.avi", frames=2), ALL, pace=False)
    play(camera)
    with pytest.raises(EndOfStreamError):
        camera.read(1.0)


def test_names_beyond_ascii(tmp_path: Path):
    clip = write_clip(tmp_path / "a.avi", frames=3)
    renamed = clip.rename(tmp_path / "Gesicht 🙂 é.avi")
    assert len(play(VideoCamera(renamed, ALL, pace=False))) == 3


def test_decoders_write_nothing_to_stderr(tmp_path: Path):
    # In a separate process, because FFmpeg reads its log level once.
    broken = cut(write_clip(tmp_path / "a.mp4", codec="mp4v"), 0.7)
    program = (
        "from pathlib import Path\n"
        "from edge.camera.video import VideoCamera\n"
        "from edge.errors import DataError\n"
        "from edge.settings import CameraSettings\n"
        f"try: VideoCamera(Path({str(broken)!r}), CameraSettings())\n"
        "except DataError: print('refused')\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("refused\n", "")


@pytest.mark.parametrize(
    ("name", "frames"),
    [
        ("plain.mp4", 60),
        ("index-first.mp4", 60),
        ("hevc.mp4", 60),
        ("vp9.webm", 60),
        ("mjpeg.avi", 60),
        ("plain.flv", 60),
        ("variable.mkv", 25),
        ("variable.mp4", 25),
        ("variable.avi", 25),
        ("long-sound.mkv", 60),
        ("trimmed.mp4", 33),
        ("trimmed-variable.mp4", 4),
        ("trimmed.mkv", 45),
    ],
)
def test_a_whole_clip_plays_to_its_end(name: str, frames: int):
    played = play(VideoCamera(CLIPS / name, ALL, pace=False))
    assert len(played) == frames
    assert all(b.captured_at > a.captured_at for a, b in itertools.pairwise(played))


@pytest.mark.parametrize("share", [0.3, 0.95])
def test_a_file_cut_before_its_index_is_rejected(tmp_path: Path, share: float):
    with pytest.raises(DataError, match="truncated"):
        VideoCamera(cut(CLIPS / "plain.mp4", share, tmp_path), ALL)


@pytest.mark.parametrize(
    "name", ["index-first.mp4", "variable.mkv", "long-sound.mkv", "trimmed.mkv", "vp9.webm", "mjpeg.avi", "plain.flv"]
)
@pytest.mark.parametrize("share", [0.5, 0.7])
def test_a_clip_cut_short_reports_how_many_frames_were_read(tmp_path: Path, name: str, share: float):
    broken = cut(CLIPS / name, share, tmp_path)
    with pytest.raises(DataError, match=r"is damaged: \d+ of \d+ frames could be read"):
        play(VideoCamera(broken, ALL, pace=False))


@pytest.mark.parametrize("name", ["index-first.mp4", "trimmed.mkv", "mjpeg.avi"])
def test_a_clip_damaged_in_the_middle_reports_how_many_frames_were_read(tmp_path: Path, name: str):
    data = bytearray((CLIPS / name).read_bytes())
    middle = slice(len(data) * 4 // 10, len(data) * 6 // 10)
    data[middle] = np.random.default_rng(3).bytes(middle.stop - middle.start)
    broken = tmp_path / name
    broken.write_bytes(data)
    with pytest.raises(DataError, match=r"is damaged: \d+ of \d+ frames could be read"):
        play(VideoCamera(broken, ALL, pace=False))


@pytest.mark.interpreter
@pytest.mark.parametrize("name", ["interlaced.mp4", "marked-interlaced.mp4", "interlaced.mpg"])
def test_interlaced_video_is_read_or_it_is_said_that_it_cannot_be(name: str, caplog: pytest.LogCaptureFixture):
    frames = play(VideoCamera(CLIPS / name, ALL, pace=False))
    plain = play(VideoCamera(CLIPS / "plain.mp4", ALL, pace=False))
    error = np.mean([np.abs(a.rgb.astype(int) - b.rgb).mean() for a, b in zip(frames, plain, strict=True)])
    said = [message for message in caplog.messages if "it is interlaced" in message]
    assert (error < 20, len(said)) in {(True, 0), (False, 1)}, f"mean error {error:.0f}, {caplog.messages}"
    assert all(f"video:{CLIPS / name}" in message and "yadif" in message for message in said)


def test_a_still_that_moves_once_is_not_called_interlaced(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    play(VideoCamera(write_clip(tmp_path / "a.avi", frames=30), ALL, pace=False))
    assert not caplog.messages


@pytest.mark.parametrize(("name", "size"), [("wide-pixels.mp4", (96, 64)), ("tall-pixels.mp4", (96, 64))])
def test_pixels_that_are_not_square_are_squared(name: str, size: tuple[int, int]):
    frame = play(VideoCamera(CLIPS / name, ALL, pace=False))[0]
    plain = play(VideoCamera(CLIPS / "plain.mp4", ALL, pace=False))[0]
    assert frame.size == size
    assert np.abs(frame.rgb.astype(int) - plain.rgb).mean() < 40


@pytest.mark.interpreter
def test_a_video_without_a_decoder_is_not_called_truncated(tmp_path: Path):
    try:
        camera = VideoCamera(CLIPS / "av1.mp4", ALL, pace=False)
    except UnavailableError as error:
        assert "has no decoder for its video (AV01); convert it with ffmpeg -i" in str(error)  # noqa: PT017 - some have
    else:
        assert len(play(camera)) == 60
    with pytest.raises(DataError, match="truncated"):
        VideoCamera(cut(CLIPS / "av1.mp4", 0.5, tmp_path), ALL)
