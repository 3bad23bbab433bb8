from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge.camera import open_camera, open_reopening_camera, picamera2, v4l2
from edge.errors import ConfigError, NoInputError, UnavailableError

from .conftest import write_clip

if TYPE_CHECKING:
    from edge.settings import CameraSettings


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch):
    """A machine without any camera."""
    monkeypatch.setattr(v4l2, "devices", lambda *_: [])
    monkeypatch.setattr(picamera2, "installed", lambda: False)


@pytest.mark.parametrize(
    ("spec", "nearest"),
    [
        ("vidoe:a.mp4", r"video:FILE\?"),
        ("picamera", r"picamera2\[:N\]\?"),
        ("image:dir", r"images:DIR\?"),
        ("/dev/video0", r"v4l2:/dev/video0\?"),
        ("demo:1", r"demo\?"),
        ("video:", r"video:FILE\?"),
        ("0", r"v4l2:/dev/video0\?"),
        ("clip.mp4", r"video:clip\.mp4\?"),
        ("~/clip.mov", r"video:~/clip\.mov\?"),
        ("face.jpg", r"images:face\.jpg\?"),
        ("rstp:192.0.2.7/a", r"rtsp://HOST/PATH\?"),
    ],
)
def test_the_error_for_an_unknown_source_suggests_the_closest(settings: CameraSettings, spec: str, nearest: str):
    with pytest.raises(ConfigError, match="Did you mean " + nearest):
        open_camera(replace(settings, source=spec))


@pytest.mark.parametrize(
    ("name", "meant"),
    [("clip", "video"), ("12:30.bin", "video"), ("smile.landmarks", "recording"), ("folder", "images")],
)
def test_the_error_for_a_path_that_exists_suggests_its_kind(
    settings: CameraSettings, name: str, meant: str, tmp_path: Path
):
    path = tmp_path / name
    path.mkdir() if name == "folder" else path.touch()
    with pytest.raises(ConfigError, match=rf"Did you mean {meant}:{path}\?"):
        open_camera(replace(settings, source=str(path)))


@pytest.mark.parametrize("spec", ["", "  ", "xyz", ":", "recording", "picamera2:x", "auto:1"])
def test_the_error_for_an_unknown_source_lists_all(settings: CameraSettings, spec: str):
    with pytest.raises(ConfigError, match=r"Choose one of: auto, picamera2\[:N\], v4l2:/dev/videoN, .*, demo$"):
        open_camera(replace(settings, source=spec))


@pytest.mark.usefixtures("bare")
def test_auto_falls_back_to_the_demo_and_says_why(settings: CameraSettings):
    camera = open_reopening_camera(settings)
    assert camera.name == "demo"
    assert "no video device that may be a camera" in getattr(camera, "reason", "")
    assert not getattr(open_reopening_camera(replace(settings, source="demo")), "reason", "")


@pytest.mark.usefixtures("bare")
def test_auto_without_the_demo_says_what_to_do(settings: CameraSettings):
    with pytest.raises(UnavailableError, match=r"^no camera found \(there is no video.*\)\. Connect one and start"):
        open_camera(settings, allow_demo=False)


@pytest.mark.usefixtures("bare")
def test_auto_reports_why_a_device_cannot_be_used(
    settings: CameraSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    broken = tmp_path / "video0"
    broken.touch()
    monkeypatch.setattr(v4l2, "devices", lambda *_: [broken])
    with pytest.raises(UnavailableError, match="video0 is busy or not a camera"):
        open_camera(settings, allow_demo=False)


@pytest.mark.usefixtures("bare")
def test_auto_uses_the_first_device_that_works(settings: CameraSettings, monkeypatch: pytest.MonkeyPatch):
    class Device:
        def __init__(self, path: Path, *_: object, **__: object) -> None:
            if path.name == "video0":
                raise UnavailableError("video0 is busy")
            self.name = f"v4l2:{path}"

    monkeypatch.setattr(v4l2, "devices", lambda *_: [Path("/dev/video0"), Path("/dev/video1")])
    monkeypatch.setattr(v4l2, "V4l2Camera", Device)
    assert open_camera(settings).name == "v4l2:/dev/video1"


def test_v4l2_accepts_a_number(settings: CameraSettings):
    with pytest.raises(NoInputError, match="/dev/video97 does not exist"):
        open_camera(replace(settings, source="v4l2:97"))


def test_a_file_with_a_colon_in_its_name(settings: CameraSettings, tmp_path: Path):
    clip = write_clip(tmp_path / "a.avi", frames=3).rename(tmp_path / "12:30.avi")
    camera = open_camera(replace(settings, source=f"video:{clip}"))
    assert camera.name == f"video:{clip}"
    assert not camera.live
    camera.close()


@pytest.mark.parametrize("kind", ["video", "images", "recording"])
def test_a_missing_file(settings: CameraSettings, kind: str, tmp_path: Path):
    with pytest.raises(NoInputError, match="nowhere does not exist"):
        open_camera(replace(settings, source=f"{kind}:{tmp_path / 'nowhere'}"))
