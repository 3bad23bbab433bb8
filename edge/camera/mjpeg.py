"""Pictures of a network camera from HTTP: JPEG files one after the other, multipart/x-mixed-replace ("MJPEG")."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge import MAX_PICTURE_PIXELS
from edge.camera.decoding import decoded
from edge.camera.http_authentication import authorization, refused
from edge.camera.network import ANSWER_TIMEOUT_S
from edge.camera.pace import Skipping
from edge.camera.unreachable import unreachable
from edge.errors import CameraLostError, NoInputError, UnavailableError
from edge.values import Frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edge.camera.address import CameraAddress
    from edge.settings import CameraSettings

_PICTURE_MAX = 32 << 20
"""Largest part of a stream that is read, bytes. One without end would fill the memory."""
_CHUNK = 65536
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404


class MjpegDriver:
    """A stream over HTTP, for the capture thread."""

    def __init__(self, address: CameraAddress, settings: CameraSettings, clock: Callable[[], float]) -> None:
        """Open nothing.

        Args:
            address: of the camera.
            settings: `fps` is the highest frame rate.
            clock: monotonic, s.
        """
        self._address = address
        self._skipping = Skipping(settings.fps, clock)
        self._response: http.client.HTTPResponse | None = None
        self._pictures: Iterator[bytes] = iter(())
        self._picture = b""
        """The one that was read last, as JPEG."""

    def open(self) -> None:
        """Ask for the stream.

        Raises:
            ConfigError: the camera refuses user and password, or wants some.
            NoInputError: there is no MJPEG stream at this address.
            UnavailableError: nothing answers, or not with HTTP.
        """
        try:
            self._response = self._request()
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in {_UNAUTHORIZED, _FORBIDDEN}:
                raise refused(self._address) from None
            if error.code == _NOT_FOUND:
                raise NoInputError(f"camera {self._address} has no stream at the path in camera.source (404)") from None
            raise UnavailableError(
                f"camera {self._address} answers {error.code}: check the path in camera.source"
            ) from None
        except urllib.error.URLError as error:
            reason = error.reason if isinstance(error.reason, OSError) else OSError()
            raise unreachable(self._address, reason, ANSWER_TIMEOUT_S) from None
        except OSError as error:
            raise unreachable(self._address, error, ANSWER_TIMEOUT_S) from None
        except (http.client.HTTPException, ValueError):
            raise UnavailableError(
                f"camera {self._address} does not speak HTTP: check the port in camera.source"
            ) from None
        kind = self._response.headers.get_content_type()
        if kind == "image/jpeg":
            raise NoInputError(
                f"camera {self._address} delivers a single picture at the path in camera.source: "
                "give the path of its MJPEG stream"
            )
        if not kind.startswith("multipart/"):
            raise NoInputError(
                f"camera {self._address} has no MJPEG stream at the path in camera.source, but {kind}; "
                "for H.264 give its rtsp:// address"
            )
        self._pictures = parts(self._response, self._response.headers.get_boundary() or "")

    def grab(self) -> Frame | None:
        """The next picture that is due; earlier ones are not decoded."""
        captured_at = self._skipping.next(self._read)
        if captured_at is None:
            return None
        try:
            bgr = decoded(self._picture, cv2.IMREAD_COLOR)
        except OverflowError as error:
            raise CameraLostError(
                f"camera {self._address} delivers pictures of more than {MAX_PICTURE_PIXELS // 1_000_000} megapixels, "
                "the most that is read; choose a smaller size in its settings"
            ) from error
        if bgr is None:
            raise CameraLostError(f"camera {self._address} delivers pictures that cannot be decoded")
        return Frame(rgb=np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8), captured_at=captured_at)

    def release(self) -> None:
        """Close the connection."""
        if self._response is not None:
            self._response.close()

    def _read(self) -> bool:
        try:
            self._picture = next(self._pictures)
        except (StopIteration, OSError, http.client.HTTPException, ValueError):
            return False
        return True

    def _request(self) -> http.client.HTTPResponse:
        """Ask for the stream, and once more with user and password if the camera wants them."""
        # Without the proxy of the environment: the camera is in our own network.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        request = urllib.request.Request(self._address.url, headers={"User-Agent": "emotion-edge"})  # noqa: S310 - http or https
        try:
            response = opener.open(request, timeout=ANSWER_TIMEOUT_S)
        except urllib.error.HTTPError as error:
            challenges = error.headers.get_all("WWW-Authenticate", [])
            credentials = ""
            if error.code == _UNAUTHORIZED and self._address.username:
                credentials = authorization(
                    challenges, "GET", request.selector, self._address.username, self._address.password
                )
            if not credentials:
                raise
            error.close()
            # Not for the host of a redirection.
            request.add_unredirected_header("Authorization", credentials)
            response = opener.open(request, timeout=ANSWER_TIMEOUT_S)
        assert isinstance(response, http.client.HTTPResponse)  # noqa: S101 - as for every http address
        return response


def parts(stream: http.client.HTTPResponse, boundary: str) -> Iterator[bytes]:
    """The contents of the parts of a multipart stream (RFC 2046), without their headers.

    Args:
        stream: the body.
        boundary: as in the header; empty: the one that comes first. Cameras differ in whether they count the two
            dashes before it.

    Raises:
        ValueError: a part has no end.
    """
    mark = b"--" + boundary.lstrip("-").encode()
    buffer = bytearray()

    def find(pattern: bytes, start: int) -> int:
        """Read until the buffer contains a pattern, and return where; -1: the stream ends before."""
        while (at := buffer.find(pattern, start)) < 0 and read():
            pass
        return at

    def read() -> bool:
        if len(buffer) > _PICTURE_MAX:
            raise ValueError("a part has no end")
        data = stream.read1(_CHUNK)
        buffer.extend(data)
        return bool(data)

    while (start := find(mark, 0)) >= 0 and (end := find(b"\r\n\r\n", start)) >= 0:
        mark = bytes(buffer[start:end]).partition(b"\r\n")[0].rstrip()
        length = _content_length(bytes(buffer[start:end]))
        del buffer[: end + 4]
        if length is None:
            length = find(mark, 0)
        while len(buffer) < length and read():
            pass
        if not 0 <= length <= len(buffer):
            return
        yield bytes(buffer[:length])
        del buffer[:length]


def _content_length(head: bytes) -> int | None:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            return int(value)
    return None
