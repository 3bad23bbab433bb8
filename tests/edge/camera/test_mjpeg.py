"""MJPEG over HTTP, in the dialects of cameras."""

from __future__ import annotations

import hashlib
import re
import ssl
import subprocess
import threading
from contextlib import closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np
import pytest

from edge.camera import mjpeg, open_camera, open_reopening_camera
from edge.camera.address import CameraAddress
from edge.camera.mjpeg import MjpegDriver
from edge.camera.reopening import ReopeningCamera
from edge.errors import ConfigError, NoInputError, UnavailableError
from edge.settings import CameraSettings
from tests.support.broker import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SETTINGS = CameraSettings(fps=120.0, stall_s=0.5, retry_max_s=1.0)
NONCE = "c0ffee"


def jpeg(brightness: int) -> bytes:
    picture = np.full((48, 64, 3), brightness, np.uint8)
    return cv2.imencode(".jpg", picture)[1].tobytes()


class Handler(BaseHTTPRequestHandler):
    """A camera. Tests set the dialect."""

    protocol_version = "HTTP/1.1"
    content_type: ClassVar[str] = "multipart/x-mixed-replace;boundary=frame"
    port: ClassVar[int]
    part: ClassVar[Any]
    """Wraps a picture: bytes -> bytes."""
    pictures: ClassVar[list[bytes]] = []
    chunked: ClassVar[bool] = False
    challenge: ClassVar[str] = ""
    """The WWW-Authenticate header; empty: everybody may look."""
    silent: ClassVar[threading.Event | None] = None
    """Sends no more after the pictures, until it is set."""
    seen: ClassVar[list[str]] = []
    """The Authorization headers so far."""

    def do_GET(self) -> None:
        authorization = self.headers.get("Authorization", "")
        self.seen.append(authorization)
        if self.path == "/moved":
            self.answer(302, {"Location": f"http://localhost:{self.port}/stream"})
        elif self.path.startswith("/nothing"):
            self.answer(404, {})
        elif self.challenge and not self.accepts(authorization):
            self.answer(401, {"WWW-Authenticate": self.challenge})
        else:
            self.stream()

    def accepts(self, authorization: str) -> bool:
        if authorization.startswith("Basic"):
            return authorization == "Basic a2ltOmdlaGVpbQ=="  # kim:geheim
        fields = dict(re.findall(r'(\w+)="?([^",]+)"?', authorization))
        kind = {"SHA-256": hashlib.sha256}.get(fields.get("algorithm", ""), hashlib.md5)

        def digest(*parts: str) -> str:
            return kind(":".join(parts).encode()).hexdigest()

        action = digest("GET", self.path)
        middle = [fields[name] for name in ("nc", "cnonce", "qop")] if "qop" in fields else []
        return fields.get("response") == digest(digest("kim", "a camera", "geheim"), NONCE, *middle, action)

    def answer(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": "0"}).items():
            self.send_header(name, value)
        self.end_headers()

    def stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", self.content_type)
        if self.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for picture in self.pictures:
            data = type(self).part(picture)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if self.chunked else data)
        if self.silent is not None:
            self.silent.wait(30)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


def with_length(picture: bytes) -> bytes:
    return b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(picture), picture)


def without_length(picture: bytes) -> bytes:
    return b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + picture + b"\r\n"


@pytest.fixture
def camera() -> Iterator[tuple[str, type[Handler]]]:
    """Address and dialect of a camera that sends three pictures, each brighter than the last."""

    class kind(Handler):  # noqa: N801 - a value
        pictures = [jpeg(50), jpeg(100), jpeg(150)]  # noqa: RUF012
        part = staticmethod(with_length)
        seen = []  # noqa: RUF012

    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        kind.port = server.server_port
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", kind
        if kind.silent is not None:
            kind.silent.set()
        server.shutdown()


def brightness(source: str) -> list[int]:
    """The brightness of all pictures until the stream ends."""
    chosen = replace(SETTINGS, source=source)
    now = iter(range(1000))  # one second for each look at the clock, so that every picture is due
    driver = MjpegDriver(CameraAddress.of(chosen), chosen, lambda: float(next(now)))
    driver.open()
    found = []
    while (frame := driver.grab()) is not None:
        assert frame.rgb.shape == (48, 64, 3)
        found.append(round(frame.rgb.mean()))
    driver.release()
    return found


@pytest.mark.parametrize(
    ("content_type", "part", "chunked"),
    [
        ("multipart/x-mixed-replace;boundary=frame", with_length, False),
        ("multipart/x-mixed-replace; boundary=frame", with_length, True),
        ('multipart/x-mixed-replace; boundary="frame"', without_length, False),
        ("multipart/x-mixed-replace; boundary=--frame", without_length, False),
        ("multipart/x-mixed-replace", without_length, False),
        ("multipart/x-mixed-replace; boundary=frame", lambda picture: with_length(picture)[:-2], False),
        ("multipart/x-mixed-replace; boundary=frame", lambda picture: b"\r\n\r\n" + with_length(picture), True),
    ],
)
def test_the_dialects_of_cameras(
    camera: tuple[str, type[Handler]], content_type: str, part: Callable[[bytes], bytes], chunked: bool
):
    url, dialect = camera
    dialect.content_type, dialect.part, dialect.chunked = content_type, staticmethod(part), chunked
    found = brightness(f"{url}/stream?fps=10")
    # Without a length, the last picture ends with the next boundary, which never came.
    assert found == ([50, 100, 150] if part is not without_length else [50, 100])


@pytest.mark.parametrize(
    "challenge",
    [
        'Basic realm="a camera"',
        f'Digest realm="a camera", nonce="{NONCE}"',
        f'Digest realm="a camera", nonce="{NONCE}", qop="auth,auth-int", algorithm=MD5, opaque="x"',
        f'Digest realm="a camera", nonce="{NONCE}", qop="auth", algorithm=SHA-256',
    ],
)
def test_the_password_is_sent_when_it_is_asked_for(camera: tuple[str, type[Handler]], challenge: str):
    url, dialect = camera
    dialect.challenge = challenge
    assert brightness(url.replace("//", "//kim:geheim@") + "/stream") == [50, 100, 150]
    assert dialect.seen[0] == ""
    with pytest.raises(ConfigError, match="refuses user 'kim': check") as caught:
        brightness(url.replace("//", "//kim:falsch@") + "/stream")
    assert len(dialect.seen) == 4, "a wrong password is tried only once: cameras lock the account after a few"
    assert "falsch" not in str(caught.value)
    with pytest.raises(ConfigError, match="asks for a user and a password"):
        brightness(f"{url}/stream")


def test_the_password_is_not_sent_to_the_host_of_a_redirection(camera: tuple[str, type[Handler]]):
    url, dialect = camera
    dialect.challenge = 'Basic realm="a camera"'
    with pytest.raises(ConfigError):
        brightness(url.replace("//", "//kim:falsch@") + "/moved")
    assert dialect.seen[1] == ""


@pytest.mark.parametrize(
    ("path", "content_type", "message"),
    [
        ("/nothing?pwd=geheim", "", r"has no stream at the path in camera\.source \(404\)$"),
        (
            "/",
            "text/html",
            r"has no MJPEG stream at the path in camera\.source, but text/html; for H\.264 give its rtsp",
        ),
        ("/", "image/jpeg", r"delivers a single picture at the path in camera\.source: give the path of its MJPEG"),
    ],
)
def test_an_address_without_a_stream(camera: tuple[str, type[Handler]], path: str, content_type: str, message: str):
    url, dialect = camera
    dialect.content_type = content_type
    with pytest.raises(NoInputError, match=message) as caught:
        open_camera(replace(SETTINGS, source=url + path))
    assert "geheim" not in str(caught.value)


def test_a_certificate_that_is_not_trusted_is_refused_before_the_password_is_sent(
    camera: tuple[str, type[Handler]], tmp_path: Path
):
    url, dialect = camera
    names = ("-subj", "/CN=127.0.0.1", "-keyout", "key.pem", "-out", "certificate.pem")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    with ThreadingHTTPServer(("127.0.0.1", 0), dialect) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        with pytest.raises(UnavailableError, match="has a certificate that this system does not trust") as caught:
            open_camera(replace(SETTINGS, source=f"https://kim:geheim@127.0.0.1:{server.server_port}/"))
        server.shutdown()
    assert "geheim" not in str(caught.value)
    assert not dialect.seen
    with pytest.raises(UnavailableError, match="does not speak TLS: check scheme and port"):
        open_camera(replace(SETTINGS, source=url.replace("http:", "https:")))


def test_pictures_that_come_too_early_are_skipped(camera: tuple[str, type[Handler]]):
    url, _ = camera
    settings = replace(SETTINGS, source=url, fps=1.0)
    times = iter([0.0, 0.0, 0.4, 1.1])
    driver = MjpegDriver(CameraAddress.of(settings), settings, lambda: next(times))
    driver.open()
    assert [round(driver.grab().rgb.mean()) for _ in range(2)] == [50, 150]
    driver.release()


def test_a_camera_that_falls_silent_is_noticed(camera: tuple[str, type[Handler]], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mjpeg, "ANSWER_TIMEOUT_S", 0.2)
    url, dialect = camera
    dialect.silent = threading.Event()
    with closing(open_reopening_camera(replace(SETTINGS, source=url))) as reopening:
        assert isinstance(reopening, ReopeningCamera)
        until(lambda: reopening.read(0.05) is None and reopening.waiting, "the silence is noticed")
        until(lambda: reopening.read(0.05) and reopening.reopened, "it is asked again")


def test_a_part_without_an_end_does_not_fill_the_memory(
    camera: tuple[str, type[Handler]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(mjpeg, "_PICTURE_MAX", 10_000)
    url, dialect = camera
    dialect.part = staticmethod(lambda picture: b"--frame\r\n\r\n" + picture + bytes(300_000))
    assert brightness(url) == []
