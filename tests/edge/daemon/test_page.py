"""The page of the daemon: what it takes from viewers, when it is served, and what a browser sees of a real daemon."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from edge.camera.recording import RecordingCamera
from edge.camera.recording_file import RecordingWriter
from edge.daemon.page import CHANGES_MAX, Page
from edge.errors import ConfigError, EndOfStreamError, UnavailableError, UsageError
from edge.mqtt.inbox import BURST, WAITING_MAX, Inbox
from edge.settings import PreviewSettings
from edge.values import Change, Frame, Shown
from tests.support.broker import free_port, until
from tests.support.previews import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytest_plugins = ["tests.support.broker", "tests.support.browsers"]
pytestmark = pytest.mark.usefixtures("models")

REPOSITORY = Path(__file__).parents[3]
HERE = PreviewSettings(address="127.0.0.1:0")


@pytest.fixture
def inbox() -> Inbox:
    return Inbox(lambda: 0.0)


@pytest.fixture
def serve(inbox) -> Iterator[Callable[..., Page]]:
    """Serve pages that end with the test."""
    with contextlib.ExitStack() as stack:

        def start(settings: PreviewSettings = HERE, **options: Any) -> Page:
            return stack.enter_context(contextlib.closing(Page(settings, "kitchen", inbox, **options)))

        yield start


# What viewers ask for


@pytest.mark.parametrize(
    ("action", "name", "options"),
    [
        ({"do": "pause", "paused": True}, "pause", {"paused": True}),
        ({"do": "pause", "paused": False}, "pause", {"paused": False}),
        ({"do": "calibrate"}, "calibrate", {"clear": False}),
        ({"do": "forget"}, "calibrate", {"clear": True}),
    ],
)
def test_an_action_becomes_a_command(serve, inbox, action, name, options):
    serve().perform(action)
    asked = inbox.take()
    assert asked.name == name
    assert {key: getattr(asked, key) for key in options} == options


def test_only_the_last_aim_counts(serve):
    page = serve()
    for rotation in (90, 180):
        page.perform({"do": "aim", "rotation": rotation, "flip": "horizontal"})
    assert page.take_aim() == (180, "horizontal")
    assert page.take_aim() is None


@pytest.mark.parametrize(
    "action",
    [
        {"do": "dance"},
        {"paused": True},
        {"do": "pause"},
        {"do": "pause", "paused": 1},
        {"do": "aim", "rotation": 45, "flip": "none"},
        {"do": "aim", "rotation": 90, "flip": "sideways"},
        {"do": "aim", "rotation": True, "flip": "none"},
        {"do": "aim", "rotation": "90", "flip": "none"},
        {"do": "aim", "rotation": 90},
        {"do": ["aim"]},
    ],
)
def test_an_unknown_action_is_refused_in_one_line(serve, inbox, action):
    page = serve()
    with pytest.raises(UsageError, match="choose pause, calibrate, forget or aim"):
        page.perform(action)
    assert (inbox.take(), page.take_aim()) == (None, None)


def test_too_many_commands_are_refused_and_not_lost_in_silence(serve):
    page = serve()
    for _ in range(min(WAITING_MAX, int(BURST))):
        page.perform({"do": "calibrate"})
    with pytest.raises(UnavailableError, match="try again in some seconds"):
        page.perform({"do": "calibrate"})


# Where it is served


def test_a_port_in_use_is_a_warning_unless_the_page_was_asked_for(serve, caplog):
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = PreviewSettings(address=f"127.0.0.1:{other.getsockname()[1]}")
        assert serve(settings).url is None
        (line,) = caplog.messages
        assert line.startswith("no live page: ")
        assert "another program uses that port" in line
        assert "preview.address" in line
        with pytest.raises(UnavailableError, match="another program uses that port"):
            serve(settings, required=True)


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("address", ["0.0.0.0:0", "8080", "localhost:x"])
def test_an_address_that_is_not_usable_is_refused(serve, address, required):
    with pytest.raises(ConfigError):
        serve(PreviewSettings(address=address), required=required)
    with pytest.raises(ConfigError):
        serve().check(PreviewSettings(address=address))


def test_without_an_address_there_is_no_page(serve):
    page = serve(PreviewSettings(address=""))
    page.shown((), paused=False)
    assert (page.url, page.has_viewers, page.state_due(0.0)) == (None, False, False)


@pytest.mark.parametrize("content", [TOKEN, f"{TOKEN}\n"])
def test_the_service_takes_the_token_from_its_credential(serve, tmp_path, monkeypatch, content):
    (tmp_path / "preview-token").write_text(content)
    (tmp_path / "preview-token").chmod(0o400)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert serve(PreviewSettings(address="0.0.0.0:0")).url is not None


def test_an_empty_credential_is_no_token(serve, tmp_path, monkeypatch):
    (tmp_path / "preview-token").touch(0o400)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(ConfigError, match="set a token"):
        serve(PreviewSettings(address="0.0.0.0:0"))


def change(track: int, expression: str | None = "neutral") -> Change:
    return Change(track, expression, None, 0.8, 1.0, 0.0)


def test_new_settings_move_the_page_and_keep_its_history(serve):
    page = serve()
    page.changes([change(1)])
    page.shown([Shown(1, "neutral", 0.8, 1.0)], paused=False)
    before = page.url
    page.adopt(HERE, "kitchen")
    assert page.url == before  # nothing has changed
    page.adopt(dataclasses.replace(HERE, picture=True), "kitchen")
    assert page.url != before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", urlsplit(before).port))
    assert [each["track"] for each in page.state()["changes"]] == [1]
    page.adopt(PreviewSettings(address=""), "kitchen")
    assert page.url is None


# What it costs


def test_nothing_is_computed_for_nobody(serve):
    page = serve()
    page.frame(None, (), lambda: pytest.fail("the faces are asked for"), 15.0)
    assert not page.state_due(float("inf"))


def test_the_list_of_changes_stays_short(serve):
    page = serve()
    page.changes([change(track) for track in range(3 * CHANGES_MAX)])
    assert [each["track"] for each in page.state()["changes"]] == [*range(2 * CHANGES_MAX, 3 * CHANGES_MAX)]
    json.dumps(page.state(), allow_nan=False)


# In a browser, with a real daemon


class Daemon:
    """A daemon with a page and a settings file."""

    def __init__(self, folder: Path, source: str, broker: str) -> None:
        self._folder = folder
        self._broker = broker
        self._source = source
        self.url = f"http://127.0.0.1:{free_port()}/"
        (folder / "state").mkdir()
        self.write()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.impatient", "run", "--config", folder / "own.toml"],
            env={**os.environ, "STATE_DIRECTORY": str(folder / "state")},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=REPOSITORY,
        )  # fmt: skip

    def write(self, camera: str = "") -> None:
        (self._folder / "own.toml").write_text(
            f'[device]\nname = "kitchen"\n[camera]\nsource = "{self._source}"\n{camera}\n'
            f'[mqtt]\nurl = "{self._broker}"\n[preview]\naddress = "{urlsplit(self.url).netloc}"\n'
        )

    def reload(self, camera: str) -> None:
        self.write(camera)
        self._process.send_signal(signal.SIGHUP)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)


@pytest.fixture
def start(tmp_path, broker) -> Iterator[Callable[..., Daemon]]:
    with contextlib.ExitStack() as stack:

        def begin(source: str = "demo") -> Daemon:
            daemon = stack.enter_context(contextlib.closing(Daemon(tmp_path, source, broker.url)))
            until(lambda: is_open(daemon.url), "the page is served", 60)
            return daemon

        yield begin


def is_open(url: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", urlsplit(url).port)) == 0


@pytest.fixture(scope="session")
def neutral(tmp_path_factory) -> Path:
    """A recording of two minutes of a person at rest."""
    camera = RecordingCamera(REPOSITORY / "model" / "recordings" / "neutral.landmarks")
    frames: list[Frame] = []
    with contextlib.suppress(EndOfStreamError):
        while len(frames) < 40:
            frame = camera.read(1)
            frames += [] if frame is None else [frame]
    path = tmp_path_factory.mktemp("recordings") / "neutral"
    width, height = frames[0].size
    picture = np.zeros((height, width, 3), np.uint8)
    with RecordingWriter(path, width=width, height=height) as writer:
        for i in range(1200):
            writer.write(Frame(picture, i / 10, frames[i % len(frames)].faces))
    return path


def press(browser, name: str) -> None:
    browser.sees(
        lambda: browser.run(f"return ready() && !document.getElementById('{name}').hidden"), f"{name} is ready"
    )
    browser.driver.find_element("id", name).click()


def test_it_shows_the_device(start, browser, broker):
    daemon = start()
    browser.open(daemon.url, 1280, 800)
    browser.sees(lambda: browser.text("broker").startswith("Broker\nconnected\nmqtt://127.0.0.1:"), "the broker")
    assert browser.text("demo").startswith("DEMO\nThese are the pictures of the built-in demo, not of a camera.")
    assert browser.text("badge") == "DEMO"
    browser.sees(lambda: browser.text("camera") == "built-in demo · 640x480", "the camera")
    lines = browser.text("model").split("\n")
    assert lines[1].startswith("ferplus-fused-")
    assert lines[2:] == ["84 % of 3,152 test faces right", "commonest label alone: 35 %"]
    browser.sees(lambda: browser.text("list"), "the first event is listed")
    assert browser.text("list").split("\n")[-3].endswith("face 1")  # the oldest: how it appeared
    assert "sure" not in browser.driver.find_element("tag name", "body").text
    assert browser.text("device") == "kitchen"
    broker.kill()
    browser.sees(lambda: "not connected" in browser.text("broker"), "the lost broker is shown")
    assert browser.text("broker").split("\n")[3]  # why
    assert browser.errors() == []


def test_the_picture_is_turned_and_mirrored_while_looking(start, browser):
    daemon = start()
    browser.open(daemon.url, 1280, 800)
    browser.sees(browser.drawn, "a face is drawn")
    assert browser.text("keep") == ""
    browser.driver.find_element("css selector", "[data-mirror=horizontal]").click()
    browser.sees(lambda: browser.text("lines") == 'rotation = 0\nflip = "horizontal"', "the lines to keep it")
    browser.sees(browser.drawn, "the mirrored face is drawn")
    browser.sees(lambda: browser.run("return ready()"), "the next action is possible")
    browser.driver.find_element("css selector", '[data-turn="90"]').click()
    # A mirror reverses the sense of a turn.
    browser.sees(lambda: browser.text("lines") == 'rotation = 270\nflip = "horizontal"', "the lines to keep it")
    browser.sees(lambda: "480x640" in browser.text("camera"), "the picture is upright")
    daemon.reload('rotation = 0\nflip = "vertical"')
    browser.sees(lambda: "mirrored top to bottom" in browser.text("camera"), "the settings apply again")
    assert browser.text("keep") == ""
    assert browser.errors() == []


def test_a_neutral_face_is_measured_and_forgotten(start, browser, neutral):
    daemon = start(f"recording:{neutral}")
    browser.open(daemon.url, 1280, 800)
    browser.sees(lambda: browser.text("expression") == "neutral", "a face at rest")
    assert browser.text("demo") == ""
    assert browser.run("return document.querySelector('#aim [role=group]').hidden")  # it has no picture to turn
    press(browser, "calibrate")
    browser.sees(lambda: browser.text("toast").startswith("measured the neutral baseline on "), "the reply")
    browser.sees(lambda: browser.text("measured").startswith("Measured on "), "when it was measured")
    press(browser, "forget")
    browser.sees(lambda: browser.text("toast") == "cleared the neutral baseline", "the reply")
    browser.sees(lambda: "can learn that face" in browser.text("measured"), "it is forgotten")
    assert browser.errors() == []


def test_the_camera_is_paused_and_a_refusal_is_shown(start, browser):
    daemon = start()
    browser.open(daemon.url, 390, 844)
    browser.sees(browser.drawn, "a face is drawn")
    press(browser, "pause")
    browser.sees(lambda: browser.text("notice") == "The camera is off", "it is paused")
    press(browser, "calibrate")
    browser.sees(lambda: browser.text("toast").startswith("the camera is paused: send resume"), "why not")
    assert browser.run("return document.getElementById('toast').className") == "failed"
    press(browser, "pause")
    browser.sees(browser.drawn, "it is on again")


def test_the_last_minutes_outlast_a_reload_of_the_page(start, browser):
    daemon = start()
    browser.open(daemon.url, 1280, 800)
    browser.sees(lambda: browser.text("legend") and browser.text("list"), "history")
    first = browser.text("list").split("\n")[-3]
    known = browser.run("return past.at(0)[0]")
    browser.driver.refresh()
    browser.sees(lambda: browser.text("list"), "history")
    assert browser.text("list").split("\n")[-3] == first
    assert abs(browser.run("return past.at(0)[0]") - known) < 1000


@pytest.mark.parametrize("size", [(1280, 800), (1920, 1080)])
@pytest.mark.parametrize("dark", [False, True])
def test_everything_fits_a_desktop(start, browser, size, dark):
    daemon = start()
    browser.open(daemon.url, *size, dark=dark)
    browser.sees(lambda: browser.drawn() and browser.text("list"), "all is shown")
    assert browser.run("return [document.documentElement.scrollWidth, document.documentElement.scrollHeight]") == [
        *size
    ]
    cut = "[...document.querySelectorAll('.card')].filter(e => e.getBoundingClientRect().bottom > innerHeight)"
    assert browser.run(f"return {cut}.map(e => e.id)") == []
    # The room is used.
    box = browser.run(
        "const {width, height} = document.getElementById('view').getBoundingClientRect(); return width * height"
    )
    assert box > size[0] * size[1] / 6
