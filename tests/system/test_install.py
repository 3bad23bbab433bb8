"""The installer, on a device that has never seen the product, until it is gone again."""

from __future__ import annotations

import os
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
BROKER = f"/etc/systemd/system/{UNIT}.d/broker.conf"

OWN = ("/opt", "/etc", "/usr/local", "/var/lib/emotion-edge")
"""Where the installer works."""
EVERYWHERE = ("/boot", "/etc", "/home", "/mnt", "/opt", "/srv", "/usr", "/var/cache", "/var/lib", "/var/spool")
"""Where something could be left."""
OF_SYSTEM = (
    "/var/lib/apt",
    "/var/lib/dpkg",
    "/var/lib/systemd",
    "/var/cache/apt",
    "/var/cache/ldconfig",
    "/var/cache/debconf",
)
"""Books that Debian and systemd keep."""


@dataclass(frozen=True)
class Fresh:
    """A device after its first installation."""

    device: Device
    before: set[str]
    """Its files before that."""
    packages: tuple[str, ...]
    """Debian packages that it had not."""
    said: str
    """What the installer printed."""

    def install(self, *arguments: str, status: int = 0) -> str:
        """Run the installer; what it printed, and on failure its last word alone."""
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
        """As a `git pull` would bring it."""
        self.device.write(f"{CHECKOUT}/edge/__init__.py", f'"""The daemon."""\n\n__version__ = "{version}"\n')

    def restore(self, name: str) -> None:
        """A file of the checkout, as it was."""
        self.device.container.push(REPOSITORY / name, f"{CHECKOUT}/{name}")


@pytest.fixture(scope="module", params=[rootfs.TRIXIE, rootfs.BOOKWORM], ids=lambda release: release.name)
def fresh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fresh]:
    if os.geteuid() != 0:
        pytest.skip("not root: a container that boots systemd needs root")
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
        said = device.install()
        yield Fresh(device, before, packages, said)
    finally:
        container.close()
        broker.kill()


def purge(device: Device, packages: tuple[str, ...]) -> None:
    device.run("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "purge", "--yes", "--quiet", *packages)


def listing(device: Device, *folders: str, times: bool = True) -> set[str]:
    """A line for each file: path, kind, mode, owner, size, where a link leads to; if asked for, when it was changed."""
    skipped = [word for folder in OF_SYSTEM for word in ("-path", folder, "-o")][:-1]
    when = " %T@" if times else ""
    # The size of a folder is none of its content.
    kinds = ["-type", "d", "-printf", f"%p %y %m %u{when}\n", "-o", "-printf", f"%p %y %m %u %s %l{when}\n"]
    found = device.run("find", *folders, "-xdev", "(", *skipped, ")", "-prune", "-o", *kinds).stdout
    return {line for line in found.splitlines() if "__pycache__" not in line}


def process(fresh: Fresh) -> str:
    """Which daemon runs; a restart makes another of it."""
    return fresh.device.show("MainPID") if fresh.device.is_ready() else "none"


def allowed(fresh: Fresh) -> list[str]:
    """The addresses of the drop-in."""
    lines = fresh.device.container.read(BROKER).splitlines()
    return [line.removeprefix("IPAddressAllow=") for line in lines if line.startswith("IPAddressAllow=")]


def test_a_fresh_installation_ends_with_the_service_running(fresh: Fresh):
    assert fresh.device.is_ready()
    assert fresh.device.show("UnitFileState") == "enabled"
    assert fresh.device.run("emotion-edge", "--version").stdout.startswith("emotion-edge ")
    assert all(package in fresh.said for package in fresh.packages)


def test_where_the_archive_has_no_picamera2_the_installer_says_so(fresh: Fresh):
    assert ("not in this system's archive" in fresh.said) == ("python3-picamera2" not in fresh.packages)


def test_a_user_may_look_but_not_into_the_password(fresh: Fresh):
    as_user = ("setpriv", "--reuid=1000", "--regid=1000", "--clear-groups")
    fresh.device.run(*as_user, "emotion-edge", "model", "verify", f"{MODELS}/current")
    fresh.device.run(*as_user, "cat", SETTINGS)
    assert fresh.device.run(*as_user, "cat", "/etc/emotion-edge/mqtt-password", check=False).returncode


def test_numpy_is_the_distributions(fresh: Fresh):
    with_the_release = fresh.device.python("import numpy; print(numpy.__version__, numpy.__file__)")
    without = fresh.device.run("python3", "-c", "import numpy; print(numpy.__version__, numpy.__file__)").stdout
    assert with_the_release == without
    assert "/usr/lib/python3/dist-packages/numpy/" in without


def test_the_library_of_systemd_is_the_distributions(fresh: Fresh):
    assert "/usr/lib/python3/" in fresh.device.python("import systemd.daemon; print(systemd.daemon.__file__)")


def test_no_compiler_is_there(fresh: Fresh):
    assert fresh.device.run("which", "cc", "gcc", "c++", "g++", "clang", check=False).stdout == ""


def test_running_it_again_changes_nothing_and_says_so(fresh: Fresh):
    before, daemon = listing(fresh.device, *OWN), process(fresh)

    said = fresh.install()

    assert said.splitlines()[-1].endswith("nothing to do")
    assert listing(fresh.device, *OWN) == before
    assert process(fresh) == daemon != "none"


def test_check_says_what_an_update_would_do_and_does_nothing(fresh: Fresh):
    before, daemon = listing(fresh.device, *OWN), process(fresh)
    fresh.new_version("0.9.0")

    said = fresh.install("--check")

    assert "would do: release 0.9.0-" in said
    assert listing(fresh.device, *OWN) == before
    assert process(fresh) == daemon != "none"


@pytest.mark.parametrize("signal", ["INT", "KILL"])
def test_an_update_that_is_cut_off_leaves_the_old_release_running(fresh: Fresh, signal: str):
    release, daemon = fresh.release(), process(fresh)
    fresh.new_version("0.9.1")

    fresh.device.run("timeout", f"--signal={signal}", "3", INSTALLER, check=False)

    assert fresh.release() == release
    assert process(fresh) == daemon != "none"
    assert signal == "KILL" or fresh.releases() == {release.rpartition("/")[2]}


def test_an_update_keeps_the_settings_and_the_release_before(fresh: Fresh):
    fresh.device.run("sh", "-c", f"echo '# mine' >> {SETTINGS}; echo secret > /etc/emotion-edge/mqtt-password")
    settings, old = listing(fresh.device, "/etc/emotion-edge"), fresh.release()
    fresh.new_version("0.9.2")

    said = fresh.install()

    assert "0.9.2-" in fresh.release()
    assert said.splitlines()[-1].startswith("emotion-edge 0.9.2-")
    assert "0.9.2" in fresh.device.run("emotion-edge", "--version").stdout
    assert listing(fresh.device, "/etc/emotion-edge") == settings
    assert fresh.releases() == {each.rpartition("/")[2] for each in (fresh.release(), old)}


def test_going_back_takes_the_release_that_was_kept(fresh: Fresh):
    newer = fresh.release()
    fresh.restore("edge/__init__.py")

    said = fresh.install()

    assert "building" not in said
    assert fresh.release() != newer
    assert newer.rpartition("/")[2] in fresh.releases()
    assert fresh.device.is_ready()


def test_a_third_release_takes_the_place_of_the_oldest(fresh: Fresh):
    release = fresh.release()
    fresh.new_version("0.9.3")

    fresh.install()

    assert fresh.releases() == {each.rpartition("/")[2] for each in (fresh.release(), release)}


def test_bundles_that_a_link_leads_to_stay_when_the_release_goes_that_they_came_with(fresh: Fresh):
    release = fresh.release().rpartition("/")[2]
    (before,) = fresh.releases() - {release}
    for name in ("before", "tried", "forgotten"):
        fresh.device.run("mkdir", f"{MODELS}/{name}")
        fresh.device.run("sh", "-c", f"echo current {name} >> /opt/emotion-edge/releases/{before}/bundles")
    fresh.device.run("ln", "-s", "before", f"{MODELS}/previous")
    fresh.device.run("ln", "-s", "tried", f"{MODELS}/shadow")
    fresh.new_version("0.9.5")

    fresh.install()

    assert before not in fresh.releases()
    left = set(fresh.device.run("ls", MODELS).stdout.split())
    fresh.device.run("rm", "-r", *(f"{MODELS}/{name}" for name in ("previous", "shadow", "before", "tried")))
    assert {"before", "tried", "forgotten"} & left == {"before", "tried"}


def test_while_somebody_installs_a_bundle_nothing_is_changed(fresh: Fresh):
    before, daemon = listing(fresh.device, *OWN), process(fresh)
    fresh.device.run("truncate", "--size=0", f"{MODELS}/current/features.npz")

    done = fresh.device.run("flock", f"{MODELS}/.lock", INSTALLER, check=False)

    assert done.returncode == os.EX_TEMPFAIL
    assert done.stderr == "install.sh: a model bundle is being installed: wait for its end\n"
    assert {line.split()[0] for line in listing(fresh.device, *OWN) ^ before} == {f"{fresh.bundle()}/features.npz"}
    assert process(fresh) == daemon != "none"
    fresh.install()


def test_a_broken_bundle_leaves_the_old_release_running(fresh: Fresh):
    release, daemon, models = fresh.release(), process(fresh), listing(fresh.device, MODELS, times=False)
    fresh.new_version("0.9.4")
    fresh.device.run("truncate", "--size=-1", f"{CHECKOUT}/model/fused/classifier.tflite")

    complaint = fresh.install(status=78)

    fresh.restore("model/fused/classifier.tflite")
    assert "classifier.tflite is not the file that the manifest describes" in complaint
    assert complaint.count("\n") == 1
    assert fresh.release() == release
    assert process(fresh) == daemon != "none"
    assert listing(fresh.device, MODELS, times=False) == models


def test_settings_that_are_wrong_are_told_before_anything_is_changed(fresh: Fresh):
    release, daemon = fresh.release(), process(fresh)
    settings = fresh.device.container.read(SETTINGS)
    fresh.device.write(SETTINGS, "[camera]\nzoom = 2\n")

    complaint = fresh.install(status=78)

    fresh.device.write(SETTINGS, settings)
    assert "unknown key 'zoom'" in complaint
    assert complaint.count("\n") == 1
    assert fresh.release() == release
    assert process(fresh) == daemon != "none"


def test_a_password_without_a_user_is_told_before_anything_is_changed(fresh: Fresh):
    daemon, settings = process(fresh), fresh.device.container.read(SETTINGS)
    fresh.device.write(SETTINGS, settings.replace("username", "# username"))

    complaint = fresh.install(status=78)

    fresh.device.write(SETTINGS, settings)
    assert "no mqtt.username to go with it" in complaint
    assert process(fresh) == daemon != "none"


def test_a_bundle_that_somebody_has_chosen_is_kept(fresh: Fresh):
    chosen = fresh.device.run("readlink", f"{MODELS}/landmarks").stdout.strip()
    fresh.device.run("ln", "-sfn", chosen, f"{MODELS}/current")
    fresh.new_version("0.9.6")

    said = fresh.install()

    assert f"{MODELS}/{chosen}: testing" in said
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


def test_a_service_that_does_not_start_is_told_with_its_reason(fresh: Fresh):
    fresh.device.set('username = "pi"\n', source="v4l2:/dev/video9")
    fresh.device.run("systemctl", "stop", UNIT)

    complaint = fresh.install(status=os.EX_NOINPUT)

    fresh.device.set('username = "pi"\n', source="demo")
    assert "is installed, but does not run: camera v4l2:/dev/video9" in complaint
    assert complaint.count("\n") == 1
    assert fresh.install().splitlines()[-1].startswith("emotion-edge ")


def test_a_32_bit_system_is_refused(fresh: Fresh):
    fresh.device.write("/usr/local/sbin/dpkg", "#!/bin/sh\necho armhf\n")
    fresh.device.run("chmod", "+x", "/usr/local/sbin/dpkg")

    complaint = fresh.install(status=69)

    fresh.device.run("rm", "/usr/local/sbin/dpkg")
    assert "32-bit system (armhf): install the 64-bit Raspberry Pi OS" in complaint


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
    ("arguments", "status", "complaint"),
    [
        (["--upgrade"], os.EX_USAGE, "unknown argument --upgrade"),
        (["--wheels", "/nowhere"], os.EX_NOINPUT, "--wheels /nowhere: there is no such folder"),
        (["--wheels"], os.EX_NOINPUT, "there is no such folder"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(fresh: Fresh, arguments: list[str], status: int, complaint: str):
    assert complaint in fresh.install(*arguments, status=status)


def test_only_root_may_install(fresh: Fresh):
    fresh.device.run("cp", "--recursive", f"{CHECKOUT}/deploy", "/home/deploy")
    done = fresh.device.run("setpriv", "--reuid=1000", "--clear-groups", "/home/deploy/install.sh", check=False)
    fresh.device.run("rm", "--recursive", "/home/deploy")
    assert done.returncode == os.EX_NOPERM, done.stderr


def test_uninstalling_leaves_the_settings_and_nothing_else(fresh: Fresh):
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
    }
    assert fresh.install("--uninstall").endswith("nothing to do\n")


def test_without_a_network_it_installs_from_a_folder(fresh: Fresh):
    wheels = "/root/my wheels"
    fresh.device.run("python3", "-m", "venv", "/root/venv")
    pip = ("/root/venv/bin/pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", wheels)
    fresh.device.run(*pip, "--requirement", f"{CHECKOUT}/deploy/constraints/device.txt", "setuptools", timeout_s=300)
    fresh.device.run("apt-get", "install", "--yes", "--quiet", *fresh.packages)
    fresh.device.container.push(cache_folder() / TASK_NAME, f"{wheels}/{TASK_NAME}")

    done = fresh.device.run("unshare", "--net", INSTALLER, "--wheels", wheels, timeout_s=300)

    assert done.stdout.splitlines()[-1].startswith("emotion-edge ")
    assert fresh.device.is_ready()
