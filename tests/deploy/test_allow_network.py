"""The systemd drop-in with the addresses that the service may reach."""

from __future__ import annotations

import importlib.util
import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge import settings

if TYPE_CHECKING:
    from types import ModuleType

SCRIPT = Path(__file__).parents[2] / "deploy" / "device" / "allow_network.py"


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("allow_network", SCRIPT)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.53\n")
    monkeypatch.setattr(module, "RESOLVERS", tmp_path / "resolv.conf")
    monkeypatch.setattr(settings, "SYSTEM_FILE", tmp_path / "own.toml")
    return module


def drop_in(script: ModuleType, text: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    settings.SYSTEM_FILE.write_text(text)
    settings.SYSTEM_FILE.chmod(0o600)
    status = script.main()
    return status, *capsys.readouterr()


@pytest.mark.parametrize(
    ("camera", "name"),
    [
        ("rtsp://192.0.2.30:8554/live", "rtsp://192.0.2.30:8554"),
        ("http://kim:Geheim2026@192.0.2.30/m?key=Geheim2026", "http://192.0.2.30:80"),
    ],
)
def test_a_network_camera_is_allowed_beside_the_broker(script, capsys, camera: str, name: str):
    text = f'[mqtt]\nurl = "mqtt://192.0.2.10"\n[camera]\nsource = "{camera}"\n'
    status, printed, said = drop_in(script, text, capsys)
    assert (status, said) == (0, "")
    assert printed.splitlines() == [
        f"# mqtt://192.0.2.10:1883 and {name}, as the installer found them; run the installer again if one changes.",
        "[Service]",
        "IPAddressAllow=192.0.2.10",
        "IPAddressAllow=192.0.2.30",
    ]


def test_another_camera_needs_no_network(script, capsys):
    _, printed, _ = drop_in(script, '[mqtt]\nurl = "mqtt://192.0.2.10"\n[camera]\nsource = "auto"\n', capsys)
    assert printed.splitlines()[1:] == ["[Service]", "IPAddressAllow=192.0.2.10"]


def test_a_camera_by_its_name_needs_the_name_servers(script, capsys, monkeypatch):
    monkeypatch.setattr(script, "resolve", lambda host: {"192.0.2.30"} if host == "camera.example" else {host})
    text = '[mqtt]\nurl = "mqtt://192.0.2.10"\n[camera]\nsource = "rtsp://camera.example/"\n'
    _, printed, _ = drop_in(script, text, capsys)
    assert [line[15:] for line in printed.splitlines()[2:]] == ["192.0.2.10", "192.0.2.30", "192.0.2.53"]


def test_a_name_that_does_not_resolve_is_said(script, capsys):
    text = '[mqtt]\nurl = "mqtt://192.0.2.10"\n[camera]\nsource = "rtsp://kim:Geheim2026@camera.invalid/"\n'
    status, printed, said = drop_in(script, text, capsys)
    assert status == 0
    assert "192.0.2.10" in printed
    assert said.startswith("the camera's name camera.invalid cannot be resolved")
    assert "Geheim" not in printed + said


def test_an_unusable_address_is_refused_without_the_password(script, capsys):
    status, printed, said = drop_in(script, '[camera]\nsource = "rtsp://kim:Geheim/2026@192.0.2.30/"\n', capsys)
    assert (status, printed) == (78, "")
    assert "camera.source is not a usable address" in said
    assert "Geheim" not in said


INTERFACES = [
    {"addr_info": [{"local": "127.0.0.1", "prefixlen": 8}, {"local": "::1", "prefixlen": 128}]},
    {"addr_info": [{"local": "192.0.2.7", "prefixlen": 24}, {"local": "2001:db8::7", "prefixlen": 64}, {}]},
    {"addr_info": [{"local": "198.51.100.7", "prefixlen": 26}]},
]
"""Parts of the output of `ip -json address`: loopback, a network, another one."""


@pytest.mark.parametrize(
    ("address", "networks"),
    [
        ("0.0.0.0", {"192.0.2.0/24", "198.51.100.0/26"}),  # noqa: S104  nothing is served
        ("::", {"2001:db8::/64"}),
        ("192.0.2.7", {"192.0.2.0/24"}),
        ("198.51.100.7", {"198.51.100.0/26"}),
        ("192.0.2.8", set()),
    ],
)
def test_a_page_is_answered_in_the_networks_of_its_address(script, address: str, networks: set[str]):
    assert script.networks_of(ipaddress.ip_address(address), INTERFACES) == networks


@pytest.mark.parametrize("address", ["127.0.0.1:8080", "[::1]:8080", "localhost:8080", ""])
def test_a_page_on_loopback_needs_no_network(script, capsys, address: str):
    text = f'[mqtt]\nurl = "mqtt://192.0.2.10"\n[preview]\naddress = "{address}"\n'
    _, printed, _ = drop_in(script, text, capsys)
    assert printed.splitlines()[1:] == ["[Service]", "IPAddressAllow=192.0.2.10"]


def test_a_page_in_the_network_without_a_token_is_refused(script, capsys):
    status, printed, said = drop_in(script, '[preview]\naddress = "0.0.0.0:8080"\n', capsys)
    assert (status, printed, said.count("\n")) == (78, "", 1)
    assert "set a token" in said
