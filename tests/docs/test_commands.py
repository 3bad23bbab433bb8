"""The command blocks of the pages can be copied: each command runs here, or is listed below with the reason why not.

The commands of a page run in order, in a folder and a network namespace of their own, with a broker at port 1883. A
command that is in none of the lists fails the test, and so does an entry that is on no page.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import keyword
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import pytest

from edge.camera.demo.camera import DemoCamera
from edge.settings import CameraSettings
from tests.support import pages, small_table
from tests.support.network import Network, with_broker
from tests.support.pages import PAGES, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LIMIT_S = 120.0
"""Maximum time for a command, s. On an idle machine they take seconds."""

RUNS = {
    "openssl rand -hex 16 > preview-token && chmod 600 preview-token",
    "emotion-edge run --print-config > emotion-edge.toml",
    "emotion-edge run --camera recording:smile.landmarks",
    "emotion-edge run --camera video:clip.mp4",
    "emotion-edge run --camera images:pictures/",
    "emotion-edge run --watch --local-broker --camera recording:model/recordings/happiness.landmarks",
    "emotion-edge classify --json holiday.jpg pictures/",
    "emotion-edge classify --json edge/camera/demo/assets/demo-portrait.jpg",
    "emotion-edge model list",
    "emotion-edge model verify model/fused",
    "emotion-edge forget livingroom",
    "emotion-edge calibrate --device livingroom --clear",
    'mosquitto_pub -t emotion/livingroom/command/pause -m \'{"id": "1"}\'',
    "mosquitto_pub -t emotion/livingroom/command/resume -n",
    "emotion-train sign --new-key fleet.key",
    "emotion-train sign build/models/mine --key fleet.key",
    "emotion-train import folder photos/ --subject-pattern '^[^/]+/([a-z]+)_' --out mine.parquet",
    "emotion-train crop --table mine.parquet --pictures folder:photos/ --out build/mine.crops.npz",
    "emotion-train recipe > mine.toml",
    "emotion-train evaluate --bundle build/models/mine --data photos/ --json",
    "emotion-train robustness --bundle build/models/mine --data mine.parquet --pictures folder:photos/",
    "emotion-train robustness --bundle build/models/mine --data mine.parquet --pictures folder:photos/ --part range",
    "emotion-train report --bundle build/models/mine --table mine.parquet --out report.html",
    "emotion-train collect images photos/ --subject p07 --session monday --consent --out mine.parquet",
    "emotion-train collect coverage --table mine.parquet",
    "emotion-train collect remove --subject p07 --table mine.parquet",
    "emotion-train describe model/keypoints/ferplus.parquet",
    "cp model/keypoints/ferplus.parquet build/all-rows.parquet",
}
"""Commands that run until they end by themselves."""

STARTS = {
    "emotion-edge run": r"http://127\.0\.0\.1:8080/[\s\S]*connected to",
    "emotion-edge run --preview --preview-picture": r"http://127\.0\.0\.1:8080/[\s\S]*connected to",
    "emotion-edge run --preview 0.0.0.0:8080 --preview-token-file preview-token": r"http://\S+:8080[\s\S]*connected to",
    "emotion-edge run --config emotion-edge.toml": r"connected to",
    "emotion-edge record --seconds 30 --camera video:clip.mp4 smile.landmarks": r"Ctrl-C",
    "emotion-edge watch --mqtt mqtt://localhost": r"livingroom",
    "emotion-edge watch --shadow": "",  # prints nothing before Ctrl-C
    "emotion-edge watch": r"livingroom",
    "mosquitto_sub -v -t 'emotion/#'": r"emotion/livingroom/state",
}
"""Commands that run until they are stopped, and a pattern of what they print; empty: they connect in silence."""

ESTABLISHED = "01"
"""State of a connection in /proc/net/tcp."""

DOCTOR = "emotion-edge doctor"
"""Command that may report problems of this machine, such as a missing time server, but must not fail itself."""

TRAINS = "it trains, which takes minutes; the tests of the training kit do so on less data"
SLOW = "it takes a minute, and measures nothing useful on a machine that is busy with tests"
CAMERA = "it needs a camera, or a person in front of it"
ROOT_ONLY = "it changes the machine, as root; the tests in containers run the installer"
OTHER_MACHINE = "it needs another machine"
INTERNET = "it needs the package index, or the repository from which this one was cloned"
ELSEWHERE = {
    r"sudo ": ROOT_ONLY,
    r"export PATH=": "it changes the reader's shell, not the machine",
    r"\.venv/test/bin/python -m pytest ": "it is a test of another tier",
    r"git ": INTERNET,
    r"(systemctl|journalctl) ": ROOT_ONLY,
    r"ssh -L": OTHER_MACHINE,
    r"python3 -m venv /tmp/fetch|/tmp/fetch/bin/pip |cp ~/\.cache/": INTERNET,
    r"(python3 -m venv --system-site-packages )?\.venv/collect": INTERNET,
    r"(python3 -m venv )?/tmp/try": "the tests of wheel and source distribution do so",
    r"twine upload": INTERNET,
    r"mkdir -p /config|cp deploy/\S+ /config": OTHER_MACHINE,
    r"\.ci/run": "it runs these tests",
    r"emotion-edge run --camera (v4l2|rtsp):|emotion-train collect camera": CAMERA,
    r"emotion-edge calibrate --device livingroom$": CAMERA,
    r"python -m tests\.benchmarks\.": SLOW,
    r"emotion-edge status --mqtt mqtt://broker\.local": OTHER_MACHINE,
    r"emotion-train (train|cross-validate|search|compare|clean) ": TRAINS,
    r"emotion-train export ": "its output is larger than a gigabyte",
}
"""Patterns of the beginning of commands that can't run here, each with the reason."""

USER_PATHS = re.compile(r"build/|fleet\.yml|photos/|pictures/|wheels$|dist/")
"""Paths that the reader creates."""


def test_every_command_is_listed() -> None:
    named = [command for page in PAGES for command in pages.commands(page)]
    known = {*RUNS, *STARTS, DOCTOR}

    assert [command for command in named if not (command in known or _reason(command) or _is_make(command))] == []
    assert [command for command in known if command not in named] == []
    assert [pattern for pattern in ELSEWHERE if not any(re.match(pattern, command) for command in named)] == []


def _reason(command: str) -> str | None:
    return next((reason for pattern, reason in ELSEWHERE.items() if re.match(pattern, command)), None)


def _is_make(command: str) -> bool:
    return command.startswith("make ")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that make needs, as links. Some lines run even with --dry-run; they must not run in the repository."""
    folder = tmp_path_factory.mktemp("checkout")
    for path in ROOT.iterdir():
        if not path.name.startswith(".") and path.name not in {"build", "dist"}:
            (folder / path.name).symlink_to(path)
    return folder


@pytest.mark.parametrize("command", sorted({c for page in PAGES for c in pages.commands(page) if _is_make(c)}))
def test_make_has_the_targets(command: str, checkout: Path) -> None:
    found = [f"PYTHON={sys.executable}", "PYTHON311=", "PYTHON313="]  # searching for them takes the longest
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        [*pages.words(command)[0], "--dry-run", *found],
        cwd=checkout, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr


PROGRAM = re.compile(r"(.*/)?emotion-(edge|train)")


def _calls(commands: Iterable[str]) -> list[tuple[str, ...]]:
    """All calls of our programs: name and arguments, without sudo, env and variables."""
    found = set()
    for command in commands:
        for words in pages.words(command):
            while words and (words[0] in {"sudo", "env"} or re.fullmatch(r"\w+=.*", words[0])):
                del words[0]
            if len(words) > 1 and PROGRAM.fullmatch(words[0]):
                found.add((Path(words[0]).name, *words[1:]))
    return sorted(found)


@pytest.mark.parametrize("call", _calls(c for page in PAGES for c in pages.commands(page)), ids=" ".join)
def test_the_programs_accept_the_arguments(call: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for commands that can't run here: the program parses their arguments."""
    program, command, *arguments = call
    package = {"emotion-edge": "edge", "emotion-train": "host_training"}[program]
    module = command.replace("-", "_") + "_" * keyword.iskeyword(command)
    monkeypatch.setattr(f"{package}.commands.{module}.run", lambda _: 0)
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        status = importlib.import_module(f"{package}.cli").main([command, *arguments])

    assert status == 0, errors.getvalue()


def test_commands_in_the_text_exist() -> None:
    spans = [span for page in PAGES if page.name != "CHANGELOG.md" for span in pages.spans(page)]
    known = {
        ("emotion-edge", *importlib.import_module("edge.cli").COMMANDS),
        ("emotion-train", *importlib.import_module("host_training.cli").COMMANDS),
    }
    names = {(program, command) for program, *commands in known for command in commands}

    named = {call[:2] for call in _calls(span for span in spans if "emotion-" in span and "'" not in span)}

    assert len(named) > 10
    assert named <= names


def test_make_targets_in_the_text_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, flags=re.MULTILINE))

    named = {
        span.split()[1]
        for page in PAGES
        if page.name != "CHANGELOG.md"
        for span in pages.spans(page)
        if re.match(r"make [a-z-]+( |$)", span)
    }

    assert len(named) > 5
    assert named <= targets


@pytest.mark.parametrize("command", sorted({c for page in PAGES for c in pages.commands(page)}))
def test_files_of_the_project_in_commands_exist(command: str) -> None:
    named = [word.partition(":")[2] or word for words in pages.words(command) for word in words]
    ours = [word for word in named if re.match(r"(\./)?(deploy|model|host_training|edge|docs)/", word)]

    assert [path for path in ours if not USER_PATHS.match(path) and not (ROOT / path).exists()] == []


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with with_broker(tmp_path_factory.mktemp("broker")) as network:
        yield network


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small keypoint table."""
    path = tmp_path_factory.mktemp("table") / "ferplus.parquet"
    small_table.write(path)
    return path


@pytest.fixture
def reader(tmp_path: Path, table: Path) -> Path:
    """The working directory of a reader who follows the pages: a checkout, and pictures of their own."""
    for name in ("deploy", "docs", "host_training", "edge"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "model", tmp_path / "model", copy_function=os.symlink)
    shutil.rmtree(tmp_path / "model/keypoints")
    shutil.copytree(table.parent, tmp_path / "model/keypoints")
    shutil.copytree(ROOT / "model/landmarks", tmp_path / "build/models/mine")
    _programs(tmp_path / "bin")
    _pictures(tmp_path)
    return tmp_path


def _programs(folder: Path) -> None:
    folder.mkdir()
    for name, package in (("emotion-edge", "edge"), ("emotion-train", "host_training")):
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {package} "$@"\n')
        (folder / name).chmod(0o755)


def _pictures(folder: Path) -> None:
    """Draw the demo's person, smiling and neutral, as a photo, a video and two folders."""
    demo = DemoCamera(CameraSettings())
    for label, second in (("happiness", 1.0), ("neutral", 3.6)):
        (folder / "photos" / label).mkdir(parents=True)
        for number, person in enumerate(("anna", "ben", "carla")):  # each in another place
            picture = cv2.cvtColor(demo.draw(second + number / 15), cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(folder / "photos" / label / f"{person}_{label}.png"), picture)
    smile = cv2.imread(str(folder / "photos/happiness/anna_happiness.png"))
    cv2.imwrite(str(folder / "holiday.jpg"), smile)
    shutil.copytree(folder / "photos/neutral", folder / "pictures")
    video = cv2.VideoWriter(str(folder / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (640, 480))
    for _ in range(5):
        video.write(smile)
    video.release()


RUNNABLE = [page for page in PAGES if {*RUNS, *STARTS, DOCTOR} & set(pages.commands(page))]


@pytest.mark.parametrize("page", RUNNABLE, ids=str)
def test_the_commands_of_a_page_run(page: Path, reader: Path, network: Network) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if name in {"HOME", "LANG", "XDG_CACHE_HOME"}},
        "PATH": f"{reader / 'bin'}:/usr/local/sbin:/usr/sbin:/sbin:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "KERAS_BACKEND": "tensorflow",
    }
    commands = [command for command in pages.commands(page) if command in {*RUNS, *STARTS, DOCTOR}]
    with contextlib.ExitStack() as stack:
        if any(
            "livingroom" in command or command.startswith(("mosquitto", "emotion-edge watch")) for command in commands
        ):
            (reader / "livingroom.toml").write_text('[device]\nname = "livingroom"\n[preview]\naddress = ""\n')
            device = _Started("emotion-edge run --config livingroom.toml --camera demo", network, reader, environment)
            stack.callback(device.stop)
            device.wait_for(r"connected to")
            listen = "mosquitto_sub -v -t emotion/livingroom/availability -t emotion/livingroom/reply/+"
            replies = _Started(listen, network, reader, environment)
            stack.callback(replies.stop)
            replies.wait_for("online")
        for command in commands:
            if command == "emotion-edge forget livingroom":
                stack.close()  # the device must be gone
            started = _Started(command, network, reader, environment)
            if command in STARTS:
                if STARTS[command]:
                    started.wait_for(STARTS[command])
                else:
                    started.wait_for_connection()
                assert started.stop() in {0, -signal.SIGINT, 130}, started.output
            elif command == DOCTOR:
                assert started.end() in {0, os.EX_UNAVAILABLE, os.EX_NOPERM, os.EX_CONFIG}, started.output
                assert "broker      mqtt://localhost:1883 accepts" in started.output
            else:
                assert started.end() == 0, f"{command}\n{started.output}"
            if request := re.search(r"mosquitto_pub.*command/(\w+)", command):
                replies.wait_for(f'reply/{request[1]} .*"ok":true')


class _Started:
    """A running command and its output so far."""

    def __init__(self, command: str, network: Network, folder: Path, environment: dict[str, str]) -> None:
        self.output = ""
        self._command = command
        self._process = network.start(f"exec {command}" if "&&" not in command else command, folder, environment)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output += line

    def wait_for(self, pattern: str) -> None:
        """Wait until the output matches."""
        deadline = time.monotonic() + LIMIT_S
        while not re.search(pattern, self.output):
            assert self._process.poll() is None, f"{self._command} has ended: {self.output}"
            assert time.monotonic() < deadline, f"{self._command} doesn't print {pattern!r}: {self.output}"
            time.sleep(0.05)

    def wait_for_connection(self) -> None:
        """Wait until it is connected to a broker."""
        process, deadline = Path(f"/proc/{self._process.pid}"), time.monotonic() + LIMIT_S
        while True:
            assert self._process.poll() is None, f"{self._command} has ended: {self.output}"
            assert time.monotonic() < deadline, f"{self._command} doesn't connect: {self.output}"
            rows = [line.split() for line in (process / "net/tcp").read_text().splitlines()[1:]]
            established = {f"socket:[{row[9]}]" for row in rows if row[3] == ESTABLISHED}
            with contextlib.suppress(FileNotFoundError):  # a file that was closed in between
                if established & {str(file.readlink()) for file in (process / "fd").iterdir()}:
                    return
            time.sleep(0.05)

    def stop(self) -> int:
        """Interrupt it like Ctrl-C and return its exit status."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
        return self.end()

    def end(self) -> int:
        """Wait for its end and return its exit status."""
        try:
            return self._process.wait(LIMIT_S)
        finally:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._reader.join(5)
