"""No part of a password reaches an output, whatever characters it has and wherever its address was written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from edge import settings
from edge.camera import open_camera
from edge.cli import main
from edge.errors import ConfigError, EdgeError
from edge.mqtt.address import BrokerAddress
from edge.redaction import has_password, without_password, without_passwords
from edge.settings import CameraSettings

if TYPE_CHECKING:
    from pathlib import Path

PASSWORDS = [
    "Geheim",
    "Geheim/2026!",
    "/Geheim",
    "Ge@heim",
    "Ge:heim",
    "Ge#heim",
    "?Geheim",
    "Geheim%",
    "Ge%heim",
    "Ge heim",
    "Ge//heim",
    "Ge[heim]",
    "Ge\\heim",
    "'Ge\"heim'",
    "Ge/heim@2026#Sommer?1",
    "1883/Geheim",
]


def leaked(password: str, text: str) -> list[str]:
    """The parts of a password that a text holds."""
    return [part for part in re.findall(r"[A-Za-z]{4,}|2026", password) if part in text]


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize(
    "form",
    [
        "mqtt://kim:{}@127.0.0.7:1",
        "wss://kim:{}@127.0.0.7/path",
        "kim:{}@127.0.0.7",
        "mqtt:kim:{}@127.0.0.7",
        "mqtt:/kim:{}@127.0.0.7",
        "rtsp://kim:{}@127.0.0.7:554/live?token=secret",
        "video:rtsp://kim:{}@127.0.0.7",
    ],
)
def test_an_address_is_shown_without_its_password(form: str, password: str):
    address = form.format(password)
    text = without_password(address)
    assert leaked(password, text) == []
    assert "secret" not in text
    assert "127.0.0.7" in text
    assert has_password(address)


@pytest.mark.parametrize(
    "address",
    [
        "mqtt://pi",
        "mqtt://10.0.0.7:1884",
        "mqtt://[::1]:1884/",
        "mqtt://anna@pi",
        "ws://pi:9001/broker/",
        "pi.local",
        "",
    ],
)
def test_an_address_without_a_password_is_shown_as_it_is(address: str):
    assert without_password(address) == address
    assert not has_password(address)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("two: mqtt://k:pw@h, and rtsp://a:p/w@c d", "two: mqtt://k@h, and rtsp://a@c d"),
        ("/home/mqtt:/kim:pw@h: not found", "/home/mqtt:/kim@h: not found"),
        ("unknown camera source 'http//kim:p/w@h/x'. Did you", "unknown camera source 'http//kim@h/x'. Did you"),
        ("/home/http/kim:pw@h/x.jpg does not exist", "/home/http/kim@h/x.jpg does not exist"),
        ("write mqtt://[user[:password]@]host[:port]", None),
        ("mqtt://127.0.0.1:1883 refuses user 'kim@example.org'", None),
        ("video:/home/kim/a@b.mp4 does not exist", None),
    ],
)
def test_a_text_loses_passwords_and_nothing_else(text: str, expected: str | None):
    assert without_passwords(text) == (text if expected is None else expected)


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("form", ["mqtt://kim:{}@127.0.0.1:1", "http://kim:{}@127.0.0.1:1", "mqtt://kim:{}"])
def test_a_broker_address_that_is_refused_does_not_repeat_it(form: str, password: str):
    url = form.format(password)
    try:
        text = repr(BrokerAddress.parse(url))
    except ConfigError as error:
        text = str(error)
        assert "percent-encoding" in text or "@" not in url
        assert "\n" not in text
    if "@127" in url:
        assert leaked(password, text) == []


COMMANDS: list[list[str]] = [
    ["status", "--mqtt", "ADDRESS"],
    ["status", "ADDRESS"],
    ["status", "--config", "ADDRESS"],
    ["watch", "ADDRESS/x"],
    ["forget", "ADDRESS"],
    ["calibrate", "--mqtt=ADDRESS"],
    ["run", "ADDRESS"],
    ["classify", "ADDRESS"],
    ["record", "--camera", "ADDRESS/live?token=Geheim", "new.landmarks"],
    ["record", "--camera", "video:ADDRESS", "new.landmarks"],
    ["ADDRESS"],
]


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("password", PASSWORDS)
def test_no_command_repeats_it(password: str, tmp_path_factory, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))
    for words in COMMANDS:
        arguments = [word.replace("ADDRESS", f"rtsp://kim:{password}@127.0.0.1:1") for word in words]
        assert main(arguments) in {64, 66, 69, 78}, words
        out, err = capfd.readouterr()
        assert leaked(password, out + err) == [], words
        assert len(err.splitlines()) == 1, words


@pytest.mark.parametrize(
    "text",
    [
        'mqtt = "mqtt://kim:Geheim/2026!@h"',
        '[mqtt]\nurl = ["mqtt://kim:Geheim/2026!@h"]',
        '[mqtt]\npassword = "Geheim/2026!"',
        "[mqtt]\nurl = mqtt://kim:Geheim/2026!@h",
        '[camera]\nwidth = "rtsp://kim:Geheim/2026!@h"',
        '["mqtt://kim:Geheim/2026!@h"]',
        '[mqtt]\nurl = "mqtt://kim:Geheim/2026!@h"',
        '[camera]\nsource = "rtsp://kim:Geheim/2026!@h"',
    ],
)
def test_settings_that_are_refused_do_not_repeat_it(tmp_path: Path, text: str):
    file = tmp_path / "own.toml"
    file.touch(0o600)
    file.write_text(text)

    def use() -> None:
        read = settings.load(file)
        BrokerAddress.of(read.mqtt)
        open_camera(read.camera)

    with pytest.raises(EdgeError) as refused:
        use()
    assert leaked("Geheim/2026!", str(refused.value)) == []


@pytest.mark.parametrize("text", ['[mqtt]\nurl = "mqtt://kim:Geheim@h"', '[camera]\nsource = "rtsp://kim:Geheim@h"'])
def test_settings_with_a_password_must_not_be_readable_by_all(tmp_path: Path, text: str):
    file = tmp_path / "own.toml"
    file.write_text(text)
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod o="):
        settings.load(file)


def test_a_password_in_place_of_its_file_is_not_repeated():
    with pytest.raises(ConfigError, match=r"the file that mqtt\.password_file names cannot be read") as refused:
        BrokerAddress.parse("mqtt://kim@h", password_file="Geheim/2026!")  # noqa: S106
    assert leaked("Geheim/2026!", str(refused.value)) == []


def test_an_unknown_camera_is_named_without_its_password():
    with pytest.raises(ConfigError) as refused:
        open_camera(CameraSettings(source="rtps:kim:Geheim@cam"))
    assert "Geheim" not in str(refused.value)


def test_every_error_loses_passwords():
    assert str(EdgeError("could not open rtsp://kim:Geheim/2026!@cam/live")) == "could not open rtsp://kim@cam/live"
