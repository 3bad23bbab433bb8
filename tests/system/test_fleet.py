"""The playbooks on three devices over ssh, from first deployment to removal. Each test builds on the one before."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from host_training.training import signing
from tests.support.broker import Listener, Mosquitto, until
from tests.system import rootfs
from tests.system.container import Container
from tests.system.device import REPOSITORY, SETTINGS, UNIT
from tests.system.fleet import BIN, USER, Fleet

if TYPE_CHECKING:
    from collections.abc import Iterator

HALL, KITCHEN, ATTIC = NAMES = ("hall", "kitchen", "attic")
"""Devices in the order of the inventory: the hall is the canary, and the others are the next wave."""
PASSWORD = "correct horse"  # noqa: S105 - of a broker that lives for a test
"""Password of the broker."""
MODELS = "/var/lib/emotion-edge/models"
EVERYWHERE = "/opt /etc/emotion-edge /etc/systemd/system /var/lib /var/cache /usr/local/bin"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three fresh containers, and a broker with a password."""
    if os.geteuid() != 0:
        pytest.skip("not root: containers that boot systemd need root")
    if missing := rootfs.missing_programs():
        pytest.skip(f"missing: apt install {' '.join(missing)}")
    if not (BIN / "ansible-playbook").exists():
        pytest.skip("Ansible is missing; run make test-fleet")
    folder = tmp_path_factory.mktemp("fleet")
    passwords = folder / "passwords"
    broker = Mosquitto(folder, settings=f"password_file {passwords}")
    subprocess.run(["mosquitto_passwd", "-c", "-b", passwords, "cameras", PASSWORD], check=True)
    broker.start()
    fleet = Fleet(folder, broker)
    fleet.variables = {
        "emotion_edge_mqtt_url": broker.url,
        "emotion_edge_mqtt_username": "cameras",
        "fleet_secrets": {"mqtt-password": PASSWORD},
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
            # Devices can't reach PyPI.
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
    """A signing key that the fleet can be made to trust."""
    file = tmp_path_factory.mktemp("keys") / "fleet.key"
    signing.new_key(file)
    return file


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory, key: Path) -> dict[str, Path]:
    """Copies of the released bundle under other names, each newer than the previous one."""
    folder = tmp_path_factory.mktemp("bundles")
    found = {}
    for number, name in enumerate(("first", "second", "third", "fourth", "fifth")):
        found[name] = folder / name
        shutil.copytree(REPOSITORY / "model" / "fused", found[name])
        manifest = json.loads((found[name] / "manifest.json").read_text("utf-8")) | {"id": name}
        (found[name] / "manifest.json").write_text(json.dumps(manifest), "utf-8")
        signing.sign(found[name], signing.read_key(key), counter=2_000_000_000 + number)
    return found


def reported(fleet: Fleet, field: str = "model") -> dict[str, object]:
    """A field of the status of each device."""
    settings, password = fleet.folder / "status.toml", fleet.folder / "password"
    password.touch(0o600)
    password.write_text(PASSWORD)
    settings.write_text(f'[mqtt]\nurl = "{fleet.broker.url}"\nusername = "cameras"\npassword_file = "{password}"\n')
    output = fleet.run(BIN / "emotion-edge", "status", "--json", "--config", settings)
    rows = [json.loads(line) for line in output.text.splitlines() if line.startswith("{")]
    return {row["device"]: row[field] for row in rows}


def on_disk(fleet: Fleet, link: str = "current") -> dict[str, str]:
    """Target of a link to a bundle on each device."""
    return {
        name: device.run("readlink", f"{MODELS}/{link}", check=False).stdout.strip()
        for name, device in fleet.devices.items()
    }


def listing(fleet: Fleet) -> dict[str, str]:
    """All files that the product may have, with their times."""
    find = f"find {EVERYWHERE} -not -type d -printf '%p %m %u %l %T+\\n' | grep emotion-edge | grep -v /state | sort"
    return {name: device.run("sh", "-c", find, check=False).stdout for name, device in fleet.devices.items()}


def processes(fleet: Fleet) -> dict[str, str]:
    """Process id of the service on each device."""
    return {
        name: device.run("systemctl", "show", UNIT, "--property=MainPID", "--value").stdout
        for name, device in fleet.devices.items()
    }


def all_devices(value: object) -> dict[str, object]:
    return dict.fromkeys(NAMES, value)


def test_check_reports_what_would_be_done_and_changes_nothing(fleet: Fleet, bundles: dict[str, Path]):
    before = listing(fleet)

    done = fleet.play("deploy", "--check", BUNDLE=str(bundles["first"]))

    assert (done.status, done.words) == (0, all_devices("would do")), done.text
    assert f"{HALL}: would do: service: starting" in done.text
    assert done.reasons == all_devices("would install it, and model bundle first")
    assert listing(fleet) == before


def test_the_service_is_installed_on_devices_that_cannot_reach_pypi(fleet: Fleet):
    done = fleet.play("deploy")

    assert (done.status, done.words) == (0, all_devices("done")), done.text
    assert reported(fleet, "online") == all_devices(True)


def test_the_settings_have_the_values_of_the_variables(fleet: Fleet):
    for name, device in fleet.devices.items():
        settings = device.read(SETTINGS)
        assert f'name = "{name}"' in settings
        assert f'url = "{fleet.broker.url}"' in settings


def test_only_root_can_read_the_password(fleet: Fleet):
    done = fleet.play("deploy", "--check", "-vvv", only=HALL)

    device = fleet.devices[HALL]
    assert device.run("stat", "--format=%a %U", "/etc/emotion-edge/mqtt-password").stdout.split() == ["600", "root"]
    assert PASSWORD not in done.text
    grep = (
        "grep",
        "-rlI",
        "--exclude=*.whl",
        PASSWORD,
        "/etc",
        "/home",
        "/var/cache/emotion-edge",
        "/var/lib/emotion-edge",
    )
    found = device.run(*grep, check=False).stdout.split()
    assert found == ["/etc/emotion-edge/mqtt-password"]


def test_deploying_again_changes_nothing(fleet: Fleet):
    before, daemons = listing(fleet), processes(fleet)

    done = fleet.play("deploy")

    assert (done.status, done.words) == (0, all_devices("unchanged")), done.text
    assert done.nothing_changed
    assert listing(fleet) == before
    assert processes(fleet) == daemons


def test_devices_can_be_named_without_an_inventory(fleet: Fleet):
    settings = fleet.devices[HALL].read(SETTINGS)
    host = f"{USER}@127.0.0.1:{fleet.of_device[HALL]['ansible_port']}"

    done = fleet.run(
        *("make", "deploy", f"HOSTS={host}"),
        ANSIBLE_PRIVATE_KEY_FILE=str(fleet.key),
        ANSIBLE_SSH_COMMON_ARGS="-oUserKnownHostsFile=/dev/null",
    )

    assert (done.status, done.words) == (0, {host: "unchanged"}), done.text
    assert fleet.devices[HALL].read(SETTINGS) == settings


def test_what_was_just_trained_is_what_the_events_name(fleet: Fleet, tmp_path: Path):
    models, recipe = tmp_path / "models", tmp_path / "short.toml"
    recipe.write_text("[network]\nhidden = [16]\n[optimiser]\nepochs = 1\n")
    table, host = tmp_path / "small.parquet", f"{USER}@127.0.0.1:{fleet.of_device[HALL]['ansible_port']}"
    python = REPOSITORY / ".venv" / "train" / "bin" / "python"  # the libraries of the training kit
    subprocess.run([python, "-m", "tests.support.small_table", table], cwd=REPOSITORY, check=True)

    with Listener(fleet.broker.port, username="cameras", password=PASSWORD) as listener:
        done = fleet.run(
            *("sh", "-c", f"make train TABLE={table} RECIPE={recipe} NAME=short && make deploy HOSTS={host}"),
            MODELS=str(models),
            ANSIBLE_PRIVATE_KEY_FILE=str(fleet.key),
            ANSIBLE_SSH_COMMON_ARGS="-oUserKnownHostsFile=/dev/null",
        )
        assert (done.status, done.words) == (0, {host: "done"}), done.text
        trained = json.loads((models / "latest" / "manifest.json").read_text("utf-8"))["id"]
        # A face that appears is an event, whatever so poor a model says of it.
        for command in ("pause", "resume"):
            listener.client.publish(f"emotion/{HALL}/command/{command}", qos=1)
            until(partial(listener.payloads, f"reply/{command}"), "it obeys", 60)
        until(
            lambda: "new" in [e["type"] for e in listener.payloads("event") if e["model"] == trained], "it speaks", 60
        )

    assert trained.startswith("short-")
    assert f"model bundle {trained} in {models}/short (trained last;" in done.text
    assert re.search(rf"^warning: {trained} reads worse than ferplus-", done.text, re.MULTILINE)
    assert re.search(rf"^{HALL} .* {trained} ", done.text, re.MULTILINE), "the table of devices"
    assert on_disk(fleet)[HALL] == trained
    assert fleet.play("rollback", only=HALL).status == 0, "the tests that follow start from the released bundle"


def test_a_changed_setting_is_reported_written_and_applied(fleet: Fleet):
    fleet.of_device[ATTIC]["emotion_edge_camera_fps"] = 4
    before = processes(fleet)

    check = fleet.play("deploy", "--check", only=ATTIC)
    done = fleet.play("deploy")

    assert (check.status, check.words) == (0, {ATTIC: "would do"}), check.text
    assert done.words == all_devices("unchanged") | {ATTIC: "done"}, done.text
    until(lambda: reported(fleet, "target_fps") == {HALL: 5, KITCHEN: 5, ATTIC: 4}, "the new rate applies", 60)
    assert {name for name, process in processes(fleet).items() if process != before[name]} == {ATTIC}


def test_an_unknown_setting_is_reported_before_anything_is_changed(fleet: Fleet):
    before = listing(fleet)
    fleet.variables["emotion_edge_camera_fsp"] = 4

    done = fleet.play("deploy")

    del fleet.variables["emotion_edge_camera_fsp"]
    assert (done.status, done.words) == (2, all_devices("failed"))
    assert done.reasons[HALL] == "unknown key 'fsp' in [camera]; did you mean 'fps'?"
    assert listing(fleet) == before


def test_settings_that_were_edited_by_hand_are_saved(fleet: Fleet):
    device = fleet.devices[ATTIC]
    by_hand = "# mine\n" + device.read(SETTINGS).partition("\n")[2]
    Path(f"{device.root}{SETTINGS}").write_text(by_hand)

    done = fleet.play("deploy", only=ATTIC)

    assert done.words == {ATTIC: "done"}, done.text
    assert device.run("sh", "-c", f"cat {SETTINGS}.*~").stdout == by_hand


def test_a_model_goes_to_the_canary_and_then_to_the_others_without_a_restart(fleet: Fleet, bundles: dict[str, Path]):
    daemons = processes(fleet)

    done = fleet.play("deploy-model", BUNDLE=str(bundles["first"]))

    assert (done.status, done.words) == (0, all_devices("done")), done.text
    assert on_disk(fleet) == reported(fleet) == all_devices("first")
    order = re.findall(r"^  (\w+): model bundle", done.text, re.MULTILINE)
    assert order[0] == HALL
    assert processes(fleet) == daemons


def test_an_installed_model_is_unchanged(fleet: Fleet, bundles: dict[str, Path]):
    done = fleet.play("deploy-model", BUNDLE=str(bundles["first"]))

    assert (done.status, done.words) == (0, all_devices("unchanged")), done.text
    assert done.nothing_changed


def test_a_wave_with_a_device_that_refuses_the_model_is_rolled_back(
    fleet: Fleet, bundles: dict[str, Path], tmp_path: Path
):
    signing.new_key(tmp_path / "other.key")
    fleet.devices[ATTIC].push(tmp_path / "other.key.pub", "/etc/emotion-edge/trusted-keys")

    done = fleet.play("deploy-model", BUNDLE=str(bundles["second"]))

    assert done.status == 2
    assert done.words == {HALL: "done", KITCHEN: "rolled back", ATTIC: "failed"}, done.text
    assert "trusted-keys" in done.reasons[ATTIC]
    assert on_disk(fleet) == reported(fleet) == {HALL: "second", KITCHEN: "first", ATTIC: "first"}


def test_a_failure_within_the_limit_does_not_affect_other_devices(fleet: Fleet, bundles: dict[str, Path]):
    done = fleet.play("deploy-model", "--extra-vars", "fleet_limit=50", BUNDLE=str(bundles["second"]))

    assert done.status == 2
    assert done.words == {HALL: "unchanged", KITCHEN: "done", ATTIC: "failed"}, done.text
    assert on_disk(fleet) == reported(fleet) == {HALL: "second", KITCHEN: "second", ATTIC: "first"}


def test_a_failing_canary_stops_the_rollout(fleet: Fleet, bundles: dict[str, Path]):
    fleet.devices[ATTIC].run("mv", "/etc/emotion-edge/trusted-keys", "/etc/emotion-edge/aside")
    fleet.devices[HALL].push(fleet.devices[ATTIC].root / "etc/emotion-edge/aside", "/etc/emotion-edge/trusted-keys")

    done = fleet.play("deploy-model", BUNDLE=str(bundles["third"]))

    fleet.devices[HALL].run("rm", "/etc/emotion-edge/trusted-keys")
    assert done.status == 2
    assert done.words == {HALL: "failed", KITCHEN: "not tried", ATTIC: "not tried"}, done.text
    assert on_disk(fleet) == reported(fleet) == {HALL: "second", KITCHEN: "second", ATTIC: "first"}


@contextmanager
def slow_with(device: Container, bundle: str) -> Iterator[None]:
    """Stop the service for most of each second while a bundle is the current one."""
    over = threading.Event()

    def slow_down() -> None:
        while not over.wait(0.2):
            if (device.root / MODELS[1:] / "current").readlink().name == bundle:
                device.run("systemctl", "kill", "--signal=STOP", UNIT)
                over.wait(1)
                device.run("systemctl", "kill", "--signal=CONT", UNIT)

    slow = threading.Thread(target=slow_down)
    slow.start()
    try:
        yield
    finally:
        over.set()
        slow.join()


def test_a_device_that_becomes_slow_is_rolled_back(fleet: Fleet, bundles: dict[str, Path]):
    with slow_with(fleet.devices[KITCHEN], "third"):
        done = fleet.play(
            "deploy-model", "--extra-vars", "fleet_limit=50 fleet_health_gate_s=15", BUNDLE=str(bundles["third"])
        )

    assert done.status == 2
    assert done.words == {HALL: "done", KITCHEN: "rolled back", ATTIC: "done"}, done.text
    assert "frames/s" in done.reasons[KITCHEN], done.text
    assert on_disk(fleet) == reported(fleet) == {HALL: "third", KITCHEN: "second", ATTIC: "third"}


def test_an_offline_device_is_reported_and_updated_later(fleet: Fleet, bundles: dict[str, Path]):
    fleet.disconnect(ATTIC)

    without = fleet.play("deploy-model", BUNDLE=str(bundles["fourth"]))
    fleet.connect(ATTIC)
    caught_up = fleet.play("deploy-model", BUNDLE=str(bundles["fourth"]))

    assert without.status == 2
    assert without.words == {HALL: "done", KITCHEN: "done", ATTIC: "offline"}, without.text
    assert "Connection refused" in without.reasons[ATTIC]
    assert caught_up.status == 0
    assert caught_up.words == {HALL: "unchanged", KITCHEN: "unchanged", ATTIC: "done"}, caught_up.text
    assert on_disk(fleet) == reported(fleet) == all_devices("fourth")


def test_the_table_shows_the_fleet(fleet: Fleet):
    table, lines = fleet.play("status"), fleet.play("status", JSON="1")

    rows = {line.split()[0]: line for line in table.text.splitlines() if line.startswith(NAMES)}
    status = [json.loads(line) for line in lines.text.splitlines() if line.startswith("{")]
    assert (table.status, lines.status) == (0, 0)
    assert set(rows) == {row["device"] for row in status} == set(NAMES), table.text
    assert all("fourth" in row for row in rows.values())
    assert {(row["model"], row["online"]) for row in status} == {("fourth", True)}


def test_nothing_is_changed_while_health_cannot_be_checked(fleet: Fleet, bundles: dict[str, Path]):
    fleet.broker.kill()

    done = fleet.play("deploy-model", BUNDLE=str(bundles["fifth"]))

    fleet.broker.start()
    until(lambda: reported(fleet, "online") == all_devices(True), "all are online", 60)
    assert (done.status, done.words) == (2, all_devices("failed"))
    assert "health could not be checked" in done.reasons[HALL]
    assert on_disk(fleet) == all_devices("fourth")


def test_a_shadow_runs_until_it_is_turned_off(fleet: Fleet, bundles: dict[str, Path]):
    started = fleet.play("deploy-model", BUNDLE=str(bundles["fifth"]), SHADOW="1")
    meanwhile = (reported(fleet), reported(fleet, "shadow"))
    again = fleet.play("deploy-model", only=HALL, BUNDLE=str(bundles["fifth"]), SHADOW="1")
    ended = fleet.play("deploy-model", SHADOW="0")

    assert (started.status, started.words) == (0, all_devices("done")), started.text
    assert meanwhile == (all_devices("fourth"), all_devices("fifth"))
    assert again.nothing_changed, again.text
    assert (ended.status, ended.words) == (0, all_devices("done")), ended.text
    assert (reported(fleet), reported(fleet, "shadow")) == (all_devices("fourth"), all_devices(None))


def test_a_rollback_returns_to_the_previous_or_a_named_model(fleet: Fleet):
    before = on_disk(fleet, "previous")

    back = fleet.play("rollback")
    after = (on_disk(fleet), reported(fleet))
    named = fleet.play("rollback", TO="fourth")
    nowhere = fleet.play("rollback", only=HALL, TO="nowhere")

    assert (back.status, back.words) == (0, all_devices("done")), back.text
    assert after == (before, before)
    assert (named.status, named.words) == (0, all_devices("done")), named.text
    assert on_disk(fleet) == reported(fleet) == all_devices("fourth")
    assert (nowhere.status, nowhere.words) == (2, {HALL: "failed"})
    assert "there is no model bundle nowhere" in nowhere.reasons[HALL]


def test_a_failing_release_is_rolled_back_with_its_bundle(fleet: Fleet, bundles: dict[str, Path]):
    before = on_disk(fleet)
    settings, release = (
        fleet.devices[HALL].read(SETTINGS),
        fleet.devices[HALL].run("readlink", "/opt/emotion-edge/current"),
    )
    fleet.variables["emotion_edge_camera_source"] = "v4l2:/dev/video9"

    done = fleet.play("deploy", BUNDLE=str(bundles["fifth"]))

    fleet.variables["emotion_edge_camera_source"] = "picamera2"
    assert done.words == {HALL: "rolled back", KITCHEN: "not tried", ATTIC: "not tried"}, done.text
    assert done.status == 2
    assert "/dev/video9" in done.reasons[HALL]
    assert fleet.devices[HALL].read(SETTINGS) == settings
    assert fleet.devices[HALL].run("readlink", "/opt/emotion-edge/current").stdout == release.stdout
    assert on_disk(fleet) == before
    until(lambda: reported(fleet, "online") == all_devices(True), "all are online", 60)


def test_a_bundle_that_makes_a_device_slow_is_taken_back_from_a_release(fleet: Fleet, bundles: dict[str, Path]):
    before, short = on_disk(fleet), ("--extra-vars", "fleet_trial_s=0 fleet_health_gate_s=15")

    with slow_with(fleet.devices[HALL], "fifth"):
        done = fleet.play("deploy", *short, only=HALL, BUNDLE=str(bundles["fifth"]))

    assert (done.status, done.words) == (2, {HALL: "rolled back"}), done.text
    assert "frames/s" in done.reasons[HALL], done.text
    assert f"{HALL}: model bundle fifth is installed, after {before[HALL]}" in done.text
    assert on_disk(fleet) == before
    until(lambda: reported(fleet)[HALL] == before[HALL], "it runs the one before", 60)


def test_devices_with_trusted_keys_accept_only_signed_bundles(fleet: Fleet, key: Path):
    fleet.variables["fleet_files"] = {"trusted-keys": signing.public_file(key).read_text("utf-8")}

    signed, again = (fleet.play("deploy", only=HALL, KEY=str(key)) for _ in range(2))
    unsigned = fleet.play("deploy", only=HALL)

    assert (signed.status, signed.words) == (0, {HALL: "done"}), signed.text
    assert again.nothing_changed, again.text
    assert (unsigned.status, unsigned.words) == (2, {HALL: "rolled back"}), unsigned.text
    assert "asks for a signature" in unsigned.reasons[HALL]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["deploy"], "no devices given; there are three ways"),
        (["rollback"], "no devices given; pass HOSTS=pi@livingroom.local or INVENTORY=FILE"),
        (["deploy", "HOSTS=pi@"], "HOSTS: 'pi@' is not a device"),
        (["deploy", "INVENTORY=/nowhere.yml"], "INVENTORY=/nowhere.yml: file not found"),
        (["deploy-model", "HOSTS=pi@127.0.0.1:9", "BUNDLE=nowhere"], "nowhere: no such folder"),
        (["rollback", "HOSTS=pi@127.0.0.1:9"], "Connection refused"),
        (["rollback", "HOSTS=pi@device.invalid"], "device.invalid"),
    ],
)
def test_wrong_arguments_are_reported(fleet: Fleet, arguments: list[str], error: str):
    done = fleet.run("make", *arguments)

    assert done.status == 2
    assert error in done.text
    assert "Traceback" not in done.text


def test_a_user_without_sudo_is_reported(fleet: Fleet):
    device = fleet.devices[HALL]
    device.run("mv", "/etc/sudoers.d/010_pi-nopasswd", "/root")

    done = fleet.play("rollback", only=HALL)

    device.run("mv", "/root/010_pi-nopasswd", "/etc/sudoers.d")
    assert (done.status, done.words) == (2, {HALL: "failed"})
    assert "--ask-become-pass" in done.reasons[HALL]


def test_undeploy_removes_everything_but_the_settings(fleet: Fleet):
    check = fleet.play("undeploy", "--check")
    before = listing(fleet)[HALL]
    done = fleet.play("undeploy")

    assert check.words == all_devices("would do"), check.text
    assert "/opt/emotion-edge" in before
    assert (done.status, done.words) == (0, all_devices("done")), done.text
    left = {line.split()[0] for text in listing(fleet).values() for line in text.splitlines()}
    assert {path for path in left if not path.startswith("/etc/emotion-edge")} == set()
    assert SETTINGS in left
    assert reported(fleet) == {}
    assert fleet.play("undeploy").nothing_changed
