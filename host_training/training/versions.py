"""What a trained network depends on beside recipe and rows: versions of libraries, and the processor."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path

LIBRARIES = ("tensorflow", "keras", "numpy")
"""Those that decide a network's weights."""
INSTRUCTIONS = (
    *("sse4_2", "avx", "avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile"),
    *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2"),
)
"""Instruction sets by which the kernels of these libraries are chosen, as Linux calls them: of x86-64, and of Arm."""

_IDENTITY = ("cpu family", "model", "CPU implementer", "CPU part")
"""Lines of /proc/cpuinfo that identify a processor: of x86-64, where virtual machines hide the name, and of Arm."""


def versions(*more: str) -> dict[str, str]:
    """Versions of Python, `LIBRARIES`, and more distributions."""
    return {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in (*LIBRARIES, *more)
    }


def processor(root: Path = Path("/")) -> str:
    """Model and instruction sets of the processor, as in `AMD EPYC, cpu family 25, model 1, x86_64 with avx avx2 fma`.

    Args:
        root: folder of /proc.
    """
    try:
        text = (root / "proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:  # not Linux
        text = ""
    first = [line.partition(":") for line in text.partition("\n\n")[0].splitlines()]
    lines = {name.strip(): value.strip() for name, _, value in first}
    flags = f"{lines.get('flags', '')} {lines.get('Features', '')}".split()
    identity = [f"{name} {lines[name]}" for name in _IDENTITY if name in lines]
    sets = " ".join(name for name in INSTRUCTIONS if name in flags)
    architecture = f"{platform.machine()} with {sets}" if sets else platform.machine()
    return ", ".join(filter(None, (lines.get("model name", ""), *identity, architecture)))
