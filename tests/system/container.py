"""A container that boots systemd, as close to Raspberry Pi OS as possible: systemd-nspawn, controlled from Python.

It shares only the network with the host, and writes to a temporary overlay over its template.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.system import booting, rootfs

if TYPE_CHECKING:
    from typing import Self

_HOST_HAS_SYSTEMD = Path("/run/systemd/system").is_dir()

BOOT_S = 60.0
"""Maximum time for booting, s. On an idle machine it takes two."""

_LAUNCH = """
set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
shift 2
for group do shift; [ "$group" = -- ] && break; mkdir -p "$group"; echo $$ > "$group/cgroup.procs"; done
exec "$@"
"""
"""LOWER RUN GROUP... -- COMMAND...: runs a command in its own cgroups, on an overlay visible to its processes only."""

_INIT = """
for hierarchy in /sys/fs/cgroup/*; do mount -o remount,bind,rw "$hierarchy" 2>/dev/null || true; done
exec /sbin/init
"""
"""Remounts the version 1 cgroup controllers, which nspawn mounts read-only: MemoryMax= and DeviceAllow= need them."""

_HIERARCHIES = {
    **{name: name for name in ("memory", "pids", "devices", "cpu", "cpuacct", "blkio")},
    "name=systemd": "systemd",
    "": "unified",
}
"""Cgroup hierarchies: name in /proc/self/cgroup -> mount point below /sys/fs/cgroup."""

_NUMBER = itertools.count(1)

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Container:
    """A container, which runs from `boot` to `close`."""

    def __init__(self, release: rootfs.Release) -> None:
        self.release = release
        self.name = f"{release.name}-{os.getpid()}-{next(_NUMBER)}"
        self._folder = Path()
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._init = 0

    @property
    def root(self) -> Path:
        """The container's file system, seen from the host. Absolute symlinks in it don't work there: see `read`."""
        return Path(f"/proc/{self._init}/root")

    def boot(self) -> Self:
        """Build the template if necessary, and start systemd on a fresh overlay.

        Raises:
            RuntimeError: it doesn't boot; the message contains the end of its console.
        """
        template = rootfs.built(self.release)
        self._folder = rootfs.new_run(self.release)
        for name in ("upper", "work", "root"):
            (self._folder / name).mkdir()
        keep = [] if _HOST_HAS_SYSTEMD else ["--keep-unit"]
        with (self._folder / "console").open("wb") as console:
            self._nspawn = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig=TERM", "unshare", "--mount", "--propagation=slave"),
                    *("sh", "-c", _LAUNCH, "launch", str(template), str(self._folder), *self._groups(), "--"),
                    *("systemd-nspawn", "--quiet", f"--directory={self._folder}/root", f"--machine={self.name}", *keep),
                    *("--register=no", "--hostname=raspberrypi", "--resolv-conf=copy-host", "--console=read-only"),
                    # IPAddressDeny= uses a BPF program in the cgroup; adjtimex reads the state of the clock.
                    *("--capability=CAP_BPF,CAP_NET_ADMIN", "--system-call-filter=bpf adjtimex clock_adjtime"),
                    "--kill-signal=SIGRTMIN+4",
                    *(f"--bind-ro={folder}" for folder in rootfs.pip_folders()),
                    *("/bin/sh", "-c", _INIT),
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        self._wait_for_systemd()
        return self

    def run(self, *argv: str | Path, check: bool = True, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command in the namespaces and cgroups of the container's systemd.

        Raises:
            AssertionError: it failed and `check` is set; the message contains its output.
            TimeoutExpired: it ran longer than timeout_s.
        """
        done = subprocess.run(
            ["nsenter", f"--target={self._init}", "--all", "env", "-i", _PATH, "LC_ALL=C.UTF-8", "HOME=/root", *argv],
            check=False,
            text=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
        )
        if check and done.returncode:
            words = " ".join(map(str, argv))
            raise AssertionError(f"{words}: exit status {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done

    def push(self, source: Path, target: str) -> None:
        """Copy a file or a folder of the host to a path in the container, replacing existing files."""
        self.run("mkdir", "-p", str(Path(target).parent))
        subprocess.run(["cp", "-a", "--no-preserve=ownership", "-T", source, f"{self.root}{target}"], check=True)

    def read(self, path: str) -> str:
        """The text of a file in the container."""
        return self.run("cat", path).stdout

    def close(self) -> None:
        """Power off and delete the overlay."""
        if self._nspawn is None:
            return
        self._nspawn.send_signal(signal.SIGTERM)
        try:
            self._nspawn.wait(20)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()
        self._nspawn = None
        shutil.rmtree(self._folder)
        for group in self._groups():
            for folder, _, _ in os.walk(group, topdown=False):
                with contextlib.suppress(OSError):  # a process in it has not ended yet
                    Path(folder).rmdir()

    def _groups(self) -> list[str]:
        """A cgroup for the container in each hierarchy, below our own. A host with systemd creates them itself."""
        if _HOST_HAS_SYSTEMD:
            return []
        lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
        return [
            f"/sys/fs/cgroup/{_HIERARCHIES[hierarchy]}{path.rstrip('/')}/{self.name}"
            for _, hierarchy, path in lines
            if hierarchy in _HIERARCHIES
        ]

    def _wait_for_systemd(self) -> None:
        assert self._nspawn is not None
        if booting.becomes_ready(self._nspawn, self._has_booted, timeout_s=BOOT_S, pause_s=0.1):
            return
        tail = (self._folder / "console").read_text(errors="replace")[-2000:]
        self.close()
        raise RuntimeError(f"the container {self.name} doesn't boot:\n{tail}")

    def _has_booted(self) -> bool:
        assert self._nspawn is not None
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a process may have just ended
            names = {pid: Path(f"/proc/{pid}/comm").read_text().strip() for pid in children.read_text().split()}
            self._init = next((int(pid) for pid, name in names.items() if name == "systemd"), 0)
        if not self._init:
            return False
        state = self.run("systemctl", "is-system-running", "--wait", check=False, timeout_s=BOOT_S).stdout
        return state.strip() in {"running", "degraded"}
