"""The installer on a fresh device, from the first installation to the removal."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from edge.face_mesh.models import TASK_NAME, cache_folder
from tests.support.broker import Mosquitto, retained
from tests.system import rootfs
from tests.system.container import Container
from tests.system.device import CHECKOUT, REPOSITORY, SETTINGS, UNIT, Device

if TYPE_CHECKING:
    from collections.abc import Iterator

INSTALLER = f"{CHECKOUT}/deploy/install.sh"
CURRENT, MODELS = "/opt/emotion-edge/current", "/var/lib/emotion-edge/models"
BROKER = f"/etc/systemd/system/{UNIT}.d/network.conf"

OWN = ("/opt", "/etc", "/usr/local", "/var/lib/emotion-edge")
"""Folders in which the installer writes."""
EVERYWHERE = ("/boot", "/etc", "/home", "/mnt", "/opt", "/srv", "/usr", "/var/cache", "/var/lib", "/var/spool")
"""Folders in which something could be left behind."""
OF_SYSTEM = (
    "/var/lib/apt",
    "/var/lib/dpkg",
    "/var/lib/systemd",
    "/var/cache/apt",
    "/var/cache/ldconfig",
    "/var/cache/debconf",
)
"""State of Debian and systemd."""


@dataclass(frozen=True)
class Fresh:
    """A device after its first installation."""

    device: Device
    before: set[str]
    """Files before the installation."""
    packages: tuple[str, ...]
    """Debian packages that were missing."""
    output: str
    """Output of the installer."""

    def install(self, *arguments: str, status: int = 0) -> str:
        """Run the installer and return its output, or its error message."""
        done = self.device.run(INSTALLER, *arguments, check=False, timeout_s=300)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout if status == 0 else done.stderr

    def release(self) -> str:
        return self.device.run("readlink", CURRENT).stdout.strip()

    def bundle(self) -> str:
        return self.device.run("readlink", "--canonicalize", f"{MODELS}/current").stdout.strip()

    def releases(self) -> set[str]:
        return set(self.device.run("ls", "--almost-all", "/opt/emotion-edge/releases").stdout.split())

    def new_version(self, version: str) -> None:
        """Change the version in the checkout, as `git pull` would."""
        self.device.write(f"{CHECKOUT}/edge/__init__.py", f'"""The daemon."""\n\n__version__ = "{version}"\n')

    def restore(self, name: str) -> None:
        """Restore a file of the checkout."""
        self.device.container.push(REPOSITORY / name, f"{CHECKOUT}/{name}")


@pytest.fixture(scope="module", params=[rootfs.TRIXIE, rootfs.BOOKWORM], ids=lambda release: release.name)
def fresh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fresh]:
    if os.geteuid() != 0:
        pytest.skip("not root: containers that boot systemd need root")
    if missing := rootfs.missing_programs():
        pytest.skip(f"missing: apt install {' '.join(missing)}")
    camera = request.param.camera
    container = Container(request.param)
    broker = Mosquitto(tmp_path_factory.mktemp("broker"))
    broker.start()
    try:
        device = Device(container.boot(), broker)
        packages = ("python3-systemd", "python3-picamera2") if camera else ("python3-systemd",)
        purge(device, packages)
        device.push_checkout()
        before = listing(device, *EVERYWHERE, times=False)
        device.set('username = "pi"\n', source="picamera2" if camera else "demo")
        output = device.install()
        yield Fresh(device, before, packages, output)
    finally:
        container.close()
        broker.kill()


def purge(device: Device, packages: tuple[str, ...]) -> None:
    device.run("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "purge", "--yes", "--quiet", *packages)


def listing(device: Device, *folders: str, times: bool = True) -> set[str]:
    """A line for each file: path, kind, mode, owner, size, target of a link and, with `times`, last change."""
    skipped = [word for folder in OF_SYSTEM for word in ("-path", folder, "-o")][:-1]
    when = " %T@" if times else ""
    # The size of a folder says nothing about its content.
    kinds = ["-type", "d", "-printf", f"%p %y %m %u{when}\n", "-o", "-printf", f"%p %y %m %u %s %l{when}\n"]
    found = device.run("find", *folders, "-xdev", "(", *skipped, ")", "-prune", "-o", *kinds).stdout
    return {line for line in found.splitlines() if "__pycache__" not in line}


def process(fresh: Fresh) -> str:
    """Process id of the daemon, which a restart changes."""
    return fresh.device.show("MainPID") if fresh.device.is_ready() else "none"


def allowed(fresh: Fresh) -> list[str]:
    """The addresses that the drop-in allows."""
    lines = fresh.device.container.read(BROKER).splitlines()
    return [line.removeprefix("IPAddressAllow=") for line in lines if line.startswith("IPAddressAllow=")]


def test_a_fresh_installation_ends_with_the_service_running(fresh: Fresh):
    assert fresh.device.is_ready()
    assert fresh.device.show("UnitFileState") == "enabled"
    assert fresh.device.run("emotion-edge", "--version").stdout.startswith("emotion-edge ")
    assert all(package in fresh.output for package in fresh.packages)


def test_the_installer_reports_an_archive_without_picamera2(fresh: Fresh):
    assert ("not in this system's archive" in fresh.output) == ("python3-picamera2" not in fresh.packages)


def test_other_users_may_read_everything_but_the_password(fresh: Fresh):
    as_user = ("setpriv", "--reuid=1000", "--regid=1000", "--clear-groups")
    fresh.device.run(*as_user, "emotion-edge", "model", "verify", f"{MODELS}/current")
    fresh.device.run(*as_user, "cat", SETTINGS)
    assert fresh.device.run(*as_user, "cat", "/etc/emotion-edge/mqtt-password", check=False).returncode


def test_numpy_is_the_distributions(fresh: Fresh):
    with_the_release = fresh.device.python("import numpy; print(numpy.__version__, numpy.__file__)")
    without = fresh.device.run("python3", "-c", "import numpy; print(numpy.__version__, numpy.__file__)").stdout
    assert with_the_release == without
    assert "/usr/lib/python3/dist-packages/numpy/" in without


def test_python3_systemd_is_the_distributions(fresh: Fresh):
    assert "/usr/lib/python3/" in fresh.device.python("import systemd.daemon; print(systemd.daemon.__file__)")


def test_no_compiler_is_installed(fresh: Fresh):
    assert fresh.device.run("which", "cc", "gcc", "c++", "g++", "clang", check=False).stdout == ""


def test_installing_again_changes_nothing(fresh: Fresh):
    before, daemon = listing(fresh.device, *OWN), process(fresh)

    output = fresh.install()

    assert output.splitlines()[-1].endswith("nothing to do")
    assert listing(fresh.device, *OWN) == before
    assert process(fresh) == daemon != "none"


def test_check_reports_what_an_update_would_do_and_changes_nothing(fresh: Fresh):
    before, daemon = listing(fresh.device, *OWN), process(fresh)
    fresh.new_version("0.9.0")

    output = fresh.install("--check")

    assert "would do: release 0.9.0-" in output
    assert listing(fresh.device, *OWN) == before
    assert process(fresh) == daemon != "none"


INTERRUPTED = """
set -m
env --default-signal=INT "$1" &
until [ -d /opt/emotion-edge/releases/.new/source ]; do kill -0 $! && sleep 0.05 || exit; done
kill -s "$2" -- -$!
wait $!
"""
"""INSTALLER SIGNAL: sends the signal to the installer and its children as soon as it builds a release."""


@pytest.mark.parametrize("name", ["INT", "KILL"])
def test_an_interrupted_update_leaves_the_old_release_running(fresh: Fresh, name: str):
    release, daemon = fresh.release(), process(fresh)
    fresh.new_version("0.9.1")

    done = fresh.device.run("bash", "-c", INTERRUPTED, "interrupted", INSTALLER, name, check=False, timeout_s=300)

    assert done.returncode == 128 + signal.Signals[f"SIG{name}"], done.stderr
    assert fresh.release() == release
    assert process(fresh) == daemon != "none"
    assert name == "KILL" or fresh.releases() == {release.rpartition("/")[2]}


def test_an_update_keeps_the_settings_and_the_previous_release(fresh: Fresh):
    fresh.device.run("sh", "-c", f"echo '# mine' >> {SETTINGS}; echo secret > /etc/emotion-edge/mqtt-password")
    settings, old = listing(fresh.device, "/etc/emotion-edge"), fresh.release()
    fresh.new_version("0.9.2")

    output = fresh.install()

    assert "0.9.2-" in fresh.release()
    assert output.splitlines()[-1].startswith("emotion-edge 0.9.2-")
    assert "0.9.2" in fresh.device.run("emotion-edge", "--version").stdout
    assert listing(fresh.device, "/etc/emotion-edge") == settings
    assert fresh.releases() == {each.rpartition("/")[2] for each in (fresh.release(), old)}


def test_a_downgrade_uses_the_stored_release(fresh: Fresh):
    newer = fresh.release()
    fresh.restore("edge/__init__.py")

    output = fresh.install()

    assert "building" not in output
    assert fresh.release() != newer
    assert newer.rpartition("/")[2] in fresh.releases()
    assert fresh.device.is_ready()


def test_a_third_release_replaces_the_oldest(fresh: Fresh):
    release = fresh.release()
    fresh.new_version("0.9.3")

    fresh.install()

    assert fresh.releases() == {each.rpartition("/")[2] for each in (fresh.release(), release)}


def test_linked_bundles_stay_when_the_oldest_are_removed(fresh: Fresh):
    for counter, name in enumerate(("forgotten", "before", "tried", "newer", "newest"), 1):
        change = f's/"id": ".*"/"id": "{name}"/; s/"counter": .*,/"counter": {counter},/'
        fresh.device.run("cp", "--recursive", f"{CHECKOUT}/model/landmarks", f"{MODELS}/{name}")
        fresh.device.run("sed", "--in-place", change, f"{MODELS}/{name}/manifest.json")
    fresh.device.run("ln", "-s", "before", f"{MODELS}/previous")
    fresh.device.run("ln", "-s", "tried", f"{MODELS}/shadow")
    fresh.device.run("truncate", "--size=0", f"{MODELS}/current/features.npz")

    fresh.install()

    left = set(fresh.device.run("ls", MODELS).stdout.split())
    added = {"previous", "shadow", "before", "tried", "newer", "newest"}
    fresh.device.run("rm", "-r", *(f"{MODELS}/{name}" for name in added))
    assert left & (added | {"forgotten"}) == added


def test_nothing_is_changed_while_a_bundle_is_being_installed(fresh: Fresh):
    before, daemon = listing(fresh.device, *OWN), process(fresh)
    fresh.device.run("truncate", "--size=0", f"{MODELS}/current/features.npz")

    done = fresh.device.run("flock", f"{MODELS}/.lock", INSTALLER, check=False)

    assert done.returncode == os.EX_UNAVAILABLE
    expected = f"install.sh: {MODELS}: another process is installing a model bundle; wait until it has finished\n"
    assert done.stderr == expected
    assert {line.split()[0] for line in listing(fresh.device, *OWN) ^ before} == {f"{fresh.bundle()}/features.npz"}
    assert process(fresh) == daemon != "none"
    fresh.install()


def test_a_broken_bundle_leaves_the_old_release_running(fresh: Fresh):
    release, daemon, models = fresh.release(), process(fresh), listing(fresh.device, MODELS, times=False)
    fresh.new_version("0.9.4")
    fresh.device.run("truncate", "--size=-1", f"{CHECKOUT}/model/fused/classifier.tflite")

    error = fresh.install(status=78)

    fresh.restore("model/fused/classifier.tflite")
    # Now the checkout is that of the stored release, which later tests update to without building it.
    fresh.restore("edge/__init__.py")
    assert "classifier.tflite is not the file that the manifest describes" in error
    assert error.count("\n") == 1
    assert fresh.release() == release
    assert process(fresh) == daemon != "none"
    assert listing(fresh.device, MODELS, times=False) == models


def test_wrong_settings_are_reported_before_anything_is_changed(fresh: Fresh):
    release, daemon = fresh.release(), process(fresh)
    settings = fresh.device.container.read(SETTINGS)
    fresh.device.write(SETTINGS, "[camera]\nzoom = 2\n")

    error = fresh.install(status=78)

    fresh.device.write(SETTINGS, settings)
    assert "unknown key 'zoom'" in error
    assert error.count("\n") == 1
    assert fresh.release() == release
    assert process(fresh) == daemon != "none"


def test_a_password_without_a_user_is_reported_before_anything_is_changed(fresh: Fresh):
    daemon, settings = process(fresh), fresh.device.container.read(SETTINGS)
    fresh.device.write(SETTINGS, settings.replace("username", "# username"))

    error = fresh.install(status=78)

    fresh.device.write(SETTINGS, settings)
    assert "but no mqtt.username" in error
    assert process(fresh) == daemon != "none"


def test_a_bundle_that_the_user_has_chosen_stays(fresh: Fresh):
    chosen = fresh.device.run("readlink", f"{MODELS}/landmarks").stdout.strip()
    fresh.device.run("ln", "-sfn", chosen, f"{MODELS}/current")
    release = fresh.release()

    output = fresh.install()

    assert fresh.release() != release
    assert f"model bundle {chosen} stays in use, because it was chosen on this device" in output
    assert fresh.device.run("readlink", f"{MODELS}/current").stdout.strip() == chosen
    assert fresh.install().endswith("nothing to do\n")


def test_a_damaged_bundle_is_repaired(fresh: Fresh):
    fresh.device.run("truncate", "--size=0", f"{MODELS}/current/features.npz")

    assert "model bundle" in fresh.install()

    fresh.device.run("emotion-edge", "model", "verify", f"{MODELS}/current")


def test_the_broker_of_the_settings_is_allowed(fresh: Fresh):
    files = {path: fresh.device.container.read(path) for path in (SETTINGS, "/etc/hosts", "/etc/resolv.conf")}
    fresh.device.write("/etc/hosts", "192.0.2.7 broker.example\n2001:db8::7 broker.example\n")
    fresh.device.write("/etc/resolv.conf", "nameserver 192.0.2.53\n")
    fresh.device.write(SETTINGS, files[SETTINGS].replace(fresh.device.broker.url, "mqtt://broker.example"))

    fresh.install()

    assert allowed(fresh) == ["192.0.2.53", "192.0.2.7", "2001:db8::7"]
    for path, text in files.items():
        fresh.device.write(path, text)
    fresh.install()
    assert allowed(fresh) == ["127.0.0.1"]


def test_a_service_that_does_not_start_is_reported_with_the_reason(fresh: Fresh):
    fresh.device.set('username = "pi"\n', source="v4l2:/dev/video9")
    fresh.device.run("systemctl", "stop", UNIT)

    error = fresh.install(status=os.EX_NOINPUT)

    fresh.device.set('username = "pi"\n', source="demo")
    assert "is installed, but does not run: camera v4l2:/dev/video9" in error
    assert error.count("\n") == 1
    assert fresh.install().splitlines()[-1].startswith("emotion-edge ")


def test_a_32_bit_system_is_refused(fresh: Fresh):
    fresh.device.write("/usr/local/sbin/dpkg", "#!/bin/sh\necho armhf\n")
    fresh.device.run("chmod", "+x", "/usr/local/sbin/dpkg")

    error = fresh.install(status=69)

    fresh.device.run("rm", "/usr/local/sbin/dpkg")
    assert "32-bit system (armhf): install the 64-bit Raspberry Pi OS" in error


def test_an_old_python_is_refused(fresh: Fresh):
    old = 'case "$1" in --version) echo Python 3.9.2 ;; *) exit 1 ;; esac'
    fresh.device.write("/root/python3", f"#!/bin/sh\n{old}\n")
    fresh.device.run("chmod", "+x", "/root/python3")

    done = fresh.device.run(
        *("unshare", "--mount", "sh", "-c", f"mount --bind /root/python3 /usr/bin/python3 && exec {INSTALLER}"),
        check=False,
    )

    assert done.returncode == os.EX_UNAVAILABLE
    assert "Python 3.9.2 is too old: 3.11 is needed" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "error"),
    [
        (["--upgrade"], os.EX_USAGE, "unknown argument --upgrade"),
        (["--wheels", "/nowhere"], os.EX_NOINPUT, "--wheels /nowhere: no such folder"),
        (["--wheels"], os.EX_NOINPUT, "no such folder"),
    ],
)
def test_invalid_arguments_are_rejected(fresh: Fresh, arguments: list[str], status: int, error: str):
    assert error in fresh.install(*arguments, status=status)


def test_only_root_may_install(fresh: Fresh):
    fresh.device.run("cp", "--recursive", f"{CHECKOUT}/deploy", "/home/deploy")
    done = fresh.device.run("setpriv", "--reuid=1000", "--clear-groups", "/home/deploy/install.sh", check=False)
    fresh.device.run("rm", "--recursive", "/home/deploy")
    assert done.returncode == os.EX_NOPERM, done.stderr


def test_uninstalling_leaves_only_the_settings(fresh: Fresh):
    assert {"state", "info", "availability"} <= set(retained(fresh.device.broker.port))

    fresh.install("--uninstall")

    assert not retained(fresh.device.broker.port)
    purge(fresh.device, fresh.packages)
    changed = listing(fresh.device, *EVERYWHERE, times=False) ^ fresh.before
    assert {line.split()[0] for line in changed} == {
        "/etc/emotion-edge",
        SETTINGS,
        "/etc/emotion-edge/mqtt-password",
        "/etc/emotion-edge/mqtt-client-key",
        "/etc/emotion-edge/camera-password",
        "/etc/emotion-edge/preview-token",
    }
    assert fresh.install("--uninstall").endswith("nothing to do\n")


def test_it_installs_from_a_folder_without_a_network(fresh: Fresh):
    wheels = "/root/my wheels"
    fresh.device.run("python3", "-m", "venv", "/root/venv")
    pip = ("/root/venv/bin/pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", wheels)
    fresh.device.run(*pip, "--requirement", f"{CHECKOUT}/deploy/constraints/device.txt", "setuptools", timeout_s=300)
    fresh.device.run("apt-get", "install", "--yes", "--quiet", *fresh.packages)
    fresh.device.container.push(cache_folder() / TASK_NAME, f"{wheels}/{TASK_NAME}")

    done = fresh.device.run("unshare", "--net", INSTALLER, "--wheels", wheels, timeout_s=300)

    assert done.stdout.splitlines()[-1].startswith("emotion-edge ")
    assert fresh.device.is_ready()
