"""A Raspberry Pi as far as an emulator goes: Debian for arm64 under qemu-system, reached by ssh.

It has the Pi 4's processor, no network but its ssh server and one broker, and the kernel's test picture for a camera.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import EdgeError
from tests.support.broker import free_port
from tests.system.pi import images

if TYPE_CHECKING:
    from typing import Self

NAME = "raspberrypi"
"""Of the device, for ssh and in the topics."""
BROKER_URL = "mqtt://10.0.2.100:1883"
"""Where the virtual Pi finds the broker of the host."""

BOOT_S = 1200.0
"""For booting; it takes two to three minutes on an idle machine, and ten seconds from memory."""

_DISK, _KERNEL, _INITRD, _KEY, _HOST_KEY = "disk.qcow2", "vmlinuz", "initrd.img", "key", "host-key.pub"
_WARM = "booted"
"""The snapshot in the disk: memory and all, after booting."""

_HARDWARE = (
    *("-machine", "virt,gic-version=3", "-cpu", "cortex-a72", "-smp", "2", "-m", "2048", "-accel", "tcg,thread=multi"),
    *(
        "-device",
        "virtio-blk-pci,drive=disk",
        "-device",
        "virtio-net-pci,netdev=net,romfile=",
        "-device",
        "virtio-rng-pci",
    ),
    *("-append", "console=ttyAMA0 root=/dev/vda net.ifnames=0 systemd.firstboot=off mitigations=off quiet"),
    *("-display", "none", "-no-reboot"),
)

_SSH = """\
Host {name}
  HostName 127.0.0.1
  Port {port}
  User pi
  IdentityFile {key}
  IdentitiesOnly yes
  UserKnownHostsFile {known_hosts}
  GlobalKnownHostsFile /dev/null
  HostKeyAlias {name}
  BatchMode yes
  ConnectTimeout 20
  ServerAliveInterval 15
  ServerAliveCountMax 8
  LogLevel ERROR
"""


def built() -> Path:
    """The folder with disk, kernel and keys of a virtual Pi that has booted, built if it is not there yet."""
    root = images.debian(images.TRIXIE)
    qemu = images.run("qemu-system-aarch64", "--version")
    recipe = images.digest(root.name, qemu, Path(__file__).read_bytes(), str(images.DISK_BYTES))

    def build(folder: Path) -> None:
        folder.mkdir()
        images.disk(root, folder / _DISK)
        for name, source in ((_KERNEL, "vmlinuz"), (_INITRD, "initrd.img")):
            shutil.copyfile(next((root / "boot").glob(f"{source}-*")), folder / name)
        shutil.copyfile(root / "home/pi/.ssh/login", folder / _KEY)
        (folder / _KEY).chmod(0o600)
        shutil.copyfile(root / "etc/ssh/ssh_host_ed25519_key.pub", folder / _HOST_KEY)
        with images.scratch() as run:
            Machine(folder, run, broker_port=0).boot().remember()

    return images.built(images.CACHE / f"pi-{recipe}", build, "a virtual Pi that has booted (5 to 10 minutes)")


class Machine:
    """One virtual Pi, which runs from `boot` or `wake` to `close`."""

    def __init__(self, template: Path, folder: Path, *, broker_port: int) -> None:
        """Prepare to start it.

        Args:
            template: What `built` gives.
            folder: An empty folder to work in.
            broker_port: Of the broker on the host's loopback that it may reach.
        """
        self.port = free_port()
        self.ssh_config = folder / "ssh_config"
        self._template = template
        self._folder = folder
        self._broker_port = broker_port
        self._qemu: subprocess.Popen[str] | None = None
        host_type, host_key, *_ = (template / _HOST_KEY).read_text().split()
        known_hosts = folder / "known_hosts"
        known_hosts.write_text(f"{NAME} {host_type} {host_key}\n")
        shutil.copy(template / _KEY, folder / _KEY)
        self.ssh_config.write_text(
            _SSH.format(name=NAME, port=self.port, key=folder / _KEY, known_hosts=known_hosts),
        )

    def boot(self) -> Self:
        """Start it from the template's own disk, as when the power comes.

        Raises:
            EdgeError: it does not come up; the message has the end of its console.
        """
        self._start(self._template / _DISK)
        self.run("systemctl", "is-system-running", "--wait", check=False, timeout_s=BOOT_S)
        return self

    def remember(self) -> None:
        """Save memory and processor in the disk, and end."""
        self.run("sync")
        if complaint := self._tell("human-monitor-command", **{"command-line": f"savevm {_WARM}"}):
            raise EdgeError(f"qemu cannot save the virtual Pi: {complaint}")
        # Its own way out: it writes the disk's tables, too.
        self._tell("quit")
        assert self._qemu is not None
        self._qemu.communicate()

    def wake(self) -> Self:
        """Start it from memory, on a disk of its own."""
        disk = self._folder / _DISK
        images.run("cp", "--sparse=always", "--reflink=auto", self._template / _DISK, disk)
        self._start(disk, "-loadvm", _WARM)
        # It has slept since the day it was built.
        self.run("sudo", "date", "--utc", f"--set=@{time.time():.0f}")
        return self

    def run(self, *argv: str, check: bool = True, timeout_s: float = 600.0) -> subprocess.CompletedProcess[str]:
        """Run a command as the first user.

        Raises:
            EdgeError: it failed and `check` is set; the message has its output.
            TimeoutExpired: it ran longer than timeout_s.
        """
        done = subprocess.run(
            ["ssh", "-F", self.ssh_config, NAME, shlex.join(argv)],
            check=False,
            text=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
        )
        if check and done.returncode:
            said = f"{done.stdout[-1000:]}{done.stderr[-2000:]}".strip()
            raise EdgeError(f"{shlex.join(argv)}: exit status {done.returncode}\n{said}")
        return done

    def close(self) -> None:
        """Pull the plug."""
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.communicate()
            self._qemu = None

    def _start(self, disk: Path, *more: str) -> None:
        # Without a network but these two: nothing may be fetched while it is provisioned.
        relay = f"guestfwd=tcp:10.0.2.100:1883-cmd:socat - TCP:127.0.0.1:{self._broker_port}"
        with (self._folder / "qemu.log").open("wb") as log:
            self._qemu = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig=KILL", "qemu-system-aarch64", *_HARDWARE),
                    *("-kernel", self._template / _KERNEL, "-initrd", self._template / _INITRD),
                    # Whatever a power cut of this machine destroys can be built again.
                    *("-drive", f"file={disk},if=none,id=disk,format=qcow2,cache=unsafe,discard=unmap"),
                    *("-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:22,{relay}"),
                    *("-serial", f"file:{self._folder / 'console'}", "-qmp", "stdio", *more),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                # Ctrl-C is for us: it shall not vanish while something works on it.
                start_new_session=True,
            )
        self._tell("qmp_capabilities")
        deadline = time.monotonic() + BOOT_S
        while time.monotonic() < deadline and self._qemu.poll() is None:
            if self.run("true", check=False).returncode == 0:
                return
            time.sleep(1)
        self.close()
        raise EdgeError(f"the virtual Pi does not come up:\n{self._last_words()}")

    def _last_words(self) -> str:
        texts = [self._folder / name for name in ("qemu.log", "console")]
        return "".join(path.read_text(errors="replace") for path in texts if path.exists())[-2000:].strip()

    def _tell(self, command: str, **arguments: str) -> Any:
        """Give qemu a command of its machine protocol, and return the answer."""
        assert self._qemu is not None
        assert self._qemu.stdin is not None
        assert self._qemu.stdout is not None
        self._qemu.stdin.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._qemu.stdin.flush()
        for line in self._qemu.stdout:
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise EdgeError(f"qemu: {command}: {answer['error']['desc']}")
        raise EdgeError(f"qemu does not run:\n{self._last_words()}")
