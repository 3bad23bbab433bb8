"""Sources of frames: the Pi camera, a V4L2 device, a network camera, files, and the built-in demo.

Each is a `Camera`; `open_camera` opens the one that the settings or `--camera` name.
"""

from __future__ import annotations

import logging
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from edge.errors import ConfigError, EdgeError, UnavailableError
from edge.paths import home_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge.settings import CameraSettings
    from edge.values import Frame

__all__ = ["SOURCES", "Camera", "name_of", "open_camera", "open_reopening_camera"]

SOURCES = {
    "auto": "the Pi camera, else the first video device, else the demo",
    "picamera2[:N]": "the Pi camera number N",
    "v4l2:/dev/videoN": "a USB camera or another Video4Linux device",
    "rtsp://HOST/PATH": "a network camera",
    "http://HOST/PATH": "a network camera's MJPEG stream; also https://",
    "video:FILE": "a video file, at its own speed",
    "images:DIR": "the image files in a folder, one frame each",
    "recording:FILE": "landmarks recorded with `emotion-edge record`",
    "demo": "the built-in demo, which needs no camera",
}
"""Values of `camera.source`, for help texts and messages."""

_FILES = ("video", "images", "recording")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/|[^/]*:[^/@]*@", re.IGNORECASE)
"""Start of an address, which may contain a password, and is not repeated in messages."""

_log = logging.getLogger(__name__)


class Camera(Protocol):
    """A source of frames."""

    name: str
    """Name in messages, such as `v4l2:/dev/video0`."""

    live: bool
    """Whether it has no end, and can be lost and reopened."""

    @property
    def dropped(self) -> int:
        """Number of frames that were not read in time."""
        ...  # pragma: no cover

    def read(self, timeout_s: float) -> Frame | None:
        """Wait for the next frame.

        Args:
            timeout_s: s, the longest wait.

        Returns:
            A new frame; None: none came in time.

        Raises:
            EndOfStreamError: a finite source has delivered its last frame.
            CameraLostError: a live source has stopped delivering.
            DataError: a file is damaged.
        """
        ...  # pragma: no cover

    def close(self) -> None:
        """Release the device or file. It may be called again."""
        ...  # pragma: no cover


def open_camera(
    settings: CameraSettings, *, clock: Callable[[], float] = time.monotonic, allow_demo: bool = True
) -> Camera:
    """Open the source that `settings.source` names.

    Args:
        settings: the source, its size and frame rate.
        clock: monotonic, s; the clock of `Frame.captured_at`.
        allow_demo: whether `auto` may fall back to the demo if there is no camera.

    Raises:
        ConfigError: the source is unknown, or a network camera refuses user and password.
        NoInputError: the device, file, folder or stream does not exist.
        DataError: a file cannot be decoded.
        PermissionRefusedError: this user may not open the device.
        UnavailableError: the device is busy or does not answer, or `auto` found no camera.
    """
    if settings.is_network:
        from edge.camera.network import NetworkCamera

        return NetworkCamera(settings, clock=clock)
    kind, _, target = settings.source.strip().partition(":")
    if kind == "auto" and not target:
        return _open_auto(settings, clock, allow_demo=allow_demo)
    if kind == "demo" and not target:
        from edge.camera.demo.camera import DemoCamera

        return DemoCamera(settings, clock=clock)
    if kind == "picamera2" and (not target or target.isdecimal()):
        from edge.camera.picamera2 import Picamera2Camera

        return Picamera2Camera(int(target or 0), settings, clock=clock)
    if kind == "v4l2" and target:
        from edge.camera.v4l2 import V4l2Camera

        return V4l2Camera(home_path(f"/dev/video{target}" if target.isdecimal() else target), settings, clock=clock)
    if kind in _FILES and target and not _is_address(target):
        return _open_files(kind, home_path(target), settings, clock)
    raise _no_such_source(settings.source, kind)


def open_reopening_camera(settings: CameraSettings, *, allow_demo: bool = True, patient: bool = False) -> Camera:
    """Like `open_camera`, but a live camera that stops delivering is reopened until it works again.

    Args:
        settings: see `open_camera`.
        allow_demo: see `open_camera`.
        patient: whether a network camera that does not answer yet is waited for; else that is an error.
    """
    from edge.camera.reopening import ReopeningCamera

    if settings.is_network:
        # Its end is on another machine, which may be switched off for a while.
        return ReopeningCamera(lambda: open_camera(settings), settings, name=name_of(settings), patient=patient)
    camera = open_camera(settings, allow_demo=allow_demo)
    if not camera.live:
        return camera
    # By its own name, so that `auto` doesn't switch to the demo when a cable comes loose.
    same = replace(settings, source=camera.name)
    first = [camera]
    return ReopeningCamera(lambda: first.pop() if first else open_camera(same), settings, name=camera.name)


def name_of(settings: CameraSettings) -> str:
    """The name of a source in messages, without a password.

    Raises:
        ConfigError: it is a network camera, and its address or password can't be used.
    """
    if settings.is_network:
        from edge.camera.address import CameraAddress

        return str(CameraAddress.of(settings))
    return settings.source


def _open_files(kind: str, path: Path, settings: CameraSettings, clock: Callable[[], float]) -> Camera:
    """Open a finite source."""
    if kind == "video":
        from edge.camera.video import VideoCamera

        return VideoCamera(path, settings, clock=clock)
    if kind == "images":
        from edge.camera.images import ImagesCamera

        return ImagesCamera(path, settings, clock=clock)
    from edge.camera.recording import RecordingCamera

    return RecordingCamera(path, clock=clock)


def _is_address(target: str) -> bool:
    return _ADDRESS.match(target) is not None and not home_path(target).exists()


def _no_such_source(source: str, kind: str) -> ConfigError:
    """The error for an unknown source, with the closest known one."""
    source = source.strip()
    if _is_address(source) or _is_address(source.removeprefix(f"{kind}:")):
        return ConfigError(
            "unknown camera source. For a network camera write rtsp://HOST/PATH, or http://HOST/PATH for MJPEG, "
            "and put user and password into camera.username and camera.password_file"
        )
    meant = _meant(source, kind)
    hint = f" Did you mean {meant}?" if meant else ""
    return ConfigError(f"unknown camera source {source!r}.{hint} Choose one of: {', '.join(SOURCES)}")


def _meant(source: str, kind: str) -> str:
    """The source that was probably meant; empty: none is similar."""
    import difflib
    import mimetypes

    path = home_path(source)
    if source.startswith("/dev/video"):
        return f"v4l2:{source}"
    if source.isdecimal():
        return f"v4l2:/dev/video{source}"
    if source and (path.exists() or ":" not in source):
        media = (mimetypes.guess_type(path.name)[0] or "").partition("/")[0]
        if path.is_dir() or media == "image":
            return f"images:{source}"
        if path.is_file() or media == "video":
            return f"{'recording' if path.suffix == '.landmarks' else 'video'}:{source}"
    by_kind = {name.partition(":")[0].partition("[")[0]: name for name in SOURCES}
    nearest = difflib.get_close_matches(kind.lower(), by_kind, n=1, cutoff=0.5)
    return by_kind[nearest[0]] if nearest else ""


def _open_auto(settings: CameraSettings, clock: Callable[[], float], *, allow_demo: bool) -> Camera:
    """Open the first camera that works: the Pi's own, then /dev/video*, then the demo.

    Raises:
        UnavailableError: none works and the demo is not allowed.
    """
    from edge.camera import picamera2, v4l2

    reasons: list[str] = []
    try:
        return picamera2.Picamera2Camera(0, settings, clock=clock)
    except EdgeError as error:
        _log.debug("no Pi camera: %s", error)
        if picamera2.installed():  # otherwise no Pi camera is expected
            reasons.append(str(error))
    for path in filter(v4l2.may_be_camera, v4l2.devices()):
        try:
            return v4l2.V4l2Camera(path, settings, clock=clock)
        except EdgeError as error:
            _log.debug("skipped %s: %s", path, error)
            reasons.append(str(error))
    if not reasons:
        reasons.append("there is no video device that may be a camera, and picamera2 is not installed")
    why = "; ".join(reasons)
    if allow_demo:
        from edge.camera.demo.camera import DemoCamera

        _log.info("no camera found (%s); showing the built-in demo", why)
        return DemoCamera(settings, clock=clock, reason=f"no camera found ({why})")
    raise UnavailableError(
        f"no camera found ({why}). Connect one and start again, or choose a source with --camera: "
        + ", ".join(name for name in SOURCES if name != "auto")
    )
