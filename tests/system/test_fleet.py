"""Three devices from nothing to nothing, by the playbooks, over ssh; each test goes on where the one before ended."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from host_training.training import signing
from tests.support.broker import Mosquitto, until
from tests.system import rootfs
from tests.system.container import Container
from tests.system.device import REPOSITORY, SETTINGS, UNIT
from tests.system.fleet import BIN, USER, Fleet

if TYPE_CHECKING:
    from collections.abc import Iterator

HALL, KITCHEN, ATTIC = NAMES = ("hall", "kitchen", "attic")
"""In the order of the inventory: the hall is the canary, and the others are the wave after it."""
WORD = "correct horse"
"""The password of the broker."""
MODELS = "/var/lib/emotion-edge/models"
EVERYWHERE = "/opt /etc/emotion-edge /etc/systemd/system /var/lib /var/cache /usr/local/bin"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three containers that have never seen the product, and a broker that wants a password."""
    if os.geteuid() != 0:
        pytest.skip("not root: a container that boots systemd needs root")
    if missing := rootfs.missing_programs():
        pytest.skip(f"missing: apt install {' '.join(missing)}")
    if not (BIN / "ansible-playbook").exists():
        pytest.skip("no Ansible here: make test-fleet")
    folder = tmp_path_factory.mktemp("fleet")
    passwords = folder / "passwords"
    broker = Mosquitto(folder, settings=f"password_file {passwords}")
    subprocess.run(["mosquitto_passwd", "-c", "-b", passwords, "cameras", WORD], check=True)
    broker.start()
    fleet = Fleet(folder, broker)
    fleet.variables = {
        "emotion_edge_mqtt_url": broker.url,
        "emotion_edge_mqtt_username": "cameras",
        "fleet_secrets": {"mqtt-password": WORD},
        "emotion_edge_mqtt_health_interval_s": 1,
        "emotion_edge_mqtt_retry_max_s": 1,
        "emotion_edge_camera_source": "picamera2",
        "emotion_edge_camera_fps": 5,
        "fleet_wave": "100%",
        "fleet_trial_s": 1,
    }
    containers = [Container(rootfs.TRIXIE) for _ in NAMES]
    try:
        for name, container in zip(NAMES, containers, strict=True):
            fleet.join(name, container.boot())
            # A device has no way to PyPI.
            Path(f"{container.root}/etc/pip.conf").write_text(
                "[global]\nindex-url = http://127.0.0.1:9/\nretries = 0\n"
            )
        yield fleet
    finally:
        for container in containers:
            container.close()
        broker.kill()


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whose bundles the fleet may be made to trust."""
    file = tmp_path_factory.mktemp("keys") / "fleet.key"
    signing.new_key(file)
    return file


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory, key: Path) -> dict[str, Path]:
    """Model bundles, one newer than the other: each the checkout's under another name."""
    folder = tmp_path_factory.mktemp("bundles")
    found = {}
    for number, name in enumerate(("first", "second", "third", "fourth", "fifth")):
        found[name] = folder / name
        shutil.copytree(REPOSITORY / "model" / "fused", found[name])
        manifest = json.loads((found[name] / "manifest.json").read_text("utf-8")) | {"id": name}
        (found[name] / "manifest.json").write_text(json.dumps(manifest), "utf-8")
        signing.sign(found[name], signing.read_key(key), counter=2_000_000_000 + number)
    return found


def says(fleet: Fleet, field: str = "model") -> dict[str, object]:
    """What each device says of itself at the broker."""
    settings, password = fleet.folder / "status.toml", fleet.folder / "password"
    password.touch(0o600)
    password.write_text(WORD)
    settings.write_text(f'[mqtt]\nurl = "{fleet.broker.url}"\nusername = "cameras"\npassword_file = "{password}"\n')
    said = fleet.run(BIN / "emotion-edge", "status", "--json", "--config", settings)
    rows = [json.loads(line) for line in said.text.splitlines() if line.startswith("{")]
    return {row["device"]: row[field] for row in rows}


def on_disk(fleet: Fleet, link: str = "current") -> dict[str, str]:
    """Where a link to a bundle leads on each device."""
    return {
        name: device.run("readlink", f"{MODELS}/{link}", check=False).stdout.strip()
        for name, device in fleet.devices.items()
    }


def listing(fleet: Fleet) -> dict[str, str]:
    """Every file that the product could have, with its date."""
    find = f"find {EVERYWHERE} -not -type d -printf '%p %m %u %l %T+\\n' | grep emotion-edge | grep -v /state | sort"
    return {name: device.run("sh", "-c", find, check=False).stdout for name, device in fleet.devices.items()}


def processes(fleet: Fleet) -> dict[str, str]:
    """Of the service on each device."""
    return {
        name: device.run("systemctl", "show", UNIT, "--property=MainPID", "--value").stdout
        for name, device in fleet.devices.items()
    }


def everyone(word: object) -> dict[str, object]:
    return dict.fromkeys(NAMES, word)


def test_a_check_says_what_would_be_done_and_does_nothing(fleet: Fleet):
    before = listing(fleet)

    done = fleet.play("deploy", "--check")

    assert (done.status, done.words) == (0, everyone("would do")), done.text
    assert f"{HALL}: would do: service: starting" in done.text
    assert listing(fleet) == before


def test_the_service_is_put_on_devices_that_have_no_way_to_pypi(fleet: Fleet):
    done = fleet.play("deploy")

    assert (done.status, done.words) == (0, everyone("done")), done.text
    assert says(fleet, "online") == everyone(True)


def test_settings_are_those_of_the_variables(fleet: Fleet):
    for name, device in fleet.devices.items():
        settings = device.read(SETTINGS)
        assert f'name = "{name}"' in settings
        assert f'url = "{fleet.broker.url}"' in settings


def test_the_password_is_roots_alone_and_nowhere_else(fleet: Fleet):
    done = fleet.play("deploy", "--check", "-vvv", only=HALL)

    device = fleet.devices[HALL]
    assert device.run("stat", "--format=%a %U", "/etc/emotion-edge/mqtt-password").stdout.split() == ["600", "root"]
    assert WORD not in done.text
    grep = (
        "grep",
        "-rlI",
        "--exclude=*.whl",
        WORD,
        "/etc",
        "/home",
        "/var/cache/emotion-edge",
        "/var/lib/emotion-edge",
    )
    found = device.run(*grep, check=False).stdout.split()
    assert found == ["/etc/emotion-edge/mqtt-password"]


def test_a_second_time_nothing_is_changed(fleet: Fleet):
    before, daemons = listing(fleet), processes(fleet)

    done = fleet.play("deploy")

    assert (done.status, done.words) == (0, everyone("unchanged")), done.text
    assert done.nothing_changed
    assert listing(fleet) == before
    assert processes(fleet) == daemons


def test_the_devices_can_be_named_without_an_inventory(fleet: Fleet):
    settings = fleet.devices[HALL].read(SETTINGS)
    host = f"{USER}@127.0.0.1:{fleet.of_device[HALL]['ansible_port']}"

    done = fleet.run(
        *("make", "deploy", f"HOSTS={host}"),
        ANSIBLE_PRIVATE_KEY_FILE=str(fleet.key),
        ANSIBLE_SSH_COMMON_ARGS="-oUserKnownHostsFile=/dev/null",
    )

    assert (done.status, done.words) == (0, {host: "unchanged"}), done.text
    assert fleet.devices[HALL].read(SETTINGS) == settings


def test_a_setting_that_changes_is_told_written_and_read(fleet: Fleet):
    fleet.of_device[ATTIC]["emotion_edge_camera_fps"] = 4
    before = processes(fleet)

    told = fleet.play("deploy", "--check", only=ATTIC)
    done = fleet.play("deploy")

    assert (told.status, told.words) == (0, {ATTIC: "would do"}), told.text
    assert done.words == everyone("unchanged") | {ATTIC: "done"}, done.text
    until(lambda: says(fleet, "target_fps") == {HALL: 5, KITCHEN: 5, ATTIC: 4}, "the new rate", 60)
    assert {name for name, process in processes(fleet).items() if process != before[name]} == {ATTIC}


def test_a_setting_that_does_not_exist_is_told_before_anything_is_changed(fleet: Fleet):
    before = listing(fleet)
    fleet.variables["emotion_edge_camera_fsp"] = 4

    done = fleet.play("deploy")

    del fleet.variables["emotion_edge_camera_fsp"]
    assert (done.status, done.words) == (2, everyone("failed"))
    assert done.reasons[HALL] == "unknown key 'fsp' in [camera]; did you mean 'fps'?"
    assert listing(fleet) == before


def test_settings_that_were_made_by_hand_are_kept(fleet: Fleet):
    device = fleet.devices[ATTIC]
    by_hand = "# mine\n" + device.read(SETTINGS).partition("\n")[2]
    Path(f"{device.root}{SETTINGS}").write_text(by_hand)

    done = fleet.play("deploy", only=ATTIC)

    assert done.words == {ATTIC: "done"}, done.text
    assert device.run("sh", "-c", f"cat {SETTINGS}.*~").stdout == by_hand


def test_a_model_goes_to_the_canary_and_then_to_the_others_without_a_restart(fleet: Fleet, bundles: dict[str, Path]):
    daemons = processes(fleet)

    done = fleet.play("deploy-model", BUNDLE=str(bundles["first"]))

    assert (done.status, done.words) == (0, everyone("done")), done.text
    assert on_disk(fleet) == says(fleet) == everyone("first")
    order = re.findall(r"^  (\w+): model bundle", done.text, re.MULTILINE)
    assert order[0] == HALL
    assert processes(fleet) == daemons


def test_a_model_that_is_there_is_left_alone(fleet: Fleet, bundles: dict[str, Path]):
    done = fleet.play("deploy-model", BUNDLE=str(bundles["first"]))

    assert (done.status, done.words) == (0, everyone("unchanged")), done.text
    assert done.nothing_changed


def test_a_wave_with_a_device_that_refuses_the_model_goes_back(fleet: Fleet, bundles: dict[str, Path], tmp_path: Path):
    signing.new_key(tmp_path / "other.key")
    fleet.devices[ATTIC].push(tmp_path / "other.key.pub", "/etc/emotion-edge/trusted-keys")

    done = fleet.play("deploy-model", BUNDLE=str(bundles["second"]))

    assert done.status == 2
    assert done.words == {HALL: "done", KITCHEN: "rolled back", ATTIC: "failed"}, done.text
    assert "trusted-keys" in done.reasons[ATTIC]
    assert on_disk(fleet) == says(fleet) == {HALL: "second", KITCHEN: "first", ATTIC: "first"}


def test_a_failure_within_the_limit_leaves_the_others_what_was_asked(fleet: Fleet, bundles: dict[str, Path]):
    done = fleet.play("deploy-model", "--extra-vars", "fleet_limit=50", BUNDLE=str(bundles["second"]))

    assert done.status == 2
    assert done.words == {HALL: "unchanged", KITCHEN: "done", ATTIC: "failed"}, done.text
    assert on_disk(fleet) == says(fleet) == {HALL: "second", KITCHEN: "second", ATTIC: "first"}


def test_a_canary_that_fails_saves_the_others(fleet: Fleet, bundles: dict[str, Path]):
    fleet.devices[ATTIC].run("mv", "/etc/emotion-edge/trusted-keys", "/etc/emotion-edge/aside")
    fleet.devices[HALL].push(fleet.devices[ATTIC].root / "etc/emotion-edge/aside", "/etc/emotion-edge/trusted-keys")

    done = fleet.play("deploy-model", BUNDLE=str(bundles["third"]))

    fleet.devices[HALL].run("rm", "/etc/emotion-edge/trusted-keys")
    assert done.status == 2
    assert done.words == {HALL: "failed", KITCHEN: "not tried", ATTIC: "not tried"}, done.text
    assert on_disk(fleet) == says(fleet) == {HALL: "second", KITCHEN: "second", ATTIC: "first"}


def test_a_device_that_gets_slow_with_the_model_goes_back_to_what_it_had(fleet: Fleet, bundles: dict[str, Path]):
    device, over = fleet.devices[KITCHEN], threading.Event()

    def be_slow_with_it() -> None:
        """Stop the service for most of each second while the new bundle is the current one."""
        while not over.wait(0.2):
            if (device.root / MODELS[1:] / "current").readlink().name == "third":
                device.run("systemctl", "kill", "--signal=STOP", UNIT)
                over.wait(1)
                device.run("systemctl", "kill", "--signal=CONT", UNIT)

    slow = threading.Thread(target=be_slow_with_it)
    slow.start()
    done = fleet.play(
        "deploy-model", "--extra-vars", "fleet_limit=50 fleet_health_gate_s=15", BUNDLE=str(bundles["third"])
    )
    over.set()
    slow.join()

    assert done.status == 2
    assert done.words == {HALL: "done", KITCHEN: "rolled back", ATTIC: "done"}, done.text
    assert "frames/s" in done.reasons[KITCHEN], done.text
    assert on_disk(fleet) == says(fleet) == {HALL: "third", KITCHEN: "second", ATTIC: "third"}


def test_a_device_that_is_offline_is_told_and_caught_up_with(fleet: Fleet, bundles: dict[str, Path]):
    fleet.disconnect(ATTIC)

    without = fleet.play("deploy-model", BUNDLE=str(bundles["fourth"]))
    fleet.connect(ATTIC)
    caught_up = fleet.play("deploy-model", BUNDLE=str(bundles["fourth"]))

    assert without.status == 2
    assert without.words == {HALL: "done", KITCHEN: "done", ATTIC: "offline"}, without.text
    assert "Connection refused" in without.reasons[ATTIC]
    assert caught_up.status == 0
    assert caught_up.words == {HALL: "unchanged", KITCHEN: "unchanged", ATTIC: "done"}, caught_up.text
    assert on_disk(fleet) == says(fleet) == everyone("fourth")


def test_the_table_shows_the_fleet(fleet: Fleet):
    table, lines = fleet.play("status"), fleet.play("status", JSON="1")

    rows = {line.split()[0]: line for line in table.text.splitlines() if line.startswith(NAMES)}
    said = [json.loads(line) for line in lines.text.splitlines() if line.startswith("{")]
    assert (table.status, lines.status) == (0, 0)
    assert set(rows) == {row["device"] for row in said} == set(NAMES), table.text
    assert all("fourth" in row for row in rows.values())
    assert {(row["model"], row["online"]) for row in said} == {("fourth", True)}


def test_nothing_is_touched_while_nobody_could_judge_it(fleet: Fleet, bundles: dict[str, Path]):
    fleet.broker.kill()

    done = fleet.play("deploy-model", BUNDLE=str(bundles["fifth"]))

    fleet.broker.start()
    until(lambda: says(fleet, "online") == everyone(True), "all are back", 60)
    assert (done.status, done.words) == (2, everyone("failed"))
    assert "health could not be checked" in done.reasons[HALL]
    assert on_disk(fleet) == everyone("fourth")


def test_a_second_model_runs_beside_the_one_in_use_until_it_is_ended(fleet: Fleet, bundles: dict[str, Path]):
    begun = fleet.play("deploy-model", BUNDLE=str(bundles["fifth"]), SHADOW="1")
    meanwhile = (says(fleet), says(fleet, "shadow"))
    again = fleet.play("deploy-model", only=HALL, BUNDLE=str(bundles["fifth"]), SHADOW="1")
    ended = fleet.play("deploy-model", SHADOW="0")

    assert (begun.status, begun.words) == (0, everyone("done")), begun.text
    assert meanwhile == (everyone("fourth"), everyone("fifth"))
    assert again.nothing_changed, again.text
    assert (ended.status, ended.words) == (0, everyone("done")), ended.text
    assert (says(fleet), says(fleet, "shadow")) == (everyone("fourth"), everyone(None))


def test_a_rollback_goes_to_the_model_before_or_to_the_one_named(fleet: Fleet):
    before = on_disk(fleet, "previous")

    back = fleet.play("rollback")
    after = (on_disk(fleet), says(fleet))
    named = fleet.play("rollback", TO="fourth")
    nowhere = fleet.play("rollback", only=HALL, TO="nowhere")

    assert (back.status, back.words) == (0, everyone("done")), back.text
    assert after == (before, before)
    assert (named.status, named.words) == (0, everyone("done")), named.text
    assert on_disk(fleet) == says(fleet) == everyone("fourth")
    assert (nowhere.status, nowhere.words) == (2, {HALL: "failed"})
    assert "there is no model bundle nowhere" in nowhere.reasons[HALL]


def test_a_release_that_does_not_work_goes_back_to_the_one_before(fleet: Fleet):
    settings, release = (
        fleet.devices[HALL].read(SETTINGS),
        fleet.devices[HALL].run("readlink", "/opt/emotion-edge/current"),
    )
    fleet.variables["emotion_edge_camera_source"] = "v4l2:/dev/video9"

    done = fleet.play("deploy")

    fleet.variables["emotion_edge_camera_source"] = "picamera2"
    assert done.words == {HALL: "rolled back", KITCHEN: "not tried", ATTIC: "not tried"}, done.text
    assert done.status == 2
    assert "/dev/video9" in done.reasons[HALL]
    assert fleet.devices[HALL].read(SETTINGS) == settings
    assert fleet.devices[HALL].run("readlink", "/opt/emotion-edge/current").stdout == release.stdout
    until(lambda: says(fleet, "online") == everyone(True), "it is back", 60)


def test_devices_that_trust_a_key_are_given_what_it_has_signed(fleet: Fleet, key: Path):
    fleet.variables["fleet_files"] = {"trusted-keys": signing.public_file(key).read_text("utf-8")}

    signed, again = (fleet.play("deploy", only=HALL, KEY=str(key)) for _ in range(2))
    unsigned = fleet.play("deploy", only=HALL)

    assert (signed.status, signed.words) == (0, {HALL: "done"}), signed.text
    assert again.nothing_changed, again.text
    assert (unsigned.status, unsigned.words) == (2, {HALL: "rolled back"}), unsigned.text
    assert "asks for a signature" in unsigned.reasons[HALL]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["deploy"], "no devices: say HOSTS=pi@livingroom.local, or INVENTORY=FILE"),
        (["deploy", "HOSTS=pi@"], "HOSTS: 'pi@' is no device"),
        (["deploy", "INVENTORY=/nowhere.yml"], "INVENTORY=/nowhere.yml: there is no such file"),
        (["deploy-model", "HOSTS=pi@127.0.0.1:9", "BUNDLE=nowhere"], "nowhere: there is no such folder"),
        (["rollback", "HOSTS=pi@127.0.0.1:9"], "Connection refused"),
        (["rollback", "HOSTS=pi@device.invalid"], "device.invalid"),
    ],
)
def test_what_is_said_wrongly_is_told_in_a_line(fleet: Fleet, arguments: list[str], complaint: str):
    done = fleet.run("make", *arguments)

    assert done.status == 2
    assert complaint in done.text
    assert "Traceback" not in done.text


def test_a_user_who_may_not_use_sudo_is_told_so(fleet: Fleet):
    device = fleet.devices[HALL]
    device.run("mv", "/etc/sudoers.d/010_pi-nopasswd", "/root")

    done = fleet.play("rollback", only=HALL)

    device.run("mv", "/root/010_pi-nopasswd", "/etc/sudoers.d")
    assert (done.status, done.words) == (2, {HALL: "failed"})
    assert "--ask-become-pass" in done.reasons[HALL]


def test_in_the_end_all_is_gone_but_the_settings(fleet: Fleet):
    told = fleet.play("undeploy", "--check")
    there = listing(fleet)[HALL]
    done = fleet.play("undeploy")

    assert told.words == everyone("would do"), told.text
    assert "/opt/emotion-edge" in there
    assert (done.status, done.words) == (0, everyone("done")), done.text
    left = {line.split()[0] for text in listing(fleet).values() for line in text.splitlines()}
    assert {path for path in left if not path.startswith("/etc/emotion-edge")} == set()
    assert SETTINGS in left
    assert says(fleet) == {}
    assert fleet.play("undeploy").nothing_changed
