"""Kills a change to a store of bundles before each of its steps in turn, and reports what it leaves behind.

    python kill_sweep.py STORE KEYS install DIR
    python kill_sweep.py STORE KEYS release DIR
    python kill_sweep.py STORE KEYS shadow DIR
    python kill_sweep.py STORE KEYS shadow-off ''
    python kill_sweep.py STORE KEYS rollback ID

Every attempt works in a copy of STORE. It prints one JSON object for each: `step`, the step before which the process
was killed, or null if it ended; `in_use`, the bundle that `current` points to, verified; `again`, the result of the
same command after that; `left`, the names in the store then; `counter` and `released`, the contents of
those files.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

from edge.bundle import bundle as bundles
from edge.bundle import signature
from edge.bundle.store import BundleStore

STEPS = {
    "fcntl.flock", "os.mkdir", "os.rename", "os.symlink", "os.link", "os.remove", "os.rmdir", "subprocess.Popen",
    "ctypes.dlsym",
}  # fmt: skip
"""Audit events of calls that change names, start the self-test, or swap two folders."""


def kill_before(number: int, pipe: int) -> None:
    """Make this process kill itself before a step, after writing the step's name to a pipe."""
    count = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal count
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in STEPS or writes:
            count += 1
            if count == number:
                os.write(pipe, f"{event} {arguments[0]}".encode())
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def main(template: str, keys: str, action: str, what: str) -> None:
    trusted = signature.read_trusted_keys(Path(keys))
    sys.executable = "/bin/true"  # the trial's process does nothing: hundreds of Pythons would take long to start

    def act(root: Path) -> str:
        store = BundleStore(root, trusted, trial_s=0)  # one step is enough
        if action == "rollback":
            return store.rollback(what)
        if action == "release":
            return store.install_release(Path(what))
        return store.shadow_off() if action == "shadow-off" else store.install(Path(what), shadow=action == "shadow")

    root, number, step = Path(template).with_name("attempt"), 0, ""
    while step is not None:
        number += 1
        shutil.copytree(template, root, symlinks=True)
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            kill_before(number, writer)
            act(root)
            os._exit(0)
        os.close(writer)
        _, status = os.waitpid(pid, 0)
        with os.fdopen(reader) as pipe:
            step = pipe.read().replace(str(root), "") or None
        if status != (signal.SIGKILL if step else 0):
            sys.exit(f"step {number} ended with status {status}")
        in_use = bundles.verified(root / "current", trusted)
        print(json.dumps({
            "step": step,
            "in_use": [in_use.id, in_use.counter],
            "again": act(root),
            **{name: (root / name).read_text() if (root / name).exists() else None for name in ("counter", "released")},
            "left": {path.name: str(path.readlink()) if path.is_symlink() else None for path in root.iterdir()},
        }), flush=True)  # fmt: skip
        shutil.rmtree(root)


if __name__ == "__main__":
    main(*sys.argv[1:])
