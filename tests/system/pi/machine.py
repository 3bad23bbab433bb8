"""An emulated Raspberry Pi: Debian for arm64 under qemu-system, reachable by ssh.

It has the processor of a Pi 4, the kernel's test pattern as a camera, and no network except its ssh server and one
broker.
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
from tests.system import booting
from tests.system.pi import images

if TYPE_CHECKING:
    from typing import Self

NAME = "raspberrypi"
"""Name of the device, for ssh and in topics."""
BROKER_URL = "mqtt://10.0.2.100:1883"
"""URL of the host's broker, seen from the virtual Pi."""

BOOT_S = 1200.0
"""Maximum time for booting. On an idle machine it takes two to three minutes, or ten seconds from the snapshot."""

_DISK, _KERNEL, _INITRD, _KEY, _HOST_KEY = "disk.qcow2", "vmlinuz", "initrd.img", "key", "host-key.pub"
_SNAPSHOT = "booted"
"""Name of the snapshot in the disk image, taken after booting, with memory."""

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
    """The folder with disk, kernel and keys of a virtual Pi that has booted. Builds it if it doesn't exist."""
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
            Machine(folder, run, broker_port=0).boot().save()

    return images.built(images.CACHE / f"pi-{recipe}", build, "a virtual Pi that has booted (5 to 10 minutes)")


class Machine:
    """A virtual Pi, which runs from `boot` or `resume` to `close`."""

    def __init__(self, template: Path, folder: Path, *, broker_port: int) -> None:
        """Write the configuration of ssh.

        Args:
            template: result of `built`.
            folder: an empty working folder.
            broker_port: port of the broker on the host's loopback that it may reach.
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
        """Boot from the template's own disk.

        Raises:
            EdgeError: it doesn't boot; the message contains the end of its console.
        """
        self._start(self._template / _DISK)
        self.run("systemctl", "is-system-running", "--wait", check=False, timeout_s=BOOT_S)
        return self

    def save(self) -> None:
        """Save a snapshot in the disk image, and end."""
        self.run("sync")
        if error := self._qmp("human-monitor-command", **{"command-line": f"savevm {_SNAPSHOT}"}):
            raise EdgeError(f"qemu cannot save the virtual Pi: {error}")
        # A clean exit also writes the tables of the image.
        self._qmp("quit")
        assert self._qemu is not None
        self._qemu.communicate()

    def resume(self) -> Self:
        """Resume from the snapshot, on a copy of the disk."""
        disk = self._folder / _DISK
        images.run("cp", "--sparse=always", "--reflink=auto", self._template / _DISK, disk)
        self._start(disk, "-loadvm", _SNAPSHOT)
        # Its clock stopped when the snapshot was taken.
        self.run("sudo", "date", "--utc", f"--set=@{time.time():.0f}")
        return self

    def run(self, *argv: str, check: bool = True, timeout_s: float = 600.0) -> subprocess.CompletedProcess[str]:
        """Run a command as the first user.

        Raises:
            EdgeError: it failed and `check` is set; the message contains its output.
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
            output = f"{done.stdout[-1000:]}{done.stderr[-2000:]}".strip()
            raise EdgeError(f"{shlex.join(argv)}: exit status {done.returncode}\n{output}")
        return done

    def close(self) -> None:
        """Kill it, as if the power were cut."""
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.communicate()
            self._qemu = None

    def _start(self, disk: Path, *more: str) -> None:
        # Only these two connections: nothing may be downloaded during provisioning.
        relay = f"guestfwd=tcp:10.0.2.100:1883-cmd:socat - TCP:127.0.0.1:{self._broker_port}"
        with (self._folder / "qemu.log").open("wb") as log:
            self._qemu = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig=KILL", "qemu-system-aarch64", *_HARDWARE),
                    *("-kernel", self._template / _KERNEL, "-initrd", self._template / _INITRD),
                    # Unsafe caching is fine, because a damaged image can be built again.
                    *("-drive", f"file={disk},if=none,id=disk,format=qcow2,cache=unsafe,discard=unmap"),
                    *("-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:22,{relay}"),
                    *("-serial", f"file:{self._folder / 'console'}", "-qmp", "stdio", *more),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                # Ctrl-C must not reach it while a step still uses it.
                start_new_session=True,
            )
        self._qmp("qmp_capabilities")
        if booting.becomes_ready(
            self._qemu, lambda: self.run("true", check=False).returncode == 0, timeout_s=BOOT_S, pause_s=1
        ):
            return
        self.close()
        raise EdgeError(f"the virtual Pi doesn't boot:\n{self._end_of_logs()}")

    def _end_of_logs(self) -> str:
        texts = [self._folder / name for name in ("qemu.log", "console")]
        return "".join(path.read_text(errors="replace") for path in texts if path.exists())[-2000:].strip()

    def _qmp(self, command: str, **arguments: str) -> Any:
        """Send qemu a command of its machine protocol (QMP), and return the answer."""
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
        raise EdgeError(f"qemu has ended:\n{self._end_of_logs()}")
