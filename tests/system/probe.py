"""Runs in the sandbox of the service, tries what it must and must not be able to do, and prints the results as JSON."""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CLONE_NEWUSER = 0x10000000
libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> None:
    """Call a function of the C library that returns -1 on failure."""
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def connect(address: str) -> None:
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), timeout=2).close()


def answer(work: Callable[[], object]) -> str:
    """What came of it: ok, or the name of the error."""
    try:
        work()
    except TimeoutError:
        return "timeout"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "ok"


state, credentials = Path(os.environ["STATE_DIRECTORY"]), Path(os.environ["CREDENTIALS_DIRECTORY"])
answers = {
    "connect to the broker": answer(lambda: connect(sys.argv[1])),
    "connect to another address": answer(lambda: connect(sys.argv[2])),
    "connect to the network camera": answer(lambda: connect(sys.argv[3])),
    "write to its state directory": answer(lambda: (state / "probe").write_text("")),
    "write to its home directory": answer(lambda: (Path.home() / "probe").write_text("")),
    "write to /tmp": answer(lambda: Path("/tmp/probe").write_text("")),  # noqa: S108  a private one
    "write to /etc": answer(lambda: Path("/etc/probe").write_text("")),
    "write to the models": answer(lambda: Path("/var/lib/emotion-edge/models/probe").write_text("")),
    "write to its release": answer(lambda: Path("/opt/emotion-edge/current/probe").write_text("")),
    "read /root": answer(lambda: list(Path("/root").iterdir())),
    "read the passwords": answer(lambda: [(credentials / f"{of}-password").read_text() for of in ("mqtt", "camera")]),
    "read the file of the password": answer(lambda: Path("/etc/emotion-edge/mqtt-password").read_text()),
    "open a camera device": answer(lambda: os.open("/dev/udmabuf", os.O_RDWR)),
    "open a device of another group": answer(lambda: os.open("/dev/of-root", os.O_RDWR)),
    "open another device": answer(lambda: os.open("/dev/probe", os.O_RDWR)),
    "read the state of the clock": answer(lambda: call("adjtimex", ctypes.create_string_buffer(256))),
    "set the clock": answer(lambda: time.clock_settime(time.CLOCK_REALTIME, time.time())),
    "map memory that is writable and executable": answer(
        lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)
    ),
    "create a user namespace": answer(lambda: call("unshare", CLONE_NEWUSER)),
    "mount": answer(lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None)),
}
print(json.dumps(answers))
