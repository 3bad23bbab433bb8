"""Network cameras, against a real RTSP server."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest

from edge.camera import network, open_camera, open_reopening_camera
from edge.camera.reopening import ReopeningCamera
from edge.errors import ConfigError, NoInputError, UnavailableError
from edge.settings import CameraSettings
from tests.support.broker import free_port, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge.camera import Camera
    from edge.values import Frame
    from tests.support.rtsp import RtspServer

pytest_plugins = ["tests.support.rtsp"]

SECRET = "ge/hei:m@ 2ü"  # noqa: S105
SETTINGS = CameraSettings(fps=120.0, stall_s=0.5, retry_max_s=1.0)
LEFT, RIGHT = (slice(20, 140), slice(5, 35)), (slice(20, 140), slice(285, 315))
"""The white and the blue bar of the test picture (SMPTE)."""


@pytest.fixture
def password_file(tmp_path: Path) -> str:
    path = tmp_path / "camera-password"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    return str(path)


def first(camera: Camera) -> Frame:
    frame: Frame = until(lambda: camera.read(0.2), "a frame")
    return frame


def reopening(settings: CameraSettings, *, patient: bool = False) -> ReopeningCamera:
    camera = open_reopening_camera(settings, patient=patient)
    assert isinstance(camera, ReopeningCamera)
    return camera


@pytest.mark.parametrize(("codec", "prefix"), [("h264", ""), ("mjpeg", "video:")])
def test_frames_are_delivered(rtsp_server: Callable[..., RtspServer], codec: str, prefix: str):
    server = rtsp_server("--codec", codec)
    with closing(open_camera(replace(SETTINGS, source=prefix + server.url))) as camera:
        frame = first(camera)
        assert (camera.live, camera.name) == (True, f"rtsp://127.0.0.1:{server.port}")
        assert frame.rgb.shape == (240, 320, 3)
        assert np.min(frame.rgb[LEFT]) > 200
        assert np.min(frame.rgb[RIGHT][..., 2]) > 200
        assert np.max(frame.rgb[RIGHT][..., :2]) < 60


def test_the_latest_frame_wins(rtsp_server: Callable[..., RtspServer]):
    with closing(open_camera(replace(SETTINGS, source=rtsp_server().url))) as camera:
        until(lambda: camera.dropped > 3, "frames are replaced before they are read")
        assert first(camera).captured_at < first(camera).captured_at


def test_the_stream_comes_over_tcp(rtsp_server: Callable[..., RtspServer]):
    with closing(open_camera(replace(SETTINGS, source=rtsp_server("--tcp-and-udp").url))) as camera:
        first(camera)
        assert not psutil.Process().net_connections("udp")


def test_a_server_that_only_has_udp_is_read(rtsp_server: Callable[..., RtspServer]):
    with closing(open_camera(replace(SETTINGS, source=rtsp_server("--udp").url))) as camera:
        first(camera)


@pytest.mark.parametrize("digest", [(), ("--digest",)])
def test_the_password_comes_from_a_file(
    rtsp_server: Callable[..., RtspServer],
    password_file: str,
    digest: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.DEBUG)
    server = rtsp_server("--user", "kim", "--password", SECRET, *digest)
    settings = replace(SETTINGS, source=server.url, username="kim", password_file=password_file)
    with closing(open_camera(settings)) as camera:
        first(camera)
        assert camera.name == f"rtsp://127.0.0.1:{server.port}"
    assert not caplog.messages


def test_the_password_may_be_in_the_address(rtsp_server: Callable[..., RtspServer]):
    server = rtsp_server("--user", "kim", "--password", SECRET, "--digest")
    encoded = "ge%2Fhei%3Am%40%202%C3%BC"
    with closing(
        open_camera(replace(SETTINGS, source=f"rtsp://kim:{encoded}@127.0.0.1:{server.port}/stream"))
    ) as camera:
        assert camera.name == f"rtsp://127.0.0.1:{server.port}"


@pytest.mark.parametrize("digest", [(), ("--digest",)])
def test_a_wrong_password_is_one_line_without_it(
    rtsp_server: Callable[..., RtspServer], password_file: str, digest: tuple[str, ...]
):
    server = rtsp_server("--user", "kim", "--password", "another", *digest)
    settings = replace(SETTINGS, source=server.url, username="kim", password_file=password_file)
    with pytest.raises(ConfigError) as caught:
        open_camera(settings)
    assert str(caught.value) == (
        f"camera rtsp://127.0.0.1:{server.port} refuses user 'kim': check camera.username and camera.password_file"
    )


def test_a_camera_that_wants_a_password_says_so(rtsp_server: Callable[..., RtspServer]):
    server = rtsp_server("--user", "kim", "--password", SECRET)
    with pytest.raises(ConfigError, match=r"asks for a user and a password: set camera\.username and"):
        open_camera(replace(SETTINGS, source=server.url))


def test_a_path_without_a_stream(rtsp_server: Callable[..., RtspServer]):
    server = rtsp_server()
    with pytest.raises(NoInputError, match=r"has no stream at the path in camera\.source \(404 Not Found\)$"):
        open_camera(replace(SETTINGS, source=server.url.replace("stream", "token=abc")))


def test_a_stream_without_a_picture(rtsp_server: Callable[..., RtspServer]):
    with pytest.raises(NoInputError, match=r"has no video at the path in camera\.source$"):
        open_camera(replace(SETTINGS, source=rtsp_server("--audio").url))


def test_nothing_listens():
    with pytest.raises(UnavailableError, match=r"refuses the connection: check the port in camera\.source"):
        open_camera(replace(SETTINGS, source=f"rtsp://127.0.0.1:{free_port()}/stream"))


def test_no_such_host():
    with pytest.raises(UnavailableError, match="no such name in this network: check the host"):
        open_camera(replace(SETTINGS, source="rtsp://camera.invalid/stream"))


def test_a_camera_that_never_answers(monkeypatch: pytest.MonkeyPatch, rtsp_server: Callable[..., RtspServer]):
    shorten(monkeypatch)
    server = rtsp_server()
    server.freeze()
    with pytest.raises(
        UnavailableError, match=r"does not answer within 0\.3 s: is it switched on, and in this network"
    ):
        open_camera(replace(SETTINGS, source=server.url))


def shorten(monkeypatch: pytest.MonkeyPatch):
    for name in ("ANSWER_TIMEOUT_S", "STREAM_OPEN_TIMEOUT_S", "STREAM_READ_TIMEOUT_S"):
        monkeypatch.setattr(network, name, 0.3 if name == "ANSWER_TIMEOUT_S" else 2.0)


def test_a_camera_that_is_switched_off_and_on_again(
    rtsp_server: Callable[..., RtspServer], caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    server = rtsp_server()
    with closing(reopening(replace(SETTINGS, source=server.url))) as camera:
        first(camera)
        server.stop()
        until(lambda: camera.read(0.1) is None and len(caplog.messages) >= 2, "the loss is noticed, and tried again")
        server.start()
        assert np.min(first(camera).rgb[LEFT]) > 200
        assert camera.reopened == 1
    assert "stopped delivering; trying again in 0.5 s" in caplog.messages[0]
    assert "refuses the connection" in caplog.messages[1]
    assert caplog.messages[-1] == f"camera rtsp://127.0.0.1:{server.port} is back"


def test_a_camera_that_falls_silent_is_noticed_and_comes_back(
    rtsp_server: Callable[..., RtspServer], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    shorten(monkeypatch)
    server = rtsp_server()
    with closing(reopening(replace(SETTINGS, source=server.url))) as camera:
        first(camera)
        server.freeze()
        until(lambda: camera.read(0.1) is None and caplog.messages, "the silence is noticed")
        assert "stopped delivering (no frame for 0.5 s)" in caplog.messages[0]
        server.thaw()
        until(lambda: camera.read(0.1) and camera.reopened == 1, "it is back", timeout_s=30)


def test_a_stream_whose_size_changes_goes_on(rtsp_server: Callable[..., RtspServer]):
    server = rtsp_server("--grow-after-ms", "2500")
    with closing(reopening(replace(SETTINGS, source=server.url))) as camera:
        end = first(camera).captured_at + 2.5
        while (frame := first(camera)).captured_at < end:
            height, width = frame.rgb.shape[:2]
            assert (width, height) in {(320, 240), (480, 360)}
            assert np.min(frame.rgb[LEFT]) > 200
            assert np.min(frame.rgb[height // 2 : height // 2 + 20, -width // 10 : -width // 60, 2]) > 200


def test_a_camera_that_is_off_at_the_start_is_waited_for(
    rtsp_server: Callable[..., RtspServer], caplog: pytest.LogCaptureFixture
):
    server = rtsp_server()
    server.stop()
    settings = replace(SETTINGS, source=server.url)
    with pytest.raises(UnavailableError):
        open_reopening_camera(settings)
    with closing(reopening(settings, patient=True)) as camera:
        assert camera.waiting
        assert "refuses the connection" in caplog.messages[0]
        server.start()
        first(camera)
        assert not camera.waiting


def test_wrong_settings_are_not_waited_for(rtsp_server: Callable[..., RtspServer]):
    server = rtsp_server("--user", "kim", "--password", SECRET)
    with pytest.raises(ConfigError):
        open_reopening_camera(replace(SETTINGS, source=server.url), patient=True)


@pytest.mark.parametrize("kind", ["rtsp", "http"])
def test_a_server_of_another_kind(kind: str, monkeypatch: pytest.MonkeyPatch):
    shorten(monkeypatch)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    connection.sendall(b"220 mail.example ESMTP\r\n\r\n")
                    connection.close()

        threading.Thread(target=answer, daemon=True).start()
        source = f"{kind}://kim:Geheim2026@127.0.0.1:{listener.getsockname()[1]}/stream?key=Geheim2026"
        with pytest.raises(UnavailableError, match=rf"does not speak {kind.upper()}: check the port") as caught:
            open_camera(replace(SETTINGS, source=source))
        listener.shutdown(socket.SHUT_RDWR)
    assert "Geheim" not in str(caught.value)
