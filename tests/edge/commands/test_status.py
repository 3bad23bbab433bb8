"""`emotion-edge status` with a real broker: it misses nothing, and nothing breaks it."""

from __future__ import annotations

import importlib.util
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge.fleet.reader import read
from edge.messages.payloads import OFFLINE
from edge.messages.topics import AVAILABILITY, INFO, STATE
from edge.mqtt.address import BrokerAddress
from edge.mqtt.local_broker import ensure_broker
from tests.support.broker import Listener, free_port, until
from tests.support.fleet_payloads import MODEL, device_payloads, health, info, publish, state

pytest_plugins = ["tests.support.broker"]

REPOSITORY = Path(__file__).parents[3]
PASSWORD = "right"  # noqa: S105 - of a broker that lives for a test


@pytest.fixture
def publisher(broker):
    with Listener(broker.port, "nothing") as listener:
        yield listener.client


def status(*arguments, stdout=subprocess.PIPE, **environment) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "edge", "status", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        encoding=environment.get("PYTHONIOENCODING", "utf-8"),
        timeout=60,
        check=False,
        cwd=REPOSITORY,
        env={**os.environ, **environment},
    )


def objects(done: subprocess.CompletedProcess) -> dict[str, dict]:
    return {row["device"]: row for row in map(json.loads, done.stdout.splitlines())}


def test_the_fleet_is_one_table_sorted_by_device(broker, publisher):
    publish(publisher, "kitchen", device_payloads())
    publish(
        publisher,
        "attic",
        device_payloads(availability=OFFLINE, health=health(age_s=7200.0), state=state(age_s=7200.0)),
    )
    publish(publisher, "elsewhere", device_payloads(), base="other")
    done = status("--mqtt", broker.url)
    assert (done.returncode, done.stderr) == (0, "")
    head, attic, kitchen, _, summary = done.stdout.splitlines()
    assert head.startswith("DEVICE")
    assert attic.split()[:2] == ["attic", "no"]
    assert attic.endswith("2 h ago")
    assert kitchen.split()[:6] == ["kitchen", "yes", "0.5.0", MODEL, "14.9/15", "happiness"]
    assert summary == "2 devices: 1 online, 1 offline"
    assert "\x1b" not in done.stdout


def test_json_has_one_object_for_each_device(broker, publisher):
    publish(publisher, "pi", device_payloads(info=info(problem="no bundle", shadow="next")))
    done = status("--mqtt", broker.url, "--json")
    (row,) = objects(done).values()
    assert done.returncode == 0
    assert {**row, "last_seen": None} == {
        "device": "pi", "known": True, "online": True, "version": "0.5.0", "model": MODEL, "shadow": "next",
        "problem": "no bundle", "shadow_problem": None, "health_model": MODEL, "fps": 14.9, "target_fps": 15.0,
        "expression": "happiness", "paused": False, "temperature_c": 58.4, "throttled": False, "under_voltage": False,
        "last_seen": None, "unreadable": [],
    }  # fmt: skip
    assert row["last_seen"].endswith("Z")


def test_an_unknown_device_is_reported_with_exit_status_1(broker, publisher):
    publish(publisher, "pi", device_payloads())
    publish(publisher, "other", device_payloads())
    done = status("--mqtt", broker.url, "--json", "pi", "nowhere")
    assert done.returncode == 1
    rows = objects(done)
    assert set(rows) == {"pi", "nowhere"}
    assert not rows["nowhere"]["known"]
    assert status("--mqtt", broker.url, "pi").returncode == 0


def test_an_empty_fleet_is_reported(broker):
    done = status("--mqtt", broker.url)
    assert (done.returncode, done.stdout) == (0, "")
    assert "retains nothing of a device under emotion/" in done.stderr


def test_a_large_fleet_is_complete_although_the_broker_drops_messages(broker, publisher):
    # Long messages fill the connection, and then mosquitto's queue for a subscriber.
    payloads = device_payloads(info=info(problem="?" * 10_000))
    for i in range(1500):
        for topic, payload in payloads.items():
            publisher.publish(f"emotion/pi-{i:04}/{topic.name}", payload, 0, retain=True)
    publisher.publish("test/flush", b"", 1).wait_for_publish(60)
    received, complete = read(BrokerAddress.parse(broker.url), "emotion", [], wait_s=30)
    assert complete
    assert len(received) == 1500
    assert all(found == payloads for found in received.values())


@pytest.mark.skipif(importlib.util.find_spec("amqtt") is None, reason="amqtt is missing (pip install amqtt)")
def test_amqtt_gives_the_same_result():
    port = free_port()
    with ensure_broker(f"mqtt://127.0.0.1:{port}"), Listener(port, "nothing") as listener:
        for device in ("attic", "pi"):
            publish(listener.client, device, device_payloads())
        done = status("--mqtt", f"mqtt://127.0.0.1:{port}", "--json")
    rows = objects(done)
    assert set(rows) == {"attic", "pi"}, done.stderr
    assert all(row["online"] and row["model"] and row["fps"] and row["expression"] for row in rows.values())


def test_endless_messages_do_not_keep_it_waiting(broker, publisher):
    publish(publisher, "pi", device_payloads())
    flood = subprocess.Popen(
        f"while true; do echo x; done | mosquitto_pub -p {broker.port} -t emotion/pi/availability -l",
        shell=True, start_new_session=True,
    )  # fmt: skip
    try:
        until(lambda: broker.log.stat().st_size > 100_000, "messages are published")
        done = status("--mqtt", broker.url, "--json", "pi")
    finally:
        os.killpg(flood.pid, signal.SIGKILL)
        flood.wait()
    assert done.returncode == 0, done.stderr
    assert objects(done)["pi"]["model"] == MODEL


def test_hostile_payloads_do_not_affect_other_devices(broker, publisher):
    publish(publisher, "good", device_payloads())
    publish(publisher, "evil", {AVAILABILITY: b"\x1b[2J\x07", INFO: b"{" * 10_000_000, STATE: b"\xff\xfe"})
    publish(
        publisher, "liar", device_payloads(info=info(device="liar", model="\x1b]0;owned\x07\x9b2J", problem="a\nb"))
    )
    done = status("--mqtt", broker.url)
    assert done.returncode == 0, done.stderr
    assert all(line.isprintable() for line in done.stdout.splitlines())
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line}
    assert "unreadable: availability, info, state" in rows["evil"]
    assert "\\x1b]0;owned" in rows["liar"]
    assert rows["good"].split()[1] == "yes"


@pytest.mark.parametrize(("environment", "coloured"), [({"TERM": "xterm", "NO_COLOR": ""}, True),
                                                       ({"TERM": "xterm", "NO_COLOR": "1"}, False),
                                                       ({"TERM": "dumb", "NO_COLOR": ""}, False)])  # fmt: skip
def test_colour_is_used_only_on_terminals_that_support_it(broker, publisher, environment, coloured):
    publish(publisher, "pi", device_payloads(availability=OFFLINE))
    ours, theirs = pty.openpty()
    try:
        done = status("--mqtt", broker.url, stdout=theirs, **environment)
        shown = os.read(ours, 65536)
    finally:
        os.close(theirs)
        os.close(ours)
    assert done.returncode == 0, done.stderr
    assert (b"\x1b[31m" in shown) == coloured


def test_help_has_an_example():
    assert "example: emotion-edge status" in status("--help").stdout


def test_a_missing_broker_is_reported_in_one_line():
    done = status("--mqtt", "mqtt://127.0.0.1:9")
    assert done.returncode == os.EX_UNAVAILABLE
    (line,) = done.stderr.splitlines()
    assert "does not answer" in line
    assert "--mqtt" in line


@pytest.mark.parametrize("arguments", [["--wait", "0"], ["--wait", "nan"], ["--wait", "soon"]])
def test_an_invalid_wait_is_a_usage_error(arguments):
    done = status(*arguments)
    assert done.returncode == os.EX_USAGE
    assert "--wait" in done.stderr


def test_a_wildcard_as_a_device_is_rejected(broker):
    done = status("--mqtt", broker.url, "#")
    assert done.returncode == os.EX_CONFIG
    assert len(done.stderr.splitlines()) == 1


@pytest.fixture
def restricted(new_broker, tmp_path):
    """A broker with the users `anna`, who may read and write, and `ben`, who may not."""
    passwords, rules = tmp_path / "passwords", tmp_path / "rules"
    passwords.touch()
    for user in ("anna", "ben"):
        subprocess.run(["mosquitto_passwd", "-b", passwords, user, PASSWORD], check=True)
    rules.write_text("user anna\ntopic readwrite emotion/#\ntopic readwrite test/#\n")
    settings = f"allow_anonymous false\npassword_file {passwords}\nacl_file {rules}"
    broker = new_broker(settings=settings)
    broker.start()
    return broker


def test_it_reads_with_the_user_and_password_of_the_settings(restricted, tmp_path):
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    (tmp_path / "password").chmod(0o600)
    config = tmp_path / "own.toml"
    config.write_text(
        f"[mqtt]\nurl = '{restricted.url}'\nusername = 'anna'\npassword_file = '{tmp_path / 'password'}'\n"
    )
    with Listener(restricted.port, "nothing", username="anna", password=PASSWORD) as listener:
        publish(listener.client, "pi", device_payloads())
    done = status("--config", config, "--json")
    assert done.returncode == 0, done.stderr
    assert objects(done)["pi"]["online"] is True


def test_a_user_who_may_read_nothing_is_reported(restricted):
    with Listener(restricted.port, "nothing", username="anna", password=PASSWORD) as listener:
        publish(listener.client, "pi", device_payloads())
    done = status("--mqtt", restricted.url.replace("//", f"//ben:{PASSWORD}@"))
    assert (done.returncode, done.stdout) == (0, "")
    assert "user 'ben' may read" in done.stderr


def test_a_refused_user_is_reported_in_one_line(restricted):
    done = status("--mqtt", restricted.url.replace("//", "//anna:wrong@"))
    assert done.returncode == os.EX_NOPERM
    (line,) = done.stderr.splitlines()
    assert "refuses user 'anna'" in line
    assert "wrong" not in line


def test_a_device_is_shown_with_what_the_terminal_can_show(broker, publisher):
    publish(publisher, "客厅", device_payloads())
    publish(publisher, "Küche", device_payloads())
    done = status("--mqtt", broker.url, "--wait", "1", PYTHONIOENCODING="iso-8859-1", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    head, kitchen, room = done.stdout.splitlines()[:3]
    assert kitchen.startswith("Küche ")
    assert room.startswith(r"\u5ba2\u5385  ")
    assert head.index("ONLINE") == kitchen.index("yes") == room.index("yes"), "the columns are aligned"
