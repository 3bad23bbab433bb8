"""Builds the Debian images for arm64 that `make test-pi` uses, once each, into the cache.

Trixie is a bootable disk, with a snapshot of the virtual Pi's memory after booting. Bookworm is a root file system in
which single programs run. qemu emulates the processor for both.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import EdgeError, UnavailableError
from tests.system import rootfs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CACHE = rootfs.CACHE / "pi"

PROGRAMS = {
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-img": "qemu-utils",
    "qemu-aarch64-static": "qemu-user-static",
    "mmdebstrap": "mmdebstrap",
    "arch-test": "arch-test",
    "mke2fs": "e2fsprogs",
    "ssh": "openssh-client",
    "socat": "socat",
    "mosquitto": "mosquitto",
}
"""Programs that the host needs -> their Debian packages."""

BINFMT = Path("/proc/sys/fs/binfmt_misc")
BINFMT_AARCH64 = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
"""Registration from the package qemu-user-static. systemd applies it when the package is installed."""

DISK_BYTES = 4 << 30
MIRROR = "http://deb.debian.org/debian"
SECURITY = "http://deb.debian.org/debian-security"

_LIKE_A_PI = """
set -e
echo raspberrypi > "$1/etc/hostname"
printf '127.0.0.1 localhost\\n::1 localhost\\n127.0.1.1 raspberrypi\\n' > "$1/etc/hosts"
echo '/dev/vda / ext4 defaults,noatime 0 1' > "$1/etc/fstab"
printf '[Match]\\nName=eth0\\n[Network]\\nDHCP=ipv4\\n' > "$1/etc/systemd/network/wired.network"
chroot "$1" systemctl --quiet enable systemd-networkd ssh
chroot "$1" systemctl --quiet mask systemd-networkd-wait-online apt-daily.timer apt-daily-upgrade.timer
echo 'PasswordAuthentication no' > "$1/etc/ssh/sshd_config.d/keys.conf"
chroot "$1" useradd --create-home --shell /bin/bash --groups video,sudo pi
echo 'pi ALL=(ALL) NOPASSWD: ALL' > "$1/etc/sudoers.d/pi"
mkdir "$1/home/pi/.ssh"
ssh-keygen -q -t ed25519 -N '' -C '' -f "$1/home/pi/.ssh/login"
cp "$1/home/pi/.ssh/login.pub" "$1/home/pi/.ssh/authorized_keys"
chmod 700 "$1/home/pi/.ssh"
chroot "$1" chown -R pi:pi /home/pi/.ssh
# The kernel's test pattern, as from a USB camera.
echo vivid > "$1/etc/modules-load.d/vivid.conf"
echo 'options vivid n_devs=1 node_types=0x1' > "$1/etc/modprobe.d/vivid.conf"
: > "$1/etc/machine-id"
"""
"""Makes a root resemble Raspberry Pi OS: its first user may use sudo without a password."""

_MOUNT_POINTS = 'mkdir "$1/mnt/site" "$1/mnt/checkout" "$1/mnt/cache"'


@dataclass(frozen=True)
class Debian:
    """A Debian for arm64: everything that determines its root file system."""

    name: str
    packages: tuple[str, ...]
    hook: str
    """Shell script that runs at the end, with the root as $1."""

    @property
    def root(self) -> Path:
        """Path of the finished root."""
        return CACHE / f"{self.name}-{digest(repr(self))}"


TRIXIE = Debian(
    "trixie",
    (
        *("systemd", "systemd-sysv", "udev", "dbus", "libpam-systemd", "procps", "kmod", "iproute2"),
        *("linux-image-arm64", "openssh-server", "sudo"),
        # The packages that a Pi without a network must already have; the workstation brings the rest.
        *("python3", "python3-venv", "python3-numpy", "python3-systemd"),
    ),
    _LIKE_A_PI,
)
BOOKWORM = Debian("bookworm", ("python3", "python3-numpy"), _MOUNT_POINTS)


def missing_programs() -> list[str]:
    """The Debian packages that the host lacks."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    return [package for program, package in PROGRAMS.items() if shutil.which(program, path=path) is None]


def register_qemu() -> None:
    """Make the kernel run programs for arm64 with qemu.

    Raises:
        UnavailableError: this kernel can't.
    """
    if (BINFMT / "qemu-aarch64").exists():
        return
    try:
        if not (BINFMT / "register").exists():
            run("mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT)
        (BINFMT / "register").write_text(BINFMT_AARCH64.read_text())
    except (OSError, EdgeError) as error:
        raise UnavailableError(f"this machine cannot run programs for arm64: {error}") from None


@contextmanager
def locked() -> Iterator[None]:
    """Lock the cache, and remove what a killed run has left in it.

    Raises:
        UnavailableError: another run holds the lock.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UnavailableError("another run of test-pi is in progress; wait for its end") from None
        for left in CACHE.glob("tmp-*"):
            shutil.rmtree(left)
        yield


@contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder on the disk of the cache."""
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="tmp-") as folder:
        yield Path(folder)


def built(target: Path, build: Callable[[Path], None], what: str) -> Path:
    """A folder of the cache. Builds it if it doesn't exist, and then deletes its predecessors.

    Args:
        target: the folder; its name ends in a dash and a digest of its recipe.
        build: builds it at a path that doesn't exist yet.
        what: description of the folder, for progress messages.
    """
    if not target.exists():
        started = time.monotonic()
        print(f"building {what} ...", flush=True)
        with scratch() as folder:
            build(folder / "new")
            # Renaming is the last step, so that an existing folder is complete.
            (folder / "new").rename(target)
        for old in set(CACHE.glob(f"{target.name.rpartition('-')[0]}-*")) - {target}:
            shutil.rmtree(old)
        print(f"building {what}: done in {time.monotonic() - started:.0f} s", flush=True)
    return target


def debian(release: Debian) -> Path:
    """The root file system of a release."""

    def build(root: Path) -> None:
        suites = [f"deb {MIRROR} {suite} main" for suite in (release.name, f"{release.name}-updates")]
        run(
            # Its mounts disappear with it, however it ends.
            *(
                "unshare",
                "--mount",
                "mmdebstrap",
                "--quiet",
                "--mode=root",
                "--variant=minbase",
                "--architectures=arm64",
            ),
            # Keeps the package lists, so that the installer sees what the archive has.
            *("--skip=cleanup/apt/lists", f"--include={','.join(release.packages)}"),
            *(f"--customize-hook={release.hook}", release.name, str(root), *suites),
            f"deb {SECURITY} {release.name}-security main",
        )

    return built(release.root, build, f"the root of {release.name} for arm64, which takes up to an hour")


def disk(root: Path, target: Path) -> None:
    """Make a qcow2 image with a root as its only file system, without mounting anything."""
    raw = target.with_suffix(".raw")
    with raw.open("wb") as file:
        file.truncate(DISK_BYTES)
    run("mke2fs", "-q", "-t", "ext4", "-m", "0", "-d", root, raw)
    run("qemu-img", "convert", "-O", "qcow2", raw, target)
    raw.unlink()


def digest(*recipe: str | bytes) -> str:
    """A short digest of a recipe."""
    parts = [part.encode() if isinstance(part, str) else part for part in recipe]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


def run(*command: str | Path) -> str:
    """Run a command on the host and return its output.

    Raises:
        EdgeError: it failed; the message contains its output.
    """
    done = subprocess.run(command, check=False, text=True, capture_output=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        words = " ".join(map(str, command[:3]))
        output = f"{done.stdout[-1000:]}{done.stderr[-2000:]}".strip()
        raise EdgeError(f"{words} ...: exit status {done.returncode}\n{output}")
    return done.stdout
