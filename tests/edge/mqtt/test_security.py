"""Encrypted connections, certificates and access lists, with a real broker and real certificates."""

from __future__ import annotations

import io
import os
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from edge.errors import ConfigError, UnavailableError
from edge.fleet.watch import watch
from edge.messages import payloads
from edge.mqtt.address import BrokerAddress
from edge.mqtt.publisher import Publisher
from edge.mqtt.subscriber import Subscriber
from edge.settings import MqttSettings
from tests.support.broker import WAIT_S, Listener, Mosquitto, free_port, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytest_plugins = ("tests.support.broker",)

ACCESS_LIST = Path(__file__).parents[3] / "deploy" / "integrations" / "mosquitto" / "acl"
STATE = payloads.state([], at=0.0, clock=payloads.WallClock(1_700_000_000.0, synchronised=True))


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private CA with certificates of the broker and of the device `kitchen`, and a certificate of another CA."""
    folder = tmp_path_factory.mktemp("authority")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    for ca in ("ca", "other-ca"):
        openssl("req", "-x509", *key, "-days", "2", "-subj", f"/CN={ca}", "-keyout", f"{ca}.key", "-out", f"{ca}.crt",
                "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    (folder / "broker.ext").write_text("subjectAltName=DNS:localhost\n")
    (folder / "device.ext").write_text("extendedKeyUsage=clientAuth\n")
    for name, ca, kind in (("broker", "ca", "broker"), ("kitchen", "ca", "device"), ("stranger", "other-ca", "device")):
        openssl("req", *key, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        signer = ("-CA", f"{ca}.crt", "-CAkey", f"{ca}.key", "-CAcreateserial")
        openssl("x509", "-req", "-in", f"{name}.csr", *signer, "-days", "2", "-extfile", f"{kind}.ext",
                "-out", f"{name}.crt")  # fmt: skip
    for path in folder.glob("*.key"):
        path.chmod(0o600)
    return folder


@pytest.fixture
def encrypted(authority: Path, new_broker: Callable[..., Mosquitto]) -> Callable[..., Mosquitto]:
    """Start a broker with TLS."""

    def make(*lines: str) -> Mosquitto:
        own = [f"cafile {authority}/ca.crt", f"certfile {authority}/broker.crt", f"keyfile {authority}/broker.key"]
        broker = new_broker(settings="\n".join([*own, *(lines or ["allow_anonymous true"])]))
        broker.start()
        return broker

    return make


@pytest.fixture
def publisher() -> Iterator[Callable[..., Publisher]]:
    """Start publishers, which end with the test."""
    started: list[Publisher] = []

    def start(url: str, **settings: Any) -> Publisher:
        started.append(Publisher(MqttSettings(url=url, retry_max_s=1.0, **settings), "kitchen"))
        started[-1].start()
        started[-1].state(STATE)
        return started[-1]

    yield start
    for each in started:
        each.stop(1.0)


def url(broker: Mosquitto, scheme: str, path: str = "") -> str:
    return f"{scheme}://localhost:{broker.port}{path}"


def retained_topics(address: BrokerAddress, topic: str = "emotion/#") -> list[str]:
    """The topics of all retained messages."""
    with Subscriber(address) as subscriber:
        subscriber.subscribe([topic])
        topics = []
        while not subscriber.answered:
            topics += [message.topic for message in subscriber.receive(1.0)]
        return topics


def websockets() -> list[str]:
    """Settings of a websocket listener. mosquitto 2.0 also needs an ordinary one."""
    return ["socket_domain ipv4", "protocol websockets", "allow_anonymous true", f"listener {free_port()} 127.0.0.1"]


@pytest.mark.parametrize("scheme", ["mqtts", "wss"])
def test_an_encrypted_connection_with_a_private_ca(encrypted, publisher, authority, scheme):
    broker = encrypted(*(websockets() if scheme == "wss" else []))
    ca = str(authority / "ca.crt")
    one = publisher(url(broker, scheme), ca_file=ca)
    until(lambda: one.connected, "connected")
    address = BrokerAddress.parse(url(broker, scheme), ca_file=ca)
    until(lambda: "emotion/kitchen/state" in retained_topics(address), "the state is retained")


def test_watch_works_over_an_encrypted_connection(encrypted, publisher, authority):
    broker, ca = encrypted(), str(authority / "ca.crt")
    publisher(url(broker, "mqtts"), ca_file=ca)
    out, stop = io.StringIO(), threading.Event()
    mqtt = MqttSettings(url=url(broker, "mqtts"), ca_file=ca)
    watcher = threading.Thread(target=watch, args=(mqtt,), kwargs={"out": out, "stop_event": stop})
    watcher.start()
    try:
        until(lambda: "kitchen  now no face" in out.getvalue(), "the state is shown")
    finally:
        stop.set()
        watcher.join(30)


def test_many_messages_in_one_record_all_arrive(encrypted, authority):
    """A TLS record may contain several packets, after which the socket is not readable any more."""
    broker = encrypted()
    address = BrokerAddress.parse(url(broker, "mqtts"), ca_file=str(authority / "ca.crt"))
    client = Client(CallbackAPIVersion.VERSION2)
    client.tls_set(str(authority / "ca.crt"))
    client.connect("localhost", broker.port)
    client.loop_start()
    sent = [client.publish(f"emotion/pi{number}/state", "x" * number, 1, retain=True) for number in range(1, 61)]
    for each in sent:
        each.wait_for_publish(WAIT_S)
    client.disconnect()
    client.loop_stop()
    assert len(retained_topics(address)) == 60


def test_websockets_without_encryption(new_broker, publisher):
    broker = new_broker(settings="\n".join(websockets()))
    broker.start()
    one = publisher(url(broker, "ws"))
    until(lambda: one.connected, "connected")
    until(
        lambda: "emotion/kitchen/state" in retained_topics(BrokerAddress.parse(url(broker, "ws"))),
        "the state is retained",
    )


def test_a_broker_that_requires_certificates(encrypted, publisher, authority, caplog):
    broker = encrypted("require_certificate true", "use_identity_as_username true", f"acl_file {ACCESS_LIST}")
    ca = str(authority / "ca.crt")

    def ours(name: str) -> dict[str, str]:
        return {"ca_file": ca, "cert_file": f"{authority}/{name}.crt", "key_file": f"{authority}/{name}.key"}

    one = publisher(url(broker, "mqtts"), **ours("kitchen"))
    until(lambda: one.connected, "connected")
    stranger = publisher(url(broker, "mqtts"), **ours("stranger"))
    without = publisher(url(broker, "mqtts"), ca_file=ca)
    until(lambda: caplog.text.count("no connection to the broker") == 2, "both log that they are refused")
    assert not stranger.connected
    assert not without.connected


def test_a_certificate_of_an_unknown_authority_is_not_trusted(encrypted, publisher, authority, caplog):
    broker = encrypted()
    one = publisher(url(broker, "mqtts"), ca_file=str(authority / "other-ca.crt"))
    until(lambda: "its certificate is not trusted" in caplog.text, "the reason is logged")
    assert "see mqtt.ca_file" in caplog.text
    assert not one.connected
    with pytest.raises(UnavailableError, match="certificate is not trusted"):
        Subscriber(BrokerAddress.parse(url(broker, "mqtts")))


def test_a_certificate_for_another_host_is_not_trusted(encrypted, authority):
    broker = encrypted()
    elsewhere = f"mqtts://127.0.0.2:{broker.port}"
    with pytest.raises(UnavailableError, match=r"refused|certificate is not trusted"):
        Subscriber(BrokerAddress.parse(elsewhere, ca_file=str(authority / "ca.crt")))
    # The broker listens at 127.0.0.1 only; this name resolves to it and is not in the certificate.
    named = f"mqtts://{os.uname().nodename}.localhost:{broker.port}"
    with pytest.raises(UnavailableError) as error:
        Subscriber(BrokerAddress.parse(named, ca_file=str(authority / "ca.crt")))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("scheme", ["mqtts", "ws", "wss"])
def test_the_wrong_port_is_reported_in_one_line(new_broker, scheme):
    broker = new_broker()
    broker.start()
    with pytest.raises(UnavailableError) as error:
        Subscriber(BrokerAddress.parse(url(broker, scheme)))
    assert "\n" not in str(error.value)
    assert "mqtt.url" in str(error.value) or "--mqtt" in str(error.value)


def test_renewed_certificates_make_another_address(authority, tmp_path):
    for name in ("kitchen.crt", "kitchen.key"):
        (tmp_path / name).write_bytes((authority / name).read_bytes())
        (tmp_path / name).chmod(0o600)
    settings = MqttSettings(
        url="mqtts://localhost", cert_file=f"{tmp_path}/kitchen.crt", key_file=f"{tmp_path}/kitchen.key"
    )
    one = Publisher(settings, "kitchen")
    assert one.serves(settings, "kitchen")
    (tmp_path / "kitchen.crt").write_bytes((authority / "kitchen.crt").read_bytes() + b"\n")
    assert not one.serves(settings, "kitchen")


def test_the_key_comes_from_the_credential_of_the_service(authority, tmp_path, monkeypatch):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    credential = tmp_path / "mqtt-client-key"
    credential.write_text("")
    assert BrokerAddress.parse("mqtts://pi").tls is not None
    credential.write_bytes((authority / "kitchen.key").read_bytes())
    credential.chmod(0o400)
    assert BrokerAddress.parse("mqtts://pi", cert_file=f"{authority}/kitchen.crt").tls is not None


def test_certificates_and_keys_may_begin_with_a_byte_order_mark(encrypted, publisher, authority, tmp_path):
    broker = encrypted("require_certificate true", "allow_anonymous true")
    names = {"ca_file": "ca.crt", "cert_file": "kitchen.crt", "key_file": "kitchen.key"}
    files = {
        key: written(tmp_path / name, b"\xef\xbb\xbf" + (authority / name).read_bytes()) for key, name in names.items()
    }
    one = publisher(url(broker, "mqtts"), **files)
    until(lambda: one.connected, "connected")


def written(path: Path, content: bytes, mode: int = 0o600) -> str:
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    ("key", "content", "mode", "message"),
    [
        ("ca_file", None, 0o600, "cannot be read: No such file"),
        ("ca_file", b"nonsense", 0o600, "no certificate in PEM format"),
        ("cert_file", b"nonsense", 0o600, "not a certificate in PEM format and its key"),
        ("key_file", b"nonsense", 0o600, "not a certificate in PEM format and its key"),
        ("key_file", b"nonsense", 0o644, "run: chmod o= "),
        ("password_file", b"hunter2", 0o644, "run: chmod o= "),
        ("password_file", b"hunter2", 0o604, "run: chmod o= "),
    ],
)
def test_an_unusable_file_is_reported_in_one_line(authority, tmp_path, key, content, mode, message):
    path = tmp_path / "file"
    if content is not None:
        written(path, content, mode)
    options = {"username": "anna", "cert_file": f"{authority}/kitchen.crt", "key_file": f"{authority}/kitchen.key"}
    with pytest.raises(ConfigError) as error:
        BrokerAddress.parse("mqtts://pi", **{**options, key: str(path)})
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert "hunter2" not in str(error.value)


def test_a_key_with_a_passphrase_is_reported_without_a_prompt(authority, tmp_path):
    locked = tmp_path / "locked.key"
    command = ["openssl", "pkey", "-in", authority / "kitchen.key", "-aes256", "-passout", "pass:x", "-out", locked]
    subprocess.run(command, check=True, capture_output=True)
    locked.chmod(0o600)
    with pytest.raises(ConfigError, match="has a passphrase"):
        BrokerAddress.parse("mqtts://pi", cert_file=f"{authority}/kitchen.crt", key_file=str(locked))


def test_certificates_without_encryption_are_an_error(authority):
    with pytest.raises(ConfigError, match="write mqtts or wss"):
        BrokerAddress.parse("mqtt://pi", ca_file=f"{authority}/ca.crt")


@pytest.fixture
def restricted(tmp_path: Path, new_broker: Callable[..., Mosquitto]) -> Mosquitto:
    """A broker with the example of an access list, and a user for each of its roles."""
    passwords = tmp_path / "passwords"
    for number, user in enumerate(("kitchen", "cellar", "listener", "homeassistant")):
        create = [] if number else ["-c"]
        subprocess.run(["mosquitto_passwd", *create, "-b", str(passwords), user, "right"], check=True)
    broker = new_broker(settings=f"allow_anonymous false\npassword_file {passwords}\nacl_file {ACCESS_LIST}")
    broker.start()
    return broker


def test_the_access_list_allows_exactly_what_a_device_needs(restricted, publisher):
    with Listener(restricted.port, "emotion/#", username="listener", password="right") as listener:  # noqa: S106
        one = publisher(restricted.url.replace("//", "//kitchen:right@"))
        until(lambda: listener.payloads("state"), "the device publishes")
        assert one.problem is None
        # With another user it is refused, with one line.
        two = Publisher(MqttSettings(url=restricted.url.replace("//", "//cellar:right@")), "kitchen")
        two.start()
        problem = until(lambda: two.problem, "the refusal is a problem")
        two.stop(1.0)
        assert "access list" in str(problem)
        before = len(listener.messages)
        for user, topic in [
            ("listener", "emotion/kitchen/command/pause"),
            ("listener", "emotion/kitchen/state"),
            ("kitchen", "emotion/cellar/command/pause"),
            ("kitchen", "emotion/kitchen/command/pause"),
        ]:
            command = ["mosquitto_pub", "-p", str(restricted.port), "-u", user, "-P", "right", "-q", "1", "-t", topic]
            subprocess.run([*command, "-m", "{}"], check=True, capture_output=True)
        command = ["mosquitto_pub", "-p", str(restricted.port), "-u", "homeassistant", "-P", "right", "-q", "1"]
        subprocess.run([*command, "-t", "emotion/kitchen/command/identify", "-m", "{}"], check=True)
        until(lambda: listener.payloads("identify"), "Home Assistant may press a button")
        forbidden = {"emotion/kitchen/command/pause", "emotion/cellar/command/pause"}
        assert not forbidden & {message.topic for message in listener.messages[before:]}
