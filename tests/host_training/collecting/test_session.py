"""The loop, with the demo's camera, the real mesh and a page that somebody looks at, or nobody."""

from __future__ import annotations

import contextlib
import http.client
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from edge.camera.demo.camera import DemoCamera
from edge.camera.video import VideoCamera
from edge.daemon.signals import Signals
from edge.face_mesh import open_face_mesh
from edge.preview import Preview
from edge.settings import CameraSettings, MeshSettings
from host_training.collecting import session
from host_training.collecting.collector import Collector
from host_training.collecting.measuring import MAX_FACES
from host_training.collecting.store import Store
from tests.support import portraits
from tests.support.broker import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edge.camera import Camera
    from host_training.collecting.measuring import Conditions

pytest_plugins = ["tests.support.people"]

ANNA = {"do": "record", "subject": "anna", "session": "monday", "consent": True}
SMILE = {"do": "label", "label": 1}
WAIT_S = 60.0


class Loop:
    """The loop in a thread of its own."""

    def __init__(self, camera: Camera, store: Store) -> None:
        self.store = store
        self.collector = Collector(store, subject="", session="", consent=False, pictures=False, say=print)
        self.preview = Preview("127.0.0.1:0", panel=self.collector)
        self._signals = Signals()
        mesh = open_face_mesh(MeshSettings(max_faces=MAX_FACES), portraits.mesh_models())
        self.thread = threading.Thread(
            target=session.run, args=(camera, mesh, self.preview, self.collector, self._signals)
        )

    @contextlib.contextmanager
    def looked_at(self) -> Iterator[None]:
        """Somebody has the page open."""
        connection = http.client.HTTPConnection("127.0.0.1", urlsplit(self.preview.url).port, timeout=WAIT_S)
        connection.request("GET", "/events")
        with contextlib.closing(connection), contextlib.closing(connection.getresponse()):
            until(lambda: self.preview.has_viewers, "the page is open", WAIT_S)
            yield
        until(lambda: not self.preview.has_viewers, "the page is closed", WAIT_S)

    def close(self) -> None:
        self._signals.stop = True
        self.thread.join()
        self.preview.close()


@pytest.fixture
def loop(tmp_path: Path, conditions: Conditions) -> Iterator[Callable[..., Loop]]:
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(Store(tmp_path / "mine.parquet", conditions, say=print))

        def start(camera: Camera) -> Loop:
            made = stack.enter_context(contextlib.closing(Loop(camera, store)))
            made.thread.start()
            return made

        yield start


def test_when_everybody_has_left_the_page_nobody_is_recorded_any_more(loop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(session, "AWAY_S", 0.5)
    running = loop(DemoCamera(CameraSettings()))
    with running.looked_at():
        running.collector.perform(SMILE)
        running.collector.perform(ANNA)
        until(lambda: running.store.coverage.rows > 2, "rows are recorded", WAIT_S)
    until(lambda: not running.collector.recording, "the recording has stopped", WAIT_S)
    assert running.collector.state()["note"] == "recording has stopped: nobody was watching the page"
    assert running.thread.is_alive()


def test_a_film_waits_for_somebody_and_ends_the_loop(loop, tmp_path: Path):
    import cv2

    film = tmp_path / "clip.avi"
    demo = DemoCamera(CameraSettings(width=640, height=480))
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"MJPG"), 10, (640, 480))
    for number in range(20):
        writer.write(cv2.cvtColor(demo.draw(number / 10), cv2.COLOR_RGB2BGR))
    writer.release()
    running = loop(VideoCamera(film, CameraSettings()))
    running.collector.perform(SMILE)
    running.thread.join(2.5)
    assert running.thread.is_alive()
    running.collector.perform(ANNA)
    running.thread.join(WAIT_S)
    assert not running.thread.is_alive()
    assert not running.collector.recording
    assert 1 <= running.store.coverage.rows <= 10  # a busy machine reads fewer frames in the film's time
