"""Addresses of network cameras: what is accepted, and that no part of a secret is shown."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edge import settings as settings_module
from edge.camera import name_of, open_camera
from edge.camera.address import CameraAddress
from edge.errors import ConfigError, EdgeError
from edge.settings import CameraSettings

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = CameraSettings()


@pytest.mark.parametrize(
    ("source", "shown", "with_password"),
    [
        ("rtsp://camera.local/live", "rtsp://camera.local:554", "rtsp://camera.local:554/live"),
        ("RTSP://192.0.2.7:8554", "rtsp://192.0.2.7:8554", "rtsp://192.0.2.7:8554/"),
        ("video:rtsp://192.0.2.7/a", "rtsp://192.0.2.7:554", "rtsp://192.0.2.7:554/a"),
        ("rtsp://kim:p%40ss@192.0.2.7/a", "rtsp://192.0.2.7:554", "rtsp://kim:p%40ss@192.0.2.7:554/a"),
        ("http://192.0.2.7/?action=stream", "http://192.0.2.7:80", "http://192.0.2.7:80/?action=stream"),
        ("https://kim@[2001:db8::7]/m", "https://[2001:db8::7]:443", "https://kim:@[2001:db8::7]:443/m"),
        ("rtsp://küche.local/größe", "rtsp://küche.local:554", "rtsp://küche.local:554/gr%C3%B6%C3%9Fe"),
    ],
)
def test_an_address(source: str, shown: str, with_password: str):
    settings = replace(SETTINGS, source=source)
    address = CameraAddress.of(settings)
    assert settings.is_network
    assert (str(address), name_of(settings), address.url_with_password) == (shown, shown, with_password)


@pytest.mark.parametrize(
    "source",
    [
        "rtsp://kim:Geheim/2026!@192.0.2.7/a",
        "rtsp://kim:Geheim#2026@192.0.2.7/a",
        "rtsp://kim:Geheim?2026@192.0.2.7/a",
        "rtsp://kim:Geheim 2026@192.0.2.7/a",
        "rtsp://kim:Geheim\n2026@192.0.2.7/a",
        "rtsp://kim:Geheim[2026@192.0.2.7/a",
        "rtsp://Geheim2026@192.0.2.7:port/a",
        "rtsp:/kim:Geheim2026@192.0.2.7/a",
        "rtsp:kim:Geheim2026@192.0.2.7/a",
        "video:rtsp:/kim:Geheim2026@192.0.2.7/a",
        "rtsps://kim:Geheim2026@192.0.2.7/a",
        "video:rtsps://kim:Geheim2026@192.0.2.7/a",
        "images:rtmp://kim:Geheim2026@192.0.2.7/a",
        "ffmpeg:rtsp://kim:Geheim/2026@192.0.2.7/a",
        "kim:Geheim2026@192.0.2.7/a",
        "video:kim:Geheim2026@192.0.2.7/a",
        "https://kim:Geheim2026@/a",
        "rtsp://:Geheim2026@192.0.2.7/a",
        "rtsp://kim:Geheim2026@192.0.2.7:99999/a",
    ],
)
def test_no_part_of_a_secret_is_in_the_error(source: str):
    with pytest.raises(ConfigError) as caught:
        open_camera(replace(SETTINGS, source=source))
    assert not any(part in str(caught.value) for part in ("Geheim", "2026", "192.0.2.7"))
    assert "camera." in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_whose_name_looks_like_an_address_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "12:30@home.mp4").write_bytes(b"")
    with pytest.raises(EdgeError, match=r"12:30@home\.mp4 is not a video"):
        open_camera(replace(SETTINGS, source="video:12:30@home.mp4"))


def test_the_password_is_the_first_line_of_the_file(tmp_path: Path):
    file = tmp_path / "password"
    file.write_text("geheim\nmore\n")
    file.chmod(0o600)
    address = CameraAddress.of(replace(SETTINGS, source="rtsp://192.0.2.7/a", username="kim", password_file=str(file)))
    assert (address.username, address.password) == ("kim", "geheim")
    assert "geheim" not in f"{address!r} {address}"


def test_the_service_gets_the_password_from_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "camera-password").write_text("geheim\n")
    (tmp_path / "camera-password").chmod(0o600)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert CameraAddress.of(replace(SETTINGS, source="rtsp://kim@192.0.2.7/a")).password == "geheim"  # noqa: S105


def test_a_password_that_everybody_can_read_is_refused(tmp_path: Path):
    file = tmp_path / "password"
    file.write_text("geheim\n")
    file.chmod(0o644)
    settings = replace(SETTINGS, source="rtsp://kim@192.0.2.7/a", password_file=str(file))
    with pytest.raises(ConfigError, match=r"is readable by all users of this machine; run: chmod o= ") as caught:
        CameraAddress.of(settings)
    assert "geheim" not in str(caught.value)


def test_a_password_in_settings_that_everybody_can_read_is_refused(tmp_path: Path):
    file = tmp_path / "own.toml"
    file.write_text('[camera]\nsource = "rtsp://kim:geheim@192.0.2.7/a"\n')
    file.chmod(0o644)
    with pytest.raises(ConfigError, match=r"camera\.source contains a password") as caught:
        settings_module.load(file)
    assert "geheim" not in str(caught.value)
    file.chmod(0o600)
    assert settings_module.load(file).camera.is_network


def test_a_password_needs_a_user(tmp_path: Path):
    file = tmp_path / "password"
    file.write_text("geheim\n")
    file.chmod(0o600)
    with pytest.raises(ConfigError, match=r"there is a password for the camera, but no camera\.username"):
        CameraAddress.of(replace(SETTINGS, source="rtsp://192.0.2.7/a", password_file=str(file)))


@pytest.mark.parametrize("source", ["auto", "demo", "v4l2:/dev/video0", "video:/tmp/a.mp4", "images:http", "rtsp"])
def test_other_sources_are_no_addresses(source: str):
    assert not replace(SETTINGS, source=source).is_network
