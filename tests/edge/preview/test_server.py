"""The server of the preview: access, events, and slow or broken clients, which must not slow the daemon."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import http.client
import itertools
import json
import re
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from edge.errors import ConfigError, UnavailableError, UsageError
from edge.preview import Preview, events, server, stream
from edge.preview.address import Address
from edge.preview.contours import BOLD_LINES, FINE_LINES, IRISES
from edge.preview.document import Document
from edge.preview.timeline import ENTRIES_MAX, SPAN_S, Timeline
from edge.values import Place
from tests.support.broker import until
from tests.support.previews import TOKEN, Recorder, show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.previews import Moment

pytest_plugins = ["tests.support.previews"]

PAGE = Document().text
OWN_NAME = socket.gethostname().partition(".")[0].lower()


@pytest.fixture(autouse=True)
def _fast_updates(monkeypatch):
    """Each preview waits one interval before it ends."""
    monkeypatch.setattr(server, "UPDATE_INTERVAL_S", 0.005)


def request(
    preview: Preview, method: str = "GET", path: str = "/", body: str | None = None, **headers: str
) -> tuple[int, dict[str, str], str]:
    """Send one request; return status, headers and text. `_` in the name of a header stands for `-`."""
    port = urlsplit(preview.url).port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, headers, response.read().decode()


def is_one_line(text: str) -> bool:
    return text.count("\n") == 1 and text.endswith("\n") and 10 < len(text) < 120


class Viewer:
    """A reader of the event stream without a browser."""

    def __init__(self, preview: Preview, *, buffer: int | None = None, **headers: str) -> None:
        port = urlsplit(preview.url).port
        self.socket = socket.socket()
        if buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(30)
        self.socket.connect(("127.0.0.1", port))
        extra = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.socket.sendall(f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{extra}\r\n".encode())
        self._stream = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        self.status = int(self._stream.readline().split()[1])
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self.socket.close()

    def events(self, name: str) -> Iterator[dict[str, Any]]:
        """The events with a name, as they arrive."""
        current = b""
        for line in self._stream:
            if line.startswith(b"event: "):
                current = line.removeprefix(b"event: ").strip()
            elif line.startswith(b"data: ") and current == name.encode():
                yield json.loads(line.removeprefix(b"data: "))

    def next(self, name: str) -> dict[str, Any]:
        return next(self.events(name))


# Access


@pytest.mark.parametrize(
    "address",
    ["", "8080", ":8080", "127.0.0.1:99999", "127.0.0.1:x", "a:b:c", "me@localhost:8080", "localhost/page", "["],
)
def test_an_invalid_address_is_rejected_in_one_line(address):
    with pytest.raises(ConfigError, match=r"give HOST:PORT, as in 127\.0\.0\.1:8080") as error:
        Preview(address)
    assert "\n" not in str(error.value)
    assert error.value.exit_status == 78


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:8080"])
def test_other_addresses_than_loopback_need_a_token(address):
    with pytest.raises(ConfigError, match="set a token"):
        Preview(address)


@pytest.mark.parametrize(
    "token", ["short", "with spaces in between", "semicolon;semicolon;", "ümläüte-im-schlüssel", "a" * 129]
)
def test_a_weak_or_unusable_token_is_rejected_and_not_repeated(token):
    with pytest.raises(ConfigError, match="openssl rand -hex 16") as error:
        Preview("127.0.0.1:0", token=token)
    assert token not in str(error.value)


def test_a_port_in_use_is_reported(serve):
    first = serve()
    address = urlsplit(first.url).netloc
    with pytest.raises(
        UnavailableError, match="another program uses that port; stop it, or choose another port"
    ) as error:
        Preview(address)
    assert error.value.exit_status == 69


def test_an_address_of_another_machine_is_reported():
    with pytest.raises(UnavailableError, match="this machine doesn't have that address"):
        Preview("192.0.2.1:0", token=TOKEN)  # TEST-NET-1 of RFC 5737


def test_the_url_has_no_token(serve):
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", serve(token=TOKEN).url)
    assert Address.parse("[::1]:8080").url(8080) == "http://[::1]:8080/"
    assert Address.parse("[::]").url(8080) == f"http://{OWN_NAME}.local:8080/"


def test_without_the_token_every_request_is_refused(serve):
    panel = Recorder()
    preview = serve(token=TOKEN, panel=panel)
    body, origin = '{"do": "pause"}', preview.url.rstrip("/")
    for cookie in ("", "emotion-edge=x", f"emotion-edge={TOKEN}"):
        for method, path in (("GET", "/"), ("GET", "/events"), ("HEAD", "/events"), ("GET", "/anything")):
            status, _, text = request(preview, method, path, Cookie=cookie)
            assert status == 403
            assert is_one_line(text) or method == "HEAD"
        assert request(preview, "POST", "/action", body, Cookie=cookie, Origin=origin)[0] == 403
    assert not panel.actions
    assert not preview.has_viewers


@pytest.mark.parametrize("token", ["wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "%00", "%f0%9f%92%a9"])
def test_a_wrong_token_is_refused(serve, token):
    status, headers, text = request(serve(token=TOKEN), path=f"/?token={token}")
    assert status == 403
    assert is_one_line(text)
    assert "set-cookie" not in headers


def test_the_token_moves_from_the_url_to_a_cookie(serve, caplog):
    caplog.set_level("DEBUG")
    preview = serve(token=TOKEN)
    status, headers, _ = request(preview, path=f"/?token={TOKEN}")
    assert (status, headers["location"]) == (303, "/")
    cookie, *attributes = headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Lax"} <= set(attributes)
    assert request(preview, Cookie=cookie)[2] == PAGE
    with Viewer(preview, Cookie=f"other=1; {cookie}") as viewer:
        assert viewer.next("heartbeat") == {"paused": False}
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "x@y", "[", "", "localhost.evil"]
)
def test_dns_rebinding_is_refused(serve, host):
    panel = Recorder()
    preview = serve(panel=panel)
    for method, path in (("GET", "/"), ("GET", "/events"), ("POST", "/action")):
        status, _, text = request(preview, method, path, '{"do": "pause"}', Host=host, Origin=f"http://{host}")
        assert status == 403
        assert is_one_line(text)
    assert not panel.actions


@pytest.mark.parametrize("host", ["localhost", "localhost:9000", "127.0.0.1", "[::1]:8080", "192.168.1.7:8080"])
def test_it_answers_to_its_own_names_also_through_a_tunnel(serve, host):
    assert request(serve(), Host=host)[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "OWN", "Sec_Fetch_Site": "cross-site"},
        {"Origin": "OWN", "Sec_Fetch_Site": "same-site"},
    ],
)
def test_another_website_cannot_request_an_action(serve, headers):
    panel = Recorder()
    preview = serve(panel=panel)
    own = preview.url.rstrip("/")
    given_headers = {name: own if value == "OWN" else value for name, value in headers.items()}
    status, answer, text = request(preview, "POST", "/action", '{"do": "pause"}', **given_headers)
    assert status == 403
    assert is_one_line(text)
    assert not panel.actions
    assert not [name for name in answer if name.startswith("access-control")]


def test_another_website_cannot_open_the_event_stream(serve):
    preview = serve()
    assert request(preview, path="/events", Sec_Fetch_Site="cross-site")[0] == 403
    assert request(preview, path="/events", Origin="http://evil.example")[0] == 403
    assert not preview.has_viewers


def test_the_page_may_contact_no_other_server_and_may_not_be_framed(serve):
    _, headers, _ = request(serve())
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


# Events


def test_nothing_is_encoded_without_viewers(serve, moment, monkeypatch):
    encoded = []
    view = events.view
    monkeypatch.setattr(events, "view", lambda snapshot: encoded.append(snapshot) or view(snapshot))
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.05)
    preview = serve(picture=True)
    for _ in range(10):
        show(preview, moment)
        assert request(preview)[0] == 200  # so that the server has processed the snapshot
    assert not preview.has_viewers
    assert not encoded
    with Viewer(preview) as viewer:
        until(lambda: preview.has_viewers, "the viewer is connected")
        show(preview, moment)
        viewer.next("view")
        assert len(encoded) == 1
    until(lambda: not preview.has_viewers, "the viewer is disconnected")
    show(preview, moment)
    request(preview)
    assert len(encoded) == 1


def test_the_mesh_is_where_the_face_is(serve, moment):
    preview = serve()
    with Viewer(preview) as viewer:
        lines = viewer.next("hello")["lines"]
        show(preview, moment)
        view = viewer.next("view")
    assert (view["width"], view["height"], view["fps"]) == (640, 480, 15.0)
    (face,) = view["faces"]
    assert face["expression"] == moment.shown[0].expression == "happiness"
    assert face["probabilities"] == {
        label: pytest.approx(share, abs=1e-3) for label, share in moment.shown[0].probabilities.items()
    }
    points = np.array(face["points"]).reshape(-1, 2) / events.UNITS * (640, 480)
    drawn = points[[i for group in lines.values() for line in group for i in line]]
    sent = [i for group in (FINE_LINES, BOLD_LINES, IRISES) for line in group for i in line]
    np.testing.assert_allclose(drawn, moment.faces[0].landmarks[sent, :2], atol=0.05)


def test_a_known_distance_is_sent(moment):
    place = Place(0.5, 0.5, 1.26)
    near, unknown = (dataclasses.replace(moment.shown[0], place=each) for each in (place, None))
    view = json.loads(events.view(events.Snapshot((640, 480), (), (near, unknown), 15.0)).split(b"data: ")[1])
    assert [face["distance_m"] for face in view["faces"]] == [1.3, None]


def test_a_missing_face_that_is_held_has_no_points(moment):
    view = json.loads(events.view(events.Snapshot((640, 480), (), moment.shown, 15.0)).split(b"data: ")[1])
    assert view["faces"][0]["points"] is None


def test_landmarks_that_are_not_finite_do_not_break_the_page(moment):
    broken = moment.faces[0].landmarks.copy()
    broken[::3] = np.nan
    broken[1::3] = np.inf
    broken[2::3] = -1e30
    faces = [dataclasses.replace(moment.faces[0], landmarks=broken)]
    view = json.loads(events.view(events.Snapshot((640, 480), faces, moment.shown, 15.0)).split(b"data: ")[1])
    assert max(map(abs, view["faces"][0]["points"])) <= 2 * events.UNITS


def test_by_default_the_picture_is_neither_stored_nor_sent(serve, moment, monkeypatch):
    snapshots = []
    monkeypatch.setattr(stream.Stream, "show", lambda _self, snapshot: snapshots.append(snapshot))
    preview = serve()
    with Viewer(preview) as viewer:
        viewer.next("heartbeat")
        show(preview, moment)
        until(lambda: snapshots, "the snapshot arrives")
    assert snapshots[0].rgb is None
    assert b"picture" not in events.view(snapshots[0])


def test_the_picture_is_sent_on_request(serve, moment):
    preview = serve(picture=True)
    with Viewer(preview) as viewer:
        assert viewer.next("hello")["picture"] is True
        show(preview, moment)
        data = base64.b64decode(viewer.next("view")["picture"])
    picture = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert np.abs(picture.astype(int) - moment.frame.rgb).mean() < 3


def test_a_large_picture_is_scaled_down():
    large = np.zeros((1080, 1920, 3), np.uint8)
    view = json.loads(events.view(events.Snapshot((1920, 1080), (), (), 15.0, large)).split(b"data: ")[1])
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(view["picture"]), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (360, 640, 3)
    assert (view["width"], view["height"]) == (1920, 1080)


def test_line_ends_in_a_name_are_escaped(serve):
    with Viewer(serve(device="a\n\ndata: {}\r\nb\u2028")) as viewer:
        assert viewer.next("hello")["device"] == "a\n\ndata: {}\r\nb\u2028"


def test_viewers_learn_that_the_camera_is_off(serve, moment):
    preview = serve()
    with Viewer(preview) as viewer:
        beats = viewer.events("heartbeat")
        assert next(beats) == {"paused": False}
        preview.paused = True
        assert next(beats) == {"paused": True}
        with Viewer(preview) as late:
            assert late.next("heartbeat") == {"paused": True}
        preview.paused = False
        while next(beats)["paused"]:
            pass
        show(preview, moment)
        assert viewer.next("view")["faces"]


def test_heartbeats_are_sent_when_nothing_else_is(serve, monkeypatch):
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.05)
    with Viewer(serve()) as viewer:
        assert list(itertools.islice(viewer.events("heartbeat"), 3)) == [{"paused": False}] * 3


def test_the_page_gets_the_timeline_when_it_is_opened(serve, moment):
    times = iter([100.0, 180.0, 240.0, 270.0, 290.0, 300.0])
    preview = serve(clock=lambda: next(times))
    preview.update_timeline(moment.shown)
    preview.update_timeline(())
    preview.paused = True
    preview.update_timeline(moment.shown)  # a late update; the camera stays off
    with Viewer(preview) as viewer:
        past = viewer.next("hello")["past"]
    assert past == [[200.0, None], [120.0, "happiness"], [60.0, None], [30.0, False]]


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["a", "b", None, False])), max_size=60))
def test_the_timeline_covers_its_span_and_little_more(steps):
    now, was, current = 0, [], "unknown"
    timeline = Timeline(lambda: float(now))
    for step, what in steps:
        was += [current] * step
        now, current = now + step, what
        timeline.append(what)
    told = timeline.history()
    for second in range(max(0, now - int(SPAN_S)), now):
        begun = [what for ago, what in told if now - ago <= second]
        assert (begun[-1] if begun else "unknown") == was[second]
    assert len([ago for ago, _ in told if ago >= SPAN_S]) <= 1


def test_the_timeline_continues_in_another_preview(serve, moment):
    first = serve()
    first.update_timeline(moment.shown)
    first.close()
    with Viewer(serve(timeline=first.timeline)) as viewer:
        assert [entry for _, entry in viewer.next("hello")["past"]] == [None, "happiness", None]


def test_the_timeline_stays_small():
    times = iter(range(10 * ENTRIES_MAX))
    timeline = Timeline(lambda: next(times) / 1000)
    for i in range(3 * ENTRIES_MAX):
        timeline.append(str(i))
    told = timeline.history()
    assert len(told) == ENTRIES_MAX
    assert told[-1][1] == str(3 * ENTRIES_MAX - 1)


# Slow, broken and many clients


def test_a_slow_viewer_delays_no_other_and_gets_the_newest_events(serve, moment):
    preview = serve(picture=True)
    with Viewer(preview, buffer=4096) as slow, Viewer(preview) as quick:
        slow.next("heartbeat")
        seen = []
        for fps, told in zip(range(1, 61), _fed(preview, quick, moment), strict=False):
            seen.append(told)
            last = fps
        assert len(seen) == 60
        numbers = []
        for event in slow.events("view"):
            numbers.append(event["fps"])
            if event["fps"] == last:
                break
        assert numbers == sorted(numbers)
        assert len(numbers) < 30  # what the kernel had buffered, and then the newest


def _fed(preview: Preview, viewer: Viewer, moment: Moment) -> Iterator[float]:
    """Show frames one by one, each after the previous one has arrived."""
    views = viewer.events("view")
    for fps in itertools.count(1):
        show(preview, moment, float(fps))
        told = next(views)["fps"]
        assert told == fps
        yield told


def test_a_viewer_that_reads_nothing_is_disconnected(serve, moment, monkeypatch):
    monkeypatch.setattr(stream, "STALL_TIMEOUT_S", 0.3)
    preview = serve(picture=True)
    with Viewer(preview, buffer=4096):
        until(lambda: preview.has_viewers, "the viewer is connected")

        def disconnected() -> bool:
            show(preview, moment)
            return not preview.has_viewers

        until(disconnected, "the viewer is disconnected")


def test_twenty_viewers_get_the_same_events(serve, moment, monkeypatch):
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.05)
    preview = serve()
    with contextlib.ExitStack() as stack:
        viewers = [stack.enter_context(Viewer(preview)) for _ in range(20)]
        for viewer in viewers:
            viewer.next("heartbeat")
        show(preview, moment, 12.0)
        assert [viewer.next("view")["fps"] for viewer in viewers] == [12.0] * 20
        assert [thread.name for thread in threading.enumerate()].count("preview") == 1
    until(lambda: not preview.has_viewers, "all are disconnected")


def test_one_viewer_too_many_is_refused(serve):
    preview = serve()
    with contextlib.ExitStack() as stack:
        for _ in range(stream.VIEWERS_MAX):
            stack.enter_context(Viewer(preview)).next("heartbeat")
        status, _, text = request(preview, path="/events")
        assert status == 503
        assert is_one_line(text)
        assert request(preview, "HEAD", "/events")[0] == 503
        assert request(preview)[0] == 200


def idle(stack: contextlib.ExitStack, preview: Preview, count: int) -> list[socket.socket]:
    """Open idle connections: one half sends nothing, the other half an incomplete request."""
    address = "127.0.0.1", urlsplit(preview.url).port
    connections = [stack.enter_context(socket.create_connection(address, 30)) for _ in range(count)]
    for connection in connections[::2]:
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: loc")
    return connections


def first_line(connection: socket.socket) -> bytes:
    """The first line of the response; empty if the connection was closed."""
    try:
        return connection.recv(4096).partition(b"\r\n")[0]
    except ConnectionResetError:
        return b""


def test_the_number_of_connections_is_limited(serve):
    preview = serve()
    with contextlib.ExitStack() as stack:
        connections = idle(stack, preview, server.CONNECTIONS_MAX + 20)
        refused = [first_line(connection) for connection in connections[server.CONNECTIONS_MAX :]]
        # The response may be lost if the connection is refused before the request has been read.
        assert set(refused) - {b""} == {b"HTTP/1.1 503 Service Unavailable"}
    until(lambda: request(preview)[0] == 200, "connections are accepted again")


def test_idle_connections_are_closed(serve, monkeypatch):
    monkeypatch.setattr(server, "REQUEST_TIMEOUT_S", 0.3)
    preview = serve()
    with contextlib.ExitStack() as stack:
        answers = [first_line(connection) for connection in idle(stack, preview, server.CONNECTIONS_MAX)]
        assert set(answers) == {b""}
        until(lambda: request(preview)[0] == 200, "connections are accepted again")


GOOD = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
MALFORMED = {
    b"\r\n\r\n": 400,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n": 400,  # a browser that tries https
    b"GET /\r\n\r\n": 400,
    b"GET / HTTP/3\r\n\r\n": 400,
    b"GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\n folded: 1\r\nHost: localhost\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: localhost\r\n folded: 1\r\n\r\n": 403,  # continues the host name (RFC 9112, 5.2)
    b"GET / HTTP/1.1\r\nHost: local\x00host\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\n\r\n": 400,  # RFC 9112, 3.2
    b"GET / HTTP/1.0\r\n\r\n": 403,
    b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n": 400,
    b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n": 400,
    b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n": 400,
    b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n": 431,
    b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000: 431,
    b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n": 404,
    b"GET /page.html HTTP/1.1\r\nHost: localhost\r\n\r\n": 404,
    b"DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n": 405,
    b"POST /action HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nTransfer-Encoding: chunked\r\n\r\n": 411,
    b"POST /action HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'9\r\n{"do": 1}\r\n0\r\n\r\n': 411,
    b"POST /action HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"0\r\n\r\n": 411,
    b"POST /action HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n": 501,
    b"POST /action HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n": 400,
    b"POST /action HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n": 400,
    b"POST /action HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n": 400,
    b"POST /action HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab": 400,
    b"POST /action HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n\r\n": 413,
}


def answer(preview: Preview, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", urlsplit(preview.url).port), 30) as connection:
        with contextlib.suppress(OSError):  # the server may close before everything is sent
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        parts = []
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65536):
                parts.append(part)
        return b"".join(parts)


@pytest.mark.parametrize(("data", "status"), MALFORMED.items(), ids=lambda value: str(value)[:40])
def test_a_malformed_request_is_refused_in_one_line(serve, data, status):
    preview = serve()
    head, _, body = answer(preview, data).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert is_one_line(body.decode())
    assert answer(preview, GOOD).startswith(b"HTTP/1.1 200 ")


def test_a_request_that_arrives_byte_by_byte_is_answered(serve):
    with socket.create_connection(("127.0.0.1", urlsplit(serve().url).port), 30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in GOOD:
            connection.sendall(bytes([byte]))
        assert connection.recv(17) == b"HTTP/1.1 200 OK\r\n"


def test_a_connection_carries_one_request(serve):
    text = answer(serve(), GOOD + GOOD.replace(b"/ ", b"/nothing "))
    assert text.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nConnection: close\r\n" in text
    assert text.count(b"HTTP/1.1 ") == 1


def test_an_http_1_0_client_gets_the_page(serve):
    head, _, body = answer(serve(), GOOD.replace(b"1.1", b"1.0")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert body.decode() == PAGE


def test_the_response_to_head_has_no_body(serve):
    preview = serve()
    for path in (b"/events", b"/nothing"):
        assert answer(preview, GOOD.replace(b"GET / ", b"HEAD %s " % path)).endswith(b"\r\n\r\n")


LAZY = """
import sys, time, urllib.request
from edge.preview import Preview
from edge.values import Frame

preview = Preview("127.0.0.1:0")
loaded = lambda: {"asyncio", "h11", "edge.preview.server", "edge.preview.events"} & set(sys.modules)
preview.update_timeline(())
preview.paused = True
preview.refresh_panel()
preview.show(None, (), (), 15.0)  # drawing would fail
print(*loaded(), end=".")
urllib.request.urlopen(preview.url, timeout=30).close()
print(len(loaded()))
preview.close()
"""


def test_the_server_is_loaded_when_the_page_is_opened():
    done = subprocess.run([sys.executable, "-c", LAZY], check=True, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == (".4\n", "")


def test_a_preview_that_nobody_has_opened_is_closed_at_once(serve, recwarn):
    before = set(threading.enumerate())
    preview = serve()
    preview.close()
    assert set(threading.enumerate()) == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", urlsplit(preview.url).port))
    assert not [warning for warning in recwarn if warning.category is ResourceWarning]


@pytest.fixture(scope="module")
def shared_preview():
    with contextlib.closing(Preview("127.0.0.1:0")) as preview:
        yield preview


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    st.binary(max_size=300)
    | st.lists(
        st.sampled_from(
            b"GET|POST| |/|/events|HTTP/1.1|\r\n|Host: localhost|Cookie: ;=|Content-Length: 5|Origin: http://[|Host: [|"
            b"?token=%ff&&=|\x00|\xff".split(b"|")
        ),
        max_size=20,
    ).map(b"".join)
)
def test_no_input_ends_the_server_or_reaches_the_log(shared_preview, caplog, data):
    answer(shared_preview, data)
    assert answer(shared_preview, GOOD).startswith(b"HTTP/1.1 200 ")
    assert not caplog.text


def test_close_leaves_nothing_behind(serve, moment, recwarn, caplog):
    before = set(threading.enumerate())
    preview = serve(picture=True)
    port = urlsplit(preview.url).port
    with Viewer(preview) as quick, Viewer(preview, buffer=4096) as stuck, socket.create_connection(("127.0.0.1", port)):
        quick.next("heartbeat")
        stuck.next("heartbeat")
        for _ in range(20):
            show(preview, moment)
            quick.next("view")
        preview.close()
        assert set(threading.enumerate()) == before
        assert list(quick.events("heartbeat")) == []  # the stream has ended
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        serve(f"127.0.0.1:{port}")
    preview.close()
    show(preview, moment)
    preview.paused = True
    assert not preview.has_viewers
    assert not [warning for warning in recwarn if warning.category is ResourceWarning]
    assert not caplog.text


def test_a_failing_panel_logs_one_line(serve, caplog):
    class Failing(Recorder):
        def perform(self, _action: object) -> None:
            raise RuntimeError("no camera\nat all")

    preview = serve(panel=Failing())
    with pytest.raises((http.client.HTTPException, OSError)):
        request(preview, "POST", "/action", '{"do": "pause"}', Origin=preview.url.rstrip("/"))
    until(lambda: caplog.records, "it is logged")
    assert [record.getMessage() for record in caplog.records] == ["the preview: no camera at all"]
    assert caplog.records[0].exc_info is None
    assert request(preview)[0] == 200


# The panel


class Panel:
    """A counter with an action that increments it."""

    kind: Final = "collect"

    def __init__(self) -> None:
        self.count = 0

    def state(self) -> dict[str, Any]:
        return {"count": self.count}

    def perform(self, action: dict[str, Any]) -> None:
        if action != {"do": "count"}:
            raise UsageError("unknown\naction")
        self.count += 1


def act(preview: Preview, body: str, **headers: str) -> tuple[int, dict[str, str], str]:
    return request(preview, "POST", "/action", body, Origin=preview.url.rstrip("/"), **headers)


def test_without_a_panel_its_path_is_unknown(serve):
    preview = serve()
    for method in ("GET", "POST"):
        assert request(preview, method, "/action", '{"do": "count"}', Origin=preview.url.rstrip("/"))[0] == 404
    with Viewer(preview) as viewer:
        assert viewer.next("hello")["panel"] is None
        preview.refresh_panel()
        assert viewer.next("heartbeat") == {"paused": False}


def test_viewers_get_the_state_of_the_panel_and_its_changes(serve):
    panel = Panel()
    preview = serve(panel=panel)
    with Viewer(preview) as viewer, Viewer(preview) as other:
        told, others = viewer.events("panel"), other.events("panel")
        assert viewer.next("hello")["panel"] == "collect"
        assert next(told) == next(others) == {"count": 0}
        assert act(preview, '{"do": "count"}')[0] == 204
        assert next(told) == next(others) == {"count": 1}
        panel.count = 7
        preview.refresh_panel()
        assert next(told) == {"count": 7}
    with Viewer(preview) as late:
        until(lambda: late.next("panel") == {"count": 7}, "a later viewer gets it, too")


def test_an_error_of_the_panel_is_reported_in_one_line(serve):
    panel = Panel()
    status, _, text = act(serve(panel=panel), '{"do": "sing"}')
    assert (status, text) == (409, "unknown action\n")
    assert panel.count == 0


@pytest.mark.parametrize("body", ["", "{", "null", "[]", "{}", "7", "[" * 1000, "\x00"])
def test_only_json_objects_reach_the_panel(serve, body):
    panel = Panel()
    status, _, text = act(serve(panel=panel), body)
    assert status == 400
    assert is_one_line(text)
    assert panel.count == 0


def test_the_panel_needs_the_token_and_the_origin(serve):
    panel = Panel()
    preview = serve(panel=panel, token=TOKEN)
    _, headers, _ = request(preview, path=f"/?token={TOKEN}")
    cookie = headers["set-cookie"].partition(";")[0]
    body, own = '{"do": "count"}', preview.url.rstrip("/")
    assert act(preview, body)[0] == 403
    assert request(preview, "POST", "/action", body, Cookie=cookie)[0] == 403
    assert request(preview, "POST", "/action", body, Cookie=cookie, Origin="http://evil.example")[0] == 403
    assert request(preview, "POST", "/action", body, Cookie=cookie, Origin=own, Sec_Fetch_Site="cross-site")[0] == 403
    assert request(preview, "POST", "/action", "x" * 2000, Cookie=cookie, Origin=own)[0] == 413
    assert request(preview, "GET", "/action", Cookie=cookie)[0] == 405
    assert panel.count == 0
    assert act(preview, body, Cookie=cookie)[0] == 204
    assert panel.count == 1
