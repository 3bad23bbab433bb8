"""Broker URLs and names, valid and invalid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge.errors import ConfigError
from edge.mqtt.address import BrokerAddress, check_base, check_device

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://pi.local", BrokerAddress("pi.local", 1883)),
        ("mqtt://10.0.0.7:1884", BrokerAddress("10.0.0.7", 1884)),
        ("mqtt://[::1]:1884/", BrokerAddress("::1", 1884)),
        ("mqtt://anna@pi", BrokerAddress("pi", 1883, "anna")),
        ("mqtt://anna:p%40ss@pi", BrokerAddress("pi", 1883, "anna", "p@ss")),
        ("ws://pi", BrokerAddress("pi", 80, scheme="ws", path="/mqtt")),
        ("ws://pi:9001/broker/", BrokerAddress("pi", 9001, scheme="ws", path="/broker")),
    ],
)
def test_valid_addresses(url: str, expected: BrokerAddress):
    assert BrokerAddress.parse(url) == expected


@pytest.mark.parametrize(
    "url",
    ["", "pi.local", "http://pi", "mqtts://", "mqtts://pi/topic", "ws://pi/?a=b", "mqtt://", "mqtt://pi:port", "mqtt://pi:99999",
     "mqtt://pi/topic",
     "mqtt://a..b", "mqtt://[::1", "mqtt://:secret@pi"],
)  # fmt: skip
def test_invalid_addresses_are_reported_in_one_line(url: str):
    with pytest.raises(ConfigError) as error:
        BrokerAddress.parse(url)
    assert "\n" not in str(error.value)
    assert error.value.exit_status == 78


def test_the_password_comes_from_the_first_line_of_its_file(tmp_path: Path):
    file = tmp_path / "password"
    file.touch(0o600)
    file.write_text("gehe im\nnot this\n")
    address = BrokerAddress.parse("mqtt://pi", username="anna", password_file=str(file))
    assert (address.username, address.password) == ("anna", "gehe im")


def test_a_byte_order_mark_is_not_a_part_of_the_password(tmp_path: Path):
    file = tmp_path / "password"
    file.touch(0o600)
    file.write_bytes(b"\xef\xbb\xbfgeheim\r\n")
    assert BrokerAddress.parse("mqtt://anna@pi", password_file=str(file)) == BrokerAddress("pi", 1883, "anna", "geheim")


@pytest.fixture
def credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Path at which systemd stores the service's password."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    return tmp_path / "mqtt-password"


def test_the_password_comes_from_the_credential_of_the_service(credential: Path):
    credential.touch(0o600)
    credential.write_text("gehe im\n")
    assert BrokerAddress.parse("mqtt://anna@pi") == BrokerAddress("pi", 1883, "anna", "gehe im")


def test_a_configured_password_overrides_the_credential(credential: Path, tmp_path: Path):
    for path, text in ((credential, "of the service"), (tmp_path / "own", "own")):
        path.touch(0o600)
        path.write_text(text)
    addresses = [
        BrokerAddress.parse("mqtt://anna:url@pi"),
        BrokerAddress.parse("mqtt://anna@pi", password_file=str(tmp_path / "own")),
    ]
    assert [address.password for address in addresses] == ["url", "own"]


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_an_empty_or_missing_credential_means_no_password(credential: Path, content: str | None):
    if content is not None:
        credential.touch(0o600)
        credential.write_text(content)
    assert BrokerAddress.parse("mqtt://pi").password is None
    assert BrokerAddress.parse("mqtt://anna@pi").password is None


def test_a_missing_password_file_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"mqtt\.password_file names cannot be read: No such file"):
        BrokerAddress.parse("mqtt://pi", username="anna", password_file=str(tmp_path / "nowhere"))


def test_a_password_is_never_shown():
    address = BrokerAddress.parse("mqtt://anna:secret@pi")
    with pytest.raises(ConfigError) as error:
        BrokerAddress.parse("http://anna:secret@pi")
    assert "secret" not in f"{address} {address!r} {error.value}"


@pytest.mark.parametrize("name", ["", "a/b", "a+b", "#", "a\0b", "a\nb", "x" * 201])
def test_an_invalid_device_name_is_rejected(name: str):
    with pytest.raises(ConfigError, match=r"device\.name"):
        check_device(name)


@pytest.mark.parametrize("base", ["", "/emotion", "emotion/", "a//b", "a/#", "+", "$SYS", "a\0"])
def test_an_invalid_base_is_rejected(base: str):
    with pytest.raises(ConfigError, match=r"mqtt\.base"):
        check_base(base)


def test_names_may_contain_spaces_and_umlauts():
    assert check_device("Küche 2") == "Küche 2"
    assert check_base("home/emotion") == "home/emotion"
