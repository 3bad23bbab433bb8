"""Messages to systemd and the journal, over real sockets, from the real process."""

from __future__ import annotations

import logging
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edge.device import journal, systemd
from edge.device.journal import encoded, fields
from edge.device.systemd import Systemd
from tests.support.broker import free_port, until

pytest_plugins = ["tests.support.broker"]

REPOSITORY = Path(__file__).parents[3]
NO_BROKER = "mqtt://127.0.0.1:9"
WATCHDOG_S = 0.5
LOOP_LIMIT_S = 1.0
"""Time limit of the publisher: longer than its waits for the network, and short for the test."""
MARK, CLOSE = b"mark", b"close"

LAUNCHER = """
import pathlib, socket, sys, threading
from edge.device import journal, systemd
from edge.mqtt import worker
journal.JOURNAL = sys.argv.pop(1)
journal.library = systemd.library = lambda name: None
worker.LOOP_LIMIT_S = float(sys.argv.pop(1))
fault, marker = sys.argv.pop(1), pathlib.Path(sys.argv.pop(1))
hangs = marker.with_name("hangs")
def hanging(work):
    def hang_while_marked(*arguments):
        while marker.exists():
            hangs.touch()
            threading.Event().wait(0.05)
        return work(*arguments)
    return hang_while_marked
from edge.camera.demo.camera import DemoCamera
from edge.face_mesh.litert import LiteRTFaceMesh
from edge.mqtt.session import Session
if fault == "a camera that is silent":
    read = DemoCamera.read
    DemoCamera.read = lambda camera, timeout_s: hangs.touch() if marker.exists() else read(camera, timeout_s)
if fault == "a camera that hangs":
    DemoCamera.read = hanging(DemoCamera.read)
if fault == "a mesh that hangs":
    LiteRTFaceMesh.process = hanging(LiteRTFaceMesh.process)
if fault == "a publisher that hangs":
    Session.loop_once = hanging(Session.loop_once)
if fault == "a name server that is silent":
    socket.getaddrinfo = hanging(socket.getaddrinfo)
from edge.cli import main
sys.exit(main(["run", *sys.argv[1:]]))
"""
"""The daemon with another socket of the journal, a shorter time limit of the publisher, and a fault while a file
exists; another file confirms that the fault is active."""


class Socket:
    """A datagram socket in place of systemd or journald, with all messages."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.messages: list[bytes] = []
        self.marks = 0
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self) -> None:
        while (message := self.socket.recv(65536)) != CLOSE:
            self.marks += message == MARK
            if message != MARK:
                self.messages.append(message)

    def all(self) -> list[bytes]:
        """All messages so far."""
        marks = self.marks
        self.send(MARK)
        until(lambda: self.marks > marks, "the mark arrives")
        return list(self.messages)

    def send(self, message: bytes) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(message, self.address)

    def close(self) -> None:
        self.send(CLOSE)
        self.thread.join()
        self.socket.close()

    def count(self, message: bytes) -> int:
        return sum(each == message for each in self.all())

    def starting(self, start: str) -> list[str]:
        return [text for text in (each.decode() for each in self.all()) if text.startswith(start)]


class Unit:
    """The daemon, started like a unit of systemd."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notify = Socket(str(folder / "notify"))
        self.journal = Socket(str(folder / "journal"))
        self.marker, self.hangs = folder / "marker", folder / "hangs"
        self.process: subprocess.Popen | None = None

    def start(self, *arguments: str, fault: str = "", journal: str = "journal", config: str = "") -> subprocess.Popen:
        # Without the page, whose port may be in use on this machine.
        (self.folder / "own.toml").write_text(f'[device]\nname = "test"\n[preview]\naddress = ""\n{config}')
        reader, writer = os.pipe()
        stream = os.fstat(writer)
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, str(self.folder / journal), str(LOOP_LIMIT_S), fault,
             str(self.marker), "--config", str(self.folder / "own.toml"),
             *(arguments or ("--camera", "demo", "--mqtt", NO_BROKER))],
            stdin=subprocess.DEVNULL,
            stderr=writer,
            cwd=REPOSITORY,
            env={
                **os.environ,
                "NOTIFY_SOCKET": str(self.folder / "notify"),
                "WATCHDOG_USEC": str(round(WATCHDOG_S * 1e6)),
                "JOURNAL_STREAM": f"{stream.st_dev}:{stream.st_ino}",
            },
        )  # fmt: skip
        os.close(writer)
        self.stderr = os.fdopen(reader)
        return self.process

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, list[str]]:
        """Stop it; return its exit status and the lines on stderr."""
        self.process.send_signal(number)
        return self.end()

    def end(self) -> tuple[int, list[str]]:
        lines = self.stderr.read().splitlines()
        return self.process.wait(30), lines


@pytest.fixture
def unit(tmp_path):
    one = Unit(tmp_path)
    yield one
    if one.process is not None:
        one.process.kill()
        one.process.wait()
        one.stderr.close()
    one.notify.close()
    one.journal.close()


@pytest.fixture(params=["sockets", "systemd-python"])
def way(request, monkeypatch):
    """Both ways to notify systemd."""
    if request.param == "systemd-python":
        pytest.importorskip(
            "systemd.daemon", reason="systemd-python is missing (Debian: sudo apt install python3-systemd)"
        )
    else:
        monkeypatch.setattr(systemd, "library", lambda _name: None)


@pytest.fixture(params=["path", "abstract"])
def listener(request, tmp_path, monkeypatch):
    name = f"@emotion-edge-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    listener = Socket(name.replace("@", "\0", 1) if request.param == "abstract" else name)
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    yield listener
    listener.close()


@pytest.mark.usefixtures("way")
def test_each_message_has_the_format_of_sd_notify(listener):
    systemd, before = Systemd(), time.monotonic()
    systemd.ready()
    systemd.status("15.0 fps,\nREADY=1")
    systemd.reloading()
    systemd.stopping()
    ready, status, reloading, stopping = listener.all()
    assert ready == b"READY=1"
    assert status == b"STATUS=15.0 fps, READY=1", "always one line"
    first, second = reloading.decode().splitlines()
    assert first == "RELOADING=1"
    assert before - 1e-6 <= int(second.removeprefix("MONOTONIC_USEC=")) / 1e6 <= time.monotonic()
    assert stopping == b"STOPPING=1"


def test_a_reload_during_the_start_does_not_end_the_start(listener):
    systemd = Systemd()
    systemd.reloading()
    systemd.reloaded()
    assert [each for each in listener.all() if each == b"READY=1"] == []
    systemd.ready()
    systemd.reloading()
    systemd.reloaded()
    assert listener.count(b"READY=1") == 2


def test_a_status_is_sent_only_when_it_changes(listener):
    systemd = Systemd()
    for text in ("a", "a", "b", "a"):
        systemd.status(text)
    assert listener.all() == [b"STATUS=a", b"STATUS=b", b"STATUS=a"]


def test_the_watchdog_is_fed_no_more_often_than_it_needs(listener, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "20000000")
    now = [100.0]
    systemd = Systemd(clock=lambda: now[0])
    fed_at = []
    for i in range(600):
        now[0] = 100 + i / 15
        before = len(listener.all())
        systemd.watchdog()
        fed_at += [now[0]] * (len(listener.all()) - before)
    assert fed_at == pytest.approx([100, 105, 110, 115, 120, 125, 130, 135])


@pytest.mark.parametrize(
    "environment", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"}]
)
def test_without_a_watchdog_it_is_not_fed(listener, monkeypatch, environment):
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    Systemd().watchdog()
    assert listener.all() == []


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("address", [None, "", "/nowhere/at/all"])
def test_without_systemd_nothing_happens(monkeypatch, address):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    systemd = Systemd()
    systemd.ready()
    systemd.status("a status")
    systemd.stopping()


def test_a_multi_line_value_is_encoded_with_its_length():
    assert encoded({"MESSAGE": "one", "NOTE": "two\nlines"}) == (b"MESSAGE=one\nNOTE\n\x09\0\0\0\0\0\0\0two\nlines\n")


def test_lines_on_a_stderr_that_is_the_journal_have_priorities(capsys):
    handler = journal.JournalHandler(sys.stderr)
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        handler.handle(logging.LogRecord("edge", level, "", 0, "one\ntwo", None, None))
    assert capsys.readouterr().err.splitlines() == [f"<{n}>{line}" for n in (7, 6, 4, 3, 2) for line in ("one", "two")]


def test_an_entry_that_the_journal_refuses_goes_to_stderr(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(journal, "library", lambda _name: None)
    monkeypatch.setattr(journal, "JOURNAL", str(tmp_path / "nobody"))
    record = logging.LogRecord("edge", logging.INFO, "", 0, "face 1", None, None)
    record.__dict__.update(fields(journal.CHANGED, TRACK=1))
    journal.JournalHandler(sys.stderr).handle(record)
    assert capsys.readouterr().err == "<6>face 1\n"


needs_models = pytest.mark.usefixtures("models")


@needs_models
def test_a_network_camera_that_is_off_is_waited_for_and_the_watchdog_is_fed(unit):
    unit.start("--no-demo", "--camera", f"rtsp://127.0.0.1:{free_port()}/stream", "--mqtt", NO_BROKER)
    until(lambda: unit.notify.count(b"READY=1"), "it is ready")
    until(lambda: unit.notify.count(b"WATCHDOG=1") >= 3, "the watchdog is fed")
    until(lambda: "waiting for the camera" in "".join(unit.notify.starting("STATUS=")), "the status says it")
    status, lines = unit.stop()
    assert status == 0, lines
    assert any("refuses the connection" in line and "trying again in 1 s" in line for line in lines)


@needs_models
def test_it_is_ready_with_the_first_frame_without_a_broker(unit):
    unit.start()
    until(lambda: unit.notify.count(b"WATCHDOG=1") >= 3, "the watchdog is fed")
    until(lambda: len(unit.notify.starting("STATUS=")) >= 2, "the status is sent")
    status, lines = unit.stop()
    # A slow machine feeds the watchdog before its first frame, too.
    messages = [message for message in unit.notify.all() if message != b"WATCHDOG=1"]
    assert status == 0, lines
    assert messages[0] == b"READY=1"
    assert messages.count(b"READY=1") == 1
    assert messages[-1] == b"STOPPING=1"
    assert re.fullmatch(r"STATUS=\d+\.\d fps, (no face|[a-z]+), no broker", unit.notify.starting("STATUS=")[-1])


@needs_models
def test_the_status_shows_frame_rate_expression_and_broker(unit, broker):
    unit.start("--camera", "demo", "--mqtt", broker.url)
    statuses = until(
        lambda: [s for s in unit.notify.starting("STATUS=") if s.endswith("broker connected")],
        "the broker is connected",
    )
    fps, expression, _ = statuses[0].removeprefix("STATUS=").split(", ")
    assert 0 < float(fps.removesuffix(" fps")) < 17
    assert expression == "happiness", "the demo begins with a smile"


@needs_models
def test_a_change_is_one_entry_of_the_journal_with_fields(unit):
    unit.start()
    changes = until(lambda: unit.journal.starting("MESSAGE=face"), "the first face")
    status, lines = unit.stop()
    assert status == 0
    first = dict(line.split("=", 1) for line in changes[0].splitlines())
    assert first.pop("CONFIDENCE").startswith(("0.", "1.0"))
    assert re.fullmatch(r"face 1: new happiness \(\d\.\d\d\)", first.pop("MESSAGE"))
    assert first == {
        "PRIORITY": "6", "SYSLOG_IDENTIFIER": "emotion-edge", "MESSAGE_ID": journal.CHANGED,
        "TRACK": "1", "EXPRESSION": "happiness", "PREVIOUS": "none",
    }  # fmt: skip
    last = dict(line.split("=", 1) for line in unit.journal.starting("MESSAGE=face")[-1].splitlines())
    assert (last["EXPRESSION"], last["MESSAGE"].split()[2]) == ("none", "end")
    assert not [line for line in lines if "face 1" in line], "logged only once"
    assert [line for line in lines if line.startswith("<6>demo on litert")], lines
    assert [line for line in lines if line.startswith("<4>stopped before")], lines


@needs_models
def test_a_reload_is_reported_to_systemd_and_the_journal(unit):
    unit.start()
    until(lambda: unit.notify.count(b"READY=1"), "it is ready")
    unit.process.send_signal(signal.SIGHUP)
    until(lambda: unit.notify.count(b"READY=1") == 2, "it is ready again")
    (unit.folder / "own.toml").write_text("[cammera]\n")
    unit.process.send_signal(signal.SIGHUP)
    until(lambda: unit.notify.count(b"READY=1") == 3, "it is ready again, with the old settings")
    status, lines = unit.stop()
    names = [message.split("=")[0] for message in unit.notify.starting("RE")]
    assert names == ["READY", "RELOADING", "READY", "RELOADING", "READY"]
    assert status == 0
    reloaded, refused = [entry for entry in unit.journal.starting("MESSAGE=") if "MESSAGE=reload" in entry]
    assert {"PRIORITY=6", f"MESSAGE_ID={journal.RELOADED}"} < set(reloaded.splitlines())
    assert {"PRIORITY=4", f"MESSAGE_ID={journal.REFUSED}"} < set(refused.splitlines())
    assert "cammera" in refused
    assert not [line for line in lines if "reload" in line], "logged only once"


@needs_models
def test_without_the_journal_a_change_is_a_line_on_stderr(unit):
    unit.start(journal="nobody")
    until(lambda: unit.notify.count(b"WATCHDOG=1") >= 3, "it runs")
    _, lines = unit.stop()
    assert [line for line in lines if line.startswith("<6>face 1: new happiness")]
    assert unit.journal.all() == []


@needs_models
@pytest.mark.parametrize(
    "fault", ["a camera that is silent", "a camera that hangs", "a mesh that hangs", "a publisher that hangs"]
)
def test_the_watchdog_is_not_fed_with(unit, broker, fault):
    unit.start("--camera", "demo", "--mqtt", broker.url, fault=fault)
    until(lambda: unit.notify.count(b"WATCHDOG=1") >= 2, "the watchdog is fed")
    until(lambda: "emotion-edge-test" in broker.log.read_text(), "it is connected to the broker")
    unit.marker.touch()
    until(unit.hangs.exists, "the fault is active")

    def starves() -> bool:
        """Whether the watchdog is not fed during its time-out."""
        fed = unit.notify.count(b"WATCHDOG=1")
        time.sleep(WATCHDOG_S)
        return unit.notify.count(b"WATCHDOG=1") == fed

    until(starves, "the watchdog starves")
    assert starves(), "while it hangs"
    fed = unit.notify.count(b"WATCHDOG=1")
    unit.marker.unlink()
    until(lambda: unit.notify.count(b"WATCHDOG=1") > fed, "the watchdog is fed again")


@needs_models
def test_a_silent_name_server_does_not_starve_the_watchdog(unit):
    unit.marker.touch()
    unit.start("--camera", "demo", "--mqtt", "mqtt://localhost:9", fault="a name server that is silent")
    until(lambda: unit.notify.count(b"READY=1"), "it is ready")
    until(unit.hangs.exists, "the name server is queried")
    fed = unit.notify.count(b"WATCHDOG=1")
    beyond_the_limit = 2 * LOOP_LIMIT_S / (WATCHDOG_S / systemd.FEEDS_PER_TIMEOUT)
    until(lambda: unit.notify.count(b"WATCHDOG=1") >= fed + beyond_the_limit, "the watchdog is fed")


@needs_models
def test_slow_pictures_do_not_starve_the_watchdog(unit, tmp_path):
    (tmp_path / "pictures").mkdir()
    pictures = 8
    for i in range(pictures):
        (tmp_path / "pictures" / f"{i}.pgm").write_bytes(b"P5 64 64 255\n" + bytes(64 * 64))
    unit.start("--camera", f"images:{tmp_path / 'pictures'}", "--mqtt", NO_BROKER, config="[camera]\nfps = 1.0\n")
    until(lambda: unit.notify.count(b"WATCHDOG=1") > 1.5 * pictures, "the watchdog is fed between pictures, too")


@needs_models
def test_a_missing_camera_and_bad_settings_are_never_ready(unit):
    if list(Path("/dev").glob("video*")):
        pytest.skip("this machine has a video device")
    unit.start("--no-demo", "--mqtt", NO_BROKER)
    status, lines = unit.end()
    assert (status, len(lines)) == (69, 1), lines
    assert "no camera found" in lines[0]
    unit.stderr.close()
    unit.start(config="[cammera]\n")
    status, lines = unit.end()
    assert (status, len(lines)) == (78, 1), lines
    assert lines[0].startswith("<3>emotion-edge: ")  # priority 3, an error
    assert "cammera" in lines[0]
    assert unit.notify.all() == []


@needs_models
def test_in_a_terminal_sighup_ends_it(tmp_path):
    ours, theirs = pty.openpty()
    # Under nohup, child processes ignore SIGHUP, too.
    command = ["env", "--default-signal=HUP", sys.executable, "-m", "edge", "run"]
    with (tmp_path / "log").open("w") as log:
        daemon = subprocess.Popen(
            [*command, "--camera", "demo", "--mqtt", NO_BROKER], stdin=theirs, stderr=log, cwd=REPOSITORY
        )
    try:
        until(lambda: "face 1: new" in (tmp_path / "log").read_text(), "it runs")
        daemon.send_signal(signal.SIGHUP)
        assert daemon.wait(30) == -signal.SIGHUP
    finally:
        daemon.kill()
        daemon.wait()
        os.close(ours)
        os.close(theirs)
